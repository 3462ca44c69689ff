"""Giving memory back to the system once streams are over.

Two things would keep it for ever. CPython's oldest generation of garbage is not looked at while the program runs (see
`serving.calm_collector`), so what closed streams and connections leave in cycles stays. And the C library keeps freed
memory for itself where something lives above it: after an hour of streams that come and go that is more than all that
is in use. So some seconds after a stream has closed cycles are collected, if that disturbs nobody or has not been done
for long, and the C library is asked to give back whole free pages (glibc's `malloc_trim`; elsewhere nothing is asked).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Final

from aceproxy.ticks import tick

LOOK_S: Final = 5.0  # how often it is looked whether a stream has closed
BUSY_S: Final = 300.0  # between two collections while somebody is watching: each may take tens of milliseconds


class GivingBack:
    """Watches for streams that close. `has_clients` tells whether somebody is watching; `trim` blocks."""

    def __init__(self, has_clients: Callable[[], bool], trim: Callable[[], None] | None = None) -> None:
        self.trims = 0
        self.collections = 0
        self._has_clients = has_clients
        self._trim = trim or trim_heap
        self._is_due = False
        self._is_uncollected = False
        self._collected_at = time.monotonic()

    def note_closed(self, _stream: object = None) -> None:
        """A stream is over."""
        self._is_due = self._is_uncollected = True

    async def watch(self) -> None:
        """Give memory back from time to time, for ever. Cancel-safe."""
        while True:
            await tick(LOOK_S)
            await self.give_back()

    async def give_back(self) -> None:
        """Give back what can be, if a stream has closed since. A part of it runs in a thread."""
        may_collect = not self._has_clients() or time.monotonic() - self._collected_at >= BUSY_S
        if not self._is_due and not (self._is_uncollected and may_collect):
            return
        self._is_due = False
        if may_collect:
            self._is_uncollected = False
            gc.collect()
            self._collected_at = time.monotonic()
            self.collections += 1
        await asyncio.to_thread(self._trim)
        self.trims += 1


def trim_heap() -> None:
    """Have the C library give whole free pages back. Takes milliseconds, without the interpreter's lock."""
    import ctypes  # noqa: PLC0415 - half a MiB that nobody needs before a stream has closed

    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return  # another C library
    malloc_trim(ctypes.c_size_t(0))
