"""What those wait for who come before a stream delivers: there is one start, however many ask for it."""

from __future__ import annotations

import asyncio

from aceproxy.engine.api import Playback


class Awaited:
    """The two things that a start brings: word of what an engine plays, and later data. Belongs to the event loop.

    Each comes once or fails once; what follows is ignored.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._told: asyncio.Future[Playback] = loop.create_future()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._told.add_done_callback(_retrieve)
        self._ready.add_done_callback(_retrieve)

    async def wait_told(self) -> Playback:
        """Wait until an engine has said what it plays. Raises what `fail` was given. Cancel-safe."""
        return await asyncio.shield(self._told)

    async def wait_ready(self) -> None:
        """Wait until the stream delivers. Raises what `fail` was given. Cancel-safe."""
        await asyncio.shield(self._ready)

    def tell(self, playback: Playback) -> None:
        """Let those go on who wait for what is played."""
        if not self._told.done():
            self._told.set_result(playback)

    def deliver(self) -> None:
        """Let those go on who wait for data."""
        if not self._ready.done():
            self._ready.set_result(None)

    def fail(self, error: Exception) -> None:
        """Raise `error` at everybody who still waits, and at who waits from now on."""
        if not self._ready.done():
            self._ready.set_exception(error)
        if not self._told.done():
            self._told.set_exception(error)


def _retrieve(future: asyncio.Future[None] | asyncio.Future[Playback]) -> None:
    """Mark a failed start as seen: there may be nobody who waits for it."""
    if not future.cancelled():
        future.exception()
