"""Start, stop, limits: what is left behind."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aceproxy.simulator import Fault, Simulator, SimulatorConfig
from tests.simulator.wire import VERSION, Wire, ask, content, open_media, playing, start, start_target
from tests.waiting import until

Run = Callable[..., Awaitable[Simulator]]


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_stop_is_quick_with_readers_that_read_and_readers_that_do_not() -> None:
    simulator = Simulator(SimulatorConfig.fast())
    await simulator.start()
    clock, light = content(simulator, "Clock One"), content(simulator, "Light One")
    wires = [await playing(simulator, clock, "a"), await playing(simulator, light, "b")]
    idle = await Wire.open(simulator)
    begun = time.monotonic()
    await simulator.stop()
    assert time.monotonic() - begun < 10.0
    assert {one.stop_reason for one in simulator.playbacks} == {"shutdown"}
    assert simulator.connection_count == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(ConnectionRefusedError):
        await Wire.open(simulator)
    await simulator.stop()
    for wire in (*wires, idle):
        await wire.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
async def test_thousands_of_requests_and_hundreds_of_playbacks_leave_nothing(run: Run) -> None:
    simulator = await run(start_delay_s=0.0)
    light = content(simulator, "Light")
    before = open_descriptors()
    wire = await Wire.open(simulator)
    for _ in range(2000):
        wire.send(VERSION)
        assert (await wire.reply()).status == 200
    await wire.close()
    for number in range(300):
        response = await start(simulator, light, f"p{number}")
        await ask(simulator, response["command_url"].partition("6878")[2] + "?method=stop")
    await until(lambda: simulator.connection_count == 0)
    await until(lambda: gc.collect() >= 0 and open_descriptors() == before)
    assert simulator.active_playbacks == ()
    assert len(simulator.playbacks) == 300


async def test_what_is_kept_is_bounded(run: Run) -> None:
    simulator = await run(start_delay_s=0.0)
    wire = await Wire.open(simulator)
    light = content(simulator, "Light")
    for number in range(4200):
        wire.send(VERSION if number % 2 else start_target(light, f"p{number}"))
        await wire.reply()
    assert len(simulator.requests) == 4096
    assert simulator.requests[-1] == ("GET", VERSION)
    assert len(simulator.playbacks) == 2048
    await wire.close()


async def test_more_connections_than_allowed_are_closed_at_once(run: Run) -> None:
    simulator = await run(max_connections=2)
    wires = [await Wire.open(simulator) for _ in range(2)]
    await until(lambda: simulator.connection_count == 2)
    third = await Wire.open(simulator)
    third.send(VERSION)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await third.head()
    for wire in (*wires, third):
        await wire.close()


async def test_idle_connections_are_closed(run: Run) -> None:
    simulator = await run(keep_alive_s=0.2)
    wire = await Wire.open(simulator)
    assert await wire.rest() == b""
    await wire.close()


async def test_a_taken_port_is_an_error(simulator: Simulator) -> None:
    second = Simulator(SimulatorConfig.fast(port=simulator.port))
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await second.stop()


async def test_channels_are_added_and_all_is_the_same_on_every_run() -> None:
    first, second = (Simulator(SimulatorConfig.fast(channels=3)) for _ in range(2))
    assert first.contents == second.contents
    live = [one for one in first.contents if one.live]
    assert len(live) >= 4 + 1 + 3
    assert len([one for one in first.contents if not one.live]) == 2
    assert len({one.infohash for one in first.contents} | {one.content_id for one in first.contents}) == 2 * len(
        first.contents
    )
    assert first.url == "http://127.0.0.1:0"


async def test_a_fault_can_be_there_from_the_start(run: Run) -> None:
    simulator = await run(faults=(Fault("load-failed"),))
    reply = await ask(simulator, start_target(content(simulator, "Light"), "p"))
    assert reply.json["error"] == "failed to load content"


async def test_a_down_engine_stays_down_when_it_is_stopped() -> None:
    simulator = Simulator(SimulatorConfig.fast(faults=(Fault("down", "0.2"),)))
    await simulator.start()
    await simulator.stop()
    simulator.clear_faults()
    with pytest.raises(ConnectionRefusedError):
        await Wire.open(simulator)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("peer", "changes", "refused"),
    [
        ("127.0.0.9", {}, None),
        ("192.168.1.5", {}, None),
        ("192.168.1.5", {"allow_intranet": False}, "close"),
        ("203.0.113.0", {"allow_remote": True}, None),
        ("8.8.8.8", {}, "close"),
        ("8.8.8.8", {"refusal": "403"}, "403"),
        ("not an address", {}, "close"),
    ],
)
async def test_who_may_call(run: Run, peer: str, changes: dict[str, object], refused: str | None) -> None:
    simulator = await run(**changes)
    wire = await Wire.open(simulator)
    await until(lambda: simulator.connection_count == 1)
    (connection,) = simulator._connections.values()
    connection.peer_host = peer
    wire.send(VERSION)
    if refused == "close":
        assert await wire.rest() == b""
    else:
        assert (await wire.reply()).status == (403 if refused else 200)
    await wire.close()


async def test_a_reader_that_leaves_is_noticed_while_nothing_is_sent(simulator: Simulator) -> None:
    simulator.set_fault("stall-after", "0")
    wire = await open_media(simulator, await start(simulator, content(simulator, "Light")))
    await wire.head()
    await until(lambda: simulator.playbacks[0].readers == 1)
    await wire.close()
    await until(lambda: simulator.playbacks[0].readers == 0)
