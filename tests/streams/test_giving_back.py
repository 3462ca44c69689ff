"""Memory of streams that are over goes back to the system, and nobody who watches waits for it."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path

import pytest

from aceproxy.streams.giving_back import GivingBack, trim_heap
from aceproxy.streams.spare import TailSink


class Knot:
    """Something in a cycle."""

    def __init__(self) -> None:
        self.me = self


def old_knot() -> weakref.ref[Knot]:
    """Return garbage that only a full collection finds."""
    knot = Knot()
    gc.collect()
    return weakref.ref(knot)


async def test_without_viewers_cycles_are_collected_and_the_heap_is_trimmed_after_a_stream() -> None:
    trimmed: list[int] = []
    giving = GivingBack(lambda: 0, lambda: trimmed.append(1))
    knot = old_knot()
    await giving.give_back()
    assert not trimmed
    assert knot() is not None
    giving.note_closed()
    await giving.give_back()
    assert knot() is None
    assert trimmed == [1]
    await giving.give_back()
    assert trimmed == [1], "once for all that has closed"


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("clients", "pause_s"), [(1, 15.3), (100, 45.0), (1000, 300.0), (5000, 300.0)])
async def test_beside_viewers_the_heap_is_trimmed_at_once_and_cycles_wait_the_longer_the_more_they_are(
    clients: int, pause_s: float
) -> None:
    clock = Clock()
    giving = GivingBack(lambda: clients, lambda: None, clock)
    knot = old_knot()
    giving.note_closed()
    await giving.give_back()
    assert (giving.trims, giving.collections) == (1, 0)
    assert knot() is not None
    clock.now += pause_s - 1
    giving.note_closed()
    await giving.give_back()
    assert giving.collections == 0
    clock.now += 1.01
    await giving.give_back()
    assert giving.collections == 1
    assert knot() is None


async def test_cycles_are_collected_as_soon_as_the_last_viewer_has_gone() -> None:
    watching = [1]
    giving = GivingBack(lambda: watching[0], lambda: None, Clock())
    knot = old_knot()
    giving.note_closed()
    await giving.give_back()
    await giving.give_back()
    assert (giving.trims, giving.collections) == (1, 0)
    watching[0] = 0
    await giving.give_back()
    assert (giving.trims, giving.collections) == (2, 1)
    assert knot() is None


async def test_what_requests_leave_behind_is_collected_although_nothing_closes() -> None:
    clock = Clock()
    giving = GivingBack(lambda: 0, lambda: None, clock)
    knot = old_knot()
    clock.now += 29
    await giving.give_back()
    assert (giving.trims, giving.collections) == (0, 0)
    clock.now += 1
    await giving.give_back()
    assert (giving.trims, giving.collections) == (1, 1)
    assert knot() is None
    await giving.give_back()
    assert giving.trims == 1


def private_bytes() -> int:
    """Return this process's own pages."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_Dirty:"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are counted by Linux")
def test_trimming_gives_back_freed_pages_below_what_is_kept() -> None:
    kept, freed = [], []
    for _ in range(20_000):
        freed.append(bytes(3000))
        if not len(freed) % 50:
            kept.append(bytes(600))  # so that the end of the heap stays where it is
    freed.clear()
    before = private_bytes()
    trim_heap()
    trim_heap()
    assert private_bytes() <= before
    assert len(kept) == 400


def test_a_spare_that_is_dropped_holds_nothing_any_more_and_takes_nothing() -> None:
    sink = TailSink(1 << 20)
    sink.room()[:1000] = bytes(1000)
    sink.filled(1000)
    assert sink.held_bytes == 1000
    sink.clear()
    assert (sink.held_bytes, sink.content()) == (0, b"")
    sink.room()[:1000] = bytes(1000)
    sink.filled(1000)  # a read that was under way
    assert (sink.held_bytes, sink.content()) == (0, b"")
