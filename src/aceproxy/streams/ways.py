"""The ways to a source: which links, on which engines, in which order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aceproxy.errors import Reason

LINK_FAULTS = frozenset({
    Reason.CONTENT_NOT_FOUND, Reason.ENGINE_ERROR, Reason.ENGINE_OPTION_MISSING, Reason.ENGINE_REDIRECTED,
    Reason.ENGINE_TIMEOUT, Reason.ENCRYPTED, Reason.NO_PEERS, Reason.START_TIMEOUT, Reason.NO_DATA,
    Reason.NOT_MPEGTS, Reason.SESSION_LOST,
})  # fmt: skip  # failures of a start that another link may not have
DISTRUST = frozenset({
    Reason.ENGINE_TIMEOUT, Reason.ENGINE_UNREACHABLE, Reason.ENGINE_REFUSED, Reason.SOURCE_LOOPS, Reason.NOT_MPEGTS,
    Reason.SOURCE_STALLED, Reason.ENGINE_STALLED,
})  # fmt: skip  # losses after which other engines come before the same one


@dataclass(frozen=True, slots=True)
class Way:
    """One way to open a source: link number `at`, on any engine but those excluded."""

    at: int
    exclude: frozenset[str] = frozenset()


def ways_back(
    at: int,
    engine: str | None,
    engines: frozenset[str],
    fallbacks: Sequence[int],
    *,
    others_first: bool,
    short_runs: int,
    ahead: frozenset[str] = frozenset(),
) -> list[Way]:
    """Return the ways to try after link number `at` was lost on `engine`, the nearest first.

    `engines` are all there are, `fallbacks` the numbers of the other links, best first. `others_first`: the engine is
    under suspicion. `ahead`: of the others those that come first, since the rest is behind. What ended after a moment
    `short_runs` times in a row comes after what may do better.
    """
    own_engine = frozenset({engine}) if engine else frozenset()
    own = [Way(at, engines - {engine})] if engine in engines else []
    others = [Way(at, own_engine)] if engines - {engine} else []
    if others and ahead - {engine}:
        others.insert(0, Way(at, engines - ahead | own_engine))
    near = [*others, *own] if others_first else [*own, *others]
    further = [Way(number) for number in fallbacks]
    link_is_doubtful = short_runs > 1 or (short_runs == 1 and not others)
    return [*further, *near] if link_is_doubtful else [*near, *further]
