"""Whether a standby has overtaken the present source: then that is left long before its silence alone would say much.

A silence by itself is no fault: the swarm may stand still, and some engines send in bursts. But a standby that goes on
meanwhile, and has by now what viewers lack, shows that the broadcast does. The present source is compared with it as
soon as it has been silent for longer than it has been of late; or, where that is not known yet or long, as soon as its
engine owes an answer to the question whether it lives; or as soon as all that the engine sends has fallen silent.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from aceproxy.streams.company import KNOWN_S, LEAST, TOGETHER_S, Company
from aceproxy.streams.reserve import AHEAD_S
from aceproxy.streams.source import Source
from aceproxy.streams.spare import Spare
from aceproxy.ticks import next_tick

SILENT_S: Final = 0.6  # at the least: with the way to the clients the picture stands still for less than a second
GAP_SHARE: Final = 1.5  # of the longest gap of late, which has to be exceeded that clearly
DOUBT_S: Final = 0.3  # of silence after which the engine is asked whether it lives, where its gaps do not tell enough
OWES_S: Final = 0.3  # for which it must have owed the answer
EARLIER_S: Final = 0.5  # before the newest byte: so much earlier it may have been asked, by whoever
AGAIN_S: Final = 60.0  # between two of these switches of one stream: however it misjudges, it does not go to and fro
LOOK_S: Final = 0.1  # between looks at the company of a source, and at what its engine owes


class Overtaking:
    """Compares the present source of one stream with its standby. Belongs to the event loop.

    `sent` returns the newest packets of the present source, so many bytes at most.
    """

    def __init__(self, sent: Callable[[int], bytes], company: Company) -> None:
        self._sent = sent
        self._company = company
        self._not_before = 0.0

    def look_at(self, source: Source, spare: Spare | None, now: float) -> float | None:
        """Return when to look next at these two at the latest, None where there is nothing to be compared."""
        last_byte_at = self._comparable(source, spare, now)
        if last_byte_at is None:
            return None
        by_itself_s = self._by_itself_s(source, spare, now)
        first_s = DOUBT_S if by_itself_s > SILENT_S else by_itself_s
        if self._company.count(source.engine_url) >= LEAST:
            first_s = min(first_s, TOGETHER_S)
        first_at = last_byte_at + first_s
        return first_at if first_at > now else next_tick(now, LOOK_S)

    def doubts(self, source: Source, spare: Spare | None, now: float) -> float | None:
        """Return since when the source has been silent, if its engine is to be asked whether it lives."""
        last_byte_at = self._comparable(source, spare, now)
        if last_byte_at is None or now - last_byte_at < DOUBT_S or self._by_itself_s(source, spare, now) <= SILENT_S:
            return None
        return last_byte_at

    def due_at(self, source: Source, spare: Spare | None, now: float) -> float | None:
        """Return from when on the two are to be compared, by what is known now, unless something comes of the source.

        None while there is nothing to be compared: no standby of the same link that could take over, a source that is
        held back, of which too little is known, or one that took over for this reason a moment ago.
        """
        last_byte_at = self._comparable(source, spare, now)
        if last_byte_at is None:
            return None
        silent_s = self._by_itself_s(source, spare, now)
        if silent_s > SILENT_S and self.owed_s(source, now) >= OWES_S:
            silent_s = max(SILENT_S, source.gaps.longest_s(now))
        if self._company.is_silent(source.engine_url, now):
            silent_s = min(silent_s, TOGETHER_S)
        return last_byte_at + silent_s if silent_s < inf else None

    def _comparable(self, source: Source, spare: Spare | None, now: float) -> float | None:
        """Return when the newest byte of the source came, if the two can be compared at all."""
        if spare is None or source.paused or now < self._not_before:
            return None
        return source.last_byte_at if spare.is_ready else None

    def _by_itself_s(self, source: Source, spare: Spare | None, now: float) -> float:
        """Return how long a silence of this source tells something by itself.

        Infinite while it is hardly known, or while its standby still sends what it had when it was begun: that has
        media that viewers lack also while the swarm stands still.
        """
        if source.gaps.known_s(now) < KNOWN_S or spare is None or not spare.is_at_pace:
            return inf
        return max(SILENT_S, GAP_SHARE * source.gaps.longest_s(now))

    @staticmethod
    def owed_s(source: Source, now: float) -> float:
        """Return for how long the engine has owed the answer whether it lives, asked since about the silence began."""
        since_at, last_byte_at = source.owed_since, source.last_byte_at
        if since_at is None or last_byte_at is None or since_at < last_byte_at - EARLIER_S:
            return 0.0
        return now - since_at

    def has_overtaken(self, source: Source, spare: Spare | None, now: float) -> bool:
        """Say whether the standby has sent for longer, and has media that the source has not brought.

        Both are needed. One that is behind goes on for a while when the swarm stands still, one that is ahead has more
        all the time.
        """
        due_at = self.due_at(source, spare, now)
        if due_at is None or now < due_at:
            return False
        assert spare is not None
        last_byte_at, its_last_byte_at = source.last_byte_at, spare.source.last_byte_at
        if last_byte_at is None or its_last_byte_at is None or its_last_byte_at - last_byte_at < AHEAD_S:
            return False
        lag_s = spare.lag_s(self._sent)
        return lag_s is not None and lag_s <= -AHEAD_S

    def is_behind(self, spare: Spare) -> bool:
        """Say whether a spare of the same broadcast has nothing so far that viewers lack."""
        lag_s = spare.lag_s(self._sent)
        return lag_s is not None and lag_s > -AHEAD_S

    def made(self, now: float) -> None:
        """The source was left for it."""
        self._not_before = now + AGAIN_S
