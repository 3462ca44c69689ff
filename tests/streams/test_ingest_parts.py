"""What the ring is given are whole packets, however much waits to be given: blocks begin and end between packets."""

from __future__ import annotations

import pytest

from aceproxy.streams.block import JoinPoint
from aceproxy.streams.ingest import Ingest
from aceproxy.streams.ring import Ring, RingLimits

PACKET = 188
LIMITS = RingLimits(block_s=1.0, block_bytes=300_000, ring_s=1000.0, ring_bytes=1 << 30, burst_s=3.0)


def keyless(count: int) -> bytes:
    """Return packets of one PID in which nothing begins."""
    return b"".join(b"\x47\x01\x00" + bytes([0x10 | number & 15]) + bytes(184) for number in range(count))


@pytest.mark.parametrize("read_bytes", [256 << 10, 100_000, 1000])
def test_no_part_and_no_block_ends_within_a_packet(monkeypatch: pytest.MonkeyPatch, read_bytes: int) -> None:
    sizes: list[int] = []
    append = Ring.append

    def noting(self: Ring, part: memoryview, media_s: float, point: JoinPoint | None = None) -> None:
        sizes.append(len(part))
        append(self, part, media_s, point)

    monkeypatch.setattr(Ring, "append", noting)
    now = [100.0]
    ring = Ring(LIMITS)
    ingest = Ingest(ring, lambda: now[0])
    stream = keyless(12_000)
    at = 0
    while at < len(stream):
        room = ingest.room()
        count = min(read_bytes, len(room), len(stream) - at)
        room[:count] = stream[at : at + count]
        ingest.filled(count)
        now[0] += 0.001
        at += count
    ingest.finish()
    assert sum(sizes) == len(stream)
    assert {size % PACKET for size in sizes} == {0}
    assert {block.size % PACKET for block in ring.blocks()} == {0}
    assert len(ring.blocks()) > 3
