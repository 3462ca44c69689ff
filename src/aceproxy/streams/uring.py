"""One system call that sends to many sockets: Linux's io_uring, by ctypes.

Up to `ENTRIES` sends are described in memory that is shared with the kernel, and done one after the other by one call,
without the interpreter's lock. Each has MSG_DONTWAIT, with which the kernel completes it within the call, be it with
an error, and never waits for a socket in the background. So no send outlives its call, and the piece may be written
over after it. A kernel of which that is not true is found out by `_prove`, or at the latest when a result is missing;
then the ring is not used any more.

Nobody but the calling thread reads or writes the shared memory, and only the call makes the kernel look at it: there
is no thread of the kernel that polls, and nothing to be ordered.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import socket
import sys
from array import array
from collections.abc import Sequence

ENTRIES = 64  # sends of one call; more save no more, and keep the thread in the kernel for over a millisecond

_SETUP, _ENTER = 425, 426  # system calls, the same numbers wherever Linux has them
_SINGLE_MMAP = 1  # features: both queues are in one mapping (Linux 5.4)
_SQES_AT = 0x10000000  # where the descriptions are mapped from
_SEND = 26  # the operation (Linux 5.6)
_SQE_BYTES, _CQE_BYTES = 64, 16
_LAST = 0xFFFFFFFF  # counters of the queues are of 32 bits and go round
_ANYWHERE = ctypes.c_char * 0

Job = tuple[Sequence[int], memoryview]
"""Sockets' descriptors, and the piece that each of them is sent."""


class Uring:
    """A ring for sends. Belongs to one thread at a time; `close` is to be called once.

    `fault` says why it is not to be used any more, None while all is well.
    """

    def __init__(self) -> None:
        """Raises OSError where the system has no io_uring, forbids it, or has one that does not do what is needed."""
        self.fault: str | None = None
        if not sys.platform.startswith("linux"):  # pragma: no cover - the number is that of another call
            raise OSError(errno.ENOSYS, "not Linux")
        with contextlib.ExitStack() as stack:
            self._call = _system_call()
            parameters = (ctypes.c_uint32 * 30)()  # struct io_uring_params
            self._descriptor = self._call(_SETUP, ENTRIES, ctypes.addressof(parameters), 0, 0, 0, 0)
            if self._descriptor < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            stack.callback(os.close, self._descriptor)
            self._map(stack, list(parameters))
            self._prove()
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Let go of the ring and its memory."""
        self.fault = self.fault or "closed"
        self._stack.close()

    def send(self, jobs: Sequence[Job]) -> list[int]:
        """Send each piece, which must be writable and not empty, to its sockets, as far as that does not wait.

        Returns for each how many bytes it took, or the negative number of the error. There are fewer results than
        sockets when a `fault` came up: then nothing was sent to the others. A socket of which is not known what it took
        has -EIO.
        """
        sockets, addresses, lengths = array("i"), array("Q"), array("I")
        anchors = [_ANYWHERE.from_buffer(piece) for _, piece in jobs]  # keep the memory where it is
        for (descriptors, piece), anchor in zip(jobs, anchors, strict=True):
            sockets.extend(descriptors)
            addresses.extend(array("Q", [ctypes.addressof(anchor)]) * len(descriptors))
            lengths.extend(array("I", [len(piece)]) * len(descriptors))
        results: list[int] = []
        while (done := len(results)) < len(sockets) and self.fault is None:
            begin = self._submitted[0] % ENTRIES  # a round ends where the queue does, so that it is in one part
            count = min(ENTRIES - begin, len(sockets) - done)
            self._sockets[begin : begin + count] = sockets[done : done + count]
            self._addresses[begin : begin + count] = addresses[done : done + count]
            self._lengths[begin : begin + count] = lengths[done : done + count]
            results += self._round(count, begin)
        return results

    def _round(self, count: int, begin: int) -> list[int]:
        """Have the kernel do the `count` sends that are described from number `begin` on."""
        done = 0
        self._submitted[0] = (self._submitted[0] + count) & _LAST
        while done < count:
            taken_in = self._call(_ENTER, self._descriptor, count - done, 0, 0, 0, 0)
            if taken_in <= 0:
                self.fault = os.strerror(ctypes.get_errno()) if taken_in else "nothing is taken in"
                break
            done += taken_in  # older kernels stop after one that they cannot begin
        return self._results_of(range(begin, begin + done))

    def _results_of(self, sent: range) -> list[int]:
        head, tail = self._seen[0], self._completed[0]
        first, count = head % len(self._tags), (tail - head) & _LAST
        tags, results = self._tags[first : first + count].tolist(), self._results[first : first + count].tolist()
        self._seen[0] = tail
        if tags == list(sent):
            return results
        known = dict(zip(tags, results, strict=True))  # older kernels tell of errors first
        if len(tags) != len(sent) or known.keys() != set(sent):
            self.fault = f"{len(sent)} sends, {len(tags)} results"
        return [known.get(tag, -errno.EIO) for tag in sent]

    def _map(self, stack: contextlib.ExitStack, parameters: list[int]) -> None:
        """Map the queues, and write what is the same in every send."""
        entries, results, features = parameters[0], parameters[1], parameters[5]
        submission, completion = parameters[10:20], parameters[20:30]  # where in the mapping is what
        if not features & _SINGLE_MMAP or entries != ENTRIES:
            raise OSError(errno.ENOSYS, "too old an io_uring")
        size = max(submission[6] + 4 * entries, completion[5] + _CQE_BYTES * results)
        queues = stack.enter_context(mmap.mmap(self._descriptor, size))
        sends = stack.enter_context(mmap.mmap(self._descriptor, _SQE_BYTES * entries, offset=_SQES_AT))

        def view(memory: mmap.mmap, start: int, size: int, kind: str, step: int = 1, first: int = 0) -> memoryview:
            whole = stack.enter_context(memoryview(memory))
            part = stack.enter_context(whole[start : start + size])
            typed = stack.enter_context(part.cast("B").cast(kind))  # type: ignore[call-overload]
            return stack.enter_context(typed[first::step])

        self._submitted = view(queues, submission[1], 4, "I")
        self._seen, self._completed = view(queues, completion[0], 4, "I"), view(queues, completion[1], 4, "I")
        self._results = view(queues, completion[5], _CQE_BYTES * results, "i", 4, 2)
        self._tags = view(queues, completion[5], _CQE_BYTES * results, "Q", 2)
        view(queues, submission[6], 4 * entries, "I")[:] = array("I", range(entries))
        whole = _SQE_BYTES * entries
        self._sockets = view(sends, 0, whole, "i", 16, 1)
        self._addresses, self._lengths = view(sends, 0, whole, "Q", 8, 2), view(sends, 0, whole, "I", 16, 6)
        view(sends, 0, whole, "B", _SQE_BYTES)[:] = bytes([_SEND]) * entries
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        view(sends, 0, whole, "I", 16, 7)[:] = array("I", [flags]) * entries
        view(sends, 0, whole, "Q", 8, 4)[:] = array("Q", range(entries))

    def _prove(self) -> None:
        """See that each is done within the call: a send that is taken, to a full socket, to one whose peer is gone."""
        with contextlib.ExitStack() as stack:
            pairs = [socket.socketpair() for _ in range(3)]
            for one in [one for pair in pairs for one in pair]:
                stack.enter_context(one).setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    pairs[1][0].send(bytes(65536))
            pairs[2][1].close()
            results = self.send([([ours.fileno() for ours, _ in pairs], memoryview(bytearray(b"?")))])
            if results != [1, -errno.EAGAIN, -errno.EPIPE]:
                raise OSError(errno.ENOSYS, self.fault or f"a trial came to {results}")


def _system_call() -> ctypes._NamedFuncPointer:
    """Return libc's syscall(2). It leaves the error in `ctypes.get_errno()`."""
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except AttributeError as error:  # pragma: no cover - every libc has it
        raise OSError(errno.ENOSYS, "no syscall()") from error
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long, ctypes.c_long, *[ctypes.c_void_p] * 5]
    return call
