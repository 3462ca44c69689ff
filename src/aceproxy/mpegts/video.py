"""Picture size, frame rate and profile out of the headers of H.264, HEVC and MPEG-1/2 video.

Sources: ITU-T H.264 §7.3.2.1.1 and annex E, ITU-T H.265 §7.3.2.2 and §7.3.3, ISO/IEC 13818-2 §6.2.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from aceproxy.mpegts.bits import BitReader, unescaped

_MAX_HEADER_BYTES: Final = 1024
_UNIT: Final = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
_MAX_SIDE: Final = 16_384

_H264_PROFILES: Final = {
    66: "Baseline",
    77: "Main",
    88: "Extended",
    100: "High",
    110: "High 10",
    122: "High 4:2:2",
    244: "High 4:4:4 Predictive",
}
_H264_WITH_CHROMA: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_HEVC_PROFILES: Final = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Rext"}
_MPEG2_PROFILES: Final = {1: "High", 2: "Spatially Scalable", 3: "SNR Scalable", 4: "Main", 5: "Simple"}
_MPEG2_RATES: Final = {
    1: 24000 / 1001,
    2: 24.0,
    3: 25.0,
    4: 30000 / 1001,
    5: 30.0,
    6: 50.0,
    7: 60000 / 1001,
    8: 60.0,
}
_CHROMA_STEP: Final = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What the headers of a video stream say."""

    codec: str
    """More exact than the PMT, which often says MPEG-2 where MPEG-1 is sent."""
    width: int
    height: int
    """Of the picture as shown, after cropping."""
    profile: str | None = None
    frame_rate: float | None = None
    """Frames per second (not fields), None where the headers do not tell."""
    interlaced: bool | None = None
    """The stream may hold interlaced pictures; None where the headers do not tell."""
    name: str | None = field(default=None, compare=False)
    """By RFC 6381, with profile and level, for H.264 only: `avc1.640028`."""


VIDEO_WITH_FORMAT: Final = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video"})
"""The codecs that `find_video_format` knows."""


def find_video_format(codec: str, content: bytes) -> VideoFormat | None:
    """Return the format from the first good header in a piece of elementary stream, None where there is none."""
    for found in _UNIT.finditer(content):
        code, at = content[found.start(1)], found.end()
        body = content[at : at + _MAX_HEADER_BYTES]
        try:
            if codec == "h264" and code & 0x1F == 7:
                shape = _h264(BitReader(unescaped(_unit_of(body))))
            elif codec == "hevc" and code >> 1 & 0x3F == 33:
                shape = _hevc(BitReader(unescaped(_unit_of(body[1:]))))
            elif codec in ("mpeg1video", "mpeg2video") and code == 0xB3:
                shape = _mpeg12(body)
            else:
                continue
        except EOFError:
            continue
        if 0 < shape.width <= _MAX_SIDE and 0 < shape.height <= _MAX_SIDE:
            return shape
    return None


def _unit_of(body: bytes) -> bytes:
    """Return a NAL unit up to the next start code; raises EOFError where that has not come yet."""
    end = body.find(b"\x00\x00\x01")
    if end < 0 and len(body) < _MAX_HEADER_BYTES:
        raise EOFError("the unit is not whole yet")
    return body if end < 0 else body[:end]


def _h264(bits: BitReader) -> VideoFormat:
    """Read a sequence parameter set."""
    profile_idc, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    bits.ue()
    chroma = read_h264_chroma(bits, profile_idc)
    bits.ue()
    order_type = bits.ue()
    if order_type == 0:
        bits.ue()
    elif order_type == 1:
        bits.skip(1)
        bits.se()
        bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    bits.ue()
    bits.skip(1)
    width, map_units = (bits.ue() + 1) * 16, bits.ue() + 1
    frames_only = bits.flag()
    height = map_units * 16 * (1 if frames_only else 2)
    if not frames_only:
        bits.skip(1)
    bits.skip(1)
    if bits.flag():
        across, down = _CHROMA_STEP.get(chroma, (1, 1))
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * across
        height -= (top + bottom) * down * (1 if frames_only else 2)
    profile = _H264_PROFILES.get(profile_idc)
    if profile_idc == 66 and constraints & 0x40:
        profile = "Constrained Baseline"
    name = f"avc1.{profile_idc:02x}{constraints:02x}{level:02x}"
    return VideoFormat("h264", width, height, profile, _h264_rate(bits), not frames_only, name)


def read_h264_chroma(bits: BitReader, profile_idc: int) -> int:
    """Read chroma format, depths and scaling lists, of profiles with them; return the format (0: separate planes)."""
    if profile_idc not in _H264_WITH_CHROMA:
        return 1
    chroma = bits.ue()
    separate = chroma == 3 and bits.flag()
    bits.ue()
    bits.ue()
    bits.skip(1)
    if bits.flag():
        for index in range(12 if chroma == 3 else 8):
            if bits.flag():
                _pass_scaling_list(bits, 16 if index < 6 else 64)
    return 0 if separate else chroma


def _pass_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _h264_rate(bits: BitReader) -> float | None:
    """Read the VUI up to the timing (annex E.1.1); return frames per second."""
    try:
        if not bits.flag():
            return None
        if bits.flag() and bits.u(8) == 255:
            bits.skip(32)
        if bits.flag():
            bits.skip(1)
        if bits.flag():
            bits.skip(4)
            if bits.flag():
                bits.skip(24)
        if bits.flag():
            bits.ue()
            bits.ue()
        if not bits.flag():
            return None
        units, scale = bits.u(32), bits.u(32)
    except EOFError:
        return None
    return _plausible(scale / units / 2) if units else None


def _hevc(bits: BitReader) -> VideoFormat:
    """Read a sequence parameter set up to the conformance window."""
    bits.skip(4)
    sub_layers = bits.u(3)
    bits.skip(1 + 3)
    profile_idc = bits.u(5)
    bits.skip(32)
    progressive, interlaced = bits.flag(), bits.flag()
    bits.skip(46 + 8)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.skip(2 * (8 - sub_layers))
    for profile_present, level_present in present:
        bits.skip(88 * profile_present + 8 * level_present)
    bits.ue()
    chroma = bits.ue()
    if chroma == 3 and bits.flag():
        chroma = 0
    width, height = bits.ue(), bits.ue()
    if bits.flag():
        across, down = _CHROMA_STEP.get(chroma, (1, 1))
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * across
        height -= (top + bottom) * down
    known = progressive or interlaced
    return VideoFormat("hevc", width, height, _HEVC_PROFILES.get(profile_idc), None, not progressive if known else None)


def _mpeg12(body: bytes) -> VideoFormat:
    """Read a sequence header (right after its start code) and, for MPEG-2, the sequence extension."""
    bits = BitReader(body[:8])
    width, height = bits.u(12), bits.u(12)
    bits.skip(4)
    rate = _MPEG2_RATES.get(bits.u(4))
    following = _UNIT.search(body, 8)
    if not following:
        raise EOFError("what follows the header has not come")
    if following[1] != b"\xb5":  # the extension must be next in MPEG-2 (§6.2.2)
        return VideoFormat("mpeg1video", width, height, None, rate, False)
    at = following.start()
    if at + 10 > len(body):
        raise EOFError("the sequence extension has not come")
    bits = BitReader(body[at + 4 : at + 10])
    if bits.u(4) != 1:
        raise EOFError("not a sequence extension")
    profile = _MPEG2_PROFILES.get(bits.u(8) >> 4 & 7)
    progressive = bits.flag()
    bits.skip(2)
    width |= bits.u(2) << 12
    height |= bits.u(2) << 12
    bits.skip(12 + 1 + 8 + 1)
    if rate:
        rate = rate * (bits.u(2) + 1) / (bits.u(5) + 1)
    return VideoFormat("mpeg2video", width, height, profile, rate, not progressive)


def _plausible(rate: float) -> float | None:
    return rate if 0.5 <= rate <= 480 else None
