"""How far one source is behind another, by the clocks in their newest bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.behind import behind_s
from aceproxy.mpegts.clock import CLOCK_HZ, WRAP


def clocked(pid: int, ticks: int) -> bytes:
    """Return some packets, one of which has a PCR."""
    base = (ticks % WRAP) << 15 | 0x7E00
    pcr = bytes((0x47, pid >> 8, pid & 0xFF, 0x30, 7, 0x10)) + base.to_bytes(6, "big") + b"x" * 176
    plain = bytes((0x47, pid >> 8, pid & 0xFF, 0x10)) + b"y" * 184
    return 4 * plain + pcr + 8 * plain


@given(st.integers(0, WRAP - 1), st.integers(-50 * CLOCK_HZ, 50 * CLOCK_HZ))
def test_the_newest_clocks_are_compared_across_their_wrap(ticks: int, lag: int) -> None:
    sent = clocked(256, ticks - CLOCK_HZ) + clocked(256, ticks)
    assert behind_s(sent, b"cut off" + clocked(256, ticks - lag)) == lag / CLOCK_HZ


def test_other_clocks_other_pids_and_no_clocks_tell_nothing() -> None:
    assert behind_s(clocked(256, 0), clocked(256, 3600 * CLOCK_HZ)) is None
    assert behind_s(clocked(256, 0), clocked(257, 0)) is None
    assert behind_s(b"", clocked(257, 0)) is None


@given(st.binary(max_size=600), st.binary(max_size=600))
def test_nothing_is_raised_for_rubbish(one: bytes, other: bytes) -> None:
    behind_s(one, other)
