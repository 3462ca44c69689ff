"""The random-access points in a stretch of a source that is looked at by itself. Pure."""

from __future__ import annotations

from aceproxy.mpegts.access import AccessPoint, Analyzer
from aceproxy.mpegts.packets import PACKET_BYTES, Aligner


def points_in(stretch: bytes) -> list[tuple[AccessPoint, bytes]]:
    """Return the random-access points in any bytes of a source, each with its first packet, in their order.

    Offsets are counted from the first whole packet. What is undecided at the end is none. Never raises.
    """
    packets = Aligner().feed(stretch)
    points = Analyzer().feed(packets).points
    return [(point, packets[point.offset : point.offset + PACKET_BYTES]) for point in points]
