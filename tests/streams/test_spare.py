"""The tail that a source leaves behind until it takes over."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.streams.spare import TailSink


class Target:
    """A sink with little room that keeps everything."""

    def __init__(self, room: int = 7) -> None:
        self.data = bytearray()
        self._buffer = memoryview(bytearray(room))

    def room(self) -> memoryview:
        """See ByteSink."""
        return self._buffer

    def filled(self, n: int) -> None:
        """See ByteSink."""
        self.data += self._buffer[:n]


def give(sink: TailSink, data: bytes) -> None:
    """Write to a sink as a reader does."""
    while data:
        room = sink.room()
        n = min(len(room), len(data))
        room[:n] = data[:n]
        sink.filled(n)
        data = data[n:]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(40, 200))
def test_the_newest_bytes_are_kept_within_the_limit(parts: list[bytes], limit: int) -> None:
    sink = TailSink(limit)
    for part in parts:
        give(sink, part)
    everything = b"".join(parts)
    kept = sink.content()
    assert everything.endswith(kept)
    assert sink.held_bytes == len(kept) <= limit
    assert sink.received_bytes == len(everything)
    assert kept == everything or len(kept) > limit - 40


async def test_what_came_before_a_moment_is_forgotten_but_for_the_part_that_may_reach_into_it() -> None:
    sink, target = TailSink(1000), Target()
    times = []
    for number in range(6):
        times.append(time.monotonic())
        give(sink, bytes([number]) * 10)
    sink.drop_before(times[3])
    assert sink.content() == b"".join(bytes([number]) * 10 for number in range(2, 6))
    assert sink.held_bytes == 40
    sink.drop_before(times[-1] + 1000)
    assert sink.content() == bytes([5]) * 10, "the newest part stays"
    sink.clear()
    sink.drop_before(times[-1])
    await sink.hand_over(target)
    assert not target.data


async def test_what_comes_during_the_hand_over_follows_in_order() -> None:
    sink, target = TailSink(1000), Target()
    for number in range(5):
        give(sink, bytes([number]) * 10)
    handing = asyncio.ensure_future(sink.hand_over(target))
    for number in range(5, 9):
        await asyncio.sleep(0)
        give(sink, bytes([number]) * 10)
    await handing
    give(sink, b"end")
    assert bytes(target.data) == b"".join(bytes([number]) * 10 for number in range(9)) + b"end"
    assert sink.held_bytes == 0


async def test_nothing_is_left_out_of_the_middle_however_much_comes_during_the_hand_over() -> None:
    sink, target = TailSink(300_000), Target(5000)
    pieces = [bytes([number]) * 3000 for number in range(100)] + [
        bytes([number]) * 200_000 for number in range(100, 103)
    ]
    for piece in pieces[:100]:
        give(sink, piece)
    handing = asyncio.ensure_future(sink.hand_over(target))
    for piece in pieces[100:]:
        await asyncio.sleep(0)
        give(sink, piece)
    await handing
    assert bytes(target.data) == b"".join(pieces)
    assert sink.held_bytes == 0


async def test_a_target_without_memory_is_told_of() -> None:
    class Full(Target):
        def filled(self, n: int) -> None:
            raise OSError(28, "No space left on device")

    sink = TailSink(1000)
    give(sink, b"x" * 10)
    with pytest.raises(OSError, match="space"):
        await sink.hand_over(Full())


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(0, 1300))
def test_all_but_the_newest_bytes_are_forgotten_to_the_byte(parts: list[bytes], count: int) -> None:
    sink = TailSink(1 << 20)
    for part in parts:
        give(sink, part)
    sink.keep_newest(count)
    everything = b"".join(parts)
    assert sink.content() == everything[max(0, len(everything) - count) :]
    assert sink.held_bytes == len(sink.content())
    assert sink.newest(1 << 20) == sink.content()
    give(sink, b"more")
    assert sink.content().endswith(b"more")
