"""The ways to a source: which links, on which engines, in which order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aceproxy.errors import Reason
from aceproxy.streams.losses import ENGINE_LEFT_AFTER

LINK_FAULTS = frozenset({
    Reason.CONTENT_NOT_FOUND, Reason.ENGINE_ERROR, Reason.ENGINE_OPTION_MISSING, Reason.ENGINE_REDIRECTED,
    Reason.ENGINE_TIMEOUT, Reason.ENCRYPTED, Reason.NO_PEERS, Reason.START_TIMEOUT, Reason.NO_DATA,
    Reason.NOT_MPEGTS, Reason.SESSION_LOST,
})  # fmt: skip  # failures of a start that another link may not have
DISTRUST = frozenset({
    Reason.ENGINE_TIMEOUT, Reason.ENGINE_UNREACHABLE, Reason.ENGINE_REFUSED, Reason.SOURCE_LOOPS, Reason.NOT_MPEGTS,
    Reason.SOURCE_STALLED, Reason.ENGINE_STALLED,
})  # fmt: skip  # losses after which other engines come before the same one

NONE_LOST: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Way:
    """One way to open a source: link number `at`, on any engine but those excluded."""

    at: int
    exclude: frozenset[str] = frozenset()


def ways_back(
    at: int,
    engine: str | None,
    engines: frozenset[str],
    *,
    better: Sequence[int] = (),
    fallbacks: Sequence[int] = (),
    losses: Mapping[str, int] = NONE_LOST,
    others_first: bool,
    ahead: frozenset[str] = frozenset(),
) -> list[Way]:
    """Return the ways to try after link number `at` was lost on `engine`, the nearest first.

    `engines` are all there are. `better`: the numbers of links that come first, since this one is lost again and again,
    `fallbacks` those that come last. `losses`: how often the link was lost of late on each engine. `others_first`: the
    engine is under suspicion. `ahead`: of the others those that come first, since the rest is behind.
    """
    own_engine = frozenset() if engine is None else frozenset({engine})
    others = engines - own_engine
    least = min((losses.get(url, 0) for url in others), default=0)
    sound = frozenset(url for url in others if losses.get(url, 0) == least)
    tiers = [tier for tier in (sound & ahead, sound, others) if tier]
    elsewhere = [Way(at, engines - tier | own_engine) for tier in dict.fromkeys(tiers)]
    own = [Way(at, others)] if engine in engines else []
    own_losses = losses.get(engine, 0) if engine is not None else 0
    is_worn = own_losses >= ENGINE_LEFT_AFTER and own_losses > least
    near = [*elsewhere, *own] if others_first or is_worn else [*own, *elsewhere]
    return [*map(Way, better), *near, *map(Way, fallbacks)]
