"""What has been sent: the newest packets, the tables; where each PID ended.

While the bytes go through untouched this is all that is done with them, so nothing here loops over packets, and what
can wait until a source has been lost waits; `ends_of` reads the tail once, then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low
from typing import Final, NamedTuple

from aceproxy.mpegts.packets import PACKET_BYTES, Buffer, Heads, marks_of, payload_start
from aceproxy.mpegts.pes import read_pes_header
from aceproxy.mpegts.psi import PsiTracker
from aceproxy.mpegts.splice_stamps import PIDS, Stamp, later, pids_of, read_stamp, stamped

WINDOW_PACKETS: Final = 1024  # looked at together

_ANY: Final = bytes(1 if value else 0 for value in range(256))
_RECENT: Final = 32  # time stamps of a PID from which its frame gap and its highest PTS are taken
_MAX_GAP: Final = 90_000


class Tail:
    """The newest bytes, whole packets, in a ring of fixed size."""

    def __init__(self, size_bytes: int) -> None:
        self._size = max(PACKET_BYTES, size_bytes // PACKET_BYTES * PACKET_BYTES)
        self._ring = bytearray()
        self._at = 0
        self._held = 0

    def append(self, part: Buffer) -> None:
        """Take the next whole packets."""
        if not self._ring:
            self._ring = bytearray(self._size)  # not before there is anything to hold
        with memoryview(part) as view, view[max(0, len(view) - self._size) :] as newest:
            first = min(len(newest), self._size - self._at)
            self._ring[self._at : self._at + first] = newest[:first]
            self._ring[: len(newest) - first] = newest[first:]
            self._at = (self._at + len(newest)) % self._size
            self._held = min(self._size, self._held + len(newest))

    @property
    def size(self) -> int:
        """How many bytes it holds at most."""
        return self._size

    @property
    def held(self) -> int:
        """How many bytes it holds."""
        return self._held

    def clear(self) -> None:
        """Forget everything, and let go of the memory."""
        self._at = self._held = 0
        self._ring = bytearray()

    def content(self) -> bytes:
        """Return what is held, oldest first."""
        if self._held < self._size:
            return bytes(self._ring[: self._at])
        return bytes(self._ring[self._at :] + self._ring[: self._at])


class TableWatch:
    """Feeds a `PsiTracker` with the packets of its PIDs out of a stream."""

    def __init__(self) -> None:
        self.psi = PsiTracker()
        self._marks()

    def note(self, view: memoryview, heads: Heads) -> None:
        """Take the next whole packets, of which `heads` are the heads."""
        marked = marks_of(heads, self._first, self._second).translate(_ANY)
        at = -1
        while (at := marked.find(1, at + 1)) >= 0:
            start = at * PACKET_BYTES
            if self.psi.feed(bytes(view[start : start + PACKET_BYTES])):
                self._marks()
                marked = bytes(at + 1) + marks_of(heads.part(at + 1), self._first, self._second).translate(_ANY)

    def _marks(self) -> None:
        """Make the byte tables anew; a few PIDs too many may be marked, the tracker leaves them out."""
        first, second = bytearray(256), bytearray(256)
        highs: dict[int, int] = {}
        for pid in sorted(self.psi.pids):
            bit = 1 << min(highs.setdefault(pid >> 8, len(highs)), 7)
            for flags in (0x00, 0x20, 0x40, 0x60):
                first[flags | pid >> 8] |= bit
            second[pid & 0xFF] |= bit
        self._first, self._second = bytes(first), bytes(second)


class _Stamped(NamedTuple):
    """A PES packet with time stamps: the how manieth of its PID."""

    pts: int
    dts: int
    number: int


@dataclass(frozen=True, slots=True)
class PidEnd:
    """Where the elementary stream on one PID ended. Clocks are those that were sent."""

    dts: int
    """Of the last PES packet with time stamps that began."""
    pts: int
    """The highest of the last ones."""
    own_pts: int
    """Of the last PES packet with time stamps that began."""
    gap: int
    """From one PES packet with time stamps to the next, 90 kHz."""
    unit_gap: int
    """From one PES packet to the next, with time stamps or without."""
    partial: bytes | None = None
    """The last PES packet as far as it was sent, None where that is not known."""
    is_whole: bool = False
    """It is certain that all of the last PES packet was sent."""
    unstamped: int = 0
    """PES packets that began since the last one with time stamps: only `partial` is of the newest."""
    is_sparse: bool = False
    """Not every PES packet has time stamps, so their distance does not tell that none is between."""
    known_share: float | None = None
    """Of the last PES packet, how much was sent; None where `partial` or nothing tells."""

    @property
    def share(self) -> float:
        """Return how much of the last PES packet was sent, as far as that can be told."""
        if self.is_whole:
            return 1.0
        if self.partial and (length := self.partial[4] << 8 | self.partial[5]):
            return len(self.partial) / (6 + length)
        return 0.5 if self.known_share is None else self.known_share

    def settled(self, *, is_whole: bool) -> PidEnd:
        """Return the same end once another source goes on."""
        return replace(self, partial=None, is_whole=is_whole, known_share=self.share)


def events_of(view: memoryview) -> list[tuple[int, Stamp]]:
    """Return index and clocks of every packet that says something of time."""
    found: list[tuple[int, Stamp]] = []
    for start in range(0, len(view), WINDOW_PACKETS * PACKET_BYTES):
        with view[start : start + WINDOW_PACKETS * PACKET_BYTES] as window:
            marked = stamped(window).translate(_ANY)
            index = -1
            while (index := marked.find(1, index + 1)) >= 0:
                at = index * PACKET_BYTES
                stamp = read_stamp(bytes(window[at : at + PACKET_BYTES]))
                if stamp.starts or stamp.pcr is not None:
                    found.append((start // PACKET_BYTES + index, stamp))
    return found


def ends_of(tail: bytes, pid_map: Mapping[int, int], shift: int) -> tuple[dict[int, PidEnd], dict[int, int]]:
    """Return where each PID ended, and the last PCR of each PID that has one: as sent, by the PIDs that were sent.

    `tail` is the last packets of a source as they came; `pid_map` and `shift` say what was made of them (PIDs that are
    not in the map were not changed).
    """
    stamps: dict[int, list[_Stamped]] = {}
    starts: dict[int, int] = {}
    units: Counter[int] = Counter()
    unstamped: dict[int, int] = {}
    sparse: set[int] = set()
    clocks: dict[int, int] = {}
    with memoryview(tail) as view:
        for index, stamp in events_of(view):
            if stamp.pcr is not None:
                clocks[pid_map.get(stamp.pid, stamp.pid)] = (stamp.pcr + shift) % (1 << 33)
            if stamp.starts:
                starts[stamp.pid] = index
                units[stamp.pid] += 1
                unstamped[stamp.pid] = 0 if stamp.pts is not None else unstamped.get(stamp.pid, 0) + 1
                if stamp.pts is None:
                    sparse.add(stamp.pid)
            if stamp.pts is not None and stamp.dts is not None:
                known = stamps.setdefault(stamp.pid, [])
                known.append(_Stamped(stamp.pts, stamp.dts, units[stamp.pid]))
                del known[:-_RECENT]
        partials = _partials(view, {pid: starts[pid] for pid in stamps})
    ends: dict[int, PidEnd] = {}
    for pid, known in stamps.items():
        partial, is_whole = partials.get(pid, (None, False))
        end = _end(known, shift, partial, is_whole=is_whole)
        ends[pid_map.get(pid, pid)] = replace(end, unstamped=unstamped[pid], is_sparse=pid in sparse)
    return ends, clocks


def _end(known: list[_Stamped], shift: int, partial: bytes | None, *, is_whole: bool) -> PidEnd:
    own_pts, dts, _ = known[-1]
    ahead = max(step for pts, _, _ in known if (step := later(pts, dts)) < 2 * _MAX_GAP or pts == own_pts)
    highest = dts + ahead
    steps = [(later(after.dts, before.dts), after.number - before.number) for before, after in pairwise(known)]
    good = [(step, units) for step, units in steps if 0 < step <= _MAX_GAP]
    gap, unit_gap = (
        (median_low(step for step, _ in good), median_low(step // units for step, units in good)) if good else (0, 0)
    )
    sent_dts, sent_pts, sent_own = ((ticks + shift) % (1 << 33) for ticks in (dts, highest, own_pts))
    return PidEnd(sent_dts, sent_pts, sent_own, gap, unit_gap, partial, is_whole)


def _partials(view: memoryview, starts: Mapping[int, int]) -> dict[int, tuple[bytes | None, bool]]:
    """Return the last PES packet of each PID as far as it is there, and whether it is certainly whole."""
    if not starts:
        return {}
    first = min(starts.values())
    wanted = bytearray(PIDS)
    for pid in starts:
        wanted[pid] = 1
    pieces: dict[int, list[bytes]] = {pid: [] for pid in starts}
    last: dict[int, bytes] = {}
    broken: set[int] = set()
    with view[first * PACKET_BYTES :] as rest:
        for index, pid in enumerate(pids_of(rest), first):
            if not wanted[pid] or index < starts[pid]:
                continue
            packet = bytes(view[index * PACKET_BYTES : (index + 1) * PACKET_BYTES])
            if not packet[3] & 0x10 or (pid in last and packet[3:] == last[pid][3:]):
                continue
            if packet[1] & 0x80 or packet[3] & 0xC0 or (pid in last and (packet[3] - last[pid][3] - 1) & 0x0F):
                broken.add(pid)
            pieces[pid].append(packet[payload_start(packet) :])
            last[pid] = packet
    return {
        pid: (None, False) if pid in broken else _judged(b"".join(pieces[pid]), last[pid])
        for pid in starts
        if pid in last
    }


def _judged(partial: bytes, last: bytes) -> tuple[bytes | None, bool]:
    """Return a PES packet and whether it is whole: by its length, or by the stuffing in its last packet."""
    if read_pes_header(partial) is None:
        return None, False
    length = partial[4] << 8 | partial[5]
    if length:
        return partial, len(partial) == 6 + length
    return partial, _is_stuffed(last)


def _is_stuffed(packet: bytes) -> bool:
    """Tell whether a packet has stuffing in its adaptation field: a PES packet ends in it."""
    if not packet[3] & 0x20 or packet[1] & 0x40:
        return False
    length = min(packet[4], PACKET_BYTES - 5)
    if length < 2:
        return length == 0 or packet[5] == 0
    return length > (7 if packet[5] & 0x10 else 1) and packet[4 + length] == 0xFF
