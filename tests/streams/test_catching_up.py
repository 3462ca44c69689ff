"""Whether the wait for a source's place is in vain, long before its time is over."""

from __future__ import annotations

from aceproxy.streams.catching_up import PACE_S, CatchingUp

LIMIT_S = 10.0


def given_up_at(behind_s: float, past_s: float, burst_rate: float, *, at_pace: bool = False) -> float | None:
    """Return when a source is given up that begins `past_s` further back, sent so many times as fast; None if never."""
    catching_up = CatchingUp(100.0, LIMIT_S, at_pace=at_pace)
    left_s, now = behind_s + past_s, 100.0
    for _ in range(300):
        if left_s <= 0.0:
            return None
        if catching_up.is_in_vain(now, left_s):
            return now - 100.0
        now += 0.1
        left_s -= 0.1 * burst_rate if left_s > behind_s else 0.1
    raise AssertionError("neither there nor given up")


def test_what_is_behind_by_less_than_the_limit_is_waited_for() -> None:
    assert given_up_at(4.0, 12.0, 50.0) is None
    assert given_up_at(0.1, 12.0, 50.0) is None
    assert given_up_at(8.0, 0.0, 1.0) is None


def test_what_cannot_come_in_time_is_given_up_once_its_pace_is_known() -> None:
    after_s = given_up_at(20.0, 12.0, 50.0)
    assert after_s is not None
    assert PACE_S <= after_s < 2 * PACE_S + 0.5


def test_what_sends_no_past_any_more_is_given_up_at_once() -> None:
    assert given_up_at(12.0, 0.0, 1.0, at_pace=True) == 0.0
    assert given_up_at(8.0, 0.0, 1.0, at_pace=True) is None


def test_a_past_that_comes_slowly_is_waited_for_if_it_comes_in_time() -> None:
    assert given_up_at(0.0, 12.0, 2.0) is None
    assert given_up_at(0.0, 60.0, 2.0) is not None


def test_where_it_is_not_known_how_far_behind_it_is_only_the_limit_counts() -> None:
    catching_up = CatchingUp(0.0, LIMIT_S)
    assert not catching_up.is_in_vain(LIMIT_S - 0.1, None)
    assert catching_up.is_in_vain(LIMIT_S + 0.1, None)
