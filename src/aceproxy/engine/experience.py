"""What real starts have shown about an engine, the old counting less and less. Pure.

Every observation has the weight 1 when it is made and half of it after each half-life. One good start is assumed for
every engine, so an engine that nothing is known of, or nothing recent, counts as a good one: it is tried, and then
known. That is why a bad engine is not left out for ever.
"""

from __future__ import annotations

TOO_OLD = 0.05  # weight below which a start time is not told any more


class Experience:
    """The experience with one engine. `now` is any clock that only goes forward, in seconds."""

    def __init__(self, half_life_s: float) -> None:
        """Begin without any."""
        self.starts = 0  # that delivered, ever
        self.failures = 0  # through the engine's fault, ever
        self._half_life_s = half_life_s
        self._at = 0.0
        self._good = 0.0
        self._bad = 0.0
        self._timed = 0.0
        self._time_s = 0.0  # sum of the start times, by weight

    def delivered(self, start_s: float, now: float) -> None:
        """Note how long a start took to its first bytes."""
        self._age(now)
        self.starts += 1
        self._timed += 1.0
        self._time_s += max(0.0, start_s)

    def lasted(self, now: float) -> None:
        """Note a playback that lasted."""
        self._age(now)
        self._good += 1.0

    def failed(self, now: float) -> None:
        """Note a failure through the engine's fault."""
        self._age(now)
        self.failures += 1
        self._bad += 1.0

    def failure_rate(self, now: float) -> float:
        """Return the share of failures, 0 to less than 1."""
        self._age(now)
        return self._bad / (self._good + self._bad + 1.0)

    def start_s(self, now: float) -> float | None:
        """Return the usual start time, None if there was none lately."""
        self._age(now)
        return self._time_s / self._timed if self._timed > TOO_OLD else None

    def expected_start_s(self, now: float, otherwise_s: float) -> float:
        """Return the start time to expect; the less there is to go by, the nearer to `otherwise_s`."""
        self._age(now)
        return (self._time_s + otherwise_s) / (self._timed + 1.0)

    def _age(self, now: float) -> None:
        factor = 0.5 ** (max(0.0, now - self._at) / self._half_life_s)
        self._at = max(self._at, now)
        self._good *= factor
        self._bad *= factor
        self._timed *= factor
        self._time_s *= factor
