"""A broadcaster that changes PIDs or tracks in mid-stream: whoever makes lists of blocks is told where."""

from __future__ import annotations

from pathlib import Path

import pytest

from aceproxy.streams.ingest import Ingest
from aceproxy.streams.ring import Ring, RingLimits
from tests.mpegts.splicing import PACKET, pieces, read, streams_of
from tests.system.cutting import encode

LIMITS = RingLimits(block_s=1.0, block_bytes=8 << 20, ring_s=1000.0, ring_bytes=64 << 20, burst_s=3.0)
PICTURES = "-f lavfi -i testsrc2=s=128x96:r=25"
SOUND = "-f lavfi -i anoisesrc=r=48000:a=0.2"
CODING = "-t 4 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac"


@pytest.mark.parametrize(
    ("following", "is_told"),
    [
        (f"{PICTURES} {SOUND} {CODING} -mpegts_start_pid 0x200", True),
        (f"{PICTURES} {CODING}", True),  # the sound ends
        (f"{PICTURES} {SOUND} {CODING} -c:a mp2", True),
        (f"{PICTURES} {SOUND} {CODING} -metadata:s:a:0 language=ita", False),
    ],
)
@pytest.mark.parametrize("packets", [7, 500])
def test_other_tracks_begin_a_block_that_does_not_go_on(
    following: str, is_told: bool, packets: int, tmp_path: Path
) -> None:
    first, second = (
        encode(f"{PICTURES} {SOUND} {CODING}", tmp_path),
        encode(f"{following} -output_ts_offset 4", tmp_path),
    )
    ring = Ring(LIMITS)
    ingest = Ingest(ring, lambda: 0.0)
    for part in pieces(first + second, packets):
        ingest.room()[: len(part)] = part
        ingest.filled(len(part))
    ingest.finish()
    breaks = [block for block in ring.blocks() if block.is_break]
    assert len(breaks) == is_told
    for block in breaks:
        assert len(first) <= block.start < len(first) + 40 * PACKET
        assert streams_of(read(block.tables).pmts[-1]) == streams_of(read(second).pmts[-1])
    ring.clear()
