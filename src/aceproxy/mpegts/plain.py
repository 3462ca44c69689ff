"""Plain pictures: those of which the first packet shows at once that no decoder may start there. Nearly all are.

What `pes` and `pictures` say of them in several steps, with an object for each, is read here in one. A live source
brings 25 or 50 a second, and between two of them other streams have had the processor's caches: each step and each
object is fetched anew.
"""

from __future__ import annotations

import re
from typing import Final

from aceproxy.mpegts.packets import PACKET_BYTES
from aceproxy.mpegts.pes import WITHOUT_HEADER, read_pts

_PREFIX: Final = b"\x00\x00\x01"
_HEADER_BYTES: Final = 19  # with both time stamps


def plain_stamps(packet: bytes, units: re.Pattern[bytes]) -> tuple[int | None, int | None] | None:
    """Return PTS and DTS (90 kHz; None where it is that of the PTS, or there is none) of a plain picture.

    `packet` is one in which a PES packet of a video stream starts, `units` is what `pictures.first_units` returns for
    the codec. None says nothing: the picture is to be judged step by step.
    """
    control = packet[3] & 0xF0
    if control == 0x30:
        at = 5 + packet[4]
    elif control == 0x10:
        at = 4
    else:
        return None  # scrambled, or without a payload
    if at > PACKET_BYTES - _HEADER_BYTES or packet[at : at + 3] != _PREFIX or packet[at + 6] & 0xF0 != 0x80:
        return None
    size = packet[at + 8]
    unit = units.search(packet, at + 9 + size)
    if unit is None or unit.lastindex is not None or packet[at + 3] in WITHOUT_HEADER:
        return None
    flags = packet[at + 7]
    if not flags & 0x80 or size < 5:
        return None, None
    pts = read_pts(packet[at + 9 : at + 14])
    return pts, read_pts(packet[at + 14 : at + 19]) if flags & 0x40 and size >= 10 else None
