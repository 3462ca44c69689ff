"""How well a link plays, learnt from real viewing. Pure: no clock, no disk.

Every source that was opened for viewers ends with a `Viewing`. Viewings are added to the `Quality` of their link, in
which everything fades with time: a broadcast that was bad last month may be fine today. The score is a guess between 0
and 1; a link of which nothing is known stands in the middle, so that it is tried before one that keeps failing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from aceproxy.engine.links import Link
from aceproxy.errors import Reason

PRIOR_START_S = 10.0  # start time that is assumed before any is known
PRIOR_WATCHED_S = 60.0  # time without a stall that is assumed before any is known
STALL_WEIGHT = 10.0  # a second of stall counts as that many of undisturbed viewing
LOSS_S = 10.0  # a lost source counts as a stall of so long
SCORE_STEP = 0.15  # links whose scores differ by less stay in the order that was asked for

# failures that tell something of the link, whichever engine it was asked from
TELLING = frozenset(
    {
        Reason.CONTENT_NOT_FOUND,
        Reason.ENGINE_ERROR,
        Reason.ENGINE_OPTION_MISSING,
        Reason.ENGINE_REDIRECTED,
        Reason.ENCRYPTED,
        Reason.NO_PEERS,
        Reason.START_TIMEOUT,
        Reason.NO_DATA,
        Reason.NOT_MPEGTS,
    }
)


@dataclass(frozen=True, slots=True)
class Viewing:
    """What one source of one link on one engine was like.

    `start_s` is None where it never delivered; then `reason` says why. Otherwise `reason` says why it was lost, None if
    it was let go. `speed_ratio`: the engine's download rate over the bitrate, averaged, at most 1.
    """

    key: str
    engine: str
    title: str | None = None
    start_s: float | None = None
    watched_s: float = 0.0
    stalls: int = 0
    stalled_s: float = 0.0
    speed_ratio: float | None = None
    peers: float | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """Sums over viewings, faded. All zero: nothing is known."""

    starts: float = 0.0
    failures: float = 0.0
    start_s: float = 0.0
    watched_s: float = 0.0
    stalls: float = 0.0
    stalled_s: float = 0.0
    losses: float = 0.0
    speed_s: float = 0.0  # seconds for which the speed is known
    speed: float = 0.0  # speed ratio times those seconds
    peers_s: float = 0.0
    peers: float = 0.0

    def faded(self, factor: float) -> Quality:
        """Return the sums with `factor` (0 to 1) of their weight."""
        return Quality(**{name: getattr(self, name) * factor for name in self.__slots__})

    def plus(self, other: Quality) -> Quality:
        """Return both together."""
        return Quality(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    @property
    def mean_start_s(self) -> float | None:
        """Mean time to the first data, None if it never came."""
        return self.start_s / self.starts if self.starts > 0 else None

    @property
    def mean_speed_ratio(self) -> float | None:
        """Mean of download rate over bitrate, None if it is not known."""
        return self.speed / self.speed_s if self.speed_s > 0 else None

    @property
    def mean_peers(self) -> float | None:
        """Mean number of peers, None if it is not known."""
        return self.peers / self.peers_s if self.peers_s > 0 else None

    @property
    def score(self) -> float:
        """Say how promising the link is, more than 0 and less than 1.

        The chance that it starts, times the share of undisturbed viewing, less for slow starts and for a swarm that
        sends more slowly than the broadcast plays. Each part has a prior, so that little experience says little.
        """
        reliability = (self.starts + 1) / (self.starts + self.failures + 2)
        good_s = self.watched_s + PRIOR_WATCHED_S
        smoothness = good_s / (good_s + STALL_WEIGHT * (self.stalled_s + LOSS_S * self.losses))
        start_s = (self.start_s + PRIOR_START_S) / (self.starts + 1)
        promptness = PRIOR_START_S / (PRIOR_START_S + start_s)
        supply = (self.speed + PRIOR_WATCHED_S) / (self.speed_s + PRIOR_WATCHED_S)
        return reliability * smoothness * (0.5 + 0.5 * promptness) * (0.5 + 0.5 * supply)


UNKNOWN = Quality()


def quality_of(viewing: Viewing) -> Quality:
    """Return what one viewing tells. A failure that is the engine's or ours alone tells nothing of the link."""
    if viewing.start_s is None:
        return Quality(failures=1.0) if viewing.reason in TELLING else UNKNOWN
    watched_s = max(0.0, viewing.watched_s)
    told = Quality(
        starts=1.0,
        start_s=max(0.0, viewing.start_s),
        watched_s=watched_s,
        stalls=float(viewing.stalls),
        stalled_s=min(max(0.0, viewing.stalled_s), watched_s),
        losses=0.0 if viewing.reason is None else 1.0,
    )
    if viewing.reason in TELLING:  # it delivered something, but nothing that could be played
        told = replace(told, starts=0.0, start_s=0.0, losses=0.0, failures=1.0)
    if viewing.speed_ratio is not None:
        told = replace(told, speed_s=watched_s, speed=min(1.0, max(0.0, viewing.speed_ratio)) * watched_s)
    if viewing.peers is not None:
        told = replace(told, peers_s=watched_s, peers=max(0.0, viewing.peers) * watched_s)
    return told


def fading(age_s: float, half_life_s: float) -> float:
    """Return the weight that is left after `age_s`. A clock that was set back makes nothing heavier."""
    return float(0.5 ** (max(0.0, age_s) / half_life_s))


class LinkExperience(Protocol):
    """What has been learnt of links. Nothing here waits."""

    def add(self, viewing: Viewing) -> None:
        """Learn from a source that has ended."""

    def order(self, links: Sequence[Link]) -> list[Link]:
        """Return links of one broadcast, the most promising first; those that are about equal stay as they are."""

    def score(self, key: str, engine: str | None = None) -> float:
        """Say how promising a link is, on one engine or on any."""


class NoExperience:
    """Learns nothing and prefers nothing."""

    def add(self, viewing: Viewing) -> None:
        """Forget it."""

    def order(self, links: Sequence[Link]) -> list[Link]:
        """Return the links as they are."""
        return list(links)

    def score(self, key: str, engine: str | None = None) -> float:
        """Return that of a link of which nothing is known."""
        return UNKNOWN.score
