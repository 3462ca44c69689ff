"""Giving memory back to the system once streams and recordings are over.

Two things would keep it for ever. CPython's oldest generation of garbage is not looked at while the program runs (see
`calming.calm_collector`), so what closed streams and connections leave in cycles stays. And the C library keeps freed
memory for itself where something lives above it: after an hour of streams that come and go that is more than all that
is in use. So some seconds after a stream or a recording has closed, and now and then at any rate, cycles are collected
and the C library is asked to give back whole free pages (glibc's `malloc_trim`; elsewhere nothing is asked).

To collect takes longer the more there is, and nothing else is done meanwhile: some milliseconds with few clients, some
tens with a thousand. So the more clients there are, the rarer it is done.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time
from collections.abc import Callable
from typing import Final

from aceproxy.ticks import tick

LOOK_S: Final = 5.0  # how often it is looked whether something has closed
AT_ANY_RATE_S: Final = 30.0  # requests and dashboards leave something behind too, and close nothing
BUSY_S: Final = 15.0  # between two collections while somebody is watching
PER_CLIENT_S: Final = 0.3  # longer for each of them
BUSIEST_S: Final = 300.0  # at most


class GivingBack:
    """Watches for what closes. `clients` tells how many are watching; `trim` blocks; `clock` is in seconds."""

    def __init__(
        self,
        clients: Callable[[], int],
        trim: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trims = 0
        self.collections = 0
        self._clients = clients
        self._trim = trim or trim_heap
        self._clock = clock
        self._is_due = False
        self._is_uncollected = False
        self._collected_at = self._trimmed_at = clock()

    def note_closed(self, *_what: object) -> None:
        """A stream or a recording is over."""
        self._is_due = self._is_uncollected = True

    async def watch(self) -> None:
        """Give memory back from time to time, for ever. Cancel-safe."""
        while True:
            await tick(LOOK_S)
            await self.give_back()

    async def give_back(self) -> None:
        """Give back what can be, if something has closed since or it is time at any rate. Trims in a thread."""
        now, clients = self._clock(), self._clients()
        if now - self._trimmed_at >= AT_ANY_RATE_S:
            self.note_closed()
        pause_s = min(BUSIEST_S, BUSY_S + PER_CLIENT_S * clients) if clients else 0.0
        may_collect = now - self._collected_at >= pause_s
        if not self._is_due and not (self._is_uncollected and may_collect):
            return
        self._is_due = False
        if may_collect:
            self._is_uncollected = False
            gc.collect()
            self._collected_at = now
            self.collections += 1
        self._trimmed_at = now
        await asyncio.to_thread(self._trim)
        self.trims += 1


def trim_heap() -> None:
    """Have the C library give whole free pages back. Takes milliseconds, without the interpreter's lock."""
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return  # another C library
    malloc_trim(ctypes.c_size_t(0))
