"""Experience fades, and nothing known counts as good."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from aceproxy.engine.experience import Experience


def test_an_engine_that_nothing_is_known_of_counts_as_good() -> None:
    experience = Experience(60.0)
    assert experience.failure_rate(0) == 0
    assert experience.start_s(0) is None
    assert experience.expected_start_s(0, 2.0) == 2.0


def test_failures_raise_the_rate_and_what_lasts_lowers_it() -> None:
    experience = Experience(60.0)
    experience.failed(0)
    assert experience.failure_rate(0) == pytest.approx(0.5)
    experience.failed(0)
    assert experience.failure_rate(0) == pytest.approx(2 / 3)
    experience.lasted(0)
    assert experience.failure_rate(0) == pytest.approx(0.5)
    assert (experience.starts, experience.failures) == (0, 2)


def test_what_was_observed_counts_half_after_a_half_life_and_is_forgotten_in_the_end() -> None:
    experience = Experience(60.0)
    for _ in range(4):
        experience.failed(0)
        experience.delivered(8.0, 0)
    assert experience.failure_rate(60.0) == pytest.approx(2 / 3)
    assert experience.start_s(60.0) == pytest.approx(8.0)
    assert experience.failure_rate(1200.0) < 0.001
    assert experience.start_s(1200.0) is None
    assert experience.expected_start_s(1200.0, 1.0) == pytest.approx(1.0, abs=0.01)
    assert (experience.starts, experience.failures) == (4, 4)


def test_newer_start_times_count_more() -> None:
    experience = Experience(60.0)
    experience.delivered(10.0, 0)
    experience.delivered(1.0, 60.0)
    assert experience.start_s(60.0) == pytest.approx(4.0)
    assert experience.expected_start_s(60.0, 1.0) == pytest.approx((5 + 1 + 1) / 2.5)


@given(st.lists(st.tuples(st.sampled_from(["delivered", "lasted", "failed"]), st.floats(0, 1e6)), max_size=50))
def test_rates_and_times_stay_in_their_bounds_whatever_happens(events: list[tuple[str, float]]) -> None:
    experience = Experience(600.0)
    now = 0.0
    for kind, value in events:
        now += value
        if kind == "delivered":
            experience.delivered(value, now)
        elif kind == "lasted":
            experience.lasted(now)
        else:
            experience.failed(now)
        assert 0 <= experience.failure_rate(now) < 1
        start_s = experience.start_s(now)
        assert start_s is None or 0 <= start_s <= 1e6 * 1.001
    assert experience.failure_rate(now - 1) == experience.failure_rate(now)  # a clock that goes back harms nothing
