"""What faults of sessions and of the engine as a whole do on the wire; functions are called after the faults."""

from __future__ import annotations

import asyncio

import pytest

from aceproxy.simulator import Content, Simulator
from tests.simulator.wire import (
    QUIET_S,
    VERSION,
    Wire,
    ask,
    open_media,
    playing,
    start,
    start_target,
    stat,
    until_silent,
)
from tests.waiting import until

PACKET = 188


async def session_vanishes(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("session-vanishes", "0.4")
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    await wire.head()
    await wire.rest()
    assert (await stat(simulator, response))["error"] == "unknown playback session id"
    assert simulator.playbacks[0].stop_reason == "vanished"
    await wire.close()


async def hung(simulator: Simulator, light: Content) -> None:
    media = await playing(simulator, light)
    simulator.set_fault("hung")
    await until_silent(media)
    wire = await Wire.open(simulator)
    wire.send(VERSION)
    assert await wire.silent_for(QUIET_S)
    simulator.clear_faults()
    assert (await ask(simulator, VERSION)).status == 200
    await media.read(PACKET)
    await wire.close()
    await media.close()


async def down(simulator: Simulator, light: Content) -> None:
    media = await playing(simulator, light)
    port = simulator.port
    simulator.set_fault("down", "0.4")
    with pytest.raises(ConnectionRefusedError):
        await Wire.open(simulator)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await media.read(10_000_000)
    await media.close()
    await until(lambda: simulator.faults == ())
    assert simulator.port == port
    assert (await ask(simulator, VERSION)).status == 200
    assert simulator.playbacks[0].stop_reason == "engine_down"
    simulator.set_fault("down")
    with pytest.raises(ConnectionRefusedError):
        await Wire.open(simulator)
    simulator.clear_faults()
    assert (await ask(simulator, VERSION)).status == 200


async def remote_refused(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("remote-refused", times=1)
    wire = await Wire.open(simulator)
    wire.send(start_target(light, "p"))
    assert await wire.rest() == b""
    await wire.close()
    simulator.set_fault("remote-refused", "403")
    assert (await ask(simulator, VERSION)).status == 403
