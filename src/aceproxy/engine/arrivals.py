"""Who waits for an engine hears at once that one can be used that could not be before: it has come back, was added, or
takes streams again. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio


class Arrivals:
    """Counts arrivals, and wakes those who wait for the next one."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def tell(self) -> None:
        """An engine can be used from now on."""
        self.count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next arrival. Cancel-safe."""
        await self._next.wait()
