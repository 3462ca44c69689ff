"""The settings over HTTP: what is told, and that a change is felt where it should be."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aceproxy.app import App
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until
from tests.web.listening import listen

log = logging.getLogger("aceproxy.test")
Play = Callable[[App, str], Awaitable[Answer]]


async def change(app: App, **values: Any) -> Any:
    answer = await ask(app, "/api/settings", "PATCH", body=json.dumps(values).encode())
    assert answer.status == 200, answer.body
    return answer.json


async def told(app: App) -> dict[str, Any]:
    answer = await ask(app, "/api/settings", admin=True)
    return {one["name"]: one for one in answer.json["settings"]}


async def test_all_settings_are_told_with_value_default_origin_and_effect(make_app: MakeApp) -> None:
    app = await make_app(linger_s=3)
    settings = await told(app)
    assert set(settings) == set(Settings.model_fields)
    assert settings["linger_s"] == {
        "name": "linger_s",
        "value": 3.0,
        "default": 15.0,
        "origin": "the start",
        "unit": "s",
        "kind": "number",
        "minimum": 0.0,
        "maximum": 1e12,
        "description": Settings.model_fields["linger_s"].description,
        "changeable": True,
        "effect": "now",
    }
    assert [settings[name]["maximum"] for name in ("log_lines", "listen", "stills", "engines")] == [
        1e5,
        None,
        None,
        None,
    ]
    assert (settings["listen"]["changeable"], settings["listen"]["effect"]) == (False, "restart")
    assert (settings["engines"]["kind"], settings["url_hosts"]["value"]) == ("list", [])
    assert settings["engines"]["value"] == list(app.pool.urls)
    assert (settings["max_clients"]["kind"], settings["max_clients"]["origin"]) == ("integer", "the default")


async def test_nobody_but_an_admin_sees_or_changes_them(make_app: MakeApp) -> None:
    app = await make_app()
    for method in ("GET", "PATCH"):
        assert (await ask(app, "/api/settings", method, admin=False)).status == 401
    assert (await ask(app, "/api/reload", "POST", admin=False)).status == 401


async def test_a_change_is_answered_told_and_taken_back(make_app: MakeApp, tmp_path: Path) -> None:
    app = await make_app(state_dir=tmp_path)
    done = await change(app, linger_s=7, burst_s=2)
    assert {one["name"]: one["value"] for one in done["changed"]} == {"linger_s": 7.0, "burst_s": 2.0}
    assert (done["kept"], done["overridden"], done["needs_restart"]) == (True, ["burst_s", "linger_s"], [])
    assert (await told(app))["linger_s"]["origin"] == "a change at run time"
    done = await change(app, linger_s=None, burst_s=None)
    assert [one["value"] for one in done["changed"]] == [15.0, 6.0]
    assert (await told(app))["linger_s"]["origin"] == "the default"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"linger_s":-1}',
        b'{"nothing":1}',
        b'{"listen":":1"}',
        b'{"head_timeout_s":0.01}',
        b"[" * 60_000,
        b'{"x":' * 9000,
    ],
)
async def test_what_is_wrong_is_refused_and_changes_nothing(make_app: MakeApp, body: bytes) -> None:
    app = await make_app()
    before = app.settings.model_dump()
    answer = await ask(app, "/api/settings", "PATCH", body=body)
    assert (answer.status, answer.reason) == (400, "bad_parameter")
    assert app.settings.model_dump() == before


async def test_the_level_and_the_length_of_the_log_change_at_once(make_app: MakeApp) -> None:
    app = await make_app(log_level="info", log_lines=500)
    log.debug("too quiet")
    await change(app, log_level="debug", log_lines=20)
    for number in range(50):
        log.debug("loud enough %d", number)
    lines = app.logs.ring.tail(500)
    assert len(lines) == 20
    assert lines[-1].message == "loud enough 49"
    assert "too quiet" not in {line.message for line in lines}


async def test_the_limit_of_clients_counts_for_the_next_one_and_nobody_is_thrown_out(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    target = f"/ace/getstream?id={sim.contents[0].content_id}"
    first, second = await play(app, target), await play(app, target)
    await change(app, max_clients=1)
    refused = await ask(app, target)
    assert (refused.status, refused.reason) == (503, "too_many_clients")
    await first.reader.readexactly(188 * 5000)
    await second.reader.readexactly(188 * 5000)
    await change(app, max_clients=3)
    assert (await play(app, target)).status == 200


async def test_lingering_hosts_and_listeners_follow_their_settings(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(linger_s=60)
    link = "/ace/getstream?url=http%3A%2F%2Ftransport.example%2Fclock-one.acelive"
    assert (await ask(app, link)).reason == "url_host_refused"
    await change(app, linger_s=0, url_hosts=["transport.example"], max_listeners=1)
    answer = await play(app, link)
    assert answer.status == 200
    answer.close()
    await until(lambda: not app.hub.streams)
    reader = await listen(app)
    assert (await ask(app, "/api/events")).reason == "too_many_listeners"
    reader.answer.close()


async def test_a_frozen_client_is_ended_by_a_limit_that_was_set_after_it_came(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(client_stall_s=3600)
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188)
    await until(
        lambda: any(client.outlet and client.outlet.watched for client in app.hub.streams[0].clients.values()), 20
    )
    await change(app, client_stall_s=0.3)
    await until(lambda: not app.hub.streams[0].clients)
    assert app.hub.streams[0].ended_clients[-1].reason == "stalled_client"


async def test_a_stream_that_plays_feels_nothing_of_a_change(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188 * 1000)
    await change(app, burst_s=1, ring_s=10, silence_s=5)
    await answer.reader.readexactly(188 * 5000)
    later = await play(app, f"/ace/getstream?id={sim.contents[1].content_id}")
    await later.reader.readexactly(188 * 1000)
    assert [stream.ring._limits.burst_s for stream in app.hub.streams] == [6.0, 1.0]
    assert app.hub.streams[0].recoveries == 0


async def test_a_reload_without_anything_new_changes_nothing(make_app: MakeApp) -> None:
    app = await make_app()
    answer = await ask(app, "/api/reload", "POST")
    assert answer.status == 200
    assert answer.json == {"changed": [], "needs_restart": [], "overridden": [], "kept": False}


async def test_a_number_with_which_nothing_could_play_is_refused(make_app: MakeApp, play: Play, sim: Simulator) -> None:
    app = await make_app()
    for name in ("ring_s", "history_rows", "max_clients", "linger_s"):
        body = json.dumps({name: 10**300}).encode()
        answer = await ask(app, "/api/settings", "PATCH", body=body)
        assert (answer.status, answer.json["error"]["reason"]) == (400, "bad_parameter"), name
    await change(app, ring_s=10**12, history_rows=10**12, linger_s=10**12, max_clients=10**12)
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    assert answer.status == 200


async def test_a_change_that_cannot_be_kept_is_refused_with_the_reason(make_app: MakeApp, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    app = await make_app(state_dir=folder)
    folder.rename(tmp_path / "away")
    answer = await ask(app, "/api/settings", "PATCH", body=b'{"linger_s": 7}')
    assert (answer.status, answer.reason) == (507, "state_unwritable")
    assert answer.json["error"]["detail"] == "No such file or directory"
    assert (await told(app))["linger_s"]["value"] == 15.0
    (tmp_path / "away").rename(folder)


async def test_the_description_of_a_change_tells_the_largest_number_too(make_app: MakeApp) -> None:
    described = (await ask(await make_app(), "/api/openapi.json")).json["components"]["schemas"]["SettingsChange"]
    bounds = {
        name: kind["maximum"]
        for name, field in described["properties"].items()
        for kind in field["anyOf"]
        if kind["type"] in ("integer", "number")
    }
    assert (bounds["linger_s"], bounds["log_lines"], bounds["history_days"]) == (10**12, 100_000, 3650)
