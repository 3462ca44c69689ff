"""The calls of one engine's API, on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from aceproxy.engine.api import EngineApi, EngineLimits, Playback
from aceproxy.engine.links import Link, LinkKind, parse_link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator

Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[str]]
Engine = Callable[[bytes], Awaitable[EngineApi]]

HEX = "0a4848271c91ce2d8965ce416267c25047dc8141"
PLAYBACK = Playback(
    "http://127.0.0.1:1", "pid", "http://h/ace/r/a/b", "http://h/ace/stat/a/b", "http://h/ace/cmd/a/b", None, "",
    is_live=True, is_encrypted=False,
)  # fmt: skip


@pytest.fixture
def engine(serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits) -> Engine:
    """An engine that answers every request with the same bytes."""

    async def make(answer: bytes) -> EngineApi:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

        return EngineApi(await serve(converse), session, limits)

    return make


async def failure(call: Awaitable[object]) -> AceProxyError:
    with pytest.raises(AceProxyError) as caught:
        await call
    return caught.value


def page(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + status, *headers, b"", body))


async def test_the_version_is_told(api: EngineApi) -> None:
    version = await api.version()
    assert version.version
    assert version.code is not None


async def test_a_start_call_carries_link_index_pid_and_parameters(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits
) -> None:
    heads: list[str] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        answer = {"response": {"playback_url": "http://192.0.2.1:1/ace/r/x/y"}}
        writer.write(page(json.dumps(answer).encode()))

    url = await serve(converse)
    link = parse_link("http://example.org/a?b=c&d=%20#x")
    playback = await EngineApi(url + "/", session, limits).start(
        Link(link.kind, link.value, 3), {"quality": "720p", "pid": "evil", "format": "redirect"}, "my-pid"
    )
    asked = urlsplit(heads[0].split(" ")[1])
    assert asked.path == "/ace/getstream"
    assert parse_qs(asked.query) == {
        "format": ["json"], "pid": ["my-pid"], "url": ["http://example.org/a?b=c&d=%20"], "_idx": ["3"],
        "quality": ["720p"],
    }  # fmt: skip
    assert "accept-encoding: identity" in heads[0].lower()
    assert "cookie" not in heads[0].lower()
    assert playback.playback_url == url + "/ace/r/x/y"
    assert (playback.pid, playback.engine_url, playback.key) == ("my-pid", url, Link(link.kind, link.value, 3).key)


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (b"", Reason.ENGINE_REFUSED, "closed without an answer"),
        (page(b"no", b"403 Forbidden"), Reason.ENGINE_REFUSED, "no"),
        (page(b"", b"302 Found", b"Location: http://cdn.example/x.m3u8"), Reason.ENGINE_REDIRECTED, "cdn.example"),
        (page(b"", b"302 Found", b"Location: http://[::1"), Reason.ENGINE_REDIRECTED, ""),
        (page(b"", b"302 Found"), Reason.ENGINE_REDIRECTED, ""),
        (page(b"", b"302 Found", f"Location: http://x/ace/r/{HEX}/ab".encode()), Reason.ENGINE_ERROR, "redirected"),
        (page(b"couldn't find resource", b"500 Error"), Reason.CONTENT_NOT_FOUND, "HTTP 500"),
        (page(b"KeyError", b"500 Error"), Reason.ENGINE_ERROR, "KeyError"),
        (page(b"", b"200 OK"), Reason.ENGINE_ERROR, "an empty answer"),
        (page(b"short", b"200 OK", b"Content-Length: 100"), Reason.ENGINE_ERROR, "broke off"),
        (page(b"x" * 300_000), Reason.ENGINE_ERROR, "too long"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", Reason.ENGINE_ERROR, "not HTTP"),
        (page(b"\xff\xfe{}"), Reason.ENGINE_ERROR, "not JSON"),
    ],
)
async def test_answers_to_a_start_that_are_none(engine: Engine, answer: bytes, reason: Reason, words: str) -> None:
    api = await engine(answer)
    error = await failure(api.start(Link(LinkKind.CONTENT_ID, HEX), {}, "pid"))
    assert error.reason is reason
    assert words in error.detail


async def test_limits_tell_a_hung_engine_from_one_that_is_not_there(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    hung = EngineApi(await serve(hang), session, limits)
    gone = EngineApi("http://127.0.0.1:1", session, limits)
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    assert (await failure(hung.version())).reason is Reason.ENGINE_TIMEOUT
    assert limits.stat_timeout_s <= loop.time() - began_at < limits.answer_timeout_s
    assert (await failure(gone.version())).reason is Reason.ENGINE_UNREACHABLE
    assert await hung.stop(PLAYBACK) is False
    assert await gone.stop(PLAYBACK) is False
    assert await hung.resolve(parse_link(HEX)) is None
    assert loop.time() - began_at < 15


async def test_an_endless_answer_costs_no_more_than_the_limit(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits
) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(page(b""))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert (await failure(EngineApi(await serve(drip), session, limits).version())).reason is Reason.ENGINE_TIMEOUT


async def test_hung_calls_do_not_block_others(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits
) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"getstream" in await reader.readuntil(b"\r\n\r\n"):
            await reader.read()
        writer.write(page(b'{"result": {"version": "3.2.3"}}'))

    api = EngineApi(await serve(converse), session, limits)
    hung = [asyncio.ensure_future(api.start(parse_link(HEX), {}, str(n))) for n in range(150)]
    await asyncio.sleep(0.05)
    assert (await api.version()).version == "3.2.3"
    assert not any(call.done() for call in hung)
    for call in hung:
        call.cancel()
    await asyncio.wait(hung)


@pytest.mark.parametrize(
    ("answer", "stopped"),
    [
        (page(b'{"response": "ok", "error": null}'), True),
        (page(b'{"result": "ok"}'), True),
        (page(b'{"response": null, "error": "unknown playback session id"}'), True),
        (page(b'{"response": null, "error": "something else"}'), False),
        (page(b"garbage"), False),
        (page(b"", b"500 Error"), False),
        (b"", False),
    ],
)
async def test_stop_says_whether_it_is_certain_and_never_raises(engine: Engine, answer: bytes, stopped: bool) -> None:
    assert await (await engine(answer)).stop(PLAYBACK) is stopped


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (page(b'{"response": null, "error": "unknown playback session id"}'), Reason.SESSION_LOST),
        (page(b"", b"404 Not Found"), Reason.SESSION_LOST),
        (page(b"", b"403 Forbidden"), Reason.SESSION_LOST),
        (page(b"x", b"500 Error"), Reason.ENGINE_ERROR),
    ],
)
async def test_stat_failures(engine: Engine, answer: bytes, reason: Reason) -> None:
    assert (await failure((await engine(answer)).stat(PLAYBACK))).reason is reason


async def test_links_are_resolved_without_playing(api: EngineApi, simulator: Simulator) -> None:
    content = simulator.contents[0]
    assert await api.resolve(parse_link(content.content_id)) == content.infohash
    described = await api.describe(parse_link(content.content_id))
    assert described is not None
    assert (described.infohash, described.is_live) == (content.infohash, True)
    assert await api.describe(Link(LinkKind.CONTENT_ID, "0" * 40)) is None
    assert await api.resolve(Link(LinkKind.INFOHASH, HEX)) == HEX
    assert await api.resolve(Link(LinkKind.CONTENT_ID, "0" * 40)) is None
    assert simulator.playbacks == ()


async def test_nothing_is_asked_once_the_session_is_closed(
    api: EngineApi, session: aiohttp.ClientSession, simulator: Simulator
) -> None:
    await session.close()
    assert (await failure(api.version())).reason is Reason.ENGINE_UNREACHABLE
    assert await api.stop(PLAYBACK) is False
    assert simulator.requests == []


def test_limits_come_from_the_settings() -> None:
    settings = Settings(
        connect_timeout_s=1, answer_timeout_s=2, stat_timeout_s=3, stop_timeout_s=4, start_poll_s=5, retry_first_s=6
    )
    assert EngineLimits.from_settings(settings) == EngineLimits(1, 2, 3, 4, 5, 6)
