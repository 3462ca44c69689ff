"""Whether an engine lives whose stream is silent: asked at once, answered soon or noted, and nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from aceproxy.engine import pooled
from aceproxy.engine.links import parse_link
from aceproxy.engine.pool import EngineHandle, EnginePool
from aceproxy.errors import Reason
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator, SimulatorConfig
from tests.engine.conftest import Serve
from tests.waiting import until

LINK = parse_link("0a4848271c91ce2d8965ce416267c25047dc8141")
Make = Callable[..., EnginePool]


@pytest.fixture
async def second(nothing_leaks: None) -> AsyncIterator[Simulator]:
    """Return another engine."""
    async with Simulator(SimulatorConfig.fast()) as simulator:
        yield simulator


@pytest.fixture
async def make(session: aiohttp.ClientSession) -> AsyncIterator[Make]:
    """Build pools whose engines are probed once and then only when there is reason to; closed after the test."""
    pools: list[EnginePool] = []

    def build(*urls: str, sign_of_life_s: float = 0.2) -> EnginePool:
        settings = Settings(engines=urls, engine_probe_s=600, stat_timeout_s=60, sign_of_life_s=sign_of_life_s)
        pools.append(EnginePool(settings, session))
        pools[-1].start()
        return pools[-1]

    yield build
    for pool in pools:
        await pool.close()


@pytest.fixture
def old_answers_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have engines doubted however short ago they answered."""
    monkeypatch.setattr(pooled, "DOUBT_PAUSE_S", 0.0)


async def slot_on(pool: EnginePool, url: str) -> EngineHandle:
    """Return a slot on one engine once all are up."""
    await until(lambda: all(one.state == "up" for one in pool.snapshot()))
    return pool.choose(LINK, prefer=url)


@pytest.mark.usefixtures("old_answers_prove_nothing")
async def test_an_engine_that_owes_a_sign_of_life_is_better_left_long_before_its_call_is_given_up(
    make: Make, simulator: Simulator, second: Simulator
) -> None:
    pool = make(simulator.url, second.url)
    handle = await slot_on(pool, simulator.url)
    simulator.set_fault("hung")
    handle.note_doubt()
    await until(lambda: handle.better_left is not None)
    assert handle.better_left is not None
    assert handle.better_left.reason is Reason.ENGINE_TIMEOUT
    assert pool.snapshot()[0].state == "up", "the call itself has a minute"
    assert pool.choose(LINK, prefer=simulator.url).url == second.url, "nothing new begins there"


@pytest.mark.usefixtures("old_answers_prove_nothing")
async def test_a_late_answer_takes_the_doubt_back(make: Make, serve: Serve, second: Simulator) -> None:
    may_answer = asyncio.Event()
    may_answer.set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await may_answer.wait()
        body = b'{"result": {"version": "3.2.3", "code": 3020300}, "error": null}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)

    slow = await serve(answer)
    pool = make(slow, second.url)
    handle = await slot_on(pool, slow)
    may_answer.clear()
    handle.note_doubt()
    await until(lambda: handle.better_left is not None)
    may_answer.set()
    await until(lambda: handle.better_left is None)
    assert [one.state for one in pool.snapshot()] == ["up", "up"]


async def test_an_engine_that_answers_is_not_left_and_not_asked_again_and_again(
    make: Make, simulator: Simulator, second: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make(simulator.url, second.url, sign_of_life_s=20)
    handle = await slot_on(pool, simulator.url)
    asked, asked_second = len(simulator.requests), len(second.requests)
    monkeypatch.setattr(pooled, "DOUBT_PAUSE_S", 0.0)
    for _ in range(100):
        handle.note_doubt()
    monkeypatch.setattr(pooled, "DOUBT_PAUSE_S", 600.0)
    await until(lambda: len(simulator.requests) > asked)
    for _ in range(100):
        handle.note_doubt()
    other = pool.choose(LINK, prefer=second.url)
    monkeypatch.setattr(pooled, "DOUBT_PAUSE_S", 0.0)
    other.note_doubt()  # once this is answered, what the first was asked has had its time as well
    await until(lambda: len(second.requests) > asked_second)
    assert handle.better_left is None
    assert len(simulator.requests) == asked + 1


async def test_what_an_engine_told_before_a_silence_began_proves_nothing(make: Make, simulator: Simulator) -> None:
    pool = make(simulator.url, sign_of_life_s=20)
    handle = await slot_on(pool, simulator.url)
    await until(lambda: handle.owes_since is None)
    asked, silent_since = len(simulator.requests), asyncio.get_running_loop().time()
    simulator.set_fault("hung")
    handle.note_doubt(silent_since)
    await until(lambda: (handle.owes_since or 0.0) >= silent_since)
    simulator.clear_faults()
    await until(lambda: handle.owes_since is None)
    assert len(simulator.requests) > asked
    told = len(simulator.requests)
    for _ in range(100):
        handle.note_doubt(silent_since)  # it has told since then
    await asyncio.sleep(0)
    assert handle.owes_since is None
    assert len(simulator.requests) == told


@pytest.mark.usefixtures("old_answers_prove_nothing")
async def test_a_refused_connection_is_known_at_once(make: Make, simulator: Simulator, second: Simulator) -> None:
    pool = make(simulator.url, second.url, sign_of_life_s=20)
    handle = await slot_on(pool, simulator.url)
    simulator.set_fault("down")
    handle.note_doubt()
    await until(lambda: handle.better_left is not None)
    assert handle.better_left is not None
    assert handle.better_left.reason is Reason.ENGINE_UNREACHABLE


@pytest.mark.usefixtures("old_answers_prove_nothing")
async def test_where_no_other_engine_can_do_a_mute_one_is_not_left(
    make: Make, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(simulator.url)
    handle = await slot_on(pool, simulator.url)
    simulator.set_fault("hung")
    with caplog.at_level(logging.WARNING):
        handle.note_doubt()
        await until(lambda: "does not tell its version" in caplog.text)
    assert handle.better_left is None
    assert pool.choose(LINK).url == simulator.url
