"""Media time out of 33-bit time stamps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.clock import CLOCK_HZ, WRAP, MediaClock


def times(*stamps: int) -> list[float]:
    """Return the media time of each stamp."""
    clock = MediaClock()
    return [clock.seconds(stamp) for stamp in stamps]


def test_time_begins_at_zero_and_follows_the_stamps() -> None:
    assert times(900_000, 990_000, 1_035_000) == [0.0, 1.0, 1.5]


def test_the_wrap_is_a_step_like_any_other() -> None:
    assert times(WRAP - 45_000, 45_000, 135_000) == [0.0, 1.0, 2.0]


def test_a_stamp_a_little_behind_does_not_move_time() -> None:
    assert times(0, 9000, 3600, 5400, 18_000) == pytest.approx([0.0, 0.1, 0.1, 0.1, 0.2])


def test_reordering_over_the_wrap_does_not_move_time() -> None:
    clock = MediaClock()
    assert [clock.seconds(stamp) for stamp in (WRAP - 3600, 3600, WRAP - 1800, 7200)] == [0.0, 0.08, 0.08, 0.12]
    assert clock.discontinuities == 0


@pytest.mark.parametrize("jump", [11 * CLOCK_HZ, -3 * CLOCK_HZ, WRAP // 2, WRAP // 2 + 1])
def test_a_jump_takes_no_time(jump: int) -> None:
    clock = MediaClock()
    clock.seconds(WRAP // 4)
    assert clock.seconds(WRAP // 4 + CLOCK_HZ) == 1.0
    assert clock.seconds((WRAP // 4 + CLOCK_HZ + jump) % WRAP) == 1.0
    assert clock.seconds((WRAP // 4 + 2 * CLOCK_HZ + jump) % WRAP) == 2.0
    assert clock.discontinuities == 1


def test_the_limits_are_parameters() -> None:
    clock = MediaClock(max_step_s=1.0, max_reorder_s=0.1)
    assert [clock.seconds(stamp) for stamp in (0, 90_000, 181_000, 170_000)] == [0.0, 1.0, 1.0, 1.0]
    assert clock.discontinuities == 2


@given(st.lists(st.integers(-(1 << 40), 1 << 40)))
def test_time_never_goes_back(stamps: list[int]) -> None:
    found = times(*stamps)
    assert found == sorted(found)
    assert found[:1] == [0.0] * len(found[:1])


@given(st.integers(0, WRAP - 1), st.lists(st.integers(0, 10 * CLOCK_HZ), max_size=50))
def test_small_steps_add_up_exactly(start: int, steps: list[int]) -> None:
    clock = MediaClock()
    clock.seconds(start)
    total = 0
    for step in steps:
        total += step
        assert clock.seconds((start + total) % WRAP) == total / CLOCK_HZ
    assert clock.discontinuities == 0
