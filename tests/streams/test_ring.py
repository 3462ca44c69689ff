"""The ring: where it cuts, what it drops, where a client joins."""

from __future__ import annotations

import ctypes
import errno
import gc
import mmap
import os
import sys
import weakref
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.streams import block as block_module
from aceproxy.streams.block import TRIM_BYTES, Block, JoinPoint
from aceproxy.streams.ring import OVERDUE, Ring, RingLimits
from tests.streams.conftest import PREAMBLE, Feed

LIMITS = RingLimits(block_s=1.0, block_bytes=1 << 20, ring_s=5.0, ring_bytes=1 << 20, burst_s=1.0)


def content(ring: Ring) -> bytes:
    return b"".join(block.read(0, block.size) for block in ring.blocks())


def test_an_empty_ring_offers_no_join(ring: Ring) -> None:
    assert ring.join() is None
    assert (ring.head, ring.tail, ring.held_bytes, ring.held_s) == (0, 0, 0, 0.0)


def test_blocks_are_cut_at_join_points_once_they_are_long_enough(ring: Ring, feed: Feed) -> None:
    feed.send(450)  # points every half second, blocks of a second
    assert [block.start // 188 for block in ring.blocks()] == [0, 100, 200, 300, 400]
    assert [len(block.points) for block in ring.blocks()] == [2, 2, 2, 2, 1]


def test_a_block_is_cut_at_a_join_point_that_comes_a_trifle_too_early() -> None:
    ring = Ring(LIMITS)  # of a second each
    for media_s in (0.0, 0.9999999, 1.9999999, 2.95):
        ring.append(memoryview(bytes(188)), media_s, JoinPoint(ring.head, media_s, PREAMBLE))
    assert [block.size // 188 for block in ring.blocks()] == [1, 1, 2]


def test_blocks_without_join_points_are_cut_by_size_and_by_time() -> None:
    by_size = Ring(replace(LIMITS, block_bytes=10 * 188, ring_bytes=100 * 188))
    for _ in range(25):
        by_size.append(memoryview(bytes(188)), 0.0)
    assert [block.size // 188 for block in by_size.blocks()] == [10, 10, 5]
    by_time = Ring(replace(LIMITS, ring_s=100.0))
    for second in range(2 * OVERDUE + 1):
        by_time.append(memoryview(bytes(188)), float(second))
    assert [block.size // 188 for block in by_time.blocks()] == [OVERDUE, OVERDUE, 1]


def test_blocks_are_numbered_told_of_when_they_are_complete_and_carry_their_tables(ring: Ring, feed: Feed) -> None:
    complete: list[Block] = []
    ring.on_cut.append(complete.append)
    feed.send(350)
    assert [block.number for block in complete] == [0, 1, 2]
    assert all(block.size == 100 * 188 and block.next is not None for block in complete)
    assert {block.tables for block in ring.blocks()} == {PREAMBLE}


def test_a_block_that_no_join_point_cuts_carries_the_tables_as_they_stand() -> None:
    ring = Ring(replace(LIMITS, block_bytes=10 * 188))
    ring.tables = lambda: b"now"
    for _ in range(25):
        ring.append(memoryview(bytes(188)), 0.0)
    assert [block.tables for block in ring.blocks()] == [b"now"] * 3


def test_after_a_break_the_next_join_point_begins_a_block_that_is_marked(ring: Ring, feed: Feed) -> None:
    feed.send(120)
    ring.mark_break()
    feed.send(100)  # the next point comes at packet 150, after half a second
    assert [block.start // 188 for block in ring.blocks()] == [0, 100, 150]
    assert [block.is_break for block in ring.blocks()] == [False, False, True]


def test_a_block_that_is_cut_between_a_break_and_its_join_point_leaves_the_break_to_that() -> None:
    ring = Ring(replace(LIMITS, block_s=10.0, block_bytes=10 * 188))
    ring.append(memoryview(bytes(8 * 188)), 0.0, JoinPoint(0, 0.0, PREAMBLE))
    ring.mark_break()
    ring.append(memoryview(bytes(8 * 188)), 0.1)  # what is left of the last picture, say
    ring.append(memoryview(bytes(188)), 0.2, JoinPoint(ring.head, 0.2, PREAMBLE))
    assert [(block.start // 188, block.is_break) for block in ring.blocks()] == [(0, False), (8, False), (16, True)]


def test_a_break_without_a_join_point_in_a_whole_block_is_marked_at_the_next() -> None:
    ring = Ring(replace(LIMITS, block_s=10.0, block_bytes=10 * 188))
    ring.append(memoryview(bytes(8 * 188)), 0.0, JoinPoint(0, 0.0, PREAMBLE))
    ring.mark_break()
    for number in range(4):
        ring.append(memoryview(bytes(8 * 188)), 0.1 * number)
        ring.mark_break()  # again and again: that does not put it off
    assert [block.is_break for block in ring.blocks()] == [False, False, True, False, True]


def test_a_break_before_anything_was_there_is_none(ring: Ring, feed: Feed) -> None:
    ring.mark_break()
    feed.send(150)
    assert not any(block.is_break for block in ring.blocks())


def test_a_block_without_join_points_stays_within_what_is_asked_even_if_the_parts_are_large() -> None:
    ring = Ring(replace(LIMITS, ring_s=100.0))
    ring.longest_s = 3.0
    for number in range(40):  # a part of 0.4 s each
        ring.append(memoryview(bytes(188)), number * 0.4)
    starts = [block.media_s for block in ring.blocks()]
    assert max(later - earlier for earlier, later in pairwise(starts)) <= 3.0
    assert min(later - earlier for earlier, later in pairwise(starts)) > 2.0


def test_old_blocks_are_dropped_whole_and_told_so(ring: Ring, feed: Feed) -> None:
    feed.send(100)
    first = ring.blocks()[0]
    feed.send(900)
    assert first.dropped
    assert first.next is None
    assert ring.tail == ring.blocks()[0].start > 0
    assert 4.0 <= ring.held_s <= 6.0
    assert ring.held_bytes == ring.head - ring.tail == len(content(ring))


def test_the_byte_limit_holds_whatever_the_media_time_says() -> None:
    ring = Ring(replace(LIMITS, ring_bytes=50 * 188, block_bytes=10 * 188))
    for _ in range(500):
        ring.append(memoryview(bytes(188)), 0.0)
    assert ring.held_bytes <= 50 * 188
    assert ring.head == 500 * 188


def test_a_client_joins_at_the_newest_point_with_the_burst_behind_it(ring: Ring, feed: Feed) -> None:
    feed.send(430)  # points at 0.0, 0.5 … 4.0; the edge is 4.3: with 1 s of burst that is 3.0
    join = ring.join()
    assert join is not None
    assert (join.block.start + join.position) // 188 == 300
    assert join.preamble


def test_a_client_joins_at_the_oldest_point_while_there_is_less_than_the_burst(ring: Ring, feed: Feed) -> None:
    feed.send(80)
    join = ring.join()
    assert join is not None
    assert join.block.start + join.position == 0


def test_a_stream_without_points_is_joined_at_a_block() -> None:
    ring = Ring(replace(LIMITS, block_bytes=188, ring_bytes=10 * 188))
    for number in range(10):
        ring.append(memoryview(bytes([number]) * 188), number * 0.3)
    join = ring.join()
    assert join is not None
    assert join.position == 0
    assert join.preamble == b""
    assert ring.edge_s - join.block.media_s >= 1.0


def memories(ring: Ring) -> list[mmap.mmap]:
    """Return the memory of each block; views of it are let go of."""
    return [memory_of(block) for block in ring.blocks()]


def memory_of(block: Block) -> mmap.mmap:
    memory = block.view(0, 0).obj
    assert isinstance(memory, mmap.mmap)
    return memory


def resident_bytes(memory: mmap.mmap) -> int:
    """Return how much of it the system has found pages for (mincore(2))."""
    pages = (len(memory) + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    found = (ctypes.c_ubyte * pages)()
    start = (ctypes.c_char * len(memory)).from_buffer(memory)
    status = ctypes.CDLL(None, use_errno=True).mincore(
        ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(memory)), found
    )
    assert status == 0, os.strerror(ctypes.get_errno())
    return sum(flags & 1 for flags in found) * mmap.PAGESIZE


def test_the_memory_of_a_block_goes_with_its_last_holder() -> None:
    block = Block(0, 0.0, capacity=188)
    block.append(memoryview(b"abc"))
    memory = weakref.ref(memory_of(block))
    assert memory() is not None
    del block
    gc.collect()
    assert memory() is None


def test_where_there_is_no_memory_nothing_is_appended_and_nothing_is_left_to_later_blocks(
    ring: Ring, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.send(100)  # a block is full
    lost: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lost.append)
        patch.setattr(block_module, "_new_memory", refuse)
        with pytest.raises(OSError, match="no memory"):
            feed.send(1)
        gc.collect()
    assert lost == []
    assert len(content(ring)) == ring.head == 100 * 188
    feed.send(50)
    assert content(ring) == b"".join(feed.packet(number) for number in range(150))


def test_where_there_is_no_memory_for_another_block_the_ring_holds_less(
    ring: Ring, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.send(350)
    oldest = ring.blocks()[0]  # which somebody holds
    expected = oldest.read(0, oldest.size)
    monkeypatch.setattr(block_module, "_new_memory", refuse)
    feed.send(50)
    feed.send(51)
    assert ring.tail == 200 * 188
    assert (oldest.dropped, oldest.read(0, oldest.size)) == (True, expected)
    feed.send(1000)
    assert content(ring) == b"".join(feed.packet(number) for number in range(ring.tail // 188, feed.count))
    assert ring.held_bytes == len(content(ring))


def refuse(_: int) -> mmap.mmap:
    raise OSError(errno.ENOMEM, "no memory")


def test_a_full_ring_writes_over_the_memory_of_blocks_that_nobody_holds(ring: Ring, feed: Feed) -> None:
    feed.send(700)
    used = {id(memory) for memory in memories(ring)}
    for _ in range(30):
        feed.send(37)
        held = content(ring)
        assert held == b"".join(feed.packet(number) for number in range(ring.tail // 188, feed.count))
        used |= {id(memory) for memory in memories(ring)}
    assert len(used) <= 7  # the six that it holds, and one that is begun before the oldest is dropped


def test_a_block_that_is_held_is_never_written_over(ring: Ring, feed: Feed) -> None:
    feed.send(150)
    block = ring.blocks()[0]
    expected, view = block.read(0, block.size), block.view(0, block.size)
    feed.send(2000)
    assert block.dropped
    assert view == expected
    assert block.read(0, block.size) == expected


def test_what_a_longer_block_left_in_memory_is_given_back(limits: RingLimits) -> None:
    ring = Ring(limits)
    for second, packets in enumerate([1500] * 7 + [1] * 30):
        point = JoinPoint(ring.head, float(second), PREAMBLE)
        ring.append(memoryview(bytes(188 * packets)), float(second), point)
        left = [resident_bytes(memory_of(block)) - block.size for block in ring.blocks()[:-1]]
        assert max(left, default=0) <= TRIM_BYTES + mmap.PAGESIZE
    ring.clear()


def test_a_ring_that_is_cleared_leaves_no_memory(limits: RingLimits) -> None:
    ring = Ring(limits)
    Feed(ring).send(1000)
    held = ring.blocks()[0]
    left = [weakref.ref(memory) for memory in memories(ring)]
    ring.clear()
    assert held.read(0, 188) != b""
    del held
    gc.collect()
    assert [memory() for memory in left] == [None] * len(left)


def test_what_is_received_behind_a_block_is_there_once_it_is_appended_and_others_append_only_after_that() -> None:
    ring = Ring(LIMITS)
    ring.append(memoryview(b"a" * 188), 0.0)
    newest = ring.newest
    assert newest is not None
    memory, ended = newest.memory(), list[int]()

    def make_way() -> None:
        ended.append(newest.size)
        newest.received(4 * 188)
        ring.receive_into(None, make_way)

    ring.receive_into(newest, make_way)
    memory[188 : 4 * 188] = b"b" * 188 + b"c" * 376
    ring.append(memory[188 : 2 * 188], 0.0)
    assert content(ring) == b"a" * 188 + b"b" * 188
    assert not ended
    ring.append(memoryview(b"d" * 188), 0.0)
    assert ended == [2 * 188]
    assert content(ring) == b"a" * 188 + b"b" * 188 + b"d" * 188


def test_what_is_received_behind_a_complete_block_stays_until_it_is_taken_away() -> None:
    ring = Ring(LIMITS)
    ring.append(memoryview(bytes(188)), 0.0, JoinPoint(0, 0.0, PREAMBLE))
    first = ring.newest
    assert first is not None
    memory, far = first.memory(), 300 << 10
    memory[188:far] = b"x" * (far - 188)
    ring.append(memory[188:376], 3.0, JoinPoint(188, 3.0, PREAMBLE))
    assert ring.newest is not first
    assert memory[376:far] == b"x" * (far - 376)
    first.received(far)
    assert resident_bytes(memory_of(first)) == mmap.PAGESIZE


def test_what_lies_between_two_offsets_can_be_read(ring: Ring, feed: Feed) -> None:
    feed.send(700)
    everything = b"".join(feed.packet(number) for number in range(700))
    for start, stop in ((ring.tail, ring.head), (300 * 188, 300 * 188 + 1), (399 * 188 + 5, 600 * 188 - 7), (5, 5)):
        assert ring.read(start, stop) == everything[start:stop]
    assert ring.read(0, 300 * 188) == everything[ring.tail : 300 * 188]


def test_clearing_drops_everything(ring: Ring, feed: Feed) -> None:
    feed.send(150)
    blocks = ring.blocks()
    ring.clear()
    assert all(block.dropped for block in blocks)
    assert ring.join() is None


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.floats(0, 0.7)), max_size=60))
def test_what_a_ring_holds_is_always_the_newest_contiguous_part(parts: list[tuple[int, bool, float]]) -> None:
    ring = Ring(replace(LIMITS, ring_bytes=100 * 188, block_bytes=20 * 188, ring_s=2.0))
    everything = b""
    media_s = 0.0
    for number, (packets, is_point, step_s) in enumerate(parts):
        part = bytes([number]) * (188 * packets)
        media_s += step_s
        ring.append(memoryview(part), media_s, JoinPoint(ring.head, media_s, b"") if is_point else None)
        everything += part
        assert content(ring) == everything[ring.tail :]
        assert ring.head == len(everything)
        assert ring.held_bytes <= 100 * 188 + len(part)
        for block in ring.blocks():
            assert all(block.start <= point.offset < block.end for point in block.points)
    ring.clear()


def test_a_join_after_an_offset_is_at_a_point_behind_it_or_nowhere(ring: Ring, feed: Feed) -> None:
    feed.send(400)
    points = [point.offset for point in ring.points]
    for after in (points[2], points[2] + 1, points[-1]):
        join = ring.join(after)
        assert join is not None
        assert join.block.start + join.position in [offset for offset in points if offset >= after]
    assert ring.join(points[-1] + 1) is None
