"""A circuit breaker: for how long an engine that fails is left alone, and how it is tried again. Pure.

`closed`: starts go to the engine. After a number of failures in a row it is `open`: no start, for a time. Then it is
`half_open`: one start at a time is let through as a trial. A trial that succeeds closes the breaker; one that fails
opens it again for twice the time, up to a bound. A trial that says nothing about the engine makes room for another.

Every start holds a permit of the era in which it began; an opening begins a new era. Outcomes of an earlier era are
ignored: of twenty starts that were under way when the engine died only the first few count, and a playback that was
begun before says nothing about now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """After how many `failures` in a row it opens, for how long at first, and at most; the settings `breaker_…`."""

    failures: int = 3
    first_s: float = 10.0
    max_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Permit:
    """A start that was let through. A `trial` is the one start of a half-open breaker."""

    era: int
    trial: bool


class Breaker:
    """The breaker of one engine. `now` is any clock that only goes forward, in seconds."""

    def __init__(self, limits: BreakerLimits) -> None:
        """Begin closed."""
        self.failures = 0  # in a row
        self._limits = limits
        self._era = 0
        self._is_open = False
        self._wait_s = min(limits.first_s, limits.max_s)  # of the present opening, or of the next while closed
        self._until_at = 0.0
        self._trial: Permit | None = None

    def state(self, now: float) -> BreakerState:
        """Return the state at `now`."""
        if not self._is_open:
            return "closed"
        return "half_open" if now >= self._until_at else "open"

    def allows(self, now: float) -> bool:
        """Say whether a start may go to the engine: always while closed, for one trial at a time while half-open."""
        state = self.state(now)
        return state == "closed" or (state == "half_open" and self._trial is None)

    def wait_s(self, now: float) -> float:
        """Return how long it stays open, 0 unless it is."""
        return max(0.0, self._until_at - now) if self._is_open else 0.0

    def begin(self, now: float) -> Permit:
        """Let a start through, whether or not it is allowed: where no other engine can do, it is tried all the same."""
        trial = self.state(now) == "half_open" and self._trial is None
        permit = Permit(self._era, trial)
        if trial:
            self._trial = permit
        return permit

    def succeeded(self, permit: Permit) -> None:
        """Hear that a start of this era went well: the engine is fit again."""
        if permit.era != self._era:
            return
        self.failures = 0
        if self._is_open:
            self._is_open = False
            self._trial = None
            self._wait_s = min(self._limits.first_s, self._limits.max_s)
            self._era += 1  # what else was begun while it was open counts no more

    def failed(self, permit: Permit, now: float) -> None:
        """Hear that a start failed through the engine's fault."""
        if permit.era == self._era:
            self._count(now)

    def told_nothing(self, permit: Permit) -> None:
        """Hear that a start ended without showing anything about the engine; a trial is free again."""
        if self._trial is permit:
            self._trial = None

    def contact_lost(self, now: float) -> None:
        """Hear that the engine did not answer a question for its version."""
        self._count(now)

    def contact_back(self, now: float) -> None:
        """Hear that an engine that did not answer does again: what was wrong may be over, so it is tried."""
        if self._is_open:
            self._until_at = min(self._until_at, now)

    def _count(self, now: float) -> None:
        state = self.state(now)
        if state == "open":
            return  # a last resort that failed says nothing new, and must not put the next trial off
        self.failures += 1
        if state == "half_open":
            self._wait_s = min(2 * self._wait_s, self._limits.max_s)
        elif self.failures < self._limits.failures:
            return
        self._is_open = True
        self._until_at = now + self._wait_s
        self._trial = None
        self._era += 1
