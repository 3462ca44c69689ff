"""How segments are sent to players that take them slowly, or not at all: real sockets, and no stream behind them."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import weakref
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from aceproxy.hls.playlist import Segment
from aceproxy.hls.window import HeldSegment
from aceproxy.streams.block import Block
from aceproxy.web import segments
from aceproxy.web.segments import Span, send_segment
from tests.waiting import until

SIZE = 8 << 20  # more than sockets hold
STALL_S = 1.5
SMALL_BYTES = 16 << 10
HEAD_END = b"\r\n\r\n"


class Shop:
    """A server of one segment. `outcomes` tells how each request ended, `sent_bytes` what was told of pieces."""

    def __init__(self) -> None:
        block = Block(0, 0.0, capacity=SIZE)
        block.append(memoryview(bytes(range(256)) * (SIZE // 256)))
        self.held = HeldSegment(Segment(1, 8.0, datetime.now(UTC), False, False), b"", block, 0.0)
        self.outcomes: list[str] = []
        self.sent_bytes = 0
        self.signs = 0  # of life, without a piece
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send the segment."""
        response = web.StreamResponse()
        try:
            await send_segment(request, response, self.held, Span(0, SIZE, SIZE), STALL_S, self.note)
        except ConnectionError as error:
            self.outcomes.append(str(error))
            return response
        self.outcomes.append("sent")
        return response

    def note(self, count: int) -> None:
        """Hear of a piece."""
        self.sent_bytes += count
        self.signs += count == 0


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """Serve a segment."""
    found = Shop()
    app = web.Application()
    app.router.add_get("/", found.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = int(runner.addresses[0][1])
    yield found
    await runner.cleanup()


async def asking(shop: Shop) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for the segment with a small buffer of the kernel; return the connection behind the answer's head."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", shop.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=SMALL_BYTES)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await reader.readuntil(HEAD_END)).startswith(b"HTTP/1.1 200")
    return reader, writer


async def test_a_player_that_takes_a_segment_slowly_gets_all_of_it(shop: Shop) -> None:
    reader, writer = await asking(shop)
    got, until_at = bytearray(), time.monotonic() + 1.5 * STALL_S
    while time.monotonic() < until_at:
        got += await reader.read(2048)
        await asyncio.sleep(0.02)
    assert len(got) < 1 << 20, "or it was not slow"
    assert shop.signs > 0
    while len(got) < SIZE and (part := await reader.read(1 << 20)):
        got += part
    writer.close()
    assert bytes(got) == bytes(range(256)) * (SIZE // 256)
    assert shop.outcomes == ["sent"]
    assert shop.sent_bytes == SIZE


async def test_a_player_that_takes_nothing_is_cut_off_in_time(shop: Shop) -> None:
    reader, writer = await asking(shop)
    began_at = time.monotonic()
    await until(lambda: bool(shop.outcomes))
    assert shop.outcomes == ["the player took nothing for too long"]
    assert time.monotonic() - began_at >= STALL_S
    got = 0
    try:
        while part := await reader.read(1 << 20):
            got += len(part)
    except ConnectionError:
        pass
    writer.close()
    assert got < SIZE


async def test_a_player_that_takes_next_to_nothing_is_cut_off_in_the_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "LONGEST", 1.5)
    reader, writer = await asking(shop)
    began_at = time.monotonic()
    async with asyncio.timeout(30):
        while not shop.outcomes:
            await reader.read(2048)
            await asyncio.sleep(0.02)
    writer.close()
    assert shop.outcomes == ["the player took nothing for too long"]
    assert time.monotonic() - began_at >= 1.5 * STALL_S


async def test_a_player_that_leaves_within_a_segment_leaves_nothing_of_it_behind(shop: Shop) -> None:
    block = weakref.ref(shop.held.block)
    gc.disable()  # what knows each other would be found now and then only
    try:
        _, writer = await asking(shop)
        writer.transport.abort()
        await until(lambda: bool(shop.outcomes))
        del shop.held
        await until(lambda: block() is None)
    finally:
        gc.enable()
