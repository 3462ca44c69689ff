"""HLS: how a broadcast is cut at entry points, and the list of what is there (engine-api §4.2)."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from aceproxy.simulator.broadcast import Channel
from aceproxy.simulator.clips import CLOCK_HZ

LENGTHS = (1.0, 0.8, 1.2)  # segments of real lists differ like this
GRACE_SEGMENTS = 3  # what just left the list can still be fetched


@dataclass(frozen=True)
class Segment:
    """A piece of the broadcast between two entry points. Bytes `start` to `stop`; `duration_s` by time stamps."""

    sequence: int
    start: int
    stop: int
    duration_s: float


class Segmenter:
    """Cuts one channel from a position on. Bounded: keeps the window and a little grace."""

    def __init__(self, channel: Channel, start_position: int, segment_s: float, window: int | None) -> None:
        """Cut from the first entry point at or after `start_position`; `window` None keeps all (files)."""
        self._channel = channel
        self._end = None if channel.content.live else channel.size_bytes
        self._segment_s = segment_s
        self._window = window
        self._next_entry = channel.clip.entry_number_at(max(0, start_position))
        self._next_sequence = 0
        self._kept: deque[Segment] = deque(maxlen=None if window is None else window + GRACE_SEGMENTS)

    def advance(self, position: int) -> None:
        """Cut everything that is complete at byte `position`."""
        while (segment := self._cut()).start < segment.stop <= position:
            self._kept.append(segment)
            self._next_sequence += 1
            self._next_entry = self._channel.clip.entry_number_at(segment.stop)

    def _cut(self) -> Segment:
        clip = self._channel.clip
        first = clip.entry_point(self._next_entry)
        length = self._segment_s * LENGTHS[self._next_sequence % len(LENGTHS)]
        last, number = first, self._next_entry
        while last.ticks - first.ticks < length * CLOCK_HZ - 1 and last.offset != self._end:
            number += 1
            last = clip.entry_point(number)
        return Segment(self._next_sequence, first.offset, last.offset, (last.ticks - first.ticks) / CLOCK_HZ)

    def window(self) -> tuple[Segment, ...]:
        """Return the segments of the list, oldest first."""
        kept = tuple(self._kept)
        return kept if self._window is None else kept[-self._window :]

    def segment(self, sequence: int) -> Segment | None:
        """Return a segment that can still be fetched."""
        return next((one for one in self._kept if one.sequence == sequence), None)


def playlist(segments: tuple[Segment, ...], segment_base_url: str, *, complete: bool) -> str:
    """Return the media playlist; `segment_base_url` ends with a slash. `segments` must not be empty."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-TARGETDURATION:{math.ceil(max(segment.duration_s for segment in segments))}",
        f"#EXT-X-MEDIA-SEQUENCE:{segments[0].sequence}",
    ]
    for segment in segments:
        lines += [f"#EXTINF:{segment.duration_s:.6f},", f"{segment_base_url}{segment.sequence}.ts"]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if complete else [])]) + "\n"
