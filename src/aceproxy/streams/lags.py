"""How far behind what is sent the standbys of a stream run, by engine, and which engine may do better.

Engines of one swarm deliver a broadcast at different times. What a standby is behind by, viewers would have to wait for
when it takes over, so one that is far behind is changed for one on another engine while there is time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from statistics import median
from typing import Final

from aceproxy.streams.spare import Spare

LIMIT_S: Final = 1.0  # a standby that is less behind is as good as any
BETTER_S: Final = 1.0  # differences below that are no reason to change
EVERY_S: Final = 4.0  # between two measurements
AT_FIRST_S: Final = 1.5  # the same until there are enough; sources send in pieces for up to three seconds
MEASURED: Final = 3  # sources send in pieces: one measurement tells little
ENGINES: Final = 64  # remembered


class Lags:
    """What is known of one stream's standbys. Belongs to the event loop.

    `sent` returns the newest packets of the present source, so many bytes at most.
    """

    def __init__(self, sent: Callable[[int], bytes]) -> None:
        self._sent = sent
        self._next_at = 0.0
        self._measured: OrderedDict[str, deque[float]] = OrderedDict()

    def look(self, spare: Spare, now: float) -> None:
        """Measure a spare now and then; `of` knows what came of it."""
        if now < self._next_at or not spare.is_at_pace:
            return
        self._next_at = now + (AT_FIRST_S if self.of(spare.engine_url) is None else EVERY_S)
        lag_s = spare.lag_s(self._sent)
        if lag_s is not None and spare.engine_url is not None:
            self.note(spare.engine_url, lag_s)

    def note(self, engine: str, lag_s: float) -> None:
        """Take a measurement of the standby on an engine."""
        self._measured.setdefault(engine, deque(maxlen=MEASURED)).append(lag_s)
        self._measured.move_to_end(engine)
        while len(self._measured) > ENGINES:
            self._measured.popitem(last=False)

    def of(self, engine: str | None) -> float | None:
        """Return how far behind the standby on an engine is, or was last; None while that is not known."""
        known = self._measured.get(engine) if engine is not None else None
        return median(known) if known is not None and len(known) == MEASURED else None

    def better(self, engine: str | None, others: Collection[str]) -> frozenset[str]:
        """Return which of `others` may be less behind than the standby on `engine`, if that is too far behind."""
        lag_s = self.of(engine)
        if lag_s is None or lag_s <= LIMIT_S:
            return frozenset()
        known = {other: self.of(other) for other in others}
        return frozenset(other for other, its in known.items() if its is None or its < lag_s - BETTER_S)

    def worse(self, engines: Collection[str]) -> frozenset[str]:
        """Return those of `engines` that are not to hold a standby, since one of the others is further ahead."""
        known = {engine: self.of(engine) for engine in engines}
        least_s = min((0.0 if its is None else its for its in known.values()), default=0.0)
        limit_s = max(LIMIT_S, least_s + BETTER_S)
        return frozenset(engine for engine, its in known.items() if its is not None and its > limit_s)
