"""What is remembered of how long a source is silent while all is well."""

from __future__ import annotations

from aceproxy.streams.gaps import HABIT, HABIT_S, HALF_S, Gaps


def test_the_longest_gap_of_late_is_remembered_and_then_forgotten() -> None:
    gaps = Gaps()
    now = 100.0
    for pause_s in (0.0, 0.2, 1.5, 0.1):
        now += pause_s
        gaps.arrived(now)
    assert gaps.longest_s(now) == 1.5
    for _ in range(int(HALF_S / 0.5) - 4):
        now += 0.5
        gaps.arrived(now)
        assert gaps.longest_s(now) == 1.5
    for _ in range(int(2 * HALF_S / 0.5)):
        now += 0.5
        gaps.arrived(now)
    assert gaps.longest_s(now) == 0.5


def test_a_silence_that_lasts_is_no_gap_and_one_of_ours_never_is() -> None:
    gaps = Gaps()
    assert gaps.known_s(5.0) == 0.0
    gaps.arrived(5.0)
    assert gaps.longest_s(9.0) == 0.0
    gaps.interrupted()
    gaps.arrived(9.0)
    gaps.arrived(9.3)
    assert 0.29 < gaps.longest_s(9.3) < 0.31
    assert gaps.known_s(9.0) == 4.0


def test_after_a_long_silence_what_was_before_it_is_forgotten() -> None:
    gaps = Gaps()
    gaps.arrived(1.0)
    gaps.arrived(3.0)
    assert gaps.longest_s(3 * HALF_S) == 0.0


def test_silences_that_come_again_and_again_are_a_habit_and_a_long_one_is_not() -> None:
    gaps, now = Gaps(), 100.0
    gaps.arrived(now)
    now += 25.0
    gaps.arrived(now)
    assert gaps.habit_s(now) == 0.0
    for _ in range(HABIT):
        gaps.arrived(now)
        now += 4.0
        gaps.arrived(now)
        now += 0.1
    assert gaps.habit_s(now) == 4.0, "not the longest"
    assert gaps.habit_s(now + HABIT_S) == 0.0


def test_a_source_that_sends_evenly_has_no_such_habit() -> None:
    gaps = Gaps()
    for step in range(1000):
        gaps.arrived(step * 0.7)
    assert gaps.habit_s(700.0) == 0.0
