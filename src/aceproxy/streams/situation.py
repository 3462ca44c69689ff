"""What a second source beside the present one would be for, as a function of how the stream is supplied. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aceproxy.streams.judging import Call, Judgement
from aceproxy.streams.source import Source
from aceproxy.streams.spare import Purpose, Spare
from aceproxy.streams.ways import Way

FIRST_WAIT_S: Final = 5.0  # after one that failed; doubles
LONGEST_WAIT_S: Final = 300.0
REGRET_S: Final = 600.0  # a return to an engine that is lost within that time was a mistake
LONGEST_RETURN_S: Final = 3600.0  # until an engine that was lost again and again is tried once more


@dataclass(frozen=True, slots=True)
class Situation:
    """A stream's supply as it is now. Times are the event loop's.

    `fit`: the engines that could hold a spare more; `preferred`: those of them with a higher weight than the present
    one. `since`: when the present source came, `at_since`: when its link did. `arrivals` counts engines that came
    to be usable. `next_links`: for which the present link, lost again and again, is left when it is lost once more.
    """

    now: float
    source: Source
    at: int
    engine: str | None
    engines: frozenset[str]
    fit: frozenset[str]
    preferred: frozenset[str]
    links: int
    has_clients: bool
    wants_standby: bool
    since: float
    at_since: float
    arrivals: int
    judgement: Judgement | None
    next_links: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class ReserveLimits:
    """Seconds and bytes; the settings of the same names."""

    start_timeout_s: float
    return_s: float
    return_proof_s: float
    standby_bytes: int


class Returns:
    """When a return to a link or an engine is tried: with growing waits, so that nothing goes to and fro."""

    def __init__(self, return_s: float) -> None:
        """`return_s` is the setting; with 0 there is no return."""
        self._return_s = return_s
        self._refusals = 0
        self._not_before = 0.0
        self._made_at: float | None = None  # when the present engine or link was returned to
        self._regrets = 0

    def is_due(self, situation: Situation) -> bool:
        """Whether one is to be tried now, or goes on."""
        if not self._return_s or situation.now < self._not_before:
            return False
        wait_s = min(self._return_s * 2.0**self._regrets, LONGEST_RETURN_S)
        to_link = situation.at > 0 and situation.now - situation.at_since >= wait_s
        return to_link or (bool(situation.preferred) and situation.now - situation.since >= wait_s)

    def refused(self, now: float) -> None:
        """It failed, or viewers would notice."""
        self._not_before = now + min(FIRST_WAIT_S * 2.0**self._refusals, LONGEST_WAIT_S)
        self._refusals = min(self._refusals + 1, 10)

    def made(self, now: float) -> None:
        """A preferred engine or link was returned to."""
        self._refusals, self._made_at = 0, now

    def lost(self, now: float) -> None:
        """The present source was lost."""
        if self._made_at is not None:
            self._regrets = min(self._regrets + 1, 10) if now - self._made_at < REGRET_S else 0
        self._made_at = None


def purpose_of(situation: Situation, returns: Returns) -> Purpose | None:
    """Say what a second source would be for."""
    judgement = situation.judgement
    if situation.source.leave_requested or (judgement is not None and judgement.call is Call.POOR):
        return Purpose.MOVE
    if not situation.source.is_live:
        return None
    if situation.next_links and situation.has_clients:
        return Purpose.NEXT
    if returns.is_due(situation):
        return Purpose.RETURN
    if situation.wants_standby and situation.has_clients:
        return Purpose.STANDBY
    return None


def serves(spare: Spare, purpose: Purpose, situation: Situation) -> bool:
    """Say whether what was opened for one end serves another: a start that is under way is not thrown away."""
    if purpose is Purpose.RETURN:
        return spare.at < situation.at or (spare.at == situation.at and spare.engine_url in situation.preferred)
    if purpose is Purpose.NEXT:
        return spare.at in situation.next_links
    return purpose is Purpose.MOVE or spare.at == situation.at


def ways_beside(purpose: Purpose, situation: Situation) -> Sequence[Way]:
    """Return the ways to open a spare, the best first."""
    here = frozenset({situation.engine} if situation.engine else ())
    if purpose is Purpose.RETURN:  # both links may name one broadcast
        shun = here if situation.engines - here else frozenset()
        ways = [Way(at, shun) for at in range(situation.at)]
        return [*ways, Way(situation.at, situation.engines - situation.preferred)] if situation.preferred else ways
    if purpose is Purpose.NEXT:
        return [Way(at) for at in situation.next_links]
    ways = [Way(situation.at, here)] if situation.engines - here else []
    if purpose is Purpose.MOVE:
        shun = here if situation.source.leave_requested else frozenset()
        if situation.engines - shun:
            ways += [Way(at, shun) for at in range(situation.links) if at != situation.at]
    return ways
