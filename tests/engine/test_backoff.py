"""How long it takes until what fails is tried again."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.engine.backoff import LONGEST, SHARE, Backoff, pause_s


def tries(first_s: float, until_s: float) -> list[float]:
    """Return when tries are made that fail at once."""
    at_s = [0.0]
    while at_s[-1] < until_s:
        at_s.append(at_s[-1] + pause_s(first_s, at_s[-1]))
    return at_s


@given(st.floats(0.05, 5.0), st.floats(0.0, 600.0))
def test_nobody_waits_for_more_than_a_quarter_longer_than_the_trouble_lasts(first_s: float, trouble_s: float) -> None:
    back_s = next(at_s for at_s in tries(first_s, trouble_s) if at_s >= trouble_s)
    assert back_s - trouble_s <= max(first_s, SHARE * trouble_s) + 1e-9


def test_an_engine_is_asked_ever_less_often() -> None:
    at_s = tries(1.0, 120.0)
    assert at_s[:5] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert sum(1 for one in at_s if one < 30.0) <= 15
    assert sum(1 for one in at_s if one < 120.0) <= 27
    assert at_s[-1] - at_s[-2] == LONGEST


async def test_the_time_counts_from_the_first_try_on() -> None:
    loop = asyncio.get_running_loop()
    backoff = Backoff(0.01)
    began_at = loop.time()
    for _ in range(3):
        await backoff.wait()
    assert loop.time() - began_at >= 0.029
