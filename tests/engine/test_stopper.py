"""The keeper of playbacks: nobody waits for it, and it forgets nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from pathlib import Path

import aiohttp
import pytest

from aceproxy.engine.api import EngineApi, EngineLimits, Playback
from aceproxy.engine.journal import Journal
from aceproxy.engine.links import parse_link
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.errors import AceProxyError, Reason
from aceproxy.simulator import Simulator


async def start(stopper: PlaybackStopper, api: EngineApi, content_id: str) -> Playback:
    return await stopper.launch(api, parse_link(content_id), {}, str(uuid.uuid4()))


async def test_a_stop_is_sent_once_and_in_the_background(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    playback = await start(stopper, api, simulator.contents[0].content_id)
    assert [one.pid for one in stopper.open_playbacks] == [playback.pid]
    first = stopper.stop_nowait(playback)
    assert stopper.stop_nowait(playback) is first
    assert not stopper.open_playbacks
    assert stopper.pending == 1
    assert await first is True
    assert await stopper.drain(1.0) == 0
    assert stopper.pending == 0
    assert sum("method=stop" in target for _, target in simulator.requests) == 1
    assert simulator.active_playbacks == ()


async def test_hung_stops_run_side_by_side_and_end_at_their_limit(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator, limits: EngineLimits
) -> None:
    simulator.set_fault("stop-hang")
    for content in simulator.contents:
        stopper.stop_nowait(await start(stopper, api, content.content_id))
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    assert await stopper.drain(5.0) == 0
    assert loop.time() - began_at < limits.stop_timeout_s * len(simulator.contents)


async def test_what_is_said_of_a_stop_that_was_not_confirmed_is_what_will_be_done(
    api: EngineApi,
    stopper: PlaybackStopper,
    simulator: Simulator,
    limits: EngineLimits,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    simulator.set_fault("stop-hang")
    assert await stopper.stop_nowait(await start(stopper, api, simulator.contents[0].content_id)) is False
    assert "did not confirm a stop; the engine ends the playback by itself" in caplog.text
    async with aiohttp.ClientSession() as session:
        noting = PlaybackStopper(session, limits, Journal(tmp_path / "playbacks.json"))
        assert await noting.stop_nowait(await start(noting, api, simulator.contents[1].content_id)) is False
        await noting.drain(5.0)
    assert "did not confirm a stop; the next start of AceProxy asks for it again" in caplog.text


async def test_drain_gives_up_at_its_limit(api: EngineApi, stopper: PlaybackStopper, simulator: Simulator) -> None:
    playback = await start(stopper, api, simulator.contents[0].content_id)
    simulator.set_fault("hung")
    stopper.stop_nowait(playback)
    assert await stopper.drain(0.1) == 1
    assert stopper.pending == 0


async def test_a_playback_is_not_stopped_while_another_one_of_the_broadcast_is_open(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    content = simulator.contents[0]
    first = await start(stopper, api, content.content_id)
    second = await start(stopper, api, content.content_id)
    assert await stopper.stop_nowait(first) is True
    assert not any("method=stop" in target for _, target in simulator.requests)
    assert await stopper.stop_nowait(second) is True
    assert simulator.active_playbacks == ()


async def test_a_forgotten_playback_is_not_stopped(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    playback = await start(stopper, api, simulator.contents[0].content_id)
    stopper.forget(playback)
    assert stopper.open_playbacks == ()
    assert await stopper.drain(0.1) == 0
    assert len(simulator.active_playbacks) == 1


async def test_an_abandoned_start_that_fails_is_of_no_interest(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    simulator.set_fault("slow-start", "0.1")
    task = stopper.launch(api, parse_link("0" * 40), {}, "pid")
    stopper.abandon(task)
    assert stopper.pending == 1
    assert await stopper.drain(2.0) == 0
    error = task.exception()
    assert isinstance(error, AceProxyError)
    assert error.reason is Reason.CONTENT_NOT_FOUND


async def test_a_start_that_was_answered_before_it_is_abandoned_is_stopped(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    task = stopper.launch(api, parse_link(simulator.contents[0].content_id), {}, "pid")
    await asyncio.wait({task})
    stopper.abandon(task)
    await stopper.drain(2.0)
    assert simulator.active_playbacks == ()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "playbacks.json"


async def test_what_a_crash_left_open_is_stopped_by_the_next_run(
    api: EngineApi, session: aiohttp.ClientSession, limits: EngineLimits, simulator: Simulator, path: Path
) -> None:
    crashed = PlaybackStopper(session, limits, journal := Journal(path))
    left = await start(crashed, api, simulator.contents[0].content_id)
    closed = await start(crashed, api, simulator.contents[1].content_id)
    assert await crashed.stop_nowait(closed)
    elsewhere = dataclasses.replace(left, pid="elsewhere", engine_url="http://192.0.2.1:6878")
    journal.opened(elsewhere)
    await journal.flush()  # and now the program dies

    following = PlaybackStopper(session, limits, Journal(path))
    assert await following.stop_leftovers([simulator.url]) == 1
    assert await following.drain(2.0) == 0
    assert simulator.active_playbacks == ()
    assert await Journal(path).leftovers() == []


async def test_what_could_not_be_stopped_is_tried_again_by_the_next_run(
    api: EngineApi, session: aiohttp.ClientSession, limits: EngineLimits, simulator: Simulator, path: Path
) -> None:
    first = PlaybackStopper(session, limits, Journal(path))
    playback = await start(first, api, simulator.contents[0].content_id)
    simulator.set_fault("hung")
    assert await first.stop_nowait(playback) is False
    await first.drain(1.0)
    simulator.clear_faults()
    second = PlaybackStopper(session, limits, Journal(path))
    assert await second.stop_leftovers([simulator.url]) == 1
    assert await second.drain(2.0) == 0
    assert simulator.active_playbacks == ()


async def test_without_a_journal_there_are_no_leftovers(stopper: PlaybackStopper) -> None:
    assert await stopper.stop_leftovers(["http://127.0.0.1:6878"]) == 0
