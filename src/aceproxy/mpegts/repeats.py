"""Noticing a stream that goes over old ground: its clock jumps back, and then the very same access point comes again.

A jump back alone may be a new programme of the broadcaster or another encoder; the same content under the same time
stamps is not. Looked at are only the time stamps of the reference PID and the first packet of each random-access
point. That packet holds PCR, PTS, DTS and the first bytes of the picture, so that two of them are equal only if the
same place of the same recording is sent twice. The continuity counter is left out: it goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto
from typing import Final
from zlib import crc32

from aceproxy.mpegts.clock import CLOCK_HZ, WRAP

POINTS_KEPT: Final = 2048  # random-access points: half an hour and more
JUMP_BACK: Final = CLOCK_HZ  # pictures are sent out of order by less


BEFORE: Final = 60 * CLOCK_HZ  # so far before the first time stamp seen a place may still be of the same broadcast


class Seen(Enum):
    """Whether a random-access point went by before."""

    NEVER = auto()
    BEFORE = auto()
    UNKNOWN = auto()  # it is of a time before the first one that was watched


class RepeatWatch:
    """What was sent, as far as it must be known again. Time stamps are 90 kHz, 33 bit."""

    def __init__(self) -> None:
        self._points: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._last_pts: int | None = None
        self._pts_before: int | None = None  # the newest one, when the clock was last looked at
        self._mark: tuple[int | None, list[tuple[int, int]]] | None = None  # how it was, and what was new since
        self._first_pts: int | None = None  # since the clock was accepted

    def accept(self) -> None:
        """Take the clock as it is now for that of a new programme."""
        self._first_pts = self._last_pts

    def goes_back(self, pts: int | None, *, steps_back: bool = False) -> bool:
        """Take the newest PTS of the reference PID; tell whether the clock jumped back.

        `steps_back`: it did between two pictures since it was last looked at, whatever the newest one says.
        """
        last = self._pts_before = self._last_pts
        self._last_pts = pts if pts is not None else last
        if self._first_pts is None:
            self._first_pts = pts
        return last is not None and pts is not None and (steps_back or JUMP_BACK < (last - pts) % WRAP < WRAP // 2)

    def mark(self, *, with_newest_point: bool = False) -> None:
        """What comes from the newest time stamp on may go to nobody: remember how things stood before it.

        `with_newest_point`: the newest random-access point has not gone to anybody either.
        """
        self._mark = self._pts_before, list(self._points)[-1:] if with_newest_point else []

    def roll_back(self) -> None:
        """Forget what came since `mark`: nobody was sent it. A source that brings it later brings something new."""
        if self._mark is not None:
            self._last_pts, points = self._mark
            for point in points:
                self._points.pop(point, None)
            self._mark = None

    def keep(self) -> None:
        """What came since `mark` was sent after all."""
        self._mark = None

    def forget_newest_point(self) -> None:
        """The newest random-access point was taken back before it was sent."""
        if self._points:
            self._points.popitem()

    def knows_point(self, pts: int | None, packet: bytes) -> bool:
        """Tell whether a random-access point went by, without taking note of it; None has no time and tells nothing."""
        return pts is None or _key(pts, packet) in self._points

    def note_point(self, pts: int | None, packet: bytes) -> Seen:
        """Take a random-access point and its first packet; tell whether it went by before."""
        if pts is None:
            return Seen.NEVER
        key = _key(pts, packet)
        if key in self._points:
            return Seen.BEFORE
        self._points[key] = None
        if self._mark is not None:
            self._mark[1].append(key)
        while len(self._points) > POINTS_KEPT:
            self._points.popitem(last=False)
        is_earlier = self._first_pts is not None and 0 < (self._first_pts - pts) % WRAP < BEFORE
        return Seen.UNKNOWN if is_earlier else Seen.NEVER


def _key(pts: int, packet: bytes) -> tuple[int, int]:
    return pts, crc32(packet[4:])
