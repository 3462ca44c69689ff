"""The header of a PES packet (ISO/IEC 13818-1 §2.4.3.6): its clock and where its content begins."""

from __future__ import annotations

from typing import Final, NamedTuple

from aceproxy.mpegts.packets import Buffer

_PREFIX: Final = b"\x00\x00\x01"
WITHOUT_HEADER: Final = frozenset({0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF})
"""Stream ids: program_stream_map, padding, private_stream_2, ECM, EMM, DSM-CC, H.222.1 type E, and
program_stream_directory.
"""


class PesHeader(NamedTuple):
    """What matters of a PES header."""

    pts: int | None
    """90 kHz, 33 bit."""
    scrambled: bool
    """PES_scrambling_control says that the content is not clear."""
    content_at: int
    """Where the elementary stream begins, counted from the first byte of the header."""
    dts: int | None = None
    """The same; None where it is that of the PTS."""


def read_pts(field: Buffer) -> int:
    """Return the 33-bit time stamp in the five bytes of a PTS or DTS field."""
    return (field[0] & 0x0E) << 29 | field[1] << 22 | (field[2] & 0xFE) << 14 | field[3] << 7 | field[4] >> 1


def is_pes_start(payload: Buffer) -> bool:
    """Tell whether a payload (or as much of it as there is) starts like a PES packet."""
    return bytes(payload[:3]) == _PREFIX[: len(payload)]


def read_pes_header(payload: bytes) -> PesHeader | None:
    """Return the header at the start of a payload, None where more bytes are needed to read it.

    The caller has asked `is_pes_start` before. A header with impossible marker bits is read as one without a clock.
    """
    if len(payload) < 9:
        return PesHeader(None, False, 6) if len(payload) >= 6 and payload[3] in WITHOUT_HEADER else None
    flags = payload[6]
    if payload[3] in WITHOUT_HEADER or flags & 0xC0 != 0x80:
        return PesHeader(None, False, 6)
    content_at = 9 + payload[8]
    pts = dts = None
    if payload[7] & 0x80 and payload[8] >= 5:
        has_dts = payload[7] & 0xC0 == 0xC0 and payload[8] >= 10
        if len(payload) < (19 if has_dts else 14):
            return None
        pts, dts = read_pts(payload[9:14]), read_pts(payload[14:19]) if has_dts else None
    return PesHeader(pts, bool(flags & 0x30), content_at, dts)
