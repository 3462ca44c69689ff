"""The same bytes again: where in a new source is the place up to which everything was sent already?

Peer-to-peer engines deliver the identical packets of a broadcast once more, usually from some seconds in the past. The
last few thousand packets that were sent are looked up by their content. Only *distinctive* packets count: those of
elementary streams with content that does not consist of one value, and that went by only once. A broadcast that
repeats itself (test pictures, loops) has equal packets at other times as well, so a packet counts only where the
clock of the stream is about the same. The same broadcast multiplexed once more may have equal packets of one stream in
another order, so packets with a PCR must be among them. Packets may be missing on either side: the last sent packet
that is found is the place.
"""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.packets import NULL_PID, PACKET_BYTES, Heads, heads_of
from aceproxy.mpegts.splice_counters import last_counters
from aceproxy.mpegts.splice_stamps import later, pids_of, read_stamp

NEAR: Final = CLOCK_HZ * 4 // 10
"""Clocks that differ by less may be of the same packet: clocks may be lost too, and are up to 0.1 s apart."""

_INDEX_PACKETS: Final = 4096
_RUN: Final = 8  # packets in a row that are certain evidence
_EARLY: Final = 64  # packets at a source's very start: fewer of them may do
_RECENT: Final = 256  # packets in which every stream but seldom ones has one
_BEGINNING: Final = 2048
_LEAST_PIDS: Final = 3  # whose counters go on: chance alone does that once in 4096 times
_MOST_LOST: Final = 3  # packets, right at the place, of a PID that a new source has had nothing of before
_LOWEST_PID: Final = 0x20
_SAME_END: Final = 48  # bytes of one value with which what is no content ends
_WITH_FIELD: Final = bytes(1 if value & 0x20 else 0 for value in range(256))
_WITH_PAYLOAD: Final = bytes(1 if value & 0x10 else 0 for value in range(256))
_INTACT: Final = bytes(0 if value & 0x80 else 1 for value in range(256))


class Matcher:
    """Finds the place in the packets of one new source."""

    def __init__(self, tail: bytes, table_pids: Collection[int], clock_pid: int | None) -> None:
        """Take what was sent last. Clocks are looked for on `clock_pid` (on any PID if None)."""
        self.found: int | None = None
        """Index of the packet after the last sent one, once that is certain."""
        self.old_pids: frozenset[int] = frozenset()
        """PIDs of which nothing was sent since a loop began: what the new source has of them was sent already."""
        self._tail = tail
        self._places = array("L")
        self._pids = array("H")
        self._ranks: dict[int, int] = {}  # by the hash of a packet: the packets would take a megabyte once more
        self._clocks: list[int | None] = []
        self._with_pcr: list[bool] = []
        self._count = 0
        self._pcr_count = 0
        self._has_pcr = False
        self._run = 0
        self._begun = 0
        self._best: tuple[int, int] | None = None  # rank, and index of the packet after it
        self._unverified = False
        self._last_counters: dict[int, int] = {}
        self._table_pids = frozenset(table_pids)
        self._hit_pids: set[int] = set()  # of the known packets that count
        self._build(tail, table_pids, clock_pid)

    def _build(self, tail: bytes, table_pids: Collection[int], clock_pid: int | None) -> None:
        """Give every distinctive packet its rank. Hardly anything here is done for one packet after the other."""
        all_heads = heads_of(tail)
        all_pids = pids_of(all_heads)
        self._last_counters = dict(zip(all_pids, all_heads.control, strict=True))
        first = max(0, len(all_pids) - _INDEX_PACKETS)
        newest, heads, pids = tail[first * PACKET_BYTES :], all_heads.part(first), all_pids[first:]
        packets = [packet for (packet,) in struct.iter_unpack(f"{PACKET_BYTES}s", newest)]
        counts = distinctive(newest, packets, heads)
        with_pcr = bytearray(len(packets))
        clocks: list[int | None] = []  # before each packet, and with it; before the first one that one
        clock: int | None = None
        begin = 0  # of a loop, if there is one: what was sent before that is older than what it begins with
        at = -1
        fields = heads.control.translate(_WITH_FIELD)
        while (at := fields.find(1, at + 1)) >= 0:
            with_pcr[at] = has_pcr(packets[at])
            pcr = read_stamp(packets[at]).pcr
            if pcr is not None:
                counts[at] = 1
                if clock_pid is None or pids[at] == clock_pid:
                    is_back = clock is not None and later(pcr, clock) < 0
                    begin = at if is_back and len(packets) - at >= _EARLY else begin
                    clocks += [pcr if clock is None else clock] * (at - len(clocks))
                    clock = pcr
        clocks += [clock] * (len(packets) - len(clocks))
        if begin:
            self.old_pids = frozenset(pids[:begin]) - frozenset(pids[begin:])
        known = {pid for pid in set(pids) if _LOWEST_PID <= pid < NULL_PID and pid not in table_pids}
        wanted = [index for index in compress(range(len(packets)), counts) if index >= begin and pids[index] in known]
        if not wanted:  # all packets end in stuffing: there is nothing else to go by than that each came once
            wanted = [index for index, pid in enumerate(pids) if index >= begin and pid in known]
        keys = [hash(packets[index]) for index in wanted]
        if len(set(keys)) < len(keys):
            times = Counter(keys)
            wanted = [index for key, index in zip(keys, wanted, strict=True) if times[key] == 1]
            keys = [key for key in keys if times[key] == 1]
        self._ranks = dict(zip(keys, range(len(keys)), strict=True))
        self._places = array("L", [first + index for index in wanted])
        self._pids = array("H", [pids[index] for index in wanted])
        self._clocks = [clocks[index] for index in wanted]
        self._with_pcr = [with_pcr[index] != 0 for index in wanted]
        self._has_pcr = any(self._with_pcr)

    @property
    def sent(self) -> tuple[bytes, bytes]:
        """Return what was sent up to the last packet that is known, and after it: the new source may have that next.

        All of it: a source that is joined before it has come to the place sends some tenths of a second of it.
        """
        place = len(self._tail) if self._best is None else (self._places[self._best[0]] + 1) * PACKET_BYTES
        return self._tail[:place], self._tail[place:]

    def hits(self, view: memoryview) -> list[tuple[int, int]]:
        """Return index and rank of every packet that is known."""
        if not self._ranks:
            return []
        known = self._ranks
        return [
            (index, rank)
            for index, (packet,) in enumerate(struct.iter_unpack(f"{PACKET_BYTES}s", view))
            if (rank := known.get(hash(packet))) is not None
        ]

    def note(self, rank: int, index: int, clock: int | None) -> None:
        """Take a known packet at `index` of the new source, whose clock was `clock` last."""
        known = self._clocks[rank]
        near = clock is None or known is None or abs(later(clock, known)) < NEAR
        if not near or self.found is not None:
            return
        if self._best is not None and rank <= self._best[0]:
            self._count = self._run = self._pcr_count = 0  # the source goes over it once more
            self._hit_pids.clear()
        self._run = self._run + 1 if self._best is not None and rank == self._best[0] + 1 else 1
        if self._run == 1:
            self._begun = index
        self._count += 1
        self._pcr_count += self._with_pcr[rank]
        self._best = rank, index + 1
        self._hit_pids.add(self._pids[rank])
        if clock is None and known is not None:
            self._unverified = True
        if rank == len(self._clocks) - 1 and self._run >= _RUN and self._is_certain():
            self.found = index + 1

    def _is_certain(self) -> bool:
        """Tell whether the clock fits, and not only single streams are the same."""
        return not self._unverified and (self._pcr_count > 0 or self._begun < _EARLY or not self._has_pcr)

    def verify(self, clock: int) -> None:
        """Take a clock of the new source; packets that were known before the first one count only if it fits."""
        if not self._unverified or self._best is None:
            return
        self._unverified = False
        known = self._clocks[self._best[0]]
        if known is not None and abs(later(clock, known)) >= NEAR:
            self._best, self._count, self._run, self._pcr_count = None, 0, 0, 0
        elif self._best[0] == len(self._clocks) - 1 and self._run >= _RUN and self._is_certain():
            self.found = self._best[1]

    def passed(self) -> int | None:
        """Return the place once the source has certainly gone by it: after the last packet that was known.

        None where too few were known to believe it.
        """
        if self.found is not None or self._best is None or not self._is_certain():
            return self.found
        rank, after = self._best
        at_start = self._begun < _EARLY and rank == len(self._clocks) - 1 and self._count == self._run
        return after if self._count >= _RUN or at_start else None

    def is_contradicted(self, before: bytes, after: bytes = b"") -> bool:
        """Tell whether the newest known packet is one by chance.

        `before` is what the new source had last before it, `after` what is there of what follows. Where a broadcast is
        multiplexed once more, the packets of one stream are the same as before in one of sixteen cases. Then none of
        another stream is, and its counters do not stand where they stood, nor go on from there.
        """
        if self._best is None:
            return False
        sent = last_counters(heads_of(self._tail[: (self._places[self._best[0]] + 1) * PACKET_BYTES]))
        came = {pid: counter for pid, counter in last_counters(heads_of(before)).items() if self._is_content(pid)}
        if any(pid in sent and sent[pid] != counter for pid, counter in came.items() if pid not in self._hit_pids):
            return True
        others = {pid for pid in sent if self._is_content(pid) and pid not in came} - self.old_pids
        return len(others) > 0 and not self._follow(sent, others, after)

    def is_proven(self, came: bytes) -> bool:
        """Tell whether enough of the new source came, about the newest known packet, for `is_contradicted` to see it.

        That is something of every PID that was sent right before that packet, or so much that one must have ended.
        """
        if self._best is None or len(came) >= _RECENT // 2 * PACKET_BYTES:
            return True
        stop = (self._places[self._best[0]] + 1) * PACKET_BYTES
        sent = set(pids_of(heads_of(self._tail[max(0, stop - _RECENT * PACKET_BYTES) : stop])))
        return set(filter(self._is_content, sent - self.old_pids)) <= set(pids_of(heads_of(came)))

    def _is_content(self, pid: int) -> bool:
        return _LOWEST_PID <= pid < NULL_PID and pid not in self._table_pids

    def _follow(self, sent: Mapping[int, int], pids: Collection[int], after: bytes) -> bool:
        """Tell whether the counters of PIDs that a new source has had nothing of go on in what follows, for all known.

        They may be up to a few packets ahead: the source may have lost them.
        """
        heads = heads_of(after)
        first: dict[int, int] = {}
        for pid, control in zip(pids_of(heads), heads.control, strict=True):
            if pid in pids:
                first.setdefault(pid, (control - sent[pid] - (control >> 4 & 1)) & 0x0F)
        return all(ahead <= _MOST_LOST for ahead in first.values())

    def give_up(self) -> None:
        """Know nothing any more: the new source does not send the same packets."""
        self.found = self._best = None
        self._ranks = {}

    def adjacent(self, beginning: bytes) -> int | None:
        """Return the index of the packet at which a new source goes on that begins where the old one ended.

        `beginning` is its first packets, those with a clock past the place included. Up to 64 of them may have been
        sent already, and from the next one on the counter of every PID must go on. None where that is not so.
        """
        for count in range(_EARLY + 1):
            size = count * PACKET_BYTES
            if beginning[:size] == self._tail[len(self._tail) - size :] and self._goes_on(beginning[size:]):
                return count
        return None

    def _goes_on(self, packets: bytes) -> bool:
        """Tell whether the first packet of every PID has the counter that follows."""
        first: dict[int, int] = {}
        heads = heads_of(packets[: _BEGINNING * PACKET_BYTES])
        for pid, control in zip(pids_of(heads), heads.control, strict=True):
            first.setdefault(pid, control)
        compared = 0
        for pid, control in first.items():
            last = self._last_counters.get(pid)
            if last is None or pid == NULL_PID:
                continue
            if (control - last - (control >> 4 & 1)) & 0x0F:
                return False
            compared += 1
        return compared >= _LEAST_PIDS


def has_pcr(packet: bytes) -> bool:
    """Tell whether a packet has a PCR."""
    return packet[3] & 0x20 != 0 and packet[4] >= 7 and packet[5] & 0x10 != 0


def is_distinctive(packet: bytes) -> bool:
    """Tell whether a packet has a payload that does not end in one value repeated."""
    return packet[3] & 0x10 != 0 and not packet[1] & 0x80 and packet[-_SAME_END:] != packet[-1:] * _SAME_END


def distinctive(joined: bytes, packets: Sequence[bytes], heads: Heads) -> bytearray:
    """Return for each of these packets 1 if it is distinctive, else 0; `joined` is all of them, `heads` theirs."""
    payload = int.from_bytes(heads.control.translate(_WITH_PAYLOAD), "little")
    intact = int.from_bytes(heads.first.translate(_INTACT), "little")
    found = bytearray((payload & intact).to_bytes(len(packets), "little"))
    last, before, first = (
        int.from_bytes(joined[PACKET_BYTES - back :: PACKET_BYTES], "little") for back in (1, 2, _SAME_END)
    )
    differs = (last ^ before | last ^ first).to_bytes(len(packets), "little")
    at = -1
    while (at := differs.find(0, at + 1)) >= 0:  # three bytes of its end are equal: perhaps all of it is
        found[at] = is_distinctive(packets[at])
    return found
