"""The broadcast as a receiver sees it: several laps, no seam."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from array import array
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.simulator.broadcast import CLIPS_FOLDER
from aceproxy.simulator.clips import Clip, ClipError, Stamp, load_clip, parse_clip, payload_at, pid_at, scan
from aceproxy.simulator.contents import CLIP_BITRATES_BPS

PACKET = 188
WRAP = 1 << 33
NAMES = sorted(CLIP_BITRATES_BPS)
PICTURES = ["clock", "light"]
CLIPS = {name: load_clip(CLIPS_FOLDER / f"{name}.ts") for name in NAMES}


def places(clip: Clip, laps: int, base_ticks: int = 0) -> list[tuple[int, int, Stamp, int]]:
    """Return (offset, PID, kind, ticks) of every time stamp that a fresh look finds in some laps."""
    data = clip.read(0, laps * clip.lap_bytes, base_ticks)
    return [(one.offset, pid_at(data, one.offset // PACKET * PACKET), one.kind, one.ticks) for one in scan(data)[0]]


@pytest.mark.parametrize("name", NAMES)
def test_continuity_counters_go_on_over_the_seam(name: str) -> None:
    clip = CLIPS[name]
    data = clip.read(clip.lap_bytes - 400 * PACKET, clip.lap_bytes * 2)
    last: dict[int, int] = {}
    for offset in range(0, len(data), PACKET):
        pid = pid_at(data, offset)
        if pid == 0x1FFF:
            continue
        counter, has_payload = data[offset + 3] & 0x0F, bool(data[offset + 3] & 0x10)
        if pid in last:
            assert counter == (last[pid] + has_payload) % 16, f"packet {offset // PACKET} of PID {pid:#x}"
        last[pid] = counter
    assert len(last) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_pcr_says_what_the_constant_rate_says(name: str) -> None:
    clip = CLIPS[name]
    clocks = [(offset, ticks) for offset, _, kind, ticks in places(clip, 3) if kind is Stamp.PCR]
    gaps = [(b - a) / 90_000 for (_, a), (_, b) in pairwise(clocks)]
    assert max(gaps) <= 0.040
    first_offset, first_ticks = clocks[0]
    for offset, ticks in clocks:
        expected = first_ticks + (offset - first_offset) * 90_000 / clip.bytes_per_s
        assert abs(ticks - expected) <= 1
    assert all(pid == clip.pcr_pid for _, pid, kind, _ in places(clip, 1) if kind is Stamp.PCR)


@pytest.mark.parametrize("name", NAMES)
def test_pat_and_pmt_come_ten_times_a_second(name: str) -> None:
    clip = CLIPS[name]
    data = clip.read(0, clip.lap_bytes * 2)
    for pid in (0, 0x1000):
        at = [offset for offset in range(0, len(data), PACKET) if pid_at(data, offset) == pid]
        gaps = [(b - a) / clip.bytes_per_s for a, b in pairwise(at)]
        assert max(gaps) <= 0.100


@pytest.mark.parametrize("base_ticks", [0, WRAP - 12 * 90_000])
@pytest.mark.parametrize("name", NAMES)
def test_decoding_times_grow_by_the_same_step_over_the_seam_and_the_wrap(name: str, base_ticks: int) -> None:
    clip = CLIPS[name]
    stamps = places(clip, 3, base_ticks)
    steps: dict[int, set[int]] = {}
    last: dict[int, int] = {}
    for _, pid, kind, ticks in stamps:
        if kind in (Stamp.DTS, Stamp.PTS):
            # a picture without DTS of its own decodes at its PTS (13818-1 clause 2.4.3.7)
            if pid in last:
                steps.setdefault(pid, set()).add((ticks - last[pid]) % WRAP)
            last[pid] = ticks
    assert steps == ({0x100: {3600}, 0x101: {9600}} if name in PICTURES else {0x101: {9600}})


@pytest.mark.parametrize("name", NAMES)
def test_everything_arrives_before_it_is_decoded_and_no_more_than_a_second(name: str) -> None:
    clip = CLIPS[name]
    for offset, _, kind, ticks in places(clip, 2):
        if kind is not Stamp.PCR:
            clock = offset * 90_000 / clip.bytes_per_s
            assert 0 < ticks - clock < 90_000


@pytest.mark.parametrize("name", PICTURES)
def test_every_entry_point_is_tables_then_a_closed_picture_group(name: str) -> None:
    clip = CLIPS[name]
    distances = set()
    for number in range(len(clip.entry_points) + 1):
        entry = clip.entry_point(number)
        data = clip.read(entry.offset, 40 * PACKET)
        assert [pid_at(data, 0), pid_at(data, PACKET), pid_at(data, 2 * PACKET)] == [0, 0x1000, 0x100]
        picture = b"".join(
            data[payload_at(data, at) : at + PACKET] for at in range(0, len(data), PACKET) if pid_at(data, at) == 0x100
        )
        kinds = [picture[at + 3] & 0x1F for at in range(len(picture) - 4) if picture[at : at + 3] == b"\0\0\1"]
        kinds = [kind for kind in kinds if kind in (9, 7, 8, 5)]
        assert kinds[:4] == [9, 7, 8, 5]
        distances.add(clip.entry_point(number + 1).ticks - entry.ticks)
    assert distances == {clip.lap_ticks // len(clip.entry_points)}
    assert 90_000 <= distances.pop() <= 180_000


def test_clips_are_small_and_as_heavy_as_they_claim() -> None:
    assert sum(path.stat().st_size for path in CLIPS_FOLDER.iterdir()) <= 7_000_000
    for name, clip in CLIPS.items():
        assert clip.bitrate_bps == CLIP_BITRATES_BPS[name]
    clip = CLIPS["clock"]
    filled = sum(pid_at(clip.data, offset) != 0x1FFF for offset in range(0, clip.lap_bytes, PACKET))
    assert filled * PACKET * 8 * 90_000 / clip.lap_ticks >= 5_500_000


@pytest.mark.parametrize("name", NAMES)
def test_ffmpeg_decodes_laps_without_a_word(name: str, tmp_path: Path) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        if os.environ.get("CI") == "true":
            pytest.fail("ffmpeg is not installed")
        pytest.skip("ffmpeg is not installed")
    clip = CLIPS[name]
    path = tmp_path / "laps.ts"
    path.write_bytes(clip.read(0, clip.lap_bytes * 3))
    command = [ffmpeg, "-nostdin", "-v", "warning", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_pictures_decode_complete_and_in_even_steps() -> None:
    clip = CLIPS["light"]
    with av.open(io.BytesIO(clip.read(0, clip.lap_bytes * 3)), mode="r") as container:
        times = [frame.pts for frame in container.decode(video=0)]
    assert len(times) == 600
    assert {b - a for a, b in pairwise(times) if a is not None and b is not None} == {3600}


@pytest.mark.parametrize("name", NAMES)
def test_sound_has_no_click_at_the_seam(name: str) -> None:
    clip = CLIPS[name]
    sound = array("f")
    with av.open(io.BytesIO(clip.read(0, clip.lap_bytes * 2)), mode="r") as container:
        for frame in container.decode(audio=0):
            sound.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
    assert len(sound) == 2 * 8 * 48_000
    jumps = [abs(after - before) for before, after in pairwise(sound)]
    seam = max(jumps[8 * 48_000 - 4800 : 8 * 48_000 + 4800])
    assert 0 < seam <= max(jumps[48_000 : 7 * 48_000]) * 1.1


@given(start=st.integers(0, 12_000), count=st.integers(0, 500))
def test_a_read_is_a_part_of_the_whole(start: int, count: int) -> None:
    clip = CLIPS["radio"]
    whole = WHOLE_RADIO
    start %= len(whole) // PACKET - count
    assert clip.read(start * PACKET, count * PACKET, 7) == whole[start * PACKET : (start + count) * PACKET]


WHOLE_RADIO = CLIPS["radio"].read(0, CLIPS["radio"].lap_bytes * 11, 7)


def test_a_read_of_half_packets_is_refused() -> None:
    for position, count in ((1, PACKET), (0, 100), (-PACKET, PACKET)):
        with pytest.raises(ValueError, match="whole packets"):
            CLIPS["radio"].read(position, count)


def test_entry_numbers_and_positions_belong_together() -> None:
    clip = CLIPS["light"]
    for number in range(30):
        entry = clip.entry_point(number)
        assert clip.entry_number_at(entry.offset) == number
        assert clip.entry_number_at(entry.offset + 1) == number + 1


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "whole packets"),
        (b"\x47" * 187, "whole packets"),
        (b"\x00" * PACKET, "sync"),
        ((b"\x47\x1f\xff\x10" + b"\xff" * 184) * 5, "no entry point"),
    ],
)
def test_what_is_no_clip_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(ClipError, match=what):
        parse_clip("x", data)


def test_a_lap_that_does_not_close_in_time_is_refused() -> None:
    with pytest.raises(ClipError, match=r"0\.32"):
        parse_clip("cut", CLIPS["light"].data[: CLIPS["light"].lap_bytes // PACKET // 3 * PACKET])
