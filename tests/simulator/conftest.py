"""A simulator for each test that asks for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from aceproxy.simulator import Content, Simulator, SimulatorConfig

CLOCK = Content("Clock", "clock")
LIGHT = Content("Light", "light")
RADIO = Content("Radio", "radio")
FILM = Content("Film", "radio", live=False, duration_s=24)
CONTENTS = (LIGHT, Content("Other", "light"), RADIO, FILM)


@pytest.fixture
async def run() -> AsyncIterator[Callable[..., Awaitable[Simulator]]]:
    """Return a function that starts a fast simulator of few contents; all end with the test, leaving no task."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Simulator:
            config = SimulatorConfig.fast(**{"contents": CONTENTS, "seed": 1, **changes})
            return await stack.enter_async_context(Simulator(config))

        yield start
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def simulator(run: Callable[..., Awaitable[Simulator]]) -> Simulator:
    """Return a fast simulator."""
    return await run()
