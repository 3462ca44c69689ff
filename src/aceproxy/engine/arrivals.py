"""Who waits for an engine hears at once that one can be used that could not be before: it has come back, was added, or
takes streams again. So does who waits for anything else an engine may be well enough for again, when a stream that had
waited plays. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio


class Arrivals:
    """Counts arrivals, and wakes those who wait for the next one.

    `restored` counts streams that an engine plays after it had failed them more than once.
    """

    def __init__(self) -> None:
        self.count = 0
        self.restored = 0
        self.waiting = 0  # how many wait
        self._next = asyncio.Event()

    def tell(self) -> None:
        """An engine can be used from now on."""
        self.count += 1
        self._wake()

    def tell_restored(self) -> None:
        """An engine plays a stream that it had failed to play."""
        self.restored += 1
        self._wake()

    async def wait(self) -> None:
        """Wait until either count grows. Cancel-safe."""
        self.waiting += 1
        try:
            await self._next.wait()
        finally:
            self.waiting -= 1

    def _wake(self) -> None:
        self._next.set()
        self._next = asyncio.Event()
