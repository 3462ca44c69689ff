"""The trail: what is read back lay side by side in what came."""

from __future__ import annotations

from aceproxy.streams.ring import Ring
from aceproxy.streams.trail import Trail
from tests.streams.conftest import PACKET, Feed


def give(trail: Trail, *numbers: int) -> bytes:
    """Append packets; return them."""
    packets = b"".join(map(Feed.packet, numbers))
    trail.append(memoryview(packets), 0.0, None)
    return packets


def test_the_newest_bytes_are_read_back_as_far_as_they_go(ring: Ring) -> None:
    trail = Trail(ring)
    assert (trail.held_bytes, trail.newest(100)) == (0, b"")
    packets = give(trail, 1, 2, 3) + give(trail, 4)
    assert trail.held_bytes == 4 * PACKET
    assert trail.newest(2 * PACKET) == packets[2 * PACKET :]
    assert trail.newest(1 << 20) == packets
    assert trail.newest(0) == b""


def test_what_others_appended_is_left_out_and_nothing_from_before_it_follows(ring: Ring) -> None:
    trail = Trail(ring)
    before = give(trail, 1, 2)
    ring.append(memoryview(Feed.packet(9)), 0.0)
    assert trail.newest(1 << 20) == before
    after = give(trail, 3)
    assert trail.newest(1 << 20) == after


def test_a_trail_that_was_broken_off_begins_anew(ring: Ring) -> None:
    trail = Trail(ring)
    give(trail, 1, 2)
    trail.break_off()
    assert trail.held_bytes == 0
    assert trail.newest(1 << 20) == b""
    assert trail.newest(5) == b""
    after = give(trail, 4)
    assert trail.newest(1 << 20) == after


def test_what_the_ring_has_dropped_is_gone(ring: Ring) -> None:
    trail = Trail(ring)
    for number in range(0, 20_000, 100):
        trail.append(memoryview(Feed.packet(number) * 100), number / 100, None)
    assert trail.held_bytes == ring.held_bytes < ring.head
    assert len(trail.newest(1 << 30)) == ring.held_bytes
