"""The bench's own tools: what they measure must be what happened."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from bench.building import Programs, build
from bench.hls_load import Connection
from bench.targets import STREAM_PATH

from tests.system.programs import tool
from tests.waiting import until

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HOLD_S = 0.6  # for which one answer is held back
RATE = 20
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n12345"


@pytest.fixture(scope="module")
def native() -> Programs:
    tool("cc")
    return build()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a connection's requests at once, but for the tenth for `/held`, and refuse `/refused`."""
    number = 0
    while head := await reader.readuntil(b"\r\n\r\n"):
        number += 1
        if b"GET /held" in head and number == 10:
            await asyncio.sleep(HOLD_S)
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n" if b"GET /refused" in head else ANSWER)


@contextlib.asynccontextmanager
async def serving(
    converse: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve connections on a port, which is given; at the end every one of them is really closed."""
    writers: list[asyncio.StreamWriter] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, EOFError):
            await converse(reader, writer)

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_the_prober_feels_a_held_answer_in_those_that_were_due_meanwhile(
    native: Programs,
) -> None:
    async with serving(serve) as port:
        process = await asyncio.create_subprocess_exec(
            *(native.probe, "--port", str(port), "--rate", str(RATE), "--seconds", "1.5"),
            *("--routes", "/held /plain /refused"),
            stdout=subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    routes = json.loads(out)["routes"]
    held, plain, refused = routes["/held"], routes["/plain"], routes["/refused"]
    assert held["count"] == plain["count"] == refused["count"] == 1.5 * RATE
    assert held["errors"] == plain["errors"] == 0
    assert refused["errors"] == refused["count"]
    assert plain["answer_bytes"] == 5
    assert held["max"] >= HOLD_S * 1e3
    # ten more were due while it was held, and those wait for less and less: half of these 30 is not at once there
    assert held["p50"] < held["max"]
    assert held["p99"] >= HOLD_S * 1e3 - 1e3 / RATE


async def test_an_hls_viewer_of_the_bench_ends_when_it_is_cancelled_as_its_answer_comes() -> None:
    loop = asyncio.get_running_loop()
    viewer = Connection()
    asked = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with serving(hold) as port:
        transport, _ = await loop.create_connection(lambda: viewer, "127.0.0.1", port)

        async def watch() -> None:
            while True:
                await viewer.get("/list", port, 100)

        watching = asyncio.create_task(watch())
        await until(asked.is_set)
        viewer.get_buffer(0)[: len(ANSWER)] = ANSWER
        viewer.buffer_updated(len(ANSWER))  # the answer is there
        watching.cancel()  # and before anybody has looked at it, the end
        await until(watching.done)
        assert watching.cancelled()
    transport.abort()


@contextlib.asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[int]:
    """Run a program of the bench that says where it listens."""
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int((await asyncio.wait_for(process.stdout.readline(), 60)).split()[1])
    finally:
        process.terminate()
        await process.communicate()


async def test_the_reference_that_only_receives_takes_all_that_its_source_sends_and_gives_nothing(
    native: Programs,
) -> None:
    async with (
        running(native.source, "--bitrate", "16e6") as engine,
        running(native.fanout, "--engine-port", str(engine), "--mode", "receive") as port,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(STREAM_PATH.format("1" * 40).join(("GET ", " HTTP/1.1\r\n\r\n")).encode())
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)

        def stats() -> dict[str, float]:
            with urllib.request.urlopen(f"http://127.0.0.1:{engine}/bench/stats", timeout=60) as answer:
                return dict(json.load(answer))

        # far more than what fits into the sockets between the two
        await until(lambda: stats()["media_bytes"] > 3e6 or stats()["blocked_ticks"] > 100, 60)
        assert stats()["blocked_ticks"] <= 100
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.01)
        writer.close()
        await writer.wait_closed()
