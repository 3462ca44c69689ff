"""How pieces get to many sockets: by one system call for many, or by one for each.

Both are the same to the caller, and neither waits.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from itertools import repeat

from aceproxy.streams.uring import Job, Uring

log = logging.getLogger(__name__)

LEAST = 16  # sockets for which the one call is worth being prepared
LEFT = -1  # taken by a socket whose peer is gone

_FULL = (-errno.EAGAIN, -errno.EINTR)


class Sending:
    """Sends with io_uring where that is wanted and can be had. Belongs to one thread.

    `least`: with how many sockets it begins to.
    """

    def __init__(self, *, io_uring: bool, least: int = LEAST) -> None:
        self._wanted = io_uring
        self._least = least
        self._uring: Uring | None = None

    @property
    def uses_uring(self) -> bool:
        """Whether it has come to that, and nothing went wrong with it."""
        return self._uring is not None

    def send(self, jobs: Sequence[Job]) -> list[list[int]]:
        """Send each piece to its sockets; return how many bytes each took: 0 where the socket is full, LEFT where
        nobody is. Never raises: who took what nobody knows then, and all of them count as gone.
        """
        try:
            return self._send(jobs)
        except Exception:
            log.exception("sending to clients failed")
            return [[LEFT] * len(descriptors) for descriptors, _ in jobs]

    def _send(self, jobs: Sequence[Job]) -> list[list[int]]:
        taken: list[int] = []
        is_worth_it = sum(len(descriptors) for descriptors, _ in jobs) >= self._least
        if self._wanted and is_worth_it and not any(piece.readonly for _, piece in jobs):
            taken = self._send_at_once(jobs)
        found, at = [], 0
        for descriptors, piece in jobs:
            part = taken[at : at + len(descriptors)]
            at += len(descriptors)
            found.append(part + write_to_each(descriptors[len(part) :], piece))
        return found

    def close(self) -> None:
        """Let go of what it has; every socket is written to by itself from now on."""
        self._wanted = False
        self.rest()

    def rest(self) -> None:
        """Let go of what it has, until there are many sockets again."""
        if self._uring is not None:
            self._uring.close()
            self._uring = None

    def _send_at_once(self, jobs: Sequence[Job]) -> list[int]:
        """Return what those took to which it could be sent like this: the first ones, all as a rule."""
        if self._uring is None:
            try:
                self._uring = Uring()
            except OSError as error:
                log.info("io_uring cannot be had here (%s): one system call for each client", error.strerror or error)
                self._wanted = False
                return []
        taken = self._uring.send(jobs)
        if self._uring.fault is not None:
            log.warning("io_uring is given up (%s): one system call for each client from now on", self._uring.fault)
            self.close()
        if taken and min(taken) < 0:
            taken = [count if count >= 0 else 0 if count in _FULL else LEFT for count in taken]
        return taken


def write_to_each(descriptors: Sequence[int], piece: memoryview) -> list[int]:
    """Do what `Sending.send` does by a `write` for each."""
    taken: list[int] = []
    left = iter(descriptors)
    while len(taken) < len(descriptors):
        try:
            # No loop of ours: what the interpreter needs between two calls is no longer in the processor's cache
            # after each. What was taken before a call fails is in the list.
            taken.extend(map(os.write, left, repeat(piece)))
        except BlockingIOError:
            taken.append(0)
        except OSError:
            taken.append(LEFT)
    return taken
