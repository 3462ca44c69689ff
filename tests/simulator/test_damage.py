"""What faults do to bytes."""

from __future__ import annotations

import random

import pytest

from aceproxy.simulator.broadcast import CLIPS_FOLDER
from aceproxy.simulator.clips import Stamp, load_clip, pid_at, scan
from aceproxy.simulator.damage import mp4_like, scramble, with_junk, without_entry_points

PACKET = 188


@pytest.mark.parametrize("name", ["light", "radio"])
def test_without_entry_points_counters_and_clocks_go_on(name: str) -> None:
    whole = load_clip(CLIPS_FOLDER / f"{name}.ts")
    clip = without_entry_points(whole)
    data = clip.read(0, clip.lap_bytes * 2, 5)
    places, entries = scan(data)
    assert entries == []
    assert len(data) == 2 * whole.lap_bytes
    last: dict[int, int] = {}
    for offset in range(0, len(data), PACKET):
        assert data[offset] == 0x47
        pid, counter, has_payload = pid_at(data, offset), data[offset + 3] & 15, bool(data[offset + 3] & 0x10)
        if pid != 0x1FFF:
            assert counter == (last.get(pid, counter - has_payload) + has_payload) % 16
            last[pid] = counter
    clocks = [place.ticks for place in places if place.kind is Stamp.PCR]
    assert len(clocks) == 2 * sum(place.kind is Stamp.PCR for place in whole.places)
    assert clocks == sorted(clocks)


def test_scrambling_leaves_tables_clocks_and_null_packets() -> None:
    clip = load_clip(CLIPS_FOLDER / "light.ts")
    plain = clip.data[: 2000 * PACKET]
    hidden = scramble(plain)
    for offset in range(0, len(plain), PACKET):
        before, after = plain[offset : offset + PACKET], hidden[offset : offset + PACKET]
        if pid_at(plain, offset) in (0, 0x11, 0x1000, 0x1FFF) or not before[3] & 0x10:
            assert before == after
        else:
            assert after[3] >> 6 == 2
            assert before[-1] == 255 - after[-1]


def test_mp4_like_bytes_have_the_length_asked_for() -> None:
    source = random.Random(1)
    assert mp4_like(source, 1000, first=True)[4:8] == b"ftyp"
    assert len(mp4_like(source, 1000, first=True)) == len(mp4_like(source, 1000, first=False)) == 1000


def test_junk_is_put_in_between() -> None:
    assert with_junk(b"abcd", b"XY", 1) == b"aXYbcd"
