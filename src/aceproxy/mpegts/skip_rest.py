"""What a client is still sent of the place it loses: the rest of the pictures and of the sound that were begun.

A PES packet ends where the next one of its PID begins. Whoever is at some byte of a stream gets, of each elementary
stream, the packets up to there and none after it, so a decoder has nothing but whole access units when the stream goes
on elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from aceproxy.mpegts.packets import PACKET_BYTES, heads_of
from aceproxy.mpegts.psi import PsiTracker
from aceproxy.mpegts.splice_stamps import pids_of

MOST_BYTES: Final = 256 << 10
"""Of a rest; a picture of which more is missing stays cut off."""
LOOK_BYTES: Final = 1 << 20
"""How far behind the place the next PES packets are looked for."""

_STARTING: Final = bytes(1 if value & 0x40 else 0 for value in range(256))


class BegunUnits:
    """Where access units begin in a stretch of whole packets, so that the rest from any byte of it is found at once."""

    def __init__(self, tables: bytes, packets: bytes) -> None:
        """`tables` are the PAT and PMT that belong to the stretch. Never raises."""
        psi = PsiTracker()
        for at in range(0, len(tables) - PACKET_BYTES + 1, PACKET_BYTES):
            psi.feed(tables[at : at + PACKET_BYTES])
        self._packets = packets
        self._heads = heads_of(packets, 0, len(packets) // PACKET_BYTES * PACKET_BYTES)
        self._starts: dict[int, list[int]] = {one.pid: [] for one in psi.program.streams} if psi.program else {}
        first, second = self._heads.first, self._heads.second
        starting, number = first.translate(_STARTING), -1
        while (number := starting.find(1, number + 1)) >= 0:
            pid = (first[number] & 0x1F) << 8 | second[number]
            if pid in self._starts:
                self._starts[pid].append(number)

    def rest(self, position: int) -> bytes:
        """Return what completes that which was begun before byte `position`: first the packet, then the access units.

        At most about `MOST_BYTES`; where that is not enough, or the end does not lie in the stretch, only the packet.
        """
        first, inside = divmod(position, PACKET_BYTES)
        begin = first + bool(inside)
        packet = self._packets[position : begin * PACKET_BYTES]
        ends = {pid: end for pid, starts in self._starts.items() if (end := _next(starts, begin)) is not None}
        stop = max((end for end in ends.values() if end - begin <= LOOK_BYTES // PACKET_BYTES), default=begin)
        pids = enumerate(pids_of(self._heads.part(begin, stop)), begin)
        wanted = [number for number, pid in pids if number < ends.get(pid, 0)]
        if len(wanted) * PACKET_BYTES > MOST_BYTES:
            return packet
        return packet + b"".join([self._packets[at * PACKET_BYTES : (at + 1) * PACKET_BYTES] for at in wanted])


def _next(starts: list[int], begin: int) -> int | None:
    """Return the first of some rising numbers that is not below `begin`."""
    at = bisect_left(starts, begin)
    return starts[at] if at < len(starts) else None
