"""How often engines are asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.app import App
from aceproxy.simulator import Simulator
from aceproxy.streams.polling import POLLS_AT_EASE, POLLS_TOGETHER, SLOWEST_S, PollPace
from tests.conftest import Answer, MakeApp
from tests.waiting import until


def test_few_playbacks_are_asked_as_the_settings_say() -> None:
    pace = PollPace()
    pace.polls = POLLS_AT_EASE
    assert pace.pause_s(2.0) == 2.0


def test_many_playbacks_together_are_asked_no_more_often_than_a_few() -> None:
    pace = PollPace()
    pace.polls = 4 * POLLS_AT_EASE
    assert pace.pause_s(2.0) == 8.0


def test_no_playback_is_asked_less_often_than_every_ten_seconds_unless_the_settings_say_so() -> None:
    pace = PollPace()
    pace.polls = 1000 * POLLS_AT_EASE
    assert pace.pause_s(2.0) == SLOWEST_S
    assert pace.pause_s(30.0) == 30.0


@given(now_s=st.floats(0, 1e6), ordinary_s=st.sampled_from([0.05, 0.5, 2.0, 7.0, 60.0]), polls=st.integers(1, 300))
def test_a_playback_is_asked_again_after_about_that_pause(now_s: float, ordinary_s: float, polls: int) -> None:
    pace = PollPace()
    pace.polls = polls
    pause_s, due_at = pace.pause_s(ordinary_s), pace.next_at(now_s, ordinary_s)
    assert 0.09 * min(pause_s, 1.0) < due_at - now_s < 1.2 * pause_s
    following_s = pace.next_at(due_at, ordinary_s) - due_at  # once it has found its moments
    assert following_s == pytest.approx(pause_s, rel=0.5)


def test_playbacks_are_asked_some_at_a_time() -> None:
    pace = PollPace()
    pace.polls = 100
    moments = {pace.next_at(1000.0 + number / 10, 2.0) for number in range(100)}  # in ten seconds
    assert len(moments) == pytest.approx(SLOWEST_S, abs=2)
    pace.polls = POLLS_TOGETHER
    moments = {pace.next_at(1000.0 + number / 10, 2.0) for number in range(40)}  # in four
    assert len(moments) <= 2


async def test_an_edge_that_is_not_told_any_more_does_not_stand_still(
    sim: Simulator, make_app: MakeApp, play: Callable[[App, str], Awaitable[Answer]]
) -> None:
    app = await make_app(stat_poll_s=0.05)
    await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    source = app.hub.streams[0].source
    assert source is not None
    poll = source.poll
    assert poll is not None
    await until(lambda: poll.word.edge_at is not None, 30)
    sim.set_fault("livepos", value="missing")
    await until(lambda: poll.word.edge_at is None, 30)
    sim.clear_faults()
    await until(lambda: poll.word.edge_at is not None, 30)
