"""Engines for the tests: the simulator, and hand-written servers where a test decides over every byte on the wire."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from aceproxy.engine.api import EngineApi, EngineLimits, engine_session
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.simulator import Simulator, SimulatorConfig

Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[str]]


@pytest.fixture
def limits() -> EngineLimits:
    """Short limits: a test must not wait long for what never comes."""
    return EngineLimits(
        connect_timeout_s=1.0,
        answer_timeout_s=2.0,
        stat_timeout_s=0.4,
        stop_timeout_s=0.3,
        start_poll_s=0.03,
        retry_first_s=0.05,
    )


def _others() -> set[asyncio.Task[object]]:
    """The tasks that run beside this one (a fixture's setup and its end are tasks of their own)."""
    return asyncio.all_tasks() - {asyncio.current_task()}


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted before and after, it must stay cheap


@pytest.fixture
async def nothing_leaks() -> AsyncIterator[None]:
    """Fail the test if it leaves a task or a descriptor behind (after the fixtures it uses are gone)."""
    await asyncio.sleep(0)
    tasks, descriptors = _others(), _descriptors()
    yield
    for _ in range(100):  # connections that were just closed need a few turns of the loop
        if _others() <= tasks and _descriptors() <= descriptors:
            break
        await asyncio.sleep(0.01)
    assert _others() - tasks == set()
    assert _descriptors() <= descriptors


@pytest.fixture
async def session(nothing_leaks: None, limits: EngineLimits) -> AsyncIterator[aiohttp.ClientSession]:
    """The HTTP session for API calls."""
    async with engine_session(limits) as session:
        yield session


@pytest.fixture
async def simulator(nothing_leaks: None) -> AsyncIterator[Simulator]:
    """An engine that starts at once."""
    async with Simulator(SimulatorConfig.fast()) as simulator:
        yield simulator


@pytest.fixture
def api(simulator: Simulator, session: aiohttp.ClientSession, limits: EngineLimits) -> EngineApi:
    """The API of that engine."""
    return EngineApi(simulator.url, session, limits)


@pytest.fixture
async def stopper(session: aiohttp.ClientSession, limits: EngineLimits) -> AsyncIterator[PlaybackStopper]:
    """A keeper of playbacks; whatever a test leaves to it is done before the test is over."""
    stopper = PlaybackStopper(session, limits)
    yield stopper
    await stopper.drain(2.0)


@pytest.fixture
async def serve(nothing_leaks: None) -> AsyncIterator[Serve]:
    """Start a server that gives each connection to a coroutine, and return its address; closed after the test."""
    servers: list[asyncio.Server] = []
    connections: set[asyncio.Task[None]] = set()

    async def start(converse: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await converse(reader, writer)
            except (ConnectionError, asyncio.CancelledError):
                pass  # the client under test went away, which is its right, or the test is over
            finally:
                writer.close()
                connections.discard(task)

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        servers.append(server)
        return "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]  # noqa: UP031

    yield start
    for server in servers:
        server.close()
    for task in list(connections):
        task.cancel()
    if connections:
        await asyncio.wait(connections, timeout=2.0)
