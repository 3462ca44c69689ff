"""Pictures that a decoder needs and nobody wants to see: those from a recovery point on, up to where it has recovered.

A broadcast may have no pictures that stand for themselves: each one renews a part of the picture (intra refresh). At a
recovery point the encoder says how many frames it takes until all of it is renewed (ITU-T H.264 §D.2.8). Where a
decoder has shown something else before, what it makes of these frames is a mixture of both. They cannot be left out,
and H.264 cannot say that they are not to be shown. So they are given time stamps that make them pass in some
milliseconds, right before the first frame that is complete: until then a player shows the old picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aceproxy.mpegts.bits import BitReader, unescaped
from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.h264 import IDR_SLICE, SLICE, units_of
from aceproxy.mpegts.splice_stamps import later

LONGEST: Final = 5 * CLOCK_HZ // 2
"""Of what passes like that; the old picture would stand still for longer than the damage is worth."""

_SEI: Final = 6
_RECOVERY_POINT: Final = 6
_PACE: Final = 40  # how many times faster they pass: a frame in a millisecond
_OVER: Final = 10 * CLOCK_HZ


@dataclass(frozen=True, slots=True)
class Recovery:
    """The pictures of a PID that pass quickly. Clocks are the source's, 90 kHz."""

    pid: int
    pts: int
    dts: int
    """Of the first of them."""
    span: int
    """Media time up to the first picture that is complete."""

    def later_by(self, pts: int, dts: int) -> tuple[int, int]:
        """Return what is to be added to PTS and DTS of a picture: nothing to those that are complete."""
        return self._later_by(later(pts, self.pts)), self._later_by(later(dts, self.dts))

    def is_over(self, dts: int) -> bool:
        """Tell whether a picture with this DTS, and all that follow, are complete."""
        return later(dts, self.dts) >= self.span

    def is_long_over(self, dts: int) -> bool:
        """Tell whether it has been over for so long that it need not be thought of any more."""
        return later(dts, self.dts) > self.span + _OVER

    def _later_by(self, since: int) -> int:
        left = self.span - since
        return left - left // _PACE if 0 <= since < self.span else 0


def recovery_frames(content: bytes) -> int:
    """Return how many frames an access unit says that it takes until the picture is complete; 0: it says nothing."""
    for unit in units_of(content):
        if unit[0] & 0x1F in (SLICE, IDR_SLICE):
            break
        if unit[0] & 0x1F == _SEI and (frames := _frames(unescaped(unit)[1:])):
            return frames
    return 0


def _frames(body: bytes) -> int:
    """Return recovery_frame_cnt of a SEI NAL unit, 0 where it has none (§7.3.2.3.1)."""
    at = 0
    while at + 2 <= len(body):
        numbers = []
        for _ in range(2):  # type and size, each a sum of bytes up to the first that is not 0xFF
            number = 0
            while at < len(body) and body[at] == 0xFF:
                number, at = number + 0xFF, at + 1
            numbers.append(number + (body[at] if at < len(body) else 0))
            at += 1
        kind, size = numbers
        if kind == _RECOVERY_POINT:
            try:
                return BitReader(body[at : at + min(size, 8)]).ue()
            except EOFError:
                return 0
        at += size
    return 0
