"""How long an opening is waited for while there are other ways to go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aceproxy.errors import AceProxyError, Reason

PATIENCE_S: Final = 4.0  # in the first round; twice as long in each further one
COLLECTING: Final = frozenset({"prebuf", "buf", "check"})  # an engine's words for a start that goes on (engine-api §5)


async def open_while_promising(
    opening: Coroutine[Any, Any, None], status: Callable[[], str | None], changed: asyncio.Event, patience_s: float
) -> None:
    """Await `opening`; after `patience_s` (seconds) only as long as the engine says that it collects data.

    `changed` is set by whoever hears from the engine, when `status` may have changed.

    An engine that takes a broadcast on and then gives nothing, or loses it each time, would else be asked until its
    whole time is over while another one could deliver. Raises what `opening` raises, and NO_DATA when it is given up.
    Cancel-safe: the opening is cancelled with it, and waited for.
    """
    task = asyncio.get_running_loop().create_task(opening, name="promising opening")
    try:
        await asyncio.wait({task}, timeout=patience_s)
        while not task.done() and status() in COLLECTING:
            changed.clear()
            await _first_of(task, changed)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            if task.cancelled():
                raise AceProxyError(Reason.NO_DATA, f"nothing came of it in {patience_s:g} s")
        task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _first_of(task: asyncio.Task[None], changed: asyncio.Event) -> None:
    """Wait until `task` is over or `changed` is set; neither is touched. Cancel-safe."""
    change = asyncio.get_running_loop().create_task(changed.wait(), name="wait for progress")
    try:
        await asyncio.wait({task, change}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)
