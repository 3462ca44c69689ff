"""What faults of starts and of JSON answers do on the wire; functions are called after the faults."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from aceproxy.simulator import Content, Simulator
from aceproxy.simulator.clips import pid_at
from tests.simulator.wire import (
    QUIET_S,
    Wire,
    ask,
    content,
    json_start,
    local,
    open_media,
    start,
    start_target,
    stat,
)
from tests.waiting import until

PACKET = 188


async def slow_start(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("slow-start", "0.8", times=1)
    begun = time.monotonic()
    await start(simulator, light)
    assert time.monotonic() - begun >= 0.8
    begun = time.monotonic()
    await start(simulator, light)
    assert time.monotonic() - begun < 0.8


async def never_starts(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("never-starts", infohash=light.infohash)
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    assert await wire.silent_for(QUIET_S)
    shown = (await stat(simulator, response))["response"]
    assert (shown["status"], shown["peers"], shown["progress"], shown["downloaded"]) == ("prebuf", 0, 0, 0)
    await start(simulator, content(simulator, "Other"), "other")
    simulator.clear_faults("never-starts")
    assert (await wire.head())[0] == 200
    await wire.close()


async def json_hang(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("json-hang", times=1)
    wire = await Wire.open(simulator)
    wire.send(start_target(light, "p"))
    assert await wire.silent_for(QUIET_S)
    await start(simulator, light, "q")
    await wire.close()
    await until(lambda: simulator.connection_count == 0)
    assert [one.pid for one in simulator.playbacks] == ["q"]


async def drip_answers(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("drip-answers", "0.001", times=1)
    wire = await Wire.open(simulator)
    wire.send(start_target(light, "p"))
    first = await wire.read(1)
    assert first == b"H"
    assert len(await wire.reader.read(65536)) < 20
    assert b"playback_url" in (await wire.reply()).body
    wire.send(start_target(light, "p"))
    assert len(await wire.reader.read(65536)) > 20  # its times are used up
    await wire.close()


async def load_failed(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("load-failed", "1")
    assert await json_start(simulator, light) == {"response": None, "error": "failed to load content"}
    await start(simulator, light)
    simulator.set_fault("load-failed", infohash=light.infohash)
    for _ in range(3):
        assert (await json_start(simulator, light))["error"] == "failed to load content"
    await start(simulator, content(simulator, "Other"))


async def missing_option(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("missing-option", times=1)
    assert await json_start(simulator, light) == {
        "response": None,
        "error": "missing option",
        "extra_data": {"reason": "missing_option", "option": "proxyServer"},
    }
    response = await start(simulator, light, extra="&use_api_events=1")
    poll = asyncio.create_task(ask(simulator, local(response["event_url"])))
    simulator.set_fault("missing-option", "event")
    params = {"reason": "missing_option", "option": "proxyServer"}
    assert (await poll).json["response"] == {"name": "download_stopped", "params": params}
    assert simulator.playbacks[0].stop_reason == "option_missing"


async def got_newer_download(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("got-newer-download")
    assert await json_start(simulator, light) == {"response": None, "error": "got newer download"}


async def foreign_redirect(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("foreign-redirect")
    reply = await ask(simulator, start_target(light, "p"))
    assert (reply.status, reply.headers["location"]) == (302, "http://cdn.example/live/chunklist_b1600000.m3u8")
    assert simulator.playbacks == ()


async def wrong_host(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("wrong-host")
    response = await start(simulator, light)
    assert {response[name][:23] for name in ("playback_url", "stat_url", "command_url")} == {"http://192.0.2.1:6878/a"}
    hop = await ask(simulator, local(response["playback_url"]))
    assert hop.headers["location"].startswith("http://192.0.2.1:6878/content/")


async def encrypted(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("encrypted", infohash=light.infohash)
    response = await start(simulator, light)
    assert response["is_encrypted"] == 1
    assert (await stat(simulator, response))["response"]["is_encrypted"] == 1
    wire = await open_media(simulator, response)
    await wire.head()
    stream = await wire.read(PACKET * 1000)
    video = [at for at in range(0, len(stream), PACKET) if pid_at(stream, at) == 0x100 and stream[at + 3] & 0x10]
    marks = {stream[at + 3] >> 6 for at in video}
    assert marks == {2}
    assert {stream[at + 3] >> 6 for at in range(0, len(stream), PACKET) if pid_at(stream, at) == 0} == {0}
    await wire.close()


async def python_error(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    simulator.set_fault("python-error")
    for target in (start_target(light, "p"), local(response["stat_url"]), local(response["command_url"])):
        reply = await ask(simulator, target)
        assert (reply.status, b"KeyError" in reply.body) == (500, True)


async def text_answer(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    simulator.set_fault("text-answer")
    for target in (start_target(light, "p"), local(response["stat_url"])):
        reply = await ask(simulator, target)
        assert reply.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(reply.body)


async def truncated_json(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    simulator.set_fault("truncated-json", times=2)
    for target in (start_target(light, "p"), local(response["stat_url"])):
        reply = await ask(simulator, target)
        assert reply.body.startswith(b'{"response": {')
        with pytest.raises(json.JSONDecodeError):
            json.loads(reply.body)
    assert (await stat(simulator, response))["error"] is None


async def extra_fields(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("extra-fields")
    answer = await json_start(simulator, light)
    assert "x_new_field" in answer
    assert "x_new_field" in answer["response"]
    assert answer["response"]["infohash"] == light.infohash


async def stat_hang(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    simulator.set_fault("stat-hang", times=1)
    wire = await Wire.open(simulator)
    wire.send(local(response["stat_url"]))
    assert await wire.silent_for(QUIET_S)
    assert (await stat(simulator, response))["error"] is None
    await wire.close()


async def stop_hang(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    simulator.set_fault("stop-hang")
    wire = await Wire.open(simulator)
    wire.send(local(response["command_url"]) + "?method=stop")
    assert await wire.silent_for(QUIET_S)
    assert simulator.playbacks[0].stop_reason == "stopped"
    await wire.close()


async def livepos(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    await wire.head()
    simulator.set_fault("livepos", "missing")
    assert "livepos" not in (await stat(simulator, response))["response"]
    simulator.set_fault("livepos", "unknown")
    assert (await stat(simulator, response))["response"]["livepos"]["live_last"] == "-1"
    simulator.set_fault("livepos", "ints")
    assert all(isinstance(value, int) for value in (await stat(simulator, response))["response"]["livepos"].values())
    await wire.close()
