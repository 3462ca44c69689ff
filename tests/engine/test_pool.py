"""Which engine plays a stream: slots, and health that is noticed without anybody waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from aceproxy.engine.api import EngineApi
from aceproxy.engine.links import parse_link
from aceproxy.engine.pool import EnginePool, EngineSnapshot
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator, SimulatorConfig

LINK = parse_link("0a4848271c91ce2d8965ce416267c25047dc8141")
Make = Callable[..., EnginePool]


@pytest.fixture
async def make(session: aiohttp.ClientSession) -> AsyncIterator[Make]:
    """Build pools of these addresses; closed after the test."""
    pools: list[EnginePool] = []

    def build(*urls: str, capacity: int = 2) -> EnginePool:
        settings = Settings(
            engines=urls, engine_max_streams=capacity, engine_probe_s=0.1, stat_timeout_s=0.1, connect_timeout_s=0.5
        )
        pools.append(EnginePool(settings, session))
        return pools[-1]

    yield build
    for pool in pools:
        await pool.close()


@pytest.fixture
async def second(nothing_leaks: None) -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorConfig.fast()) as simulator:
        yield simulator


async def until(pool: EnginePool, *states: str, limit_s: float = 30.0) -> tuple[EngineSnapshot, ...]:
    await met(lambda: tuple(one.state for one in pool.snapshot()) == states, limit_s)
    return pool.snapshot()


async def met(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens behind a socket
            await asyncio.sleep(0.01)


async def test_health_is_noticed_in_the_background(
    make: Make, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(simulator.url)
    (told,) = pool.snapshot()
    assert (told.url, told.state, told.version, told.streams, told.capacity) == (simulator.url, "unknown", "", 0, 2)
    assert (told.breaker, told.starts, told.start_s, told.last_ok_age_s, told.last_error) == (
        "closed",
        0,
        None,
        None,
        "",
    )
    with caplog.at_level(logging.INFO):
        pool.start()
        (told,) = await until(pool, "up")
        assert told.version == simulator.config.version
        assert told.last_ok_age_s is not None
        assert told.last_ok_age_s < 1
        simulator.set_fault("hung")
        (told,) = await until(pool, "hung")
        assert told.last_error
        probes = len(simulator.requests)
        await met(lambda: len(simulator.requests) > probes + 1)  # several failed probes make one line
        simulator.clear_faults()
        await until(pool, "up")
        simulator.set_fault("down")
        await until(pool, "down")
        simulator.clear_faults()
        (told,) = await until(pool, "up")
        assert told.last_error == ""
    lines = [record.getMessage() for record in caplog.records if " is " in record.getMessage()]
    assert [line.split(" is ")[1].split(",")[0].split(":")[0] for line in lines] == ["up", "hung", "up", "down", "up"]


async def test_the_least_busy_engine_is_chosen(make: Make, simulator: Simulator, second: Simulator) -> None:
    pool = make(simulator.url, second.url, capacity=3)
    pool.start()
    await until(pool, "up", "up")
    taken = [pool.choose(LINK) for _ in range(6)]
    assert [handle.url for handle in taken] == [simulator.url, second.url] * 3
    with pytest.raises(AceProxyError) as caught:
        pool.choose(LINK)
    assert caught.value.reason is Reason.AT_CAPACITY
    taken[3].release()
    taken[3].release()  # once is enough
    assert [one.streams for one in pool.snapshot()] == [3, 2]
    assert pool.choose(LINK).url == second.url
    with pytest.raises(AceProxyError):
        pool.choose(LINK)


async def test_a_slot_is_given_back_at_the_end_of_a_block(make: Make) -> None:
    pool = make("http://127.0.0.1:1", capacity=1)
    with contextlib.suppress(LookupError), pool.choose(LINK) as handle:
        assert handle.url == "http://127.0.0.1:1"
        assert isinstance(handle.api, EngineApi)
        assert pool.snapshot()[0].streams == 1
        raise LookupError
    assert pool.snapshot()[0].streams == 0


async def test_an_engine_that_is_up_goes_before_one_that_is_not(
    make: Make, simulator: Simulator, second: Simulator
) -> None:
    pool = make(simulator.url, second.url)
    simulator.set_fault("down")
    pool.start()
    await until(pool, "down", "up")
    assert [pool.choose(LINK).url for _ in range(2)] == [second.url] * 2
    with pytest.raises(AceProxyError) as caught:  # the one that is up is full: a lingering stream can give way
        pool.choose(LINK)
    assert caught.value.reason is Reason.AT_CAPACITY


async def test_with_no_engine_known_to_be_up_one_is_handed_out_all_the_same(make: Make, simulator: Simulator) -> None:
    pool = make(simulator.url, "http://127.0.0.1:1")
    assert pool.choose(LINK).url == simulator.url  # nothing was probed yet
    simulator.set_fault("down")
    pool.start()
    await until(pool, "down", "down")
    assert pool.choose(LINK, exclude=[simulator.url]).url == "http://127.0.0.1:1"
    with pytest.raises(AceProxyError) as caught:
        pool.choose(LINK, exclude=pool.urls)
    assert caught.value.reason is Reason.ENGINE_UNREACHABLE


async def test_failures_of_calls_are_taken_note_of(make: Make, simulator: Simulator, second: Simulator) -> None:
    pool = make(simulator.url, second.url)
    handle = pool.choose(LINK)
    handle.note_failure(AceProxyError(Reason.CONTENT_NOT_FOUND))
    assert pool.snapshot()[0].state == "unknown"
    handle.note_failure(AceProxyError(Reason.ENGINE_UNREACHABLE, "connection refused"))
    assert pool.snapshot()[0].state == "down"
    assert [pool.choose(LINK).url for _ in range(2)] == [second.url] * 2


async def test_a_timeout_of_a_call_has_the_engine_probed_at_once(
    session: aiohttp.ClientSession, simulator: Simulator
) -> None:
    pool = EnginePool(Settings(engines=(simulator.url,), engine_probe_s=60, stat_timeout_s=0.1), session)
    pool.start()
    await until(pool, "up")
    simulator.set_fault("hung")
    pool.choose(LINK).note_failure(AceProxyError(Reason.ENGINE_TIMEOUT))
    await until(pool, "hung")
    await pool.close()


async def test_starts_at_one_moment_wait_for_their_turns_in_the_order_in_which_they_came(make: Make) -> None:
    pool = make("http://127.0.0.1:1", capacity=8)
    handles = [pool.choose(LINK) for _ in range(8)]
    begun: list[int] = []

    async def begin(number: int) -> None:
        await handles[number].wait_turn()
        begun.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(begin(number))
        await met(lambda: bool(begun))
        assert len(begun) < 8
    assert begun == list(range(8))


async def test_who_waits_for_a_turn_on_an_engine_that_goes_is_told_at_once_where_another_one_is_up(
    make: Make, simulator: Simulator, second: Simulator
) -> None:
    pool = make(simulator.url, second.url, capacity=2000)
    pool.start()
    await until(pool, "up", "up")
    handles = [pool.choose(LINK, [second.url]) for _ in range(500)]
    waiting = asyncio.gather(*(handle.wait_turn() for handle in handles), return_exceptions=True)
    await asyncio.sleep(0)
    handles[0].note_failure(AceProxyError(Reason.ENGINE_UNREACHABLE, "gone"))
    told = [error.reason for error in await waiting if isinstance(error, AceProxyError)]
    assert len(told) > 400
    assert set(told) == {Reason.ENGINE_UNREACHABLE}
