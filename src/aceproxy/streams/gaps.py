"""The gaps in what a source sends: how long it is silent while all is well with it. Pure: times are passed in.

Some engines send evenly, some in bursts with seconds between them. What is a fault of the one is the way of the other.
"""

from __future__ import annotations

from collections import deque
from typing import Final

LONG_S: Final = 1.0  # from which on a gap is remembered by itself
HABIT: Final = 3  # so many in HABIT_S make a habit
HABIT_S: Final = 60.0
KEPT: Final = 64
HALF_S: Final = 30.0  # gaps are remembered for that long at least, and for twice that at most


class Gaps:
    """The gaps of one source. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self._last_at: float | None = None
        self._half_at = 0.0  # when the present half began
        self._here_s = 0.0  # the longest gap in it
        self._before_s = 0.0  # the longest gap in the half before
        self._long: deque[tuple[float, float]] = deque(maxlen=KEPT)  # when each long gap ended, and how long it was

    def arrived(self, now: float) -> None:
        """Take note that bytes came."""
        if self._first_at is None:
            self._first_at = self._half_at = now
        self._turn(now)
        if self._last_at is not None:
            gap_s = now - self._last_at
            self._here_s = max(self._here_s, gap_s)
            if gap_s >= LONG_S:
                self._long.append((now, gap_s))
        self._last_at = now

    def interrupted(self) -> None:
        """Take note that it is we who read nothing: what follows says nothing of the source."""
        self._last_at = None

    def longest_s(self, now: float) -> float:
        """Return the longest gap of late, in seconds; one that has not ended yet does not count."""
        self._turn(now)
        return max(self._here_s, self._before_s)

    def habit_s(self, now: float) -> float:
        """Return how long the source is silent as a matter of habit: for so long HABIT times or more in HABIT_S.

        0 for one that sends evenly. One long silence is no habit, and two are none.
        """
        of_late = sorted((gap_s for at, gap_s in self._long if now - at < HABIT_S), reverse=True)
        return of_late[HABIT - 1] if len(of_late) >= HABIT else 0.0

    def known_s(self, now: float) -> float:
        """Return for how long the source has been known."""
        return 0.0 if self._first_at is None else now - self._first_at

    def _turn(self, now: float) -> None:
        """Begin another half when it is time for it."""
        if now - self._half_at >= HALF_S:
            self._before_s = self._here_s if now - self._half_at < 2 * HALF_S else 0.0
            self._here_s, self._half_at = 0.0, now
