"""Waits between tries of what fails: they grow with the time that it has taken so far.

Waits that double would add up to as much again as the trouble itself lasts: who asks at 1, 3, 7 and 15 seconds notices
up to seven seconds late that all has been well since the eighth. A wait that is a share of the time gone by makes the
whole longer by that share at most, whenever the trouble ends, and asks an engine for ever less often.
"""

from __future__ import annotations

import asyncio
from typing import Final

SHARE: Final = 0.25  # of the time gone by: so much longer than the trouble itself somebody waits at most
LONGEST: Final = 8.0  # times the first wait


def pause_s(first_s: float, elapsed_s: float) -> float:
    """Return how long to wait before the next try, `elapsed_s` after the first one; `first_s` at the least."""
    return max(first_s, min(SHARE * elapsed_s, LONGEST * first_s))


class Backoff:
    """Waits between the tries of one thing. Begins with the first of them; belongs to the event loop."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._began_at = asyncio.get_running_loop().time()

    async def wait(self) -> None:
        """Wait before the next try. Cancel-safe."""
        await asyncio.sleep(pause_s(self._first_s, asyncio.get_running_loop().time() - self._began_at))
