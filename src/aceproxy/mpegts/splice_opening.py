"""How a decoder that has shown something else begins anew with the first picture of a source.

Leading pictures, which follow a random-access point and are shown before it, are left out (see `splice_rewrite`). That
is enough for MPEG-2 video. HEVC has a kind of picture that says that the link to what was before is broken: a CRA
picture is sent as that (ITU-T H.265 §7.4.2.2). H.264 has none, see `h264_opening`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Final

from aceproxy.mpegts.clock import WRAP
from aceproxy.mpegts.h264 import UnreadableError
from aceproxy.mpegts.h264_opening import opening
from aceproxy.mpegts.pes import read_pes_header
from aceproxy.mpegts.recovery import LONGEST, Recovery, recovery_frames
from aceproxy.mpegts.splice_join import Rest, start_after
from aceproxy.mpegts.splice_sent import PidEnd
from aceproxy.mpegts.splice_source import NewSource, PesStart
from aceproxy.mpegts.splice_stamps import FRAME, later

_VIDEO_GAP: Final = 3600
_LONGEST_STEP: Final = 90_000
_FIELDS: Final = 2  # PES packets of one frame, at most
_MOST_BYTES: Final = 4 << 20  # of one of them, with what is multiplexed with it
_CLEAN_ACCESS: Final = re.compile(rb"\x00\x00\x01[\x2a\x2b]")  # a slice of a CRA picture: type 21
_BROKEN_LINK: Final = 16 << 1  # BLA_W_LP


@dataclass(frozen=True, slots=True)
class Beginning:
    """How video begins with a PES packet of a source."""

    before: tuple[bytes, ...] = ()
    """Access units to send before it."""
    instead: bytes = b""
    """The access unit to send in its place."""
    open_at: int = 0
    """From where on packets are sent as they are, if something is sent in its place."""
    recovery: Recovery | None = None
    """The pictures that are not to be looked at, if it is the first of these."""


_AS_IT_IS: Final = Beginning()


def beginning_of(source: NewSource, start: PesStart, *, is_last_resort: bool) -> Beginning | None:
    """Return how video begins with a PES packet of the reference PID; None: more of the source is needed.

    As the last resort that is never so.
    """
    pid = source.reference_pid
    video = source.tables.program.first("video") if source.tables else None
    if pid is None or video is None or video.pid != pid or start.pts is None or start.offset not in source.points:
        return _AS_IT_IS
    if video.codec == "hevc":
        found = _hevc(source, pid, start)
    elif video.codec == "h264":
        found = _h264(source, pid, start, is_last_resort=is_last_resort)
    else:
        return _AS_IT_IS
    return _AS_IT_IS if found is None and is_last_resort else found


def _hevc(source: NewSource, pid: int, start: PesStart) -> Beginning | None:
    """Return the beginning with a picture of HEVC: if it is a CRA picture, it is said to have a broken link."""
    stop = start_after(source, pid, start)
    if stop is None:
        return None
    content = _content(source, pid, start, stop)
    if content is None or not _CLEAN_ACCESS.search(content):
        return _AS_IT_IS
    instead = _CLEAN_ACCESS.sub(lambda found: found[0][:3] + bytes((_BROKEN_LINK | found[0][3] & 1,)), content)
    return Beginning(instead=instead, open_at=stop.offset)


def _h264(source: NewSource, pid: int, start: PesStart, *, is_last_resort: bool) -> Beginning | None:
    """Return the beginning with a picture of H.264."""
    following = _next_shown(source, pid, start)
    if following is None and not is_last_resort:
        return None
    after = _content(source, pid, following, None) if following else None
    content, at = b"", start
    for _ in range(_FIELDS):
        stop = start_after(source, pid, at)
        if stop is None:
            return None
        part = _content(source, pid, at, stop)
        if part is None:
            return _AS_IT_IS
        content += part
        try:
            found = opening(content, None if is_last_resort else after or b"")
        except UnreadableError:
            return Beginning(recovery=_recovery(source, pid, start, recovery_frames(content)))
        if found is not None:
            return Beginning(found)
        at = stop
    return None


def _recovery(source: NewSource, pid: int, start: PesStart, frames: int) -> Recovery | None:
    """Return the pictures from `start` on up to so many frames later; None where there are none, or too many."""
    stamps = [one.dts for one in source.starts[pid] if one.dts is not None]
    steps = [step for one, other in pairwise(stamps) if 0 < (step := later(other, one)) < _LONGEST_STEP]
    span = frames * (median_low(steps) if steps else _VIDEO_GAP)
    if start.pts is None or start.dts is None or not 0 < span <= LONGEST:
        return None
    return Recovery(pid, start.pts, start.dts, span)


def _next_shown(source: NewSource, pid: int, start: PesStart) -> PesStart | None:
    """Return the first PES packet after a picture, of one or two, that is shown after it."""
    after = (one for one in source.starts[pid] if one.offset > start.offset)
    first = start.pts or 0
    return next((one for one in after if one.pts is not None and later(one.pts, first) >= FRAME), None)


def _content(source: NewSource, pid: int, start: PesStart, stop: PesStart | None) -> bytes | None:
    """Return the elementary stream from one PES packet up to another one, None where it cannot be read."""
    end = stop.offset if stop else source.end
    payload = source.payload(pid, start.offset, end) if end - start.offset <= _MOST_BYTES else None
    header = read_pes_header(payload) if payload else None
    return None if payload is None or header is None or header.scrambled else payload[header.content_at :]


def stamped(beginning: Beginning, start: PesStart, shift: int, end: PidEnd | None, out_pid: int) -> tuple[Rest, ...]:
    """Return the pictures of a beginning with `start`, as sent; those before it come between that and `end`."""
    if end is None or start.dts is None or start.pts is None:
        return ()
    count = len(beginning.before)
    steps = later(start.dts + shift, end.dts), later(start.pts + shift, end.pts)
    gap = min(end.gap or _VIDEO_GAP, *(step // (count + 1) for step in steps))
    pictures = [*(zip(beginning.before, range(count, 0, -1), strict=True) if gap > 0 else ()), (beginning.instead, 0)]
    return tuple(
        Rest(out_pid, _pes_with(picture, start.pts + shift - gap * back, start.dts + shift - gap * back), starts=True)
        for picture, back in pictures
        if picture
    )


def _pes_with(content: bytes, pts: int, dts: int) -> bytes:
    """Return a PES packet of video with these time stamps (90 kHz; ISO/IEC 13818-1 §2.4.3.6)."""
    stamps = b"".join(_stamp_field(prefix, ticks) for prefix, ticks in ((3, pts), (1, dts)))
    return b"\x00\x00\x01\xe0\x00\x00\x84\xc0\x0a" + stamps + content


def _stamp_field(prefix: int, ticks: int) -> bytes:
    ticks %= WRAP
    parts = prefix << 4 | ticks >> 29 & 0x0E | 1, ticks >> 22 & 0xFF, ticks >> 14 & 0xFE | 1, ticks >> 7 & 0xFF
    return bytes((*parts, ticks << 1 & 0xFE | 1))
