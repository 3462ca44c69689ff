"""The same bytes again: where in a new source is the place up to which everything was sent already?

Peer-to-peer engines deliver the identical packets of a broadcast once more, usually from some seconds in the past. The
last few thousand packets that were sent are looked up by their content. Only *distinctive* packets count: those of
elementary streams with content that does not consist of one value, and that went by only once. A broadcast that
repeats itself (test pictures, loops) has equal packets at other times as well, so a packet counts only where the
clock of the stream is about the same. Packets may be missing on either side: the last sent packet that is found is
the place.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.packets import NULL_PID, PACKET_BYTES
from aceproxy.mpegts.splice_stamps import later, pids_of, read_stamp

NEAR: Final = CLOCK_HZ * 4 // 10
"""Clocks that differ by less may be of the same packet: clocks may be lost too, and are up to 0.1 s apart."""

_INDEX_PACKETS: Final = 4096
_RUN: Final = 8  # packets in a row that are certain evidence
_EARLY: Final = 64  # packets at a source's very start: fewer of them may do
_TRAILING: Final = 1024
_LOWEST_PID: Final = 0x20


class Matcher:
    """Finds the place in the packets of one new source."""

    def __init__(self, tail: bytes, table_pids: Collection[int], clock_pid: int | None) -> None:
        """Take what was sent last. Clocks are looked for on `clock_pid` (on any PID if None)."""
        self.found: int | None = None
        """Index of the packet after the last sent one, once that is certain."""
        self.last_clock: int | None = None
        self.trailing: tuple[bytes, ...] = ()
        """What was sent after the last distinctive packet."""
        self._ranks: dict[bytes, int] = {}
        self._clocks: list[int | None] = []
        self._count = 0
        self._run = 0
        self._begun = 0
        self._best: tuple[int, int] | None = None  # rank, and index of the packet after it
        self._unverified = False
        self._first_counters: dict[int, int] = {}
        self._last_counters: dict[int, int] = {}
        self._build(tail, table_pids, clock_pid)

    def _build(self, tail: bytes, table_pids: Collection[int], clock_pid: int | None) -> None:
        """Give every distinctive packet its rank."""
        with memoryview(tail) as view:
            pids = pids_of(view)
            self._last_counters = dict(zip(pids, view[3::PACKET_BYTES].tobytes(), strict=True))
        first = max(0, len(pids) - _INDEX_PACKETS)
        clock: int | None = None
        seen: dict[bytes, tuple[int, int | None] | None] = {}
        for index in range(first, len(pids)):
            packet = tail[index * PACKET_BYTES : (index + 1) * PACKET_BYTES]
            if packet[3] & 0x20 and (clock_pid is None or pids[index] == clock_pid):
                pcr = read_stamp(packet).pcr
                clock = clock if pcr is None else pcr
            if _LOWEST_PID <= pids[index] < NULL_PID and pids[index] not in table_pids and is_distinctive(packet):
                seen[packet] = None if packet in seen else (index, clock)
        kept = [(packet, place) for packet, place in seen.items() if place is not None]
        kept.sort(key=lambda entry: entry[1][0])
        self._ranks = {packet: rank for rank, (packet, _) in enumerate(kept)}
        self._clocks = [place[1] for _, place in kept]
        self.last_clock = clock
        after = kept[-1][1][0] + 1 if kept else len(pids)
        if len(pids) - after <= _TRAILING:
            self.trailing = tuple(
                tail[at : at + PACKET_BYTES] for at in range(after * PACKET_BYTES, len(tail), PACKET_BYTES)
            )

    def hits(self, view: memoryview) -> list[tuple[int, int]]:
        """Return index and rank of every packet that is known."""
        if not self._ranks:
            return []
        known = self._ranks
        return [
            (index, known[packet])
            for index, (packet,) in enumerate(struct.iter_unpack(f"{PACKET_BYTES}s", view))
            if packet in known
        ]

    def note(self, rank: int, index: int, clock: int | None) -> None:
        """Take a known packet at `index` of the new source, whose clock was `clock` last."""
        known = self._clocks[rank]
        near = clock is None or known is None or abs(later(clock, known)) < NEAR
        if not near or self.found is not None:
            return
        if self._best is not None and rank <= self._best[0]:
            self._count = self._run = 0  # the source goes over it once more
        self._run = self._run + 1 if self._best is not None and rank == self._best[0] + 1 else 1
        if self._run == 1:
            self._begun = index
        self._count += 1
        self._best = rank, index + 1
        if clock is None and known is not None:
            self._unverified = True
        if rank == len(self._clocks) - 1 and self._run >= _RUN and not self._unverified:
            self.found = index + 1

    def verify(self, clock: int) -> None:
        """Take a clock of the new source; packets that were known before the first one count only if it fits."""
        if not self._unverified or self._best is None:
            return
        self._unverified = False
        known = self._clocks[self._best[0]]
        if known is not None and abs(later(clock, known)) >= NEAR:
            self._best, self._count, self._run = None, 0, 0
        elif self._best[0] == len(self._clocks) - 1 and self._run >= _RUN:
            self.found = self._best[1]

    def passed(self) -> int | None:
        """Return the place once the source has certainly gone by it: after the last packet that was known.

        None where too few were known to believe it.
        """
        if self.found is not None or self._best is None or self._unverified:
            return self.found
        rank, after = self._best
        at_start = self._begun < _EARLY and rank == len(self._clocks) - 1 and self._count == self._run
        return after if self._count >= _RUN or at_start else None

    @property
    def ended_whole(self) -> bool:
        """The last packet known is the last distinctive one that was sent, so what trailed it follows now."""
        return self._best is not None and self._best[0] == len(self._clocks) - 1

    def begins(self, view: memoryview) -> None:
        """Take packets of the new source's very start, for `is_adjacent`."""
        controls = view[3::PACKET_BYTES].tobytes()
        for pid, control in zip(pids_of(view), controls, strict=True):
            self._first_counters.setdefault(pid, control)

    def is_adjacent(self) -> bool:
        """Tell whether the new source begins exactly where the old one ended: every PID's counter goes on."""
        compared = 0
        for pid, control in self._first_counters.items():
            last = self._last_counters.get(pid)
            if last is None or pid == NULL_PID:
                continue
            if (control - last - (control >> 4 & 1)) & 0x0F:
                return False
            compared += 1
        return compared >= 3


def is_distinctive(packet: bytes) -> bool:
    """Tell whether a packet has a payload that does not end in one value repeated."""
    return packet[3] & 0x10 != 0 and not packet[1] & 0x80 and packet[-48:] != packet[-1:] * 48
