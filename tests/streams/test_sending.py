"""Sending one piece to many sockets: with io_uring it comes to the same as with a `write` for each."""

from __future__ import annotations

import contextlib
import errno
import logging
import mmap
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from aceproxy.streams import sending as sending_module
from aceproxy.streams.sending import LEAST, LEFT, Sending, write_to_each
from aceproxy.streams.uring import ENTRIES, Uring
from tests.streams.conftest import with_uring

PIECE = bytes(range(256)) * 4
SETUP, ENTER = 425, 426


class Pairs:
    """Socket pairs: we send at one end, and see at the other what came."""

    def __init__(self, count: int) -> None:
        self.pairs = [socket.socketpair() for _ in range(count)]
        for ours, theirs in self.pairs:
            ours.setblocking(False)
            theirs.setblocking(False)
        self.descriptors = [ours.fileno() for ours, _ in self.pairs]

    def fill(self, at: int) -> None:
        """Send to one until it is full."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.pairs[at][0].send(bytes(65536))

    def got(self, at: int) -> bytes:
        """Take what has come to one."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while part := self.pairs[at][1].recv(1 << 20):
                data += part
        return data

    def all_got(self) -> set[bytes]:
        """Take what has come to all; tell what was different."""
        return {self.got(at) for at in range(len(self.pairs))}

    def close(self) -> None:
        for pair in self.pairs:
            for end in pair:
                end.close()


@pytest.fixture
def pairs() -> Iterator[Callable[[int], Pairs]]:
    """Makes socket pairs."""
    with contextlib.ExitStack() as stack:

        def make(count: int) -> Pairs:
            made = Pairs(count)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def sending() -> Iterator[Sending]:
    """A sending by io_uring."""
    sending = with_uring()
    yield sending
    sending.close()


@pytest.fixture
def uring() -> Iterator[Uring]:
    """A ring of its own."""
    with_uring()
    uring = Uring()
    yield uring
    uring.close()


def writable(data: bytes = PIECE) -> memoryview:
    return memoryview(bytearray(data))


MakePairs = Callable[[int], Pairs]


def open_descriptors() -> int:
    return psutil.Process().num_fds()


def after(uring: Uring, change: Callable[..., int]) -> None:
    """Have `change` called with the real call and its arguments where the kernel is told to send."""
    real = uring._call

    def call(number: int, *arguments: int) -> int:
        return change(real, number, *arguments)

    uring._call = call  # type: ignore[assignment]


@pytest.mark.parametrize("count", [1, 2, ENTRIES - 1, ENTRIES, ENTRIES + 1, 3 * ENTRIES + 5])
def test_all_get_the_piece_in_as_many_rounds_as_it_takes(pairs: MakePairs, sending: Sending, count: int) -> None:
    made = pairs(count)
    for number in range(7):  # the ring goes round, and a delivery begins anywhere in it
        piece = bytes([number]) * 1000
        assert sending.send([(made.descriptors, writable(piece))])[0] == [1000] * count
        assert made.all_got() == {piece}
    assert sending.uses_uring


@pytest.mark.parametrize("counts", [(1,) * 20, (5,) * 20, (40, 3, ENTRIES + 9, 1), (2, 1)])
def test_pieces_of_several_streams_go_together(pairs: MakePairs, sending: Sending, counts: tuple[int, ...]) -> None:
    made = [pairs(count) for count in counts]
    made[1].fill(0)
    for turn in range(5):
        pieces = [bytes([number, turn]) * (500 + number) for number in range(len(counts))]
        jobs = [(each.descriptors, writable(piece)) for each, piece in zip(made, pieces, strict=True)]
        taken = sending.send(jobs)
        for number, (each, piece) in enumerate(zip(made, pieces, strict=True)):
            first = int(number == 1)  # it is full: whoever cannot take his piece has nothing of it
            assert taken[number] == [0] * first + [len(piece)] * (len(each.pairs) - first)
            assert {each.got(at) for at in range(first, len(each.pairs))} in ({piece}, set())


def test_the_piece_may_lie_within_mapped_memory_and_is_let_go_of(pairs: MakePairs, sending: Sending) -> None:
    made = pairs(3)
    with mmap.mmap(-1, 1 << 20) as memory:
        memory[5000 : 5000 + len(PIECE)] = PIECE
        with memoryview(memory) as whole, whole[5000 : 5000 + len(PIECE)] as piece:
            assert sending.send([(made.descriptors, piece)])[0] == [len(PIECE)] * 3
    assert made.all_got() == {PIECE}


def test_full_sockets_short_sends_and_peers_that_are_gone_are_told_as_write_tells_them(
    pairs: MakePairs, sending: Sending
) -> None:
    """Every third is full, or takes a part only, or has no peer, or is no socket any more."""
    results = []
    piece = writable(PIECE * 400)  # 400 KiB: more than a socket takes at once
    for send in (write_to_each, lambda descriptors, piece: sending.send([(descriptors, piece)])[0]):
        made = pairs(ENTRIES + 9)
        small = writable()
        for at in (3, 30, ENTRIES + 3):
            made.fill(at)
        for at in (4, 31, ENTRIES + 4):
            made.pairs[at][1].close()
        descriptors = [*made.descriptors]
        descriptors[10], descriptors[ENTRIES + 6] = -1, 1 << 20
        first = send(descriptors, small)
        second = send(descriptors, piece)
        results.append((first, second))
        for at in (0, 29, ENTRIES + 8):
            assert made.got(at) == PIECE + bytes(piece[: second[at]])
            assert 0 < second[at] < len(piece)
    (first, second), other = results
    assert (first, second) == other
    assert [at for at, count in enumerate(first) if count == 0] == [3, 30, ENTRIES + 3]
    assert [at for at, count in enumerate(first) if count == LEFT] == [4, 10, 31, ENTRIES + 4, ENTRIES + 6]


def test_a_connection_that_was_reset_is_left(sending: Sending) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with ours:
        ours.sendall(b"unread")
        peer.close()
        while sending.send([([ours.fileno()], writable())])[0] != [LEFT]:  # the reset may be on its way
            pass
        assert write_to_each([ours.fileno()], writable()) == [LEFT]


def test_few_are_written_to_one_by_one_and_so_is_everybody_where_it_is_not_wanted(pairs: MakePairs) -> None:
    made = pairs(LEAST - 1)
    for sending, descriptors in (
        (Sending(io_uring=True), made.descriptors),
        (Sending(io_uring=False, least=1), made.descriptors),
    ):
        assert sending.send([(descriptors, writable())])[0] == [len(PIECE)] * len(descriptors)
        assert not sending.uses_uring
    assert made.all_got() == {PIECE * 2}


def test_memory_that_may_not_be_written_to_is_sent_one_by_one(pairs: MakePairs, sending: Sending) -> None:
    made = pairs(2)
    assert sending.send([(made.descriptors, memoryview(PIECE))])[0] == [len(PIECE)] * 2
    assert not sending.uses_uring


def test_where_io_uring_is_forbidden_it_is_tried_once_and_told_once(
    pairs: MakePairs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    class Forbidden(Uring):
        def __init__(self) -> None:
            tried.append(self)
            raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(sending_module, "Uring", Forbidden)
    made = pairs(LEAST)
    sending = Sending(io_uring=True)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert sending.send([(made.descriptors, writable())])[0] == [len(PIECE)] * LEAST
    assert made.all_got() == {PIECE * 3}
    assert (len(tried), len(caplog.records)) == (1, 1)
    assert "Operation not permitted" in caplog.text
    sending.close()


@pytest.mark.parametrize("answer", [[1, -errno.EAGAIN], [-errno.EINVAL] * 3, [1, 65536, -errno.EPIPE]])
def test_a_kernel_that_does_not_do_what_is_needed_is_found_out_at_once(
    uring: Uring, monkeypatch: pytest.MonkeyPatch, answer: list[int]
) -> None:
    assert uring.fault is None
    before = open_descriptors()
    monkeypatch.setattr(Uring, "send", lambda *_: answer)
    with pytest.raises(OSError, match="a trial came to"):
        Uring()
    assert open_descriptors() == before


def test_an_old_ring_is_refused(uring: Uring) -> None:
    parameters = [0] * 30
    parameters[0] = ENTRIES
    with contextlib.ExitStack() as stack, pytest.raises(OSError, match="too old"):
        uring._map(stack, parameters)


def test_it_can_rest_and_be_used_again(pairs: MakePairs, sending: Sending) -> None:
    made = pairs(LEAST)
    before = open_descriptors()
    for _ in range(2):
        assert sending.send([(made.descriptors, writable())])[0] == [len(PIECE)] * LEAST
        assert sending.uses_uring
        sending.rest()
        assert open_descriptors() == before


def test_closing_leaves_nothing_open(pairs: MakePairs) -> None:
    made = pairs(LEAST)
    before = open_descriptors()
    sending = with_uring()
    sending.send([(made.descriptors, writable())])
    assert open_descriptors() != before
    sending.close()
    sending.close()
    assert open_descriptors() == before
    assert sending.send([(made.descriptors, writable())])[0] == [len(PIECE)] * LEAST


# --- kernels that behave oddly ---


def with_ring(uring: Uring, monkeypatch: pytest.MonkeyPatch) -> Sending:
    """Return a sending that uses this ring."""
    monkeypatch.setattr(sending_module, "Uring", lambda: uring)
    return Sending(io_uring=True, least=1)


def test_when_the_call_fails_on_the_way_the_others_are_written_to_and_nobody_twice(
    pairs: MakePairs, uring: Uring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the second round ten sends are taken in, and then none."""
    begun = []

    def fail(real: Any, number: int, descriptor: int, count: int, *rest: int) -> int:
        begun.append(count)
        if len(begun) < 3:
            return int(real(number, descriptor, count if len(begun) == 1 else 10, *rest))
        return -1

    sending = with_ring(uring, monkeypatch)
    made = pairs(2 * ENTRIES + 20)
    after(uring, fail)
    for _ in range(2):
        assert sending.send([(made.descriptors, writable())])[0] == [len(PIECE)] * len(made.pairs)
        assert made.all_got() == {PIECE}
        assert not sending.uses_uring
    assert len(begun) == 3
    assert caplog.text.count("io_uring is given up") == 1


def test_kernels_that_take_in_a_part_are_asked_again(pairs: MakePairs, uring: Uring) -> None:
    after(uring, lambda real, number, descriptor, count, *rest: real(number, descriptor, min(count, 7), *rest))
    made = pairs(ENTRIES + 3)
    assert uring.send([(made.descriptors, writable())]) == [len(PIECE)] * len(made.pairs)
    assert made.all_got() == {PIECE}
    assert uring.fault is None


def test_results_may_come_in_any_order(pairs: MakePairs, uring: Uring) -> None:
    def swap(real: Any, *arguments: int) -> int:
        done = int(real(*arguments))
        for view in (uring._tags, uring._results):
            at = uring._seen[0] % len(view)
            view[at], view[at + 2] = view[at + 2], view[at]
        return done

    after(uring, swap)
    made = pairs(3)
    made.pairs[0][1].close()
    assert uring.send([(made.descriptors, writable())]) == [-errno.EPIPE, len(PIECE), len(PIECE)]
    assert uring.fault is None


def test_whose_result_is_missing_counts_as_gone_and_the_ring_is_given_up(
    pairs: MakePairs, uring: Uring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What such a one took, or may still take, cannot be known. The others are served."""

    def lose_one(real: Any, *arguments: int) -> int:
        done = int(real(*arguments))
        uring._completed[0] -= 1  # the last one has not come
        return done

    sending = with_ring(uring, monkeypatch)
    made = pairs(ENTRIES + 5)
    begin = uring._submitted[0] % ENTRIES
    after(uring, lose_one)
    taken = sending.send([(made.descriptors, writable())])[0]
    lost = ENTRIES - begin - 1
    assert [at for at, count in enumerate(taken) if count == LEFT] == [lost]
    assert {made.got(at) for at in range(len(made.pairs)) if at != lost} == {PIECE}
    assert "results" in caplog.text
    assert not sending.uses_uring
    assert sending.send([(made.descriptors, writable())])[0] == [len(PIECE)] * len(made.pairs)
