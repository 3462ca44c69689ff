"""Ticks: the moments at which everything periodic happens together.

A process that rests most of the time pays for each time that it wakes: the caches are cold, and the first step costs
ten times the second. What is to be done once in a while is therefore done at the same moments.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

OFF_BEAT_S: Final = 0.5
"""What concerns the engines is done half a second after what is told to those who look on: together they would keep the
event loop busy for long enough to be felt.
"""


def next_tick(now_s: float, period_s: float, phase_s: float = 0.0) -> float:
    """Return the next multiple of a period, moved by a phase, after `now_s`; at least a tenth of the period away.

    All in seconds.
    """
    return math.floor((now_s - phase_s) / period_s + 1.1) * period_s + phase_s


async def tick(period_s: float) -> float:
    """Wait until the event loop's clock shows a multiple of `period_s`; return what it should show. Cancel-safe."""
    now_s = asyncio.get_running_loop().time()
    due_at = next_tick(now_s, period_s)
    await asyncio.sleep(due_at - now_s)
    return due_at
