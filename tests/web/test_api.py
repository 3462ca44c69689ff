"""The API and the pages: shapes, errors, headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from aceproxy import __version__
from aceproxy.app import App
from aceproxy.simulator import Simulator
from aceproxy.streams.snapshot import EngineStat
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]


async def test_health_tells_the_engines_as_last_probed(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    await until(lambda: app.pool.snapshot()[0].state == "up")
    health = (await ask(app, "/api/health")).json
    assert health["status"] == "healthy"
    assert health["version"] == __version__
    assert health["uptime_s"] >= 0
    assert health["engines"][0]["url"] == sim.url
    assert health["engines"][0]["reachable"] is True
    assert health["engines"][0]["version"] == "3.2.3"


async def test_health_without_any_engine_is_unhealthy_and_says_what_to_do(make_app: MakeApp) -> None:
    app = await make_app(engines=["http://127.0.0.1:9"])
    await until(lambda: app.pool.snapshot()[0].state == "down")
    answer = await ask(app, "/api/health")
    assert answer.status == 200
    assert answer.json["status"] == "unhealthy"
    assert "--bind-all" in answer.json["message"]


async def test_health_with_one_of_two_engines_is_degraded(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[sim.url, "http://127.0.0.1:9"])
    await until(lambda: [one.state for one in app.pool.snapshot()] == ["up", "down"])
    assert (await ask(app, "/api/health")).json["status"] == "degraded"


async def test_a_start_goes_to_the_next_engine_when_one_cannot_be_reached(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=["http://127.0.0.1:9", sim.url])
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    assert answer.status == 200
    assert len(sim.playbacks) == 1


async def test_stats_and_streams_of_an_idle_program_are_empty(make_app: MakeApp) -> None:
    app = await make_app()
    stats = (await ask(app, "/api/aceproxy/stats")).json
    assert (stats["total_streams"], stats["total_clients"], stats["inbound_bytes"]) == (0, 0, 0)
    streams = (await ask(app, "/api/aceproxy/streams")).json
    assert streams == {"total_streams": 0, "total_clients": 0, "streams": [], "recent": []}
    assert (await ask(app, "/ace/status")).json == {"streams": 0}


async def test_a_running_stream_is_described(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(stat_poll_s=0.1)
    answer = await ask(
        app, f"/ace/getstream?id={sim.contents[0].content_id}", headers="User-Agent: <b>Player\t</b>\r\n", stream=True
    )
    await answer.reader.readexactly(188 * 3000)
    await until(lambda: app.hub.streams[0].intake.bitrate_bps and app.hub.streams[0].intake.inbound_bps)
    stream = (await ask(app, "/api/aceproxy/streams")).json["streams"][0]
    answer.close()
    assert stream["stream_id"] == sim.contents[0].content_id
    assert stream["infohash"] == sim.contents[0].infohash
    assert stream["title"] == sim.contents[0].name
    assert stream["state"] == "live"
    assert stream["is_active"] is True
    assert stream["client_count"] == len(stream["clients"]) == 1
    assert stream["created_at"].endswith("Z")
    assert {codec["codec"] for codec in stream["codecs"]} == {"h264", "aac"}
    assert stream["engine_stat"]["status"] == "dl"
    assert stream["engine_stat"]["peers"] > 0
    assert stream["bitrate_bps"] > 5_000_000
    assert stream["buffer_s"] > 0
    client = stream["clients"][0]
    assert client["address"] == "127.0.0.1"
    assert client["agent"] == "<b>Player </b>"
    assert client["sent_bytes"] >= 188 * 3000
    assert client["skips"] == 0


async def test_what_an_engine_said_during_the_start_is_not_told_for_ever(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(stat_max_age_s=2, stat_timeout_s=0.1)
    sim.set_fault("stat-hang")
    await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")

    told = (await ask(app, "/api/aceproxy/streams")).json["streams"][0]["engine_stat"]
    assert told["status"] == "starting"
    source = app.hub.streams[0].source
    assert source is not None
    await until(lambda: source.engine_stat(asyncio.get_running_loop().time()) == EngineStat())


@pytest.mark.parametrize(
    ("method", "target", "status", "reason"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("GET", "/static/..%2f..%2fapp.py", 404, "not_found"),
        ("POST", "/api/health", 405, "method_not_allowed"),
        ("GET", "/api/aceproxy/streams/" + "a" * 40, 404, "stream_not_running"),
        ("DELETE", "/api/aceproxy/streams/" + "a" * 40, 404, "stream_not_running"),
        ("DELETE", "/api/aceproxy/streams/x/clients/y", 404, "stream_not_running"),
        ("GET", "/ace/status?id=" + "a" * 40, 404, "stream_not_running"),
        ("GET", "/ace/status?id=nonsense", 400, "bad_link"),
        ("GET", "/api/logs/tail?lines=abc", 400, "bad_parameter"),
        ("GET", "/api/logs/tail?lines=-1", 400, "bad_parameter"),
        ("GET", "/api/logs/tail?lines=%D9%A3", 400, "bad_parameter"),
    ],
)
async def test_every_error_has_the_same_shape(
    make_app: MakeApp, method: str, target: str, status: int, reason: str
) -> None:
    app = await make_app()
    answer = await ask(app, target, method)
    assert answer.status == status
    assert set(answer.json) == {"error"}
    assert answer.reason == reason
    assert answer.json["error"]["message"]


async def test_a_mistake_of_ours_is_a_500_without_a_trace_in_the_answer(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app()

    def broken() -> None:
        raise RuntimeError("made for this test")

    monkeypatch.setattr(app.pool, "snapshot", broken)
    answer = await ask(app, "/api/health")
    assert (answer.status, answer.reason) == (500, "internal")
    assert b"made for this test" not in answer.body
    assert any("made for this test" in line.message for line in app.logs.ring.tail(20))


async def test_the_log_tail_is_bounded_and_structured(make_app: MakeApp) -> None:
    app = await make_app()
    whole = (await ask(app, "/api/logs/tail?lines=5000")).json
    assert whole["total_lines"] == whole["returned_lines"] == len(whole["lines"]) > 0
    assert {"time", "level", "logger", "message", "stream", "id"} == set(whole["lines"][0])
    assert (await ask(app, "/api/logs/tail?lines=1")).json["returned_lines"] == 1
    assert (await ask(app, "/api/logs/tail?lines=0")).json["lines"] == []


async def test_pages_and_answers_carry_security_headers(make_app: MakeApp) -> None:
    app = await make_app()
    page = await ask(app, "/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for answer in (page, await ask(app, "/api/health"), await ask(app, "/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["server"] == "AceProxy"
    tag = page.headers["etag"]
    assert (await ask(app, "/", headers=f"If-None-Match: {tag}\r\n")).status == 304
    assert (await ask(app, "/favicon.ico")).headers["content-type"] == "image/svg+xml"


async def test_two_apps_do_not_fit_one_port(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    with pytest.raises(OSError, match="address already in use"):
        await make_app(listen=f"127.0.0.1:{app.port}")
    assert (await ask(app, "/api/health")).status == 200


async def test_routes_answer_while_an_engine_call_hangs(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(linger_s=0)
    sim.set_fault("json-hang")
    waiting = asyncio.create_task(ask(app, f"/ace/getstream?id={sim.contents[0].content_id}"))
    await until(lambda: app.hub.streams and app.hub.streams[0].waiting == 1)
    for target in ("/", "/api/health", "/api/aceproxy/stats", "/api/aceproxy/streams", "/api/logs/tail", "/ace/status"):
        async with asyncio.timeout(5):
            assert (await ask(app, target)).status == 200
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: not app.hub.streams)


@pytest.mark.parametrize(
    ("target", "headers"), [("/?token=secret" + "a" * 50_000, ""), ("/livez", f"X: secret{'a' * 50_000}\r\n")]
)
async def test_what_is_too_long_is_told_without_what_was_read_of_it(
    make_app: MakeApp, target: str, headers: str
) -> None:
    answer = await ask(await make_app(), target, headers=headers)
    assert (answer.status, answer.reason) == (400, "request_refused")
    detail = answer.json["error"]["detail"]
    assert detail.startswith("Got more than ")
    assert detail.endswith(" bytes in the address or in one header")
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("target", "headers"), [("/" + "a" * 100_000, ""), ("/api/health", "User-Agent: \x1b\r\n"), ("/ spaced out", "")]
)
async def test_what_is_no_request_gets_the_same_kind_of_answer(make_app: MakeApp, target: str, headers: str) -> None:
    app = await make_app()
    answer = await ask(app, target, headers=headers)
    assert (answer.status, answer.reason) == (400, "request_refused")
    assert answer.headers["server"] == "AceProxy"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await ask(app, "/api/health")).status == 200
