"""Turns: the first start at once, the others one behind the other, and none of them too late."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from aceproxy.engine.turns import COLD_SPREAD_S, COLD_STEP_S, SPREAD_S, STEP_S, Turns


def test_starts_that_are_apart_anyway_are_begun_at_once() -> None:
    turns = Turns()
    assert [turns.take(now, cold=False) for now in (0.0, STEP_S, 3.0, 100.0)] == [0.0] * 4


def test_of_fifty_starts_at_once_the_first_is_begun_at_once_and_no_two_together() -> None:
    turns = Turns()
    waits = [turns.take(7.0, cold=False) for _ in range(50)]
    assert waits[:2] == pytest.approx([0.0, STEP_S])
    assert all(one < other for one, other in pairwise(waits))
    assert sum(wait < SPREAD_S / 2 for wait in waits) < 15
    assert waits[-1] <= SPREAD_S


def test_an_engine_that_has_just_come_back_gets_more_time() -> None:
    turns = Turns()
    waits = [turns.take(0.0, cold=True) for _ in range(50)]
    assert waits[1] == pytest.approx(COLD_STEP_S)
    assert SPREAD_S < waits[25] < waits[-1] <= COLD_SPREAD_S


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=200))
def test_nobody_waits_longer_than_the_limit_and_nobody_overtakes(steps: list[tuple[float, bool]]) -> None:
    turns, now, last_at = Turns(), 0.0, 0.0
    is_cold = [cold for _, cold in steps]
    for (passed_s, cold), was_cold in zip(steps, [False, *is_cold[:-1]] if steps else [], strict=True):
        now += passed_s
        wait_s = turns.take(now, cold=cold)
        assert 0 <= wait_s <= (COLD_SPREAD_S if cold else SPREAD_S)
        assert now + wait_s >= last_at or (was_cold and not cold)
        last_at = max(last_at, now + wait_s)
