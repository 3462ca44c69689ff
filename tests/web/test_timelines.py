"""`GET /api/aceproxy/streams/{key}/timeline`: what happened, as a user of the API reads it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aceproxy import web
from aceproxy.app import App
from aceproxy.errors import Reason
from aceproxy.simulator import Simulator
from aceproxy.streams import stalls
from aceproxy.streams.timeline import CLIENT_EVENTS, KINDS, RETRIES
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]


async def timeline(app: App, name: str) -> Any:
    answer = await ask(app, f"/api/aceproxy/streams/{name}/timeline")
    assert answer.status == 200, answer.body
    return answer.json


def kinds(told: Any) -> list[str]:
    return [event["kind"] for event in told["events"]]


async def test_a_start_is_told_step_by_step_and_readable_under_every_name(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    content = sim.contents[0]
    answer = await play(app, f"/ace/getstream?id={content.content_id}")
    await answer.reader.readexactly(188 * 100)
    told = await timeline(app, content.content_id)
    wanted = ["start_asked", "engine_chosen", "engine_answered", "first_byte", "live", "client_joined"]
    assert [kind for kind in kinds(told) if kind not in ("prebuffering", "engine_ready")] == wanted
    assert told["is_over"] is False
    assert told["forgotten"] == 0
    assert told["last_seq"] == len(told["events"])
    assert [event["seq"] for event in told["events"]] == list(range(1, told["last_seq"] + 1))
    afters = [event["after_s"] for event in told["events"]]
    assert afters == sorted(afters)
    chosen = next(event for event in told["events"] if event["kind"] == "engine_chosen")
    assert chosen["details"]["engine"] == sim.url
    assert chosen["details"]["link"].startswith("content_id:")
    assert (await timeline(app, content.infohash))["stream_id"] == told["stream_id"]
    newest = (await ask(app, f"/api/aceproxy/streams/{content.content_id}/timeline?after=4")).json
    assert newest["events"] == told["events"][4:]


async def test_the_time_line_of_a_stream_that_is_over_can_still_be_read(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    content = sim.contents[0]
    answer = await play(app, f"/ace/getstream?id={content.content_id}")
    await answer.reader.readexactly(188)
    assert (await ask(app, f"/api/aceproxy/streams/{content.content_id}", "DELETE")).status == 200
    await until(lambda: not app.hub.streams)

    told = await timeline(app, content.infohash)
    assert told["is_over"] is True
    ended = next(event for event in told["events"] if event["kind"] == "ended")
    assert (ended["reason"], ended["fault"]) == ("stopped", "none")


async def test_a_start_that_fails_says_why_and_whose_fault_it_is(make_app: MakeApp) -> None:
    app = await make_app()
    unknown = "a" * 40
    assert (await ask(app, f"/ace/getstream?id={unknown}")).status == 404
    told = await timeline(app, unknown)
    assert kinds(told)[-2:] == ["engine_failed", "ended"]
    assert {(event["reason"], event["fault"]) for event in told["events"][-2:]} == {("content_not_found", "swarm")}


async def test_every_transition_is_in_the_log_once(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188)
    stream = app.hub.streams[0]
    stream.close(Reason.STOPPED)
    lines = [line.message for line in app.logs.ring.tail(1000) if line.stream == stream.stream_id]
    assert len([line for line in lines if line.startswith("Somebody asked for the broadcast")]) == 1
    assert len([line for line in lines if line.startswith("The broadcast plays")]) == 1
    assert len([line for line in lines if line.startswith("closed: ")]) == 1


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "%D9%A3", "9" * 20])
async def test_a_strange_number_of_an_event_is_refused(
    sim: Simulator, make_app: MakeApp, play: Play, after: str
) -> None:
    app = await make_app()
    await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    answer = await ask(app, f"/api/aceproxy/streams/{sim.contents[0].content_id}/timeline?after={after}")
    assert (answer.status, answer.reason) == (400, "bad_parameter")


async def test_players_that_come_and_go_do_not_push_the_story_of_the_broadcast_out(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    target = f"/ace/getstream?id={sim.contents[0].content_id}"
    await play(app, target)
    for _ in range(CLIENT_EVENTS):
        passing = await ask(app, target, stream=True)
        passing.close()
    await until(lambda: len(app.hub.streams[0].clients) == 1)
    told = await timeline(app, sim.contents[0].content_id)
    assert kinds(told)[0] == "start_asked"
    assert "live" in kinds(told)
    assert len([kind for kind in kinds(told) if kind.startswith("client_")]) == CLIENT_EVENTS
    assert told["forgotten"] == told["last_seq"] - len(told["events"]) > 0


async def test_one_player_that_comes_and_goes_for_ever_does_not_push_it_out_either(
    sim: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(linger_s=60)
    for _ in range(CLIENT_EVENTS):
        passing = await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}", stream=True)
        passing.close()
        await until(lambda: app.hub.streams[0].state == "lingering")
    told = await timeline(app, sim.contents[0].content_id)
    assert {"deserted", "revisited"} <= set(kinds(told))
    assert told["forgotten"] > 0
    assert kinds(told)[0] == "start_asked"
    assert "live" in kinds(told)


async def test_a_stream_that_never_was_has_no_time_line(make_app: MakeApp) -> None:
    app = await make_app()
    answer = await ask(app, f"/api/aceproxy/streams/{'b' * 40}/timeline")
    assert (answer.status, answer.reason) == (404, "stream_not_running")


async def test_an_engine_that_refuses_its_media_at_first_is_told_with_its_words(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    sim.set_fault("early-500", value="2")
    app = await make_app(retry_first_s=0.05)
    content = sim.contents[0]
    answer = await play(app, f"/ace/getstream?id={content.content_id}")
    await answer.reader.readexactly(188)
    events = (await timeline(app, content.content_id))["events"]
    told = [event for event in events if event["kind"] in ("engine_ready", "not_yet", "first_byte")]
    assert [event["kind"] for event in told] == ["engine_ready", "not_yet", "first_byte"]
    assert told[0]["details"]["engine_status"] == "dl"
    assert told[1]["details"]["detail"] == "HTTP 500: start timeout"
    assert told[1]["details"]["times"] == 2


def test_the_page_knows_which_events_are_counted_and_which_are_of_clients() -> None:
    script = (Path(web.__path__[0]) / "static" / "event_list.js").read_text()

    def listed(name: str) -> set[str]:
        found = re.search(rf"const {name} = \[(.*?)\];", script, re.DOTALL)
        assert found is not None
        return set(re.findall(r'"(\w+)"', found[1]))

    assert listed("TRIES") == set(RETRIES)
    assert listed("STALLS") == set(stalls.KINDS)
    assert listed("OF_CLIENTS") == {kind for kind, row in KINDS.items() if row.of_client}
