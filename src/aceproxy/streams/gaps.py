"""The gaps in what a source sends: how long it is silent while all is well with it. Pure: times are passed in.

Some engines send evenly, some in bursts with seconds between them. What is a fault of the one is the way of the other.
"""

from __future__ import annotations

from typing import Final

HALF_S: Final = 30.0  # gaps are remembered for that long at least, and for twice that at most


class Gaps:
    """The gaps of one source. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self._last_at: float | None = None
        self._half_at = 0.0  # when the present half began
        self._here_s = 0.0  # the longest gap in it
        self._before_s = 0.0  # the longest gap in the half before

    def arrived(self, now: float) -> None:
        """Take note that bytes came."""
        if self._first_at is None:
            self._first_at = self._half_at = now
        self._turn(now)
        if self._last_at is not None:
            self._here_s = max(self._here_s, now - self._last_at)
        self._last_at = now

    def interrupted(self) -> None:
        """Take note that it is we who read nothing: what follows says nothing of the source."""
        self._last_at = None

    def longest_s(self, now: float) -> float:
        """Return the longest gap of late, in seconds; one that has not ended yet does not count."""
        self._turn(now)
        return max(self._here_s, self._before_s)

    def known_s(self, now: float) -> float:
        """Return for how long the source has been known."""
        return 0.0 if self._first_at is None else now - self._first_at

    def _turn(self, now: float) -> None:
        """Begin another half when it is time for it."""
        if now - self._half_at >= HALF_S:
            self._before_s = self._here_s if now - self._half_at < 2 * HALF_S else 0.0
            self._here_s, self._half_at = 0.0, now
