"""Waiting for conditions: what every test does instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    """Return when `condition()` is true; raises TimeoutError when it does not come true in time.

    The limit is for what never comes. It says nothing about how fast something should be.
    """
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for may happen in another thread or process
            await asyncio.sleep(0.005)
