"""The moments at which periodic things happen."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.ticks import next_tick, tick


@given(now_s=st.floats(0, 1e7), period_s=st.sampled_from([0.02, 0.2, 0.5, 1.0, 5.0, 60.0]))
def test_the_next_tick_is_a_multiple_of_the_period_at_most_so_far_away(now_s: float, period_s: float) -> None:
    due_at = next_tick(now_s, period_s)
    assert due_at / period_s == pytest.approx(round(due_at / period_s))
    assert 0.09 * period_s < due_at - now_s < 1.11 * period_s


@given(now_s=st.floats(0, 1e6), period_s=st.sampled_from([0.2, 0.5, 1.0, 4.0]), phase_s=st.sampled_from([0.0, 0.5]))
def test_a_phase_moves_all_ticks_by_as_much(now_s: float, period_s: float, phase_s: float) -> None:
    due_at = next_tick(now_s, period_s, phase_s)
    assert (due_at - phase_s) / period_s == pytest.approx(round((due_at - phase_s) / period_s))
    assert 0.09 * period_s < due_at - now_s < 1.11 * period_s


async def test_who_waits_for_ticks_of_one_period_wakes_in_one_pass_of_the_loop() -> None:
    loop, passes = asyncio.get_running_loop(), 0
    woken: list[int] = []

    async def wait(first_s: float) -> None:
        await asyncio.sleep(first_s)
        await tick(0.1)
        woken.append(passes)

    def count() -> None:
        nonlocal passes
        passes += 1
        counting[0] = loop.call_later(0.001, count)

    counting = [loop.call_soon(count)]
    begin_s = next_tick(loop.time(), 0.1) - loop.time()
    await asyncio.gather(*(wait(begin_s + part) for part in (0.01, 0.02, 0.03)))
    counting[0].cancel()
    assert max(woken) - min(woken) <= 1


async def test_waiting_for_a_tick_can_be_cancelled() -> None:
    task = asyncio.create_task(tick(3600.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
