"""How long an opening is waited for while there are other ways to go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aceproxy.errors import AceProxyError, Reason

PATIENCE_S: Final = 4.0  # in the first round; twice as long in each further one
LOOK_S: Final = 0.25
COLLECTING: Final = frozenset({"prebuf", "buf", "check"})  # an engine's words for a start that goes on (engine-api §5)


async def open_while_promising(
    opening: Coroutine[Any, Any, None], status: Callable[[], str | None], patience_s: float
) -> None:
    """Await `opening`; after `patience_s` (seconds) only as long as the engine says that it collects data.

    An engine that takes a broadcast on and then gives nothing, or loses it each time, would else be asked until its
    whole time is over while another one could deliver. Raises what `opening` raises, and NO_DATA when it is given up.
    Cancel-safe: the opening is cancelled with it, and waited for.
    """
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    task = loop.create_task(opening, name="promising opening")
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_S)
            if not task.done() and loop.time() - began_at >= patience_s and status() not in COLLECTING:
                task.cancel()
                await asyncio.wait({task})
                if task.cancelled():
                    raise AceProxyError(Reason.NO_DATA, f"nothing came of it in {patience_s:g} s")
        task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
