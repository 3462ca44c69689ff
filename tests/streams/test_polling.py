"""How often engines are asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aceproxy.app import App
from aceproxy.simulator import Simulator
from aceproxy.streams.polling import POLLS_AT_EASE, SLOWEST_S, PollPace
from tests.conftest import Answer, MakeApp
from tests.waiting import until


def test_few_playbacks_are_asked_as_the_settings_say() -> None:
    pace = PollPace()
    pace.polls = POLLS_AT_EASE
    assert pace.pause_s(2.0) == 2.0


def test_many_playbacks_together_are_asked_no_more_often_than_twenty() -> None:
    pace = PollPace()
    pace.polls = 4 * POLLS_AT_EASE
    assert pace.pause_s(2.0) == 8.0


def test_no_playback_is_asked_less_often_than_every_ten_seconds_unless_the_settings_say_so() -> None:
    pace = PollPace()
    pace.polls = 1000 * POLLS_AT_EASE
    assert pace.pause_s(2.0) == SLOWEST_S
    assert pace.pause_s(30.0) == 30.0


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
