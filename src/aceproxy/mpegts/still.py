"""Whether the pictures of a source stand still, by the time stamps of its newest packets. Pure."""

from __future__ import annotations

from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.packets import Aligner
from aceproxy.mpegts.sound_clock import stamps_of
from aceproxy.mpegts.splice_stamps import later

STILL_S: Final = 2.0  # behind the sound: more than any multiplex has between the two


def has_moving_pictures(newest: bytes) -> bool:
    """Say whether the pictures of a source go on to where its sound is. `newest` are its newest bytes.

    False where there are none. Never raises.
    """
    video: int | None = None
    sound: int | None = None
    for is_video, _, pts in stamps_of(Aligner().feed(newest)):
        if is_video:
            video = pts
        else:
            sound = pts
    return video is not None and (sound is None or later(video, sound) > -STILL_S * CLOCK_HZ)
