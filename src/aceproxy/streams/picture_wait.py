"""How long the rest of a picture is waited for before clients get what has come of it.

Waiting has an end, since a picture that takes long would delay the sound around it. Where nothing is around it there is
nothing to delay: of a source that gives less than is played everything is late. There a picture is waited for until it
is complete, because its rest never comes if that source is left for another one.
"""

from __future__ import annotations

from math import inf
from typing import Final

from aceproxy.mpegts.access import Scan
from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.media_span import media_span
from aceproxy.mpegts.packets import Buffer
from aceproxy.mpegts.splice_stamps import later

HELD_S: Final = 0.06  # where pictures are rare, so that they do not delay what is around them
QUICK_PER_S: Final = 15.0  # a rate from which on pictures are not rare
PACE: Final = 0.75  # media per time below which pictures are not rare but late
LATE_HELD_S: Final = 0.3  # for one that is late; from then on it depends on what comes with it
STARVED: Final = 0.5  # media per time below which what comes with a late picture is late as well
STARVED_HELD_S: Final = 30.0  # in any case
MEASURED_S: Final = 1.0  # over how long the rate of pictures is measured, at least


class PictureWait:
    """Watches the pictures of one stream, or its sound where it has no pictures. Belongs to the event loop.

    `unit_at` is the offset, in the analyzer's count, at which the newest one begins; None before the first.
    """

    def __init__(self) -> None:
        self.unit_at: int | None = None
        self._since = -inf
        self._is_rare = False
        self._units = 0  # when the rate was measured last
        self._pts: int | None = None
        self._measured_at: float | None = None

    def begin_source(self) -> None:
        """The time without a source says nothing of the rate."""
        self._measured_at = None

    def note(self, scan: Scan, now: float) -> None:
        """Take what the analyzer has seen."""
        if scan.unit_at == self.unit_at:
            return
        self.unit_at, self._since = scan.unit_at, now
        if self._measured_at is not None:
            elapsed_s = now - self._measured_at
            if elapsed_s < MEASURED_S:
                return
            self._is_rare = self._come_rarely(scan, elapsed_s)
        self._units, self._pts, self._measured_at = scan.units, scan.last_pts, now

    def _come_rarely(self, scan: Scan, elapsed_s: float) -> bool:
        """Tell whether pictures were rare since the last measurement, although the media went on as it is played."""
        if scan.units - self._units >= QUICK_PER_S * elapsed_s:
            return False
        if scan.last_pts is None or self._pts is None:
            return True
        return later(scan.last_pts, self._pts) >= PACE * elapsed_s * CLOCK_HZ

    def is_over(self, held: Buffer | None, now: float) -> bool:
        """Tell whether what waits is to go out as it is. `held` is that, from the beginning of the picture on.

        None: of the picture something is out already, or it is waited for no longer than it must for other reasons.
        """
        waited_s = now - self._since
        if waited_s <= (HELD_S if self._is_rare else LATE_HELD_S):
            return False
        if held is None or self._is_rare or waited_s > STARVED_HELD_S:
            return True
        return media_span(held) >= STARVED * waited_s * CLOCK_HZ
