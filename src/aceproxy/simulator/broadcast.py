"""Broadcasts in time: which byte of a channel is on air at which moment, and what a file consists of.

A live channel is a function of the clock alone. Every reader, whenever it came, sees the same bytes at the same
position; time before the simulator started exists as well (the live window).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from aceproxy.simulator.clips import PACKET_BYTES, TICKS_WRAP, Clip, load_clip
from aceproxy.simulator.contents import Content, ContentFile

CLIPS_FOLDER = Path(__file__).with_name("clips")


@dataclass(frozen=True)
class Channel:
    """A content and its bytes.

    `epoch_at` is the monotonic time of byte `epoch_position`; `base_ticks` (90 kHz) is added to all time stamps.
    `files`, one at least, are what a content that is not live consists of.
    """

    content: Content
    clip: Clip
    epoch_at: float
    epoch_position: int
    base_ticks: int
    files: tuple[File, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Length of the first file; 0 for a live channel."""
        return self.files[0].size_bytes if self.files else 0

    def position_at(self, at: float) -> int:
        """Return the byte position on air at a monotonic time, on a packet boundary."""
        return whole_packets(self.epoch_position + (at - self.epoch_at) * self.clip.bytes_per_s)

    def span(self, seconds: float) -> int:
        """Return how many bytes, in whole packets, a time takes."""
        return whole_packets(seconds * self.clip.bytes_per_s)

    def read(self, position: int, count: int) -> bytes:
        """Return `count` bytes from `position` on; both multiples of 188."""
        return self.clip.read(position, count, self.base_ticks)


@dataclass(frozen=True)
class File:
    """One file of a content, any part of which can be read."""

    entry: ContentFile
    clip: Clip

    @property
    def size_bytes(self) -> int:
        """Its length: that of the file at `path`, or whole laps of the clip, at least one."""
        if self.entry.path is not None:
            return self.entry.path.stat().st_size
        return max(1, round(self.entry.duration_s * 90_000 / self.clip.lap_ticks)) * self.clip.lap_bytes

    def read(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on, fewer at the end."""
        if self.entry.path is not None:
            with self.entry.path.open("rb") as file:
                file.seek(start)
                return file.read(count)
        count = min(count, self.size_bytes - start)
        first = start // PACKET_BYTES * PACKET_BYTES
        whole = -(-(start + count - first) // PACKET_BYTES) * PACKET_BYTES
        return self.clip.read(first, whole)[start - first :][:count]


def whole_packets(byte_count: float) -> int:
    """Round down to whole packets."""
    return int(byte_count) // PACKET_BYTES * PACKET_BYTES


def open_channels(contents: tuple[Content, ...], epoch_at: float, history_s: float) -> dict[str, Channel]:
    """Load the clips and return the channels by infohash. Raises OSError and ClipError; reads files.

    Phase and time stamps of a live channel follow from its infohash, so channels of one clip are not in step.
    """
    names = {one.clip for one in contents} | {file.clip for one in contents for file in one.files}
    clips = {name: load_clip(CLIPS_FOLDER / f"{name}.ts") for name in sorted(names)}
    channels = {}
    for content in contents:
        clip = clips[content.clip]
        digest = hashlib.sha256(content.infohash.encode()).digest()
        laps = math.ceil(history_s * clip.bytes_per_s / clip.lap_bytes) + 1
        phase = whole_packets(int.from_bytes(digest[:4], "big") / 2**32 * clip.lap_bytes)
        ticks = int.from_bytes(digest[4:9], "big") % TICKS_WRAP
        channels[content.infohash] = Channel(
            content,
            clip,
            epoch_at=epoch_at,
            epoch_position=laps * clip.lap_bytes + phase if content.live else 0,
            base_ticks=ticks if content.live else 0,
            files=() if content.live else tuple(File(entry, clips[entry.clip]) for entry in content.listing),
        )
    return channels
