"""The media time that a source has brought, by whichever of its streams goes on.

Media time is that of the pictures as a rule. Where these stand still (a slide every ten seconds, a camera that failed)
the sound tells how much has come. Pure: times are passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.sound_clock import SoundClock

FASTEST: Final = 2.0  # sound per time; what jumps ahead by more is no sound that was brought


class Carried:
    """Measures one source. `newest` returns its newest packets: so many bytes, or as many as are kept."""

    def __init__(self, newest: Callable[[int], bytes]) -> None:
        self._newest = newest
        self._sound = SoundClock()
        self._last: tuple[float, int, float] | None = None
        self._ahead_s = 0.0  # by how much the sound has gone on since the pictures did
        self._total_s = 0.0

    def note(self, now: float, packet_bytes: int, media_s: float) -> float:
        """Take a look; return the seconds of media so far. `packet_bytes` and `media_s` only grow.

        What the sound says is only looked for where the pictures have not gone on since the last look.
        """
        if self._last is not None:
            last_now, last_bytes, last_media_s = self._last
            gone_s = media_s - last_media_s
            if gone_s > 0:
                self._sound.forget()
                self._total_s += max(0.0, gone_s - self._ahead_s)
                self._ahead_s = max(0.0, self._ahead_s - gone_s)
            elif packet_bytes > last_bytes:
                sound_s = self._sound.feed(self._newest(packet_bytes - last_bytes)) / CLOCK_HZ
                sound_s = min(sound_s, FASTEST * (now - last_now))
                self._ahead_s += sound_s
                self._total_s += sound_s
        self._last = now, packet_bytes, media_s
        return self._total_s
