"""The company of a source: what else is read from its engine. All of them silent at once is a fault of the engine.

One source alone may fall silent for many reasons; that several fall silent together which have been steady, and that no
other one goes on, has one. Who is read, and when it last sent, is looked up when it is asked: nothing is counted here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from aceproxy.streams.gaps import Gaps

TOGETHER_S: Final = 0.4  # of silence: readers rest for up to 0.2 s, and one beat may be missed
LEAST: Final = 3  # steady sources that are silent
KNOWN_S: Final = 6.0  # for which a source is seen before its gaps are known; bursts come every three seconds or less


class Companion(Protocol):
    """A source as its company is seen."""

    gaps: Gaps

    @property
    def last_byte_at(self) -> float | None:
        """When its newest byte came; None before the first."""

    @property
    def paused(self) -> bool:
        """Whether it is we who do not read."""


class Company:
    """All sources that are read, of all streams, by their engines' addresses. Belongs to the event loop."""

    def __init__(self) -> None:
        self._by_engine: dict[str, set[Companion]] = {}

    def join(self, engine_url: str, source: Companion) -> None:
        """A source is open."""
        self._by_engine.setdefault(engine_url, set()).add(source)

    def leave(self, engine_url: str, source: Companion) -> None:
        """A source is closed, whether it was open or not."""
        sources = self._by_engine.get(engine_url, set())
        sources.discard(source)
        if not sources:
            self._by_engine.pop(engine_url, None)

    def count(self, engine_url: str | None) -> int:
        """Return how many sources are read from an engine."""
        return len(self._by_engine.get(engine_url or "", ()))

    def is_silent(self, engine_url: str | None, now: float) -> bool:
        """Say whether an engine has fallen silent as a whole: all that it sends, some of which was steady before."""
        sources = self._by_engine.get(engine_url or "", ())
        return len(sources) >= LEAST and are_silent(sources, now)


def are_silent(sources: Iterable[Companion], now: float) -> bool:
    """Say whether none of these goes on, and enough of them have never been silent for so long of late."""
    steady = 0
    for source in sources:
        last_byte_at = source.last_byte_at
        if last_byte_at is None or source.paused:
            continue
        silent_s = now - last_byte_at
        if silent_s < TOGETHER_S:
            return False
        steady += source.gaps.known_s(now) >= KNOWN_S and source.gaps.longest_s(now) < min(silent_s, 1.0)
    return steady >= LEAST
