"""Opening a source while something else may deliver before it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.present import Present
from aceproxy.streams.reserve import Reserve


async def comes_first(opening: Coroutine[Any, Any, object], beside: Coroutine[Any, Any, object], name: str) -> bool:
    """Run both until one is over, and end the other; return whether it was the opening, or raise what that raised.

    `name` is that of the opening's task. Cancel-safe.
    """
    loop = asyncio.get_running_loop()
    tasks = loop.create_task(opening, name=name), loop.create_task(beside, name=f"{name} beside")
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
            return True
        return False
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def take_spare(present: Present, reserve: Reserve) -> None:
    """Put the spare in the place of the present source. Raises AceProxyError."""
    try:
        await present.take(reserve.take())
    except OSError as error:
        raise AceProxyError(Reason.INTERNAL, error.strerror or "") from error
