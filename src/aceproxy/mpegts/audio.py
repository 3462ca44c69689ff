"""Sample rate and channels out of the frame headers of MPEG audio, AAC (ADTS, LATM), AC-3 and E-AC-3.

Sources: ISO/IEC 11172-3 §2.4.1.3, ISO/IEC 14496-3 §1.6, §1.7 and §1.A, ATSC A/52 §5.3, §5.4 and annex E.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aceproxy.mpegts.bits import BitReader


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the frame header of an audio stream says."""

    codec: str
    """More exact than the PMT: the layer of MPEG audio, AC-3 or E-AC-3."""
    sample_rate: int
    """Hz, of the core where a decoder may double it."""
    channels: int | None
    profile: str | None = None


_Frame = tuple[AudioFormat, int]  # and the bytes of the whole frame

_MPEG_KBPS: Final = {  # by (MPEG-1, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_HZ: Final = (44_100, 48_000, 32_000)
_AAC_HZ: Final = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_AAC_CHANNELS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8}
_AAC_PROFILES: Final = {1: "Main", 2: "LC", 3: "SSR", 4: "LTP", 5: "HE-AAC", 29: "HE-AACv2"}
_AC3_HZ: Final = (48_000, 44_100, 32_000)
_AC3_CHANNELS: Final = (2, 1, 2, 3, 3, 4, 4, 5)
_AC3_KBPS: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_LEAST_HEADER_BYTES: Final = 16


def find_audio_format(codec: str, content: bytes) -> AudioFormat | None:
    """Return the format from the first good frame header in a piece of elementary stream, None where there is none.

    A header counts where the next frame's sync word stands where it says, or at the very start of the piece.
    """
    known = _SYNTAX.get(codec)
    if known is None:
        return None
    sync, read = known
    for found in sync.finditer(content):
        at = found.start()
        try:
            frame = read(content[at : at + 64])
        except EOFError:
            continue
        if frame is None:
            continue
        shape, size = frame
        if (at == 0 and len(content) < size + 2) or sync.match(content, at + size):
            return shape
    return None


def _mpeg(header: bytes) -> _Frame | None:
    """Read the header of MPEG audio layer I, II or III."""
    bits = BitReader(header[:4])
    bits.skip(11)
    version, layer = bits.u(2), 4 - bits.u(2)
    bits.skip(1)
    kbps_index, hz_index, padding = bits.u(4), bits.u(2), bits.u(1)
    bits.skip(1)
    mono = bits.u(2) == 3
    if version == 1 or layer == 4 or kbps_index in (0, 15) or hz_index == 3:
        return None
    first = version == 3
    hz = _MPEG_HZ[hz_index] >> (0 if first else 1 if version == 2 else 2)
    bps = _MPEG_KBPS[first, layer][kbps_index] * 1000
    slots, slot_bytes = (12, 4) if layer == 1 else (144 if first or layer == 2 else 72, 1)
    size = (slots * bps // hz + padding) * slot_bytes
    return AudioFormat(f"mp{layer}", hz, 1 if mono else 2), size


def _adts(header: bytes) -> _Frame | None:
    """Read the header of an ADTS frame."""
    bits = BitReader(header[:7])
    bits.skip(16)
    object_type, hz_index = bits.u(2) + 1, bits.u(4)
    bits.skip(1)
    channels = _AAC_CHANNELS.get(bits.u(3))
    bits.skip(4)
    size = bits.u(13)
    if hz_index >= len(_AAC_HZ) or size < 7:
        return None
    return AudioFormat("aac", _AAC_HZ[hz_index], channels, _AAC_PROFILES[object_type]), size


def _latm(header: bytes) -> _Frame | None:
    """Read a LOAS frame with a StreamMuxConfig of version 0 in it."""
    bits = BitReader(header)
    bits.skip(11)
    size = 3 + bits.u(13)
    if bits.u(2):  # useSameStreamMux, audioMuxVersion
        return None
    bits.skip(1 + 6 + 4 + 3)
    object_type, hz = _object_type(bits), _aac_rate(bits)
    channels = _AAC_CHANNELS.get(bits.u(4))
    return (AudioFormat("aac_latm", hz, channels, _AAC_PROFILES.get(object_type)), size) if hz else None


def _object_type(bits: BitReader) -> int:
    number = bits.u(5)
    return 32 + bits.u(6) if number == 31 else number


def _aac_rate(bits: BitReader) -> int | None:
    index = bits.u(4)
    if index == 15:
        return bits.u(24)
    return _AAC_HZ[index] if index < len(_AAC_HZ) else None


def _dolby(header: bytes) -> _Frame | None:
    """Read the header of an AC-3 or E-AC-3 frame; its bit stream identification tells which."""
    if len(header) < _LEAST_HEADER_BYTES:
        return None
    return _eac3(BitReader(header[2:])) if header[5] >> 3 > 10 else _ac3(BitReader(header[2:]))


def _ac3(bits: BitReader) -> _Frame | None:
    bits.skip(16)
    hz_index, size_code = bits.u(2), bits.u(6)
    halved = max(bits.u(5) - 8, 0)
    bits.skip(3)
    mode = bits.u(3)
    if mode & 1 and mode != 1:
        bits.skip(2)
    if mode & 4:
        bits.skip(2)
    if mode == 2:
        bits.skip(2)
    low_frequency = bits.u(1)
    if hz_index == 3 or size_code >= 2 * len(_AC3_KBPS):
        return None
    kbps = _AC3_KBPS[size_code >> 1]
    words = (kbps * 2, kbps * 96_000 // 44_100 + (size_code & 1), kbps * 3)[hz_index]
    return AudioFormat("ac3", _AC3_HZ[hz_index] >> halved, _AC3_CHANNELS[mode] + low_frequency), words * 2


def _eac3(bits: BitReader) -> _Frame | None:
    independent = bits.u(2) != 1
    bits.skip(3)
    size = (bits.u(11) + 1) * 2
    hz_index = bits.u(2)
    if hz_index == 3:
        hz_index = bits.u(2)
        hz = _AC3_HZ[hz_index] // 2 if hz_index < 3 else 0
    else:
        bits.skip(2)
        hz = _AC3_HZ[hz_index]
    mode, low_frequency = bits.u(3), bits.u(1)
    return (AudioFormat("eac3", hz, _AC3_CHANNELS[mode] + low_frequency), size) if hz and independent else None


_Reader = Callable[[bytes], _Frame | None]
_MPEG_SYNTAX: Final[tuple[re.Pattern[bytes], _Reader]] = (re.compile(rb"\xff[\xe0-\xff]"), _mpeg)
_DOLBY_SYNTAX: Final[tuple[re.Pattern[bytes], _Reader]] = (re.compile(rb"\x0b\x77"), _dolby)
_SYNTAX: Final[dict[str, tuple[re.Pattern[bytes], _Reader]]] = {
    "mp2": _MPEG_SYNTAX,
    "mp3": _MPEG_SYNTAX,
    "aac": (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), _adts),
    "aac_latm": (re.compile(rb"\x56[\xe0-\xff]"), _latm),
    "ac3": _DOLBY_SYNTAX,
    "eac3": _DOLBY_SYNTAX,
}

AUDIO_WITH_FORMAT: Final = frozenset(_SYNTAX)
"""The codecs that `find_audio_format` knows."""
