"""Whether a source that begins behind what was sent comes to that place in time. Pure: times are passed in.

A source sends its past as fast as it can, and then real time. From then on what it is behind by is what viewers would
have to wait, and so it is known long before the time is over whether the wait can succeed.
"""

from __future__ import annotations

from collections import deque
from typing import Final

PACE_S: Final = 1.0  # over which its pace is measured
LEAST_BEHIND_S: Final = 0.5  # below that clocks tell nothing: it is about there
SAMPLES: Final = 64


class CatchingUp:
    """Follows one source from its first bytes until it is joined."""

    def __init__(self, began_at: float, limit_s: float, *, at_pace: bool = False) -> None:
        """`at_pace`: it sends no past any more. Times are seconds of one monotonic clock."""
        self._until_at = began_at + limit_s
        self._at_pace = at_pace
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)

    def is_in_vain(self, now: float, behind_s: float | None) -> bool:
        """Take how far behind the source is (None: not known); return whether it will not be there in time."""
        if behind_s is None or behind_s < LEAST_BEHIND_S:
            return now > self._until_at
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= now - PACE_S:
            samples.popleft()
        if not samples or now - samples[-1][0] >= PACE_S / SAMPLES:
            samples.append((now, behind_s))
        since_at, behind_then_s = samples[0]
        if self._at_pace:
            pace = 1.0
        elif now - since_at >= PACE_S:
            pace = max(1.0, (behind_then_s - behind_s) / (now - since_at))
        else:
            return now > self._until_at
        return now + behind_s / pace > self._until_at
