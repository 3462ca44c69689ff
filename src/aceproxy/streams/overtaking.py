"""Whether a standby has overtaken the present source: then that is left long before its silence alone would say much.

A silence by itself is no fault: the swarm may stand still, and some engines send in bursts. But a standby that goes on
meanwhile, and has by now what viewers lack, shows that the broadcast does. The present source is compared with it as
soon as it has been silent for longer than it has been of late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aceproxy.mpegts.behind import behind_s
from aceproxy.streams.source import Source
from aceproxy.streams.spare import Spare

SILENT_S: Final = 0.6  # at the least: with the way to the clients the picture stands still for less than a second
GAP_SHARE: Final = 1.5  # of the longest gap of late, which has to be exceeded that clearly
KNOWN_S: Final = 6.0  # for which a source is seen before its gaps are known; bursts come every three seconds or less
AGAIN_S: Final = 60.0  # between two of these switches of one stream: however it misjudges, it does not go to and fro
AHEAD_S: Final = 0.25  # of media that the standby has more, and of time that it has sent for longer
PART_BYTES: Final = 512 << 10  # of the newest bytes of both, in which there is a clock


class Overtaking:
    """Compares the present source of one stream with its standby. Belongs to the event loop.

    `sent` returns the newest packets of the present source.
    """

    def __init__(self, sent: Callable[[], bytes]) -> None:
        self._sent = sent
        self._not_before = 0.0

    def due_at(self, source: Source, spare: Spare | None, now: float) -> float | None:
        """Return from when on the two are to be compared, unless something comes of the source before that.

        None while there is nothing to be compared: no standby of the same link that could take over, a source of which
        too little is known, one that is held back, or one that took over for this reason a moment ago.
        """
        last_byte_at = source.last_byte_at
        if spare is None or last_byte_at is None or source.paused or now < self._not_before:
            return None
        if not spare.is_ready or not spare.is_at_pace or source.gaps.known_s(now) < KNOWN_S:
            return None
        return last_byte_at + max(SILENT_S, GAP_SHARE * source.gaps.longest_s(now))

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
        lag_s = behind_s(self._sent()[-PART_BYTES:], spare.sink.newest(PART_BYTES))
        return lag_s is not None and lag_s <= -AHEAD_S

    def made(self, now: float) -> None:
        """The source was left for it."""
        self._not_before = now + AGAIN_S
