"""Stat, commands, events and the idle limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from aceproxy.simulator import Simulator
from tests.simulator.wire import Wire, ask, content, local, open_media, start, stat
from tests.waiting import until

Run = Callable[..., Awaitable[Simulator]]
UNKNOWN = {"response": None, "error": "unknown playback session id"}
OK = {"response": "ok", "error": None}


async def test_stat_while_prebuffering_has_progress_and_no_livepos(run: Run) -> None:
    simulator = await run(prebuffer_s=30.0)
    shown = (await stat(simulator, await start(simulator, content(simulator, "Light"))))["response"]
    assert shown["status"] == "prebuf"
    assert 0 <= shown["progress"] < 100
    assert shown["peers"] > 0
    assert "livepos" not in shown


async def test_stat_of_a_live_stream_is_as_documented(simulator: Simulator) -> None:
    response = await start(simulator, content(simulator, "Light"))
    wire = await open_media(simulator, response)
    await wire.head()
    await wire.read(188 * 500)
    answer = await stat(simulator, response)
    shown = answer["response"]
    assert answer["error"] is None
    assert shown["status"] == "dl"
    assert shown["playback_session_id"] == response["playback_session_id"]
    assert (shown["downloaded"] % 16384, shown["uploaded"] % 16384) == (0, 0)
    assert shown["downloaded"] > 0
    assert (shown["is_live"], shown["is_encrypted"], shown["total_progress"]) == (1, 0, 0)
    position = shown["livepos"]
    moments = {"pos", "last", "live_last", "live_first", "first_ts", "last_ts"}
    assert set(position) == moments | {"is_live", "buffer_pieces"}
    assert all(isinstance(value, str) for value in position.values())
    assert int(position["live_last"]) - int(position["live_first"]) == 1800
    assert abs(int(position["live_last"]) - time.time()) <= 2
    assert int(position["pos"]) <= int(position["last"])
    await wire.close()


async def test_downloaded_never_shrinks(simulator: Simulator) -> None:
    response = await start(simulator, content(simulator, "Light"))
    seen = [(await stat(simulator, response))["response"]["downloaded"] for _ in range(20)]
    assert seen == sorted(seen)


async def test_stat_of_a_file_has_no_livepos(simulator: Simulator) -> None:
    response = await start(simulator, content(simulator, "Film"))
    shown = (await stat(simulator, response))["response"]
    assert shown["is_live"] == 0
    assert "livepos" not in shown
    assert 0 <= shown["total_progress"] <= 100


async def test_stop_is_ok_once_and_then_the_session_is_unknown(simulator: Simulator) -> None:
    response = await start(simulator, content(simulator, "Light"), extra="&use_api_events=1")
    stop = local(response["command_url"]) + "?method=stop"
    assert (await ask(simulator, stop)).json == OK
    assert (await ask(simulator, stop)).json == UNKNOWN
    assert await stat(simulator, response) == UNKNOWN
    assert (await ask(simulator, local(response["event_url"]))).json == UNKNOWN
    assert simulator.playbacks[0].stop_reason == "stopped"


async def test_a_start_after_a_stop_is_a_new_playback(simulator: Simulator) -> None:
    light = content(simulator, "Light")
    first = await start(simulator, light)
    await ask(simulator, local(first["command_url"]) + "?method=stop")
    second = await start(simulator, light)
    assert second["playback_session_id"] != first["playback_session_id"]
    assert second["stat_url"] == first["stat_url"]
    assert (await stat(simulator, second))["error"] is None


@pytest.mark.parametrize("place", ["stat", "cmd", "event"])
async def test_a_session_that_never_was_is_unknown(simulator: Simulator, place: str) -> None:
    assert (await ask(simulator, f"/ace/{place}/{'0' * 40}/{'0' * 32}?method=stop")).json == UNKNOWN


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("method=liveseek&pos=-1", OK),
        ("method=set_stream&stream_index=1", OK),
        ("method=set_player_activity_timeout&timeout=90", OK),
        ("method=set_player_activity_timeout&timeout=x", {"response": None, "error": "invalid timeout"}),
        ("method=dance", {"response": None, "error": "unknown method: dance"}),
        ("", {"response": None, "error": "unknown method: "}),
    ],
)
async def test_commands(simulator: Simulator, query: str, answer: object) -> None:
    response = await start(simulator, content(simulator, "Light"))
    assert (await ask(simulator, f"{local(response['command_url'])}?{query}")).json == answer


async def test_an_event_poll_waits_for_an_event_and_gives_up(run: Run) -> None:
    simulator = await run(event_wait_s=0.3)
    response = await start(simulator, content(simulator, "Light"), extra="&use_api_events=1")
    target = local(response["event_url"])
    begun = time.monotonic()
    assert (await ask(simulator, target)).json == {"response": None, "error": None}
    assert time.monotonic() - begun >= 0.3
    poll = asyncio.create_task(ask(simulator, target))
    await ask(simulator, local(response["command_url"]) + "?method=liveseek&pos=1700000000")
    event = {"name": "live_changed", "params": {"is_live": 0}}
    assert (await poll).json == {"response": event, "error": None}


async def test_an_event_poll_ends_with_its_session(run: Run) -> None:
    simulator = await run(event_wait_s=30.0)
    response = await start(simulator, content(simulator, "Light"), extra="&use_api_events=1")
    wire = await Wire.open(simulator)
    wire.send(local(response["event_url"]))
    await ask(simulator, local(response["command_url"]) + "?method=stop")
    assert (await wire.reply()).json == UNKNOWN
    await wire.close()


async def test_a_session_that_nobody_uses_ends(run: Run) -> None:
    simulator = await run(idle_timeout_s=0.3)
    response = await start(simulator, content(simulator, "Light"))
    await until(lambda: simulator.active_playbacks == ())
    assert simulator.playbacks[0].stop_reason == "idle"
    assert await stat(simulator, response) == UNKNOWN


async def test_reading_keeps_a_session_alive(run: Run) -> None:
    simulator = await run(idle_timeout_s=0.8)
    wire = await open_media(simulator, await start(simulator, content(simulator, "Light")))
    await wire.head()
    assert len(await wire.read_for(2.0)) > 0
    assert len(simulator.active_playbacks) == 1
    await wire.close()
    await until(lambda: simulator.active_playbacks == ())


@pytest.mark.parametrize(
    ("counts", "query", "alive"), [(True, "", True), (True, "?skip_player_activity=1", False), (False, "", False)]
)
async def test_whether_stat_keeps_a_session_alive(run: Run, counts: bool, query: str, alive: bool) -> None:
    simulator = await run(idle_timeout_s=0.8, stat_is_activity=counts)
    response = await start(simulator, content(simulator, "Light"))
    begun = time.monotonic()
    while time.monotonic() - begun < 2.0:
        await stat(simulator, response, query)
    assert bool(simulator.active_playbacks) == alive


async def test_the_idle_limit_can_be_changed_by_the_player(run: Run) -> None:
    simulator = await run(idle_timeout_s=0.3)
    light, other = content(simulator, "Light"), content(simulator, "Other")
    response = await start(simulator, light, "a")
    await ask(simulator, local(response["command_url"]) + "?method=set_player_activity_timeout&timeout=60")
    await start(simulator, other, "b")
    await until(lambda: len(simulator.active_playbacks) == 1)
    assert simulator.active_playbacks[0].pid == "a"
