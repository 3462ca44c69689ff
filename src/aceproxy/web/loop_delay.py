"""How long the event loop lets its callers wait: the one figure that says whether the control plane is well."""

from __future__ import annotations

import asyncio

from aceproxy.ticks import tick

PERIOD_S = 0.5
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopDelay:
    """Delays of a timer that is due twice a second, counted into buckets."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)  # the last one: longer than all bounds
        self.sum_s = 0.0

    async def watch(self) -> None:
        """Measure for ever. Cancel-safe."""
        loop = asyncio.get_running_loop()
        while True:
            due_at = await tick(PERIOD_S)
            self.note(max(0.0, loop.time() - due_at))

    def note(self, delay_s: float) -> None:
        """Count one delay."""
        self.sum_s += delay_s
        self.counts[sum(delay_s > bound for bound in BOUNDS_S)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Return the counts as Prometheus wants them: of delays up to each bound, which includes the smaller ones."""
        total = 0
        found = []
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found
