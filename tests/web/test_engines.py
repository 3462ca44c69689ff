"""The engines over HTTP: listed, added, removed, drained, and refused with reasons."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.app import App
from aceproxy.errors import AceProxyError, Reason
from aceproxy.preparing import make_logs
from aceproxy.settings import load_settings, read_settings
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.web.engines import _entry
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

PATH = "/api/aceproxy/engines"
Play = Callable[[App, str], Awaitable[Answer]]


@pytest.fixture
async def second() -> AsyncIterator[Simulator]:
    """Another engine."""
    async with Simulator(SimulatorConfig.fast()) as simulator:
        yield simulator


async def send(app: App, value: object) -> Answer:
    """Ask for an engine to be added."""
    return await ask(app, PATH, "POST", body=json.dumps(value).encode())


async def listed(app: App) -> list[dict[str, Any]]:
    engines: list[dict[str, Any]] = (await ask(app, PATH)).json["engines"]
    return engines


async def test_engines_are_listed_with_what_is_known_of_them(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(engines=[{"url": sim.url, "label": "attic", "weight": 2, "capacity": 3}], short_play_s=0.1)
    await until(lambda: app.pool.snapshot()[0].state == "up")
    await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    answer = await ask(app, PATH)
    assert answer.json["kept"] is False
    (engine,) = answer.json["engines"]
    assert (engine["label"], engine["url"], engine["weight"], engine["capacity"]) == ("attic", sim.url, 2.0, 3)
    assert (engine["state"], engine["breaker"], engine["draining"], engine["streams"]) == ("up", "closed", False, 1)
    assert engine["experience"]["starts"] == 1
    assert 0 < engine["experience"]["start_s"] < 10
    assert (await ask(app, "/api/health")).json["engines"][0]["label"] == "attic"


async def test_an_engine_that_is_added_plays_and_one_that_is_removed_goes_when_it_is_not_needed(
    sim: Simulator, second: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=["http://127.0.0.1:9"])
    answer = await send(app, {"url": sim.url, "label": "cellar", "weight": 3, "capacity": 7})
    assert answer.status == 201
    engine = answer.json["engine"]
    assert (engine["label"], engine["weight"], engine["capacity"], engine["at_run_time"]) == ("cellar", 3.0, 7, True)
    await until(lambda: app.pool.find("cellar").state == "up")
    watching = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await watching.reader.readexactly(188 * 100)
    removed = (await ask(app, f"{PATH}/127.0.0.1:9", "DELETE")).json
    assert removed == {"removed": True, "label": "127.0.0.1:9", "gone": True, "streams": 0}
    removed = (await ask(app, f"{PATH}/cellar", "DELETE")).json
    assert removed == {"removed": True, "label": "cellar", "gone": False, "streams": 1}
    (engine,) = await listed(app)
    assert engine["leaving"] is True
    await watching.reader.readexactly(188 * 100)  # with nowhere to go the stream stays where it is
    refused = await ask(app, f"/ace/getstream?id={sim.contents[1].content_id}")
    assert (refused.status, refused.reason) == (503, "no_engine")
    assert (await ask(app, "/api/health")).json["status"] == "unhealthy"
    stopped = await ask(app, f"/api/aceproxy/streams/{sim.contents[0].content_id}", "DELETE")
    assert stopped.status == 200
    await until(lambda: not app.pool.snapshot())
    assert "no engine takes streams" in (await ask(app, "/api/health")).json["message"].lower()


async def test_a_drained_engine_gets_no_new_streams_until_it_is_undrained(
    sim: Simulator, second: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[{"url": sim.url, "label": "attic room"}, second.url])
    await until(lambda: [one.state for one in app.pool.snapshot()] == ["up", "up"])
    drained = await ask(app, f"{PATH}/attic%20room/drain", "POST")
    assert drained.json["engine"]["draining"] is True
    for content in sim.contents[:3]:
        assert (await play(app, f"/ace/getstream?id={content.content_id}")).status == 200
    assert [engine["streams"] for engine in await listed(app)] == [0, 3]
    assert (await ask(app, "/api/health")).json["status"] == "healthy"  # what is drained is no concern
    undrained = await ask(app, f"{PATH}/attic%20room/undrain", "POST")
    assert undrained.json["engine"]["draining"] is False
    assert (await play(app, f"/ace/getstream?id={sim.contents[3].content_id}")).status == 200
    assert [engine["streams"] for engine in await listed(app)] == [1, 3]


async def test_an_engine_that_answers_but_fails_every_start_is_no_sound_one(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(
        engines=[{"url": sim.url, "label": "attic"}], breaker_failures=1, answer_timeout_s=0.2, linger_s=0
    )
    sim.set_fault("json-hang")
    assert (await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}")).reason == "engine_timeout"
    await until(lambda: app.pool.snapshot()[0].state == "up")
    (engine,) = await listed(app)
    assert (engine["breaker"], engine["failures"], engine["experience"]["failures"]) == ("open", 1, 1)
    assert 0 < engine["breaker_wait_s"] <= 10
    health = (await ask(app, "/api/health")).json
    assert (health["status"], health["message"]) == ("degraded", "1 of 1 engines answer. Starts fail on attic.")


async def test_viewers_who_leave_at_once_and_streams_that_are_stopped_or_moved_tell_nothing_against_an_engine(
    sim: Simulator, second: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[{"url": sim.url, "weight": 50}, second.url], linger_s=0, short_play_s=60)
    await until(lambda: [one.state for one in app.pool.snapshot()] == ["up", "up"])
    for content in sim.contents[:2]:
        answer = await play(app, f"/ace/getstream?id={content.content_id}")
        await answer.reader.readexactly(188 * 10)
        answer.close()
    await until(lambda: not app.hub.streams)
    watching = await play(app, f"/ace/getstream?id={sim.contents[2].content_id}")
    await watching.reader.readexactly(188 * 10)
    label = app.pool.snapshot()[0].label
    await ask(app, f"{PATH}/{label}/drain", "POST")
    await until(lambda: [one.streams for one in app.pool.snapshot()] == [0, 1])
    await ask(app, f"/api/aceproxy/streams/{sim.contents[2].content_id}", "DELETE")
    await until(lambda: not app.hub.streams)
    told = [(one["experience"]["starts"], one["failures"], one["breaker"]) for one in await listed(app)]
    assert told == [(3, 0, "closed"), (1, 0, "closed")]


async def test_an_engine_at_an_ipv6_address_has_a_label_that_goes_into_a_path(make_app: MakeApp) -> None:
    app = await make_app(engines=["http://[::1]:9"])
    (engine,) = await listed(app)
    assert engine["label"] == "[::1]:9"
    for label in ("[::1]:9", "%5B::1%5D:9", "%5B%3A%3A1%5D%3A9"):
        assert (await ask(app, f"{PATH}/{label}/drain", "POST")).status == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[]", "not an object"),
        (b'"http://127.0.0.1:6878"', "not an object"),
        (b"{}", "url: Field required"),
        (b'{"url": 5}', "url: "),
        (b'{"url": "ftp://a"}', "not an engine's address"),
        (b'{"url": "http://a/ace/getstream"}', "no path, query or user name"),
        (b'{"url": "http://a:b@c"}', "no path, query or user name"),
        (b'{"url": "http://a b"}', "not an engine's address"),
        (b'{"url": "a", "wieght": 2}', "did you mean weight?"),
        (b'{"url": "a", "weight": 0}', "weight: "),
        (b'{"url": "a", "weight": NaN}', "weight: "),
        (b'{"url": "a", "capacity": "many"}', "capacity: "),
        (b'{"url": "a", "label": "../x"}', "a label has"),
        (b'{"url": "a", "label": ["x"]}', "label: "),
    ],
)
async def test_what_is_no_engine_is_refused_with_what_is_wrong(make_app: MakeApp, body: bytes, words: str) -> None:
    app = await make_app()
    answer = await ask(app, PATH, "POST", body=body)
    assert (answer.status, answer.reason) == (400, "bad_parameter")
    assert words in answer.json["error"]["message"]
    assert len(app.pool.urls) == 1


KEYS = st.sampled_from(["url", "label", "weight", "capacity", "enabled", "x"])
VALUES = st.recursive(st.text() | st.integers() | st.none(), lambda some: st.lists(some) | st.dictionaries(KEYS, some))


@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_engine_or_a_bad_parameter(body: bytes) -> None:
    reason = Reason.BAD_PARAMETER
    try:
        _entry(body)
    except AceProxyError as error:
        reason = error.reason
    assert reason is Reason.BAD_PARAMETER


@pytest.mark.parametrize(
    ("method", "target", "status", "reason"),
    [
        ("DELETE", "/nobody", 404, "engine_not_found"),
        ("POST", "/nobody/drain", 404, "engine_not_found"),
        ("POST", "/nobody/undrain", 404, "engine_not_found"),
        ("PUT", "", 405, "method_not_allowed"),
        ("GET", "/127.0.0.1:9/drain", 405, "method_not_allowed"),
    ],
)
async def test_engines_that_are_not_there_are_told(
    make_app: MakeApp, method: str, target: str, status: int, reason: str
) -> None:
    app = await make_app()
    answer = await ask(app, PATH + target, method)
    assert (answer.status, answer.reason) == (status, reason)


async def test_the_same_engine_twice_is_a_conflict(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    answer = await send(app, {"url": sim.url, "label": "other"})
    assert (answer.status, answer.reason) == (409, "engine_exists")
    answer = await send(app, {"url": "http://127.0.0.1:9", "label": app.pool.snapshot()[0].label})
    assert (answer.status, answer.reason) == (409, "engine_exists")


async def test_only_an_admin_changes_the_engines(make_app: MakeApp) -> None:
    app = await make_app()
    label = app.pool.snapshot()[0].label
    for method, target in (
        ("POST", PATH),
        ("DELETE", f"{PATH}/{label}"),
        ("POST", f"{PATH}/{label}/drain"),
        ("POST", f"{PATH}/{label}/undrain"),
    ):
        answer = await ask(app, target, method, admin=False)
        assert (answer.status, answer.reason) == (401, "sign_in_needed"), (method, target)
    assert (await ask(app, PATH, admin=False)).status == 200
    assert [one.draining for one in app.pool.snapshot()] == [False]


async def test_changes_outlast_a_restart_where_there_is_a_folder_for_them(
    sim: Simulator, make_app: MakeApp, tmp_path: Path
) -> None:
    app = await make_app(state_dir=tmp_path)
    assert (await ask(app, PATH)).json["kept"] is True
    await send(app, {"url": "http://127.0.0.1:9", "label": "cellar"})
    await ask(app, f"{PATH}/cellar/drain", "POST")
    await app.close()
    again = await make_app(state_dir=tmp_path)
    told = [(engine["label"], engine["draining"], engine["at_run_time"]) for engine in await listed(again)]
    assert told == [(sim.url.partition("://")[2], False, False), ("cellar", True, True)]


async def test_no_route_of_the_engines_waits_for_an_engine(sim: Simulator, make_app: MakeApp) -> None:
    sim.set_fault("hung")
    app = await make_app(stat_timeout_s=30.0)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(20))
        label = app.pool.snapshot()[0].label
        assert (await ask(app, PATH)).status == 200
        assert (await send(app, {"url": "http://127.0.0.1:9"})).status == 201
        assert (await ask(app, f"{PATH}/{label}/drain", "POST")).status == 200
        assert (await ask(app, f"{PATH}/{label}/undrain", "POST")).status == 200
        assert (await ask(app, f"{PATH}/{label}", "DELETE")).status == 200


async def test_a_reload_adds_and_removes_engines_while_streams_play(
    sim: Simulator, second: Simulator, play: Play, tmp_path: Path
) -> None:
    path = tmp_path / "aceproxy.toml"

    def write(*engines: Simulator) -> None:
        tables = "".join(f'[[engine]]\nurl = "{one.url}"\nlabel = "e{one.port}"\n' for one in engines)
        path.write_text(f'listen = "127.0.0.1:0"\nretry_first_s = 0.1\n{tables}')

    write(sim)
    loaded = load_settings({}, {}, path)[0]
    async with App(loaded, make_logs(loaded), lambda: read_settings({}, {}, path)) as app:
        await until(lambda: app.pool.snapshot()[0].state == "up")
        watching = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
        await watching.reader.readexactly(188 * 100)
        write(second)
        answer = await ask(app, "/api/reload", "POST")
        assert [one["name"] for one in answer.json["changed"]] == ["engines"]
        await until(lambda: [one.label for one in app.pool.snapshot()] == [f"e{second.port}"])  # it has moved
        await watching.reader.readexactly(188 * 1000)
        assert (await ask(app, "/api/reload", "POST")).json["changed"] == []
        path.write_text('engines = ["ftp://x"]')
        assert (await ask(app, "/api/reload", "POST")).reason == "bad_settings"
        assert len(app.pool.urls) == 1
        watching.close()


async def test_the_usual_capacity_counts_at_once(make_app: MakeApp) -> None:
    app = await make_app(engines=["http://127.0.0.1:9", {"url": "http://127.0.0.1:8", "capacity": 3}])
    await ask(app, "/api/settings", "PATCH", body=b'{"engine_max_streams": 5}')
    assert [one.capacity for one in app.pool.snapshot()] == [5, 3]
