"""The multiplexer that makes clips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.simulator.clip_mux import AUDIO_PID, VIDEO_PID, Unit, crc32_mpeg, multiplex, stamp, tables
from aceproxy.simulator.clips import parse_clip, payload_at, pid_at
from aceproxy.simulator.make_clips import ticks_of

PACKET = 188
LAP_TICKS = 28_800  # 0.32 s


def units(picture_bytes: int) -> list[Unit]:
    """Return eight pictures and three groups of sound."""
    pictures = [
        Unit(VIDEO_PID, at, 20_000 + at, 20_000 + at, b"\xaa" * picture_bytes, random_access=at == 0)
        for at in range(0, LAP_TICKS, 3600)
    ]
    sound = [
        Unit(AUDIO_PID, at, 20_000 + at, 20_000 + at, bytes(300), random_access=False) for at in (0, 9_600, 19_200)
    ]
    return pictures + sound


@given(picture_bytes=st.integers(100, 3000))
def test_whatever_the_sizes_a_lap_closes_and_carries_every_byte(picture_bytes: int) -> None:
    lap = multiplex("Test", units(picture_bytes), LAP_TICKS, 400)
    clip = parse_clip("test", lap)
    assert clip.lap_ticks == LAP_TICKS
    counts: dict[int, int] = {}
    sent = 0
    for offset in range(0, len(lap), PACKET):
        pid = pid_at(lap, offset)
        if lap[offset + 3] & 0x10 and pid != 0x1FFF:
            assert lap[offset + 3] & 15 == counts.get(pid, 0) % 16
            counts[pid] = counts.get(pid, 0) + 1
        if pid == VIDEO_PID:
            sent += lap.count(b"\xaa", payload_at(lap, offset), offset + PACKET)
    assert sent == 8 * picture_bytes
    assert all(count % 16 == 0 for count in counts.values())
    assert set(counts) == {0, 0x11, 0x1000, VIDEO_PID, AUDIO_PID}


def test_what_does_not_fit_into_a_lap_is_refused() -> None:
    with pytest.raises(ValueError, match="over before"):
        multiplex("Test", units(20_000), LAP_TICKS, 400)


def test_tables_carry_a_crc_that_checks() -> None:
    for packet in tables("Name", with_video=True):
        length = ((packet[6] & 0x0F) << 8 | packet[7]) + 3
        assert crc32_mpeg(packet[5 : 5 + length]) == bytes(4)


def test_the_crc_is_the_one_of_the_standard() -> None:
    assert crc32_mpeg(b"123456789") == bytes.fromhex("0376e6e7")


@given(ticks=st.integers(0, (1 << 33) - 1), prefix=st.sampled_from([1, 2, 3]))
def test_a_time_stamp_is_read_back(ticks: int, prefix: int) -> None:
    field = stamp(prefix, ticks)
    assert (len(field), field[0] >> 4, ticks_of(field)) == (5, prefix, ticks)
    assert field[0] & field[2] & field[4] & 1 == 1
