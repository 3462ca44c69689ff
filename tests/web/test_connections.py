"""Connections that wait: slow heads, slow bodies, too many of them; and that none of it disturbs a player."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest

from aceproxy.app import App
from aceproxy.simulator import Simulator
from aceproxy.web import connections
from tests.conftest import MakeApp, ask
from tests.waiting import until

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def connect(app: App, count: int = 1, address: str = "127.0.0.1") -> AsyncIterator[list[Opened]]:
    """Open connections and say nothing."""
    opened: list[Opened] = []
    try:
        for _ in range(count):
            opened.append(await asyncio.open_connection("127.0.0.1", app.port, local_addr=(address, 0)))  # noqa: PERF401
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def ended(reader: asyncio.StreamReader, limit_s: float = 30.0) -> bytes:
    """Return what comes until the connection ends."""
    try:
        return await asyncio.wait_for(reader.read(), limit_s)
    except ConnectionError:
        return b""


async def test_who_says_nothing_is_closed(make_app: MakeApp) -> None:
    app = await make_app(head_timeout_s=0.3)
    async with connect(app) as [(reader, _)]:
        assert await ended(reader) == b""
    assert app.server.connections.turned_away == 1


async def test_a_head_that_trickles_in_is_refused_in_the_one_shape(make_app: MakeApp) -> None:
    app = await make_app(head_timeout_s=0.4)
    loop = asyncio.get_running_loop()
    with socket.socket() as one:  # a bare one: a stream forgets what came before the reset that writing on may bring
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", app.port))
        await loop.sock_sendall(one, b"GET /api/health HTTP/1.1\r\nHost: test\r\nX-")
        told = asyncio.create_task(loop.sock_recv(one, 65536))
        while not told.done():
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(one, b"a")
            await asyncio.wait({told}, timeout=0.05)
        head, _, body = told.result().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["error"]["reason"] == "request_timeout"


async def test_the_head_of_a_later_request_has_the_same_deadline(make_app: MakeApp) -> None:
    app = await make_app(head_timeout_s=0.3)
    async with connect(app) as [(reader, writer)]:
        writer.write(b"GET /static/icon.svg HTTP/1.1\r\nHost: test\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"</svg>"), 30)
        await until(lambda: app.server.connections.waiting == 1)
        assert app.server.connections.turned_away == 0
        writer.write(b"GET /")
        assert b" 408 " in await ended(reader)


async def test_a_connection_may_rest_between_requests(make_app: MakeApp) -> None:
    app = await make_app(head_timeout_s=0.1)
    async with connect(app) as [(reader, writer)]:
        for _ in range(2):
            writer.write(b"GET /static/icon.svg HTTP/1.1\r\nHost: test\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"</svg>"), 30)
            await asyncio.sleep(2 * connections.SWEEP_S)  # rest for longer than a head may take
        assert app.server.connections.turned_away == 0


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_body_that_trickles_in_is_refused(make_app: MakeApp, method: str) -> None:
    app = await make_app(head_timeout_s=0.3)
    async with connect(app) as [(reader, writer)]:
        writer.write(
            f"{method} /api/session HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            "Content-Length: 1000\r\nConnection: close\r\n\r\n{".encode()
        )
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert b" 408 " in answer


@pytest.mark.parametrize("length", ["Content-Length: 200000", "Transfer-Encoding: chunked"])
async def test_a_body_that_is_too_large_is_refused(make_app: MakeApp, length: str) -> None:
    app = await make_app()
    async with connect(app) as [(reader, writer)]:
        writer.write(
            f"POST /api/session HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n{length}\r\n\r\n".encode()
        )
        writer.write(b"30d40\r\n" + b"x" * 200_000 if "chunked" in length else b"x" * 200_000)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert b" 400 " in answer


@pytest.mark.parametrize("head", ["X: " + "a" * 40_000, *["\r\n".join(f"X-{n}: a" for n in range(200))]])
async def test_a_head_that_is_too_large_is_refused(make_app: MakeApp, head: str) -> None:
    app = await make_app()
    assert (await ask(app, "/api/health", headers=f"{head}\r\n")).status == 400


async def test_an_address_with_too_many_loses_those_that_waited_the_longest(make_app: MakeApp) -> None:
    app = await make_app(max_waiting_per_address=5)
    async with connect(app, 8) as many, connect(app, 4, "127.0.0.2") as few:
        for reader, _ in many[:3]:
            assert await ended(reader) == b""
        assert app.server.connections.turned_away == 3
        assert not any(reader.at_eof() for reader, _ in (*many[3:], *few))


async def test_who_comes_with_one_is_served_while_others_come_with_many(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "GRACE_S", 60.0)
    app = await make_app(max_waiting=10)
    async with connect(app, 9, "127.0.0.2") as many, connect(app, 1, "127.0.0.3") as few:
        for _ in range(3):
            assert (await ask(app, "/api/health")).status == 200
        await until(lambda: app.server.connections.turned_away == 3 or app.server.connections.waiting < 10)
        assert await ended(many[0][0]) == b""
        assert not few[0][0].at_eof()
    assert app.server.connections._by_address == {} or app.server.connections.waiting


async def test_when_too_many_wait_the_oldest_gives_way_to_the_newcomer(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "GRACE_S", 0.0)
    app = await make_app(max_waiting=10)
    async with connect(app, 10) as opened:
        assert (await ask(app, "/api/health")).status == 200
        assert await ended(opened[0][0]) == b""
        await until(lambda: app.server.connections.waiting == 9)


async def test_a_flood_within_a_moment_is_refused_beyond_the_limit(make_app: MakeApp) -> None:
    app = await make_app(max_waiting=10)
    async with connect(app, 15):
        await until(lambda: app.server.connections.turned_away >= 5)
        assert app.server.connections.waiting <= 10


async def test_players_do_not_count_as_waiting_and_stay(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app(head_timeout_s=0.2, max_waiting=10, max_waiting_per_address=1)
    player = await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}", stream=True)
    await asyncio.wait_for(player.reader.readexactly(188), 10)
    assert app.server.connections.waiting == 0
    async with connect(app, 10) as opened:
        for reader, _ in opened:
            await ended(reader)
    await asyncio.wait_for(player.reader.readexactly(188 * 2000), 10)
    player.close()


async def test_an_answer_that_nobody_reads_is_given_up(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SEND_LIMIT_S", 0.3)
    app = await make_app()
    big = b"x" * (32 << 20)  # more than the sockets' buffers take
    monkeypatch.setattr("aceproxy.web.api.json_body", lambda _: _web_answer(big))
    async with connect(app) as [(_, writer)]:
        writer.write(b"GET /api/aceproxy/stats HTTP/1.1\r\nHost: test\r\n\r\n")
        await until(lambda: app.server.connections._open == 1)
        await until(lambda: app.server.connections._open == 0)


def _web_answer(body: bytes) -> object:
    from aiohttp import web

    return web.Response(body=body)
