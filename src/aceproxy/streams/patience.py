"""How long an opening is waited for while there are other ways to go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aceproxy.engine.opened import StartProgress
from aceproxy.errors import AceProxyError, Reason

PATIENCE_S: Final = 4.0  # in the first round; twice as long in each further one
DELIVERY_S: Final = 3.0  # from the engine's word that it has collected enough to the first media
COLLECTING: Final = frozenset({"prebuf", "buf", "check"})  # an engine's words for a start that goes on (engine-api §5)


def collects(told: StartProgress | None) -> bool:
    """Whether the engine says that data comes in for a start."""
    return told is not None and told.status in COLLECTING and bool(told.peers or told.progress)


async def open_while_promising(
    opening: Coroutine[Any, Any, None],
    status: Callable[[], str | None],
    changed: asyncio.Event,
    patience_s: float,
    delivery_s: float = DELIVERY_S,
    *,
    verdict: Callable[[str], AceProxyError] = lambda words: AceProxyError(Reason.NO_DATA, words),
) -> None:
    """Await `opening`; after `patience_s` only as long as the engine collects data, and `delivery_s` from then on.

    Both are seconds. `changed` is set by whoever hears from the engine, when `status` may have changed.

    An engine that takes a broadcast on and then gives nothing, or loses it each time, would else be asked until its
    whole time is over while another one could deliver. One that has just collected enough is about to deliver: it is
    not left at that very moment. Raises what `opening` raises, and what `verdict` says when it is given up; that is
    called before the opening is cancelled. Cancel-safe: the opening is cancelled with it, and waited for.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(opening, name="promising opening")
    until_at, was_collecting, is_spared = loop.time() + patience_s, False, False
    try:
        while not task.done():
            is_collecting = status() in COLLECTING
            if was_collecting and not is_collecting and not is_spared:
                until_at, is_spared = max(until_at, loop.time() + delivery_s), True  # one that loses it again is not
            was_collecting = is_collecting
            left_s = None if is_collecting else until_at - loop.time()
            if left_s is not None and left_s <= 0:
                break
            changed.clear()
            await _first_of(task, changed, left_s)
        if not task.done():
            error = verdict(f"nothing came of it in {patience_s:.0f} s")
            task.cancel()
            await asyncio.wait({task})
            if task.cancelled():
                raise error
        task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _first_of(task: asyncio.Task[None], changed: asyncio.Event, limit_s: float | None) -> None:
    """Wait until `task` is over or `changed` is set, or for `limit_s`; neither is touched. Cancel-safe."""
    change = asyncio.get_running_loop().create_task(changed.wait(), name="wait for progress")
    try:
        await asyncio.wait({task, change}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)
