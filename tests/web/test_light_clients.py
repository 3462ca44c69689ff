"""What a player costs while it plays: little memory, and no attention to what it says."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable

from aceproxy.app import App
from aceproxy.simulator import Simulator
from tests.conftest import Answer, MakeApp
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]

FEW, MANY = 5, 35
CLIENT_BYTES = 16 << 10
OURS = ("*/aceproxy/*", "*/aiohttp/*", "*/asyncio/*", "*/contextlib.py", "*/dataclasses.py")


def playing(app: App) -> int:
    """Count the clients that are with the pump."""
    clients = [client for stream in app.hub.streams for client in stream.clients.values()]
    return sum(client.outlet is not None for client in clients)


async def test_a_client_takes_little_memory_while_it_plays(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(log_level="warning")
    target = (
        f"GET /ace/getstream?id={sim.contents[0].content_id} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: VLC\r\n\r\n"
    )
    writers: list[asyncio.StreamWriter] = []

    async def join(count: int) -> int:
        """Have `count` players that read nothing; return the memory in use."""
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", app.port, limit=1024)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is one that reads
            writer.write(target.encode())
            writers.append(writer)
        await until(lambda: playing(app) == len(writers))
        gc.collect()
        found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, one) for one in OURS])
        return sum(trace.size for trace in found.traces)

    tracemalloc.start()
    try:
        few = await join(FEW)
        more = await join(MANY)
    finally:
        tracemalloc.stop()
    for writer in writers:
        writer.transport.abort()
    # half of the sockets and transports are the players' own, and some that is not theirs alone is counted
    assert (more - few) / MANY < CLIENT_BYTES
    await until(lambda: not app.hub.client_count)


async def test_what_a_player_says_while_it_plays_is_not_heard_and_its_leaving_is(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188 * 100)
    for words in (b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 70_000, b"nonsense\r\n\r\n"):
        answer.writer.write(words)
        await answer.writer.drain()
        assert (await answer.reader.readexactly(188 * 200))[::188] == b"G" * 200
    assert app.hub.client_count == 1
    answer.close()
    await until(lambda: not app.hub.client_count)
    assert app.hub.counters.clients_closed_by_reason == {"client_left": 1}
