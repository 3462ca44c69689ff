"""The window: which blocks of a ring are segments, listed or still to be had.

Segments are the blocks themselves, held by reference: listing costs no copy. The rules of RFC 8216 that are kept here:

- The target duration is chosen once, from the keyframes seen so far, and the ring then cuts no block longer (§6.2.1).
- The list is never shorter than three target durations once it has been that long (§6.2.2).
- A segment is listed for LISTED_TARGETS target durations at least, also where many come at once (a source that was
  lost has much to send): players would else skip what came between two of their looks.
- A segment that left the list can still be had for its own duration and that of the longest list it was in (§6.2.2).
- A media duration that cannot be true (the broadcast's clock jumped) is replaced by what the bytes say, and the next
  segment is marked as a break.

Used on the event loop only; no I/O but a look at the head of each block, which is in memory.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from aceproxy.hls.playlist import MediaList, Segment, rounded
from aceproxy.mpegts.whole import begins_whole
from aceproxy.settings import Settings
from aceproxy.streams.block import Block
from aceproxy.streams.ring import Ring

LEAST_TARGETS: Final = 3  # a live list is at least so many target durations long
LISTED_TARGETS: Final = 2  # for so many a segment stays in the list; players look once in each
LONGEST_TARGET_S: Final = 10  # of those that are chosen for the sake of far keyframes
HEAD_BYTES: Final = 512 * 188  # of a block, looked at to see whether it stands for itself
LEAST_DURATION_S: Final = 0.001
SPARE_S: Final = 0.25  # of the half second that a segment may be longer than the target (RFC 8216 §4.3.3.1)
KEPT_RINGS: Final = 2  # times ring_bytes: what a window may hold


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """How long the list is, how long a block should be, and how much may be held."""

    segments: int
    block_s: float
    held_bytes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> WindowLimits:
        """Take the limits from the settings."""
        return cls(settings.hls_segments, settings.block_s, KEPT_RINGS * settings.ring_bytes)


@dataclass(frozen=True, slots=True)
class HeldSegment:
    """A segment and its bytes: `head` (PAT and PMT), then the whole of `block`, which is complete.

    `since_at`: when it became one.
    """

    segment: Segment
    head: bytes
    block: Block
    since_at: float

    @property
    def size_bytes(self) -> int:
        """Length of the segment as it is sent."""
        return len(self.head) + self.block.size


@dataclass(frozen=True, slots=True)
class _Removed:
    held: HeldSegment
    until_at: float


class Window:
    """The segments of one ring, numbered from `first_number` on; their breaks are counted from `first_break` on.

    Numbers that grow with the time keep a list's rising when a stream is started anew under the same address.
    """

    def __init__(
        self,
        ring: Ring,
        limits: WindowLimits,
        first_number: int,
        first_break: int,
        now: Callable[[], float],
        utc: Callable[[], datetime],
    ) -> None:
        """Take the complete blocks that the ring holds, and from now on every one that it completes."""
        self._ring = ring
        self._limits = limits
        self._first_number = self._newest = first_number
        self._now = now
        self._utc = utc
        self._target_s: int | None = None
        self._listed: deque[HeldSegment] = deque()
        self._removed: deque[_Removed] = deque()
        self._breaks_before = first_break
        self._longest_list_s = 0.0
        self._after_jump = False
        self._anchor: float | None = None  # time of day at media time 0
        self._ended = False
        for block in ring.blocks():
            if block.next is not None or ring.finished is not None:
                self._take(block)
        ring.on_cut.append(self._take)

    @property
    def is_ready(self) -> bool:
        """Whether there is a segment to list."""
        return bool(self._listed)

    @property
    def is_full(self) -> bool:
        """Whether the list is as long as a live list should be."""
        target_s = self._target_s or math.ceil(self._limits.block_s) + 2
        return self._duration_s() >= LEAST_TARGETS * target_s

    @property
    def newest(self) -> HeldSegment | None:
        """The segment that was listed last."""
        return self._listed[-1] if self._listed else None

    @property
    def held_bytes(self) -> int:
        """Bytes that are held, in the list or after it; most of them by the ring as well."""
        return sum(held.block.size for held in self._listed) + sum(one.held.block.size for one in self._removed)

    @property
    def bitrates_bps(self) -> tuple[float, float]:
        """The highest bitrate of a segment in the list, and the average; (0, 0) where there is none."""
        rates = [held.size_bytes * 8 / held.segment.duration_s for held in self._listed]
        seconds = self._duration_s()
        if not rates or not seconds:
            return 0.0, 0.0
        return max(rates), sum(held.size_bytes for held in self._listed) * 8 / seconds

    def playlist(self) -> MediaList:
        """Return the list as it stands. It is empty while `is_ready` is false."""
        if self._target_s is None and self._listed:
            self._choose_target()
            self._date_back()
        return MediaList(
            self._target_s or math.ceil(self._limits.block_s) + 1,
            tuple(held.segment for held in self._listed),
            self._breaks_before,
            self._ended,
        )

    def find(self, number: int) -> HeldSegment | None:
        """Return a segment that is listed, or was until not too long ago."""
        self._forget_old()
        if self._listed and number >= self._listed[0].segment.number:
            at = number - self._listed[0].segment.number
            return self._listed[at] if at < len(self._listed) else None
        return next((one.held for one in self._removed if one.held.segment.number == number), None)

    @property
    def continuation(self) -> tuple[int, int]:
        """From where on a later window of the same broadcast must number its segments, and count its breaks."""
        breaks = self._breaks_before + sum(held.segment.is_break for held in self._listed)
        return self._newest + 1, breaks + 1

    @property
    def front(self) -> tuple[int, int]:
        """The number of the first segment in the list, and how many breaks were in it before that."""
        first = self._listed[0].segment.number if self._listed else self._newest + 1
        return first, self._breaks_before

    def rest(self) -> None:
        """Let go of what the ring has dropped: nobody watches by this list now."""
        self._removed = deque(one for one in self._removed if not one.held.block.dropped)
        while len(self._listed) > 1 and self._listed[0].block.dropped:
            self._count_out(self._listed.popleft())

    def close(self) -> None:
        """Take no further blocks. What is held can still be had."""
        if self._take in self._ring.on_cut:
            self._ring.on_cut.remove(self._take)

    def clear(self) -> None:
        """Let go of everything: nothing of it can be had any more."""
        self.close()
        self._listed.clear()
        self._removed.clear()

    def _take(self, block: Block) -> None:
        """Add a block that is complete, and shorten the list at its other end.

        The list begins with a block that begins with a join point, if there is any in the ring.
        """
        if not self._listed and self._ring.has_points and not (block.points and block.points[0].offset == block.start):
            return
        end_s = block.next.media_s if block.next is not None else self._ring.edge_s
        duration_s = max(LEAST_DURATION_S, end_s - block.media_s)
        is_break = (block.is_break or self._after_jump) and bool(self._listed)
        self._after_jump = False
        if self._target_s is not None and rounded(duration_s) > self._target_s:
            duration_s = min(self._target_s, max(LEAST_DURATION_S, self._by_size(block, duration_s)))
            self._after_jump = True
        if self._anchor is None or is_break:
            self._anchor = self._utc().timestamp() - self._ring.edge_s
        segment = Segment(
            self._first_number + block.number,
            duration_s,
            datetime.fromtimestamp(self._anchor + block.media_s, UTC),
            is_break,
            begins_whole(block.tables, block.read(0, HEAD_BYTES)),
        )
        self._listed.append(HeldSegment(segment, block.tables, block, self._now()))
        self._newest = segment.number
        self._ended = self._ring.finished is not None
        self._shorten()

    def _by_size(self, block: Block, duration_s: float) -> float:
        """Estimate the duration of a block whose clock jumped, from the bitrate of those before it."""
        seconds = self._duration_s()
        total = sum(held.block.size for held in self._listed)
        return block.size * seconds / total if total and seconds else duration_s

    def _choose_target(self) -> None:
        """Fix the target duration: a block, and the farthest way to the next keyframe that was seen.

        Where keyframes turn out to be farther apart later, blocks are cut between them. But one that ends with the
        keyframe is never cut just before it, since it is some milliseconds longer than was reckoned.
        """
        times = [point.media_s for point in self._ring.points] + [self._ring.edge_s]
        gap_s = max((later - earlier for earlier, later in pairwise(times)), default=0.0)
        least = math.ceil(self._limits.block_s) + 1
        wanted = min(math.ceil(self._limits.block_s + gap_s), max(LONGEST_TARGET_S, least))
        longest = max(rounded(held.segment.duration_s) for held in self._listed)
        self._target_s = max(least, wanted, longest)
        while self._may_shorten(self._target_s):
            self._count_out(self._listed.popleft())  # it was in no list yet
        self._ring.longest_s = min(self._ring.longest_s, self._target_s + SPARE_S)

    def _date_back(self) -> None:
        """Let the first list end now: what an engine sends at once at the start is older media, not media to come."""
        assert self._anchor is not None, "the first segment sets it"
        latest = self._utc().timestamp() - self._ring.edge_s
        ahead_s = self._anchor - latest
        if ahead_s <= 0:
            return
        self._anchor = latest
        for held in list(self._listed):
            self._listed.popleft()
            earlier = held.segment.starts_utc - timedelta(seconds=ahead_s)
            self._listed.append(replace(held, segment=replace(held.segment, starts_utc=earlier)))

    def _shorten(self) -> None:
        if self._target_s is not None and not self._ended:
            self._longest_list_s = max(self._longest_list_s, self._duration_s())
            gone_at = self._now() - LISTED_TARGETS * self._target_s
            while self._is_seen(self._listed[0], gone_at) and self._may_shorten(self._target_s):
                self._remove_oldest()
        self._forget_old()

    @staticmethod
    def _is_seen(oldest: HeldSegment, gone_at: float) -> bool:
        """Whether players have had the time to see it; what the ring has dropped is not kept for that."""
        return oldest.since_at <= gone_at or oldest.block.dropped

    def _may_shorten(self, target_s: int) -> bool:
        """Whether the list is long enough without its first segment, and nobody is still to take that.

        What comes faster than real time (a recording) is held back for who takes it: it must not run out of the list.
        """
        oldest = self._listed[0]
        if len(self._listed) <= self._limits.segments or (
            self._ring.watch_front and oldest.block.end > self._ring.fetched
        ):
            return False
        return self._duration_s() - oldest.segment.duration_s >= LEAST_TARGETS * target_s

    def _remove_oldest(self) -> None:
        held = self._listed.popleft()
        self._count_out(held)
        until_at = self._now() + held.segment.duration_s + self._longest_list_s
        self._removed.append(_Removed(held, until_at))

    def _count_out(self, held: HeldSegment) -> None:
        self._breaks_before += held.segment.is_break

    def _forget_old(self) -> None:
        """Let go of what has been out of the list for long enough, and of more where memory is short."""
        now = self._now()
        while self._removed and self._removed[0].until_at <= now:
            self._removed.popleft()
        surplus = self.held_bytes - self._limits.held_bytes
        while surplus > 0 and self._removed:
            surplus -= self._removed.popleft().held.block.size
        while surplus > 0 and len(self._listed) > 1:
            held = self._listed.popleft()
            self._count_out(held)
            surplus -= held.block.size

    def _duration_s(self) -> float:
        return sum(held.segment.duration_s for held in self._listed)
