"""The media clock: 33-bit time stamps of 90 kHz made into seconds that only go forward."""

from __future__ import annotations

from typing import Final

CLOCK_HZ: Final = 90_000
WRAP: Final = 1 << 33


class MediaClock:
    """Turns PTS values into media time that begins at 0.0 and never goes back.

    Steps are taken modulo 2^33, so the wrap after 26.5 hours is a step like any other. A PTS a little behind the latest
    one (pictures are sent in decoding order) does not move the clock. A step of more than `max_step_s` forward, or more
    than `max_reorder_s` back, is a discontinuity: it takes no time, and time goes on from the latest value.
    """

    def __init__(self, *, max_step_s: float = 10.0, max_reorder_s: float = 2.0) -> None:
        self.discontinuities = 0
        """How often the clock of the stream jumped."""
        self._max_step = round(max_step_s * CLOCK_HZ)
        self._max_reorder = round(max_reorder_s * CLOCK_HZ)
        self._latest: int | None = None
        self._ticks = 0

    def seconds(self, pts: int) -> float:
        """Return the media time of a PTS, in seconds since the first one given; never less than the last result."""
        if self._latest is None:
            self._latest = pts % WRAP
            return 0.0
        step = (pts - self._latest + WRAP // 2) % WRAP - WRAP // 2
        if step > self._max_step or step < -self._max_reorder:
            self.discontinuities += 1
            self._latest = pts % WRAP
        elif step > 0:
            self._ticks += step
            self._latest = pts % WRAP
        return self._ticks / CLOCK_HZ
