"""When starts that come at one moment are begun on an engine, so that they do not fall on it all at once. Pure.

When an engine dies, all its streams go elsewhere in the same instant; when the only one comes back, all that waited for
it begin. The first start is begun at once, each further one a little after the one before, and none later than a limit,
however many there are: they come the closer together the longer the queue is. An engine that has just come back gets
more time.
"""

from __future__ import annotations

from typing import Final

STEP_S: Final = 0.1  # between the first two starts
SPREAD_S: Final = 1.5  # no start waits for longer: a viewer's picture is to be back within 5 s of an engine's death
COLD_STEP_S: Final = 0.2  # the same of an engine that has just come back
COLD_SPREAD_S: Final = 5.0


class Turns:
    """The starts of one engine, one behind the other."""

    def __init__(self) -> None:
        self._next_at = float("-inf")  # from when on a start may be begun

    def take(self, now: float, *, cold: bool) -> float:
        """Return how many seconds the next start has to wait. `now` is monotonic; `cold`: the engine has just come."""
        step_s, spread_s = (COLD_STEP_S, COLD_SPREAD_S) if cold else (STEP_S, SPREAD_S)
        wait_s = min(max(0.0, self._next_at - now), spread_s)
        self._next_at = now + wait_s + step_s * (1 - wait_s / spread_s)
        return wait_s
