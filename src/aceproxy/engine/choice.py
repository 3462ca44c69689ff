"""The choice of an engine for a start, as a function of what is known of all. Pure.

Of the engines that can take a start, the one that would be the least loaded with it: streams over capacity, divided
by weight and by what experience says of it. So streams are spread in proportion, a better engine has more of them, and
a worse one still gets some, which keeps what is known of it fresh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aceproxy.errors import AceProxyError, Reason

EngineState = Literal["unknown", "up", "down", "hung"]
"""`hung` accepts connections but does not answer; `down` covers everything else that is not `up`."""

LEAST_RELIABILITY = 0.05  # an engine that always fails still counts for a twentieth of a good one
LEAST_SPEED = 0.5  # broadcasts differ more in their start times than engines do, so slowness halves at most
START_TOLERANCE_S = 1.0  # differences far below this are noise
LEAST_SUITING = 0.25  # of an engine on which this link has only ever failed or stuttered
LEAST_WARMTH = 0.25  # of an engine that has just come back
WARM_UP_S = 30.0  # until it has its whole share again

_PREFERENCE: dict[EngineState, int] = {"up": 0, "unknown": 1, "down": 2, "hung": 3}


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """An engine does not tell its version: since when (loop time of the first call that was in vain), and why not."""

    since_at: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts of one engine. `allowed`: its breaker lets a start through; `wait_s`: until it would.

    `starting` of its `streams` have not shown yet that they last; `spares` of them give way to others. `doubted`: this
    very link failed there a moment ago. `speed`: see `relative_speed`. `back_s`: how long ago it came back,
    None if it was never gone. `suits`: how well this very link has played there, 1 where nothing speaks against it.
    """

    label: str
    state: EngineState
    allowed: bool
    wait_s: float
    streams: int
    starting: int
    spares: int
    capacity: int
    weight: float
    failure_rate: float
    speed: float
    back_s: float | None
    doubted: bool
    suits: float = 1.0

    @property
    def is_reachable(self) -> bool:
        """Whether it may answer, as far as is known."""
        return self.state in ("up", "unknown")

    @property
    def has_room(self) -> bool:
        """Whether it can take another playback."""
        return self.streams - self.spares < self.capacity

    @property
    def quality(self) -> float:
        """What its capacity is worth for this link: its weight, less for failures, slow starts, for having just come
        back, and where this link has played badly.
        """
        reliability = max(LEAST_RELIABILITY, 1.0 - self.failure_rate)
        warmth = 1.0 if self.back_s is None else min(1.0, max(LEAST_WARMTH, self.back_s / WARM_UP_S))
        return self.weight * reliability * self.speed * warmth * max(LEAST_SUITING, self.suits)

    @property
    def load(self) -> float:
        """How loaded it would be with one stream more. Starts under way count twice: none of them has proved itself."""
        return (self.streams + self.starting + 1) / (self.capacity * self.quality)


def relative_speed(expected_s: float, fastest_s: float) -> float:
    """Compare a start time with the fastest engine's: 1 is as fast, LEAST_SPEED the least there is."""
    return min(1.0, max(LEAST_SPEED, (fastest_s + START_TOLERANCE_S) / (expected_s + START_TOLERANCE_S)))


def choose(standings: Sequence[Standing]) -> Standing | None:
    """Return the engine for the next start, None if those that may be reached have no room. `standings` is not empty.

    The breaker's word counts only where another engine has room: for a viewer, a doubtful engine is better than none.
    Where no engine may be reached, one is returned all the same, since what is known may be old.
    """
    reachable = [one for one in standings if one.is_reachable]
    candidates = [one for one in reachable or standings if one.has_room]
    if not candidates:
        return None
    willing = [one for one in candidates if one.allowed] or candidates
    return min(
        willing,
        key=lambda one: (_PREFERENCE[one.state], one.doubted, 0.0 if one.allowed else one.wait_s, one.load),
    )


def refuse_unfit_for_spare(standing: Standing, last_error: str | None) -> None:
    """Say why an engine may not hold something ready, if so: that is no reason to try a doubtful one, or to fill it.

    Raises AceProxyError: ENGINE_UNREACHABLE, ENGINE_ERROR, AT_CAPACITY.
    """
    if standing.state != "up":
        raise AceProxyError(Reason.ENGINE_UNREACHABLE, f"{standing.label}: {last_error or standing.state}")
    if not standing.allowed:
        raise AceProxyError(Reason.ENGINE_ERROR, f"{standing.label} has failed too often and is left alone for a while")
    if standing.streams >= standing.capacity:
        raise AceProxyError(Reason.AT_CAPACITY)
