"""What starts tell the pool: failures, doubts, successes, and the breaker in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from aceproxy.engine.links import Link, parse_link
from aceproxy.engine.pool import EngineHandle, EnginePool, EngineSnapshot
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator, SimulatorConfig
from tests.waiting import until

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"
Make = Callable[..., EnginePool]


def link(number: int = 0) -> Link:
    """Return one of many links."""
    return parse_link(f"{number:040x}")


@pytest.fixture
async def make(session: aiohttp.ClientSession) -> AsyncIterator[Make]:
    """Build pools of these addresses; closed after the test."""
    pools: list[EnginePool] = []

    def build(*urls: str, **changes: Any) -> EnginePool:
        values = {
            "engine_probe_s": 0.1,
            "stat_timeout_s": 0.1,
            "short_play_s": 0.05,
            "breaker_first_s": 60.0,
            **changes,
        }
        pools.append(EnginePool(Settings.model_validate({"engines": urls, **values}), session))
        return pools[-1]

    yield build
    for pool in pools:
        await pool.close()


def fail(pool: EnginePool, reason: Reason, url: str, number: int = 0) -> None:
    """Have a start fail on an engine."""
    with pool.choose(link(number), exclude=[other for other in pool.urls if other != url]) as handle:
        assert handle.url == url
        handle.note_failure(AceProxyError(reason, "made for this test"))


async def last(handle: EngineHandle) -> None:
    """Let a playback deliver and last."""
    handle.note_delivered()
    await until(lambda: handle.settled)


def told(pool: EnginePool, url: str = A) -> EngineSnapshot:
    return next(one for one in pool.snapshot() if one.url == url)


async def test_failures_in_a_row_have_an_engine_left_alone_while_another_can_do(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(A, B)
    for number in range(3):
        assert told(pool).breaker == "closed"
        fail(pool, Reason.ENGINE_TIMEOUT, A, number)
    snapshot = told(pool)
    assert (snapshot.breaker, snapshot.failures, snapshot.start_failures) == ("open", 3, 3)
    assert 55 < snapshot.breaker_wait_s <= 60
    assert snapshot.failure_rate == pytest.approx(0.75, abs=0.01)
    assert {pool.choose(link(number)).url for number in range(20)} == {B}
    assert pool.choose(link(), exclude=[B]).url == A  # better than none
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if "left alone" in line] == [
        "engine 127.0.0.1:1 has failed 3 times: left alone for 60 s"
    ]


@pytest.mark.parametrize(
    "reason", [Reason.CONTENT_NOT_FOUND, Reason.NO_PEERS, Reason.START_TIMEOUT, Reason.ENCRYPTED, Reason.NOT_MPEGTS]
)
async def test_what_is_the_broadcasts_fault_never_opens_the_breaker_by_itself(make: Make, reason: Reason) -> None:
    pool = make(A)
    for number in range(20):
        fail(pool, reason, A, number)
    snapshot = told(pool)
    assert (snapshot.breaker, snapshot.failures, snapshot.failure_rate) == ("closed", 0, 0.0)


@pytest.mark.parametrize("reason", [Reason.ENGINE_TIMEOUT, Reason.ENGINE_ERROR, Reason.NO_DATA])
async def test_one_link_that_fails_again_and_again_proves_nothing_against_the_engine(
    make: Make, reason: Reason
) -> None:
    pool = make(A)
    for _ in range(10):
        fail(pool, reason, A)
    assert (told(pool).breaker, told(pool).failures) == ("closed", 1)
    for number in (1, 2):
        fail(pool, reason, A, number)
    assert told(pool).breaker == "open"


async def test_an_engine_that_cannot_be_reached_is_down_and_opens_whatever_the_link(make: Make) -> None:
    pool = make(A, B)
    for _ in range(3):
        fail(pool, Reason.ENGINE_UNREACHABLE, A)
    assert (told(pool).state, told(pool).breaker) == ("down", "open")


async def test_a_link_that_plays_elsewhere_was_the_engines_fault_after_all(make: Make) -> None:
    pool = make(A, B)
    for number in range(3):
        fail(pool, Reason.NO_PEERS, A, number)
        handle = pool.choose(link(number))
        assert handle.url == B  # another engine is asked first about a link that has failed
        handle.note_delivered()
        handle.release()
    assert (told(pool).breaker, told(pool).start_failures) == ("open", 3)
    assert told(pool, B).start_failures == 0


async def test_a_link_that_plays_on_the_same_engine_the_second_time_is_held_against_nobody(make: Make) -> None:
    pool = make(A)
    fail(pool, Reason.NO_PEERS, A)
    with pool.choose(link()) as handle:
        await last(handle)
    assert (told(pool).failures, told(pool).start_failures, told(pool).starts) == (0, 0, 1)


async def test_playbacks_that_end_at_once_open_the_breaker_though_each_began(make: Make) -> None:
    pool = make(A, short_play_s=30.0)
    for number in range(3):
        with pool.choose(link(number)) as handle:
            handle.note_delivered()
            handle.note_lost(AceProxyError(Reason.SOURCE_ENDED))
            handle.note_lost(AceProxyError(Reason.SOURCE_ENDED))  # told twice, counted once
    assert (told(pool).breaker, told(pool).starts, told(pool).start_failures) == ("open", 3, 3)


async def test_playbacks_that_last_are_successes_and_their_end_is_no_failure(make: Make) -> None:
    pool = make(A)
    fail(pool, Reason.ENGINE_TIMEOUT, A, 1)
    fail(pool, Reason.ENGINE_TIMEOUT, A, 2)
    with pool.choose(link()) as handle:
        await last(handle)
        handle.note_lost(AceProxyError(Reason.SOURCE_ENDED))
    snapshot = told(pool)
    assert (snapshot.breaker, snapshot.failures, snapshot.start_failures) == ("closed", 0, 2)
    assert snapshot.start_s is not None
    assert 0 <= snapshot.start_s < 1
    fail(pool, Reason.ENGINE_TIMEOUT, A, 1)  # a link that failed before the success counts anew
    assert told(pool).failures == 1


async def test_a_viewer_who_leaves_at_once_tells_nothing(make: Make) -> None:
    pool = make(A, short_play_s=30.0, breaker_failures=1, breaker_first_s=0.05)
    fail(pool, Reason.ENGINE_TIMEOUT, A)
    await until(lambda: told(pool).breaker == "half_open")
    for _ in range(3):
        with pool.choose(link()) as handle:
            assert handle.permit.trial
            handle.note_delivered()
    assert (told(pool).breaker, told(pool).start_failures) == ("half_open", 1)


async def test_what_is_told_of_a_slot_that_was_given_back_counts_no_more(make: Make) -> None:
    pool = make(A, short_play_s=30.0)
    handle = pool.choose(link())
    handle.note_delivered()
    handle.release()
    handle.note_lost(AceProxyError(Reason.SOURCE_ENDED))  # our own closing of the connection, as it is seen
    handle.note_failure(AceProxyError(Reason.ENGINE_UNREACHABLE))
    assert (told(pool).state, told(pool).failures, told(pool).start_failures) == ("unknown", 0, 0)


async def test_one_trial_at_a_time_and_its_success_closes_the_breaker(make: Make) -> None:
    pool = make(A, B, breaker_failures=1, breaker_first_s=0.05)
    fail(pool, Reason.ENGINE_TIMEOUT, A)
    await until(lambda: told(pool).breaker == "half_open")
    busy = [pool.choose(link(number), exclude=[A]) for number in range(20)]
    trial = pool.choose(link())
    assert (trial.url, trial.permit.trial) == (A, True)
    assert {pool.choose(link(number)).url for number in range(1, 10)} == {B}  # no herd
    await last(trial)
    assert told(pool).breaker == "closed"
    assert pool.choose(link(50)).url == A
    assert len(busy) == 20


async def test_an_engine_that_comes_back_is_tried_at_once_but_by_one_start(make: Make, simulator: Simulator) -> None:
    pool = make(simulator.url, B, breaker_failures=2)
    pool.start()
    await until(lambda: told(pool, simulator.url).state == "up")
    simulator.set_fault("down")
    await until(lambda: told(pool, simulator.url).breaker == "open")
    simulator.clear_faults()
    await until(lambda: told(pool, simulator.url).state == "up")
    assert told(pool, simulator.url).breaker == "half_open"
    first = pool.choose(link())
    assert (first.url, first.permit.trial) == (simulator.url, True)
    assert not pool.choose(link(1)).permit.trial


async def test_a_better_engine_has_more_streams_and_a_bad_one_some(make: Make) -> None:
    pool = make(A, B, breaker_failures=100)
    for number in range(4):
        fail(pool, Reason.ENGINE_TIMEOUT, A, number)
    held = [pool.choose(link(number)) for number in range(30)]
    assert (told(pool).streams, told(pool, B).streams) == (5, 25)
    await asyncio.gather(*(last(handle) for handle in held))
    for number in range(30, 60):
        pool.choose(link(number))
    assert 5 < told(pool).streams - 5 < 15  # it is finding favour again


async def test_a_hung_engine_delays_neither_probes_nor_choices_of_the_others(
    make: Make, simulator: Simulator, nothing_leaks: None
) -> None:
    async with Simulator(SimulatorConfig.fast()) as second:
        simulator.set_fault("hung")
        pool = make(simulator.url, second.url, engine_probe_s=0.05, stat_timeout_s=30.0, breaker_failures=1)
        pool.start()
        await until(lambda: told(pool, second.url).state == "up")
        assert told(pool, simulator.url).state == "unknown"  # its first probe still hangs
        asked = len(second.requests)
        began_at = asyncio.get_running_loop().time()
        await until(lambda: len(second.requests) > asked + 5)
        assert asyncio.get_running_loop().time() - began_at < 5
        assert pool.choose(link()).url == second.url
        await pool.close()
