"""Random-access points of a transport stream: where a decoder may start, and with which tables.

What is looked at: the packets of the PSI PIDs, and those with payload_unit_start_indicator on one reference PID; they
are found with strided slices and byte tables, no other packet is touched. Only while an access unit is undecided are
the next packets of the reference PID read as well. The result does not depend on how the input is cut.

For H.264, HEVC and MPEG-1/2 video the elementary stream decides (see `pictures`); random_access_indicator decides for
other codecs and scrambled streams, where the first 48 packets of an access unit leave the question open, and where
there is no start code in them, nor in those of the access unit before. Of a stream without video every PES packet of
the first audio PID is a point.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from aceproxy.mpegts.codecs import ElementaryStream
from aceproxy.mpegts.decoding_order import DecodingOrder
from aceproxy.mpegts.packets import (
    PACKET_BYTES,
    Buffer,
    Heads,
    adaptation_flags,
    heads_of,
    marks_of,
    payload_start,
)
from aceproxy.mpegts.pes import PesHeader, is_pes_start, read_pes_header
from aceproxy.mpegts.pictures import Judge, Verdict, first_units, is_no_start, judge_for
from aceproxy.mpegts.plain import plain_stamps
from aceproxy.mpegts.psi import PsiTracker

MAX_UNDECIDED_PACKETS: Final = 48  # of the reference PID, from the one with the PES header on
MAX_UNDECIDED_BYTES: Final = 4096 * PACKET_BYTES  # of the whole stream
_WINDOW_PACKETS: Final = (
    1400  # looked at together, a read of a source as a rule; bounds the work that a change of the tables makes anew
)
_START: Final = 1
_CONTINUED: Final = 2
_PSI_BITS: Final = (4, 8, 16, 32, 64, 128)
_EVENTS: Final = bytes(0 if value in (0, _CONTINUED) else 1 for value in range(256))
_EVENTS_UNDECIDED: Final = bytes(1 if value else 0 for value in range(256))


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """A place where a decoder may start."""

    offset: int
    """Absolute offset in bytes of the packet with the PES header."""
    pts: int | None
    """90 kHz, 33 bit; None where the PES header has none or is scrambled."""
    pid: int
    preamble: bytes
    """`PsiTracker.preamble()` as of that offset; the same object while it is unchanged."""


class StepBack(NamedTuple):
    """An access unit that is decoded long before the one it follows: the stream goes over old ground, or is another."""

    offset: int
    """Absolute offset in bytes of the packet with its PES header."""
    after: int
    """The same of the access unit before it, the end of which may be missing."""
    pts: int
    """90 kHz, 33 bit."""
    pts_before: int
    """Of the access unit before it."""


class Scan(NamedTuple):
    """What one `Analyzer.feed` found."""

    points: tuple[AccessPoint, ...]
    """In the order of their offsets; never one again, never one before an earlier `decided`."""
    decided: int
    """Absolute offset: every packet before it is classified. The end of what was fed, or where an access unit began
    that is still undecided.
    """
    last_pts: int | None
    """The latest PTS of the reference PID so far, in stream order."""
    psi_changed: bool
    """The PAT or a PMT changed within this piece."""
    unit_at: int | None
    """Absolute offset of the newest packet of the reference PID in which a PES packet starts: the access units before
    it are complete. None where no such packet has come.
    """
    units: int
    """How many PES packets of the reference PID have begun so far."""
    tables_at: int | None
    """Absolute offset of the last packet in this piece with which a table changed."""
    steps_back: tuple[StepBack, ...]
    """Of the reference PID in this piece, in the order of their offsets."""


@dataclass(slots=True)
class _Undecided:
    """An access unit of which too little is known yet."""

    offset: int
    preamble: bytes
    flagged: bool
    judge: Judge | None
    counter: int
    packets: int = 1
    header: PesHeader | None = None
    unread: bytes = b""
    """The PES header as far as it has come."""
    skip: int = 0
    """Bytes of the header that are still to come before the content."""


class _PidTable:
    """Byte tables that classify packets by the two bytes that hold the PID: bit sets, to be combined with AND."""

    def __init__(self, psi: PsiTracker, reference_pid: int | None) -> None:
        first, second = bytearray(256), bytearray(256)
        groups: dict[int, int] = {}
        for pid in sorted(psi.pids):
            # PIDs with the same high bits share a bit without being mixed up; beyond six groups a few packets too
            # many are looked at
            bit = groups.setdefault(pid >> 8, _PSI_BITS[min(len(groups), len(_PSI_BITS) - 1)])
            for flags in (0x00, 0x20, 0x40, 0x60):
                first[flags | pid >> 8] |= bit
            second[pid & 0xFF] |= bit
        if reference_pid is not None:
            for flags, bit in ((0x00, _CONTINUED), (0x20, _CONTINUED), (0x40, _START), (0x60, _START)):
                first[flags | reference_pid >> 8] |= bit
            second[reference_pid & 0xFF] |= _START | _CONTINUED
        self._first, self._second = bytes(first), bytes(second)

    def classify(self, heads: Heads) -> bytes:
        """Return one byte per packet: 0, or which of the packets of interest it may be."""
        return marks_of(heads, self._first, self._second)


class Analyzer:
    """Follows the tables and finds the random-access points of one stream.

    `feed` takes whole, synced packets (see `packets`). Any content is taken; memory is bounded: some KiB for a real
    stream, 2 MB for the worst that a hostile one can do.
    """

    def __init__(self) -> None:
        self.psi = PsiTracker()
        self.offset = 0
        """Bytes fed so far."""
        self._reference: ElementaryStream | None = None
        self._is_video = False
        self._slices: re.Pattern[bytes] | None = None  # what tells a plain picture of the codec, see `plain_stamps`
        self._table = _PidTable(self.psi, None)
        self._undecided: _Undecided | None = None
        self._last_start = b"", 0
        self._unit_at: int | None = None
        self._unit_before: int | None = None
        self._units = 0
        self._foreign_units = 0  # the newest ones, of which each had no start code
        self._last_pts: int | None = None
        self._order = DecodingOrder()
        self._steps_back: list[StepBack] = []
        self._points: list[AccessPoint] = []
        self._tables_at: int | None = None

    @property
    def reference_pid(self) -> int | None:
        """Return the PID whose access units count: the first video stream of the first program that has video, else
        the first audio stream, None before the tables have come and where there is neither.
        """
        return self._reference.pid if self._reference else None

    @property
    def has_video(self) -> bool:
        """Tell whether the reference PID carries video."""
        return self._is_video

    @property
    def codecs(self) -> Mapping[int, str | None]:
        """Return the codec of each stream of the program that counts, by PID, in the order of its PMT."""
        streams = self.psi.program.streams if self.psi.program else ()
        return MappingProxyType({stream.pid: stream.codec for stream in streams})

    def feed(self, packets: Buffer, heads: Heads | None = None) -> Scan:
        """Take the next packets of the stream; `heads` are theirs, if the caller has them.

        Raises ValueError where the length is not a multiple of 188.
        """
        if len(packets) % PACKET_BYTES:
            raise ValueError("not a whole number of transport packets")
        if heads is None:
            heads = heads_of(packets)
        count = len(packets) // PACKET_BYTES
        if count <= _WINDOW_PACKETS:
            self._window(packets, heads, self.offset)
        else:
            with memoryview(packets) as view:
                for first in range(0, count, _WINDOW_PACKETS):
                    last = first + _WINDOW_PACKETS
                    at = first * PACKET_BYTES
                    with view[at : last * PACKET_BYTES] as window:
                        self._window(window, heads.part(first, last), self.offset + at)
        self.offset += len(packets)
        if self._undecided is not None:
            self._expire(self.offset)
        return self._scan()

    def forget_newest(self) -> None:
        """The newest access unit was taken back: where it begins again, that is no packet sent twice."""
        self._undecided = None
        self._last_start = b"", 0
        self._order, self._steps_back = DecodingOrder(), []

    def flush(self) -> Scan:
        """End of input: settle what is undecided by what is known. More may be fed afterwards."""
        self._settle(self._at_end())
        return self._scan()

    def _scan(self) -> Scan:
        points, self._points = tuple(self._points), []
        tables_at, self._tables_at = self._tables_at, None
        steps_back, self._steps_back = tuple(self._steps_back), []
        decided = self._undecided.offset if self._undecided else self.offset
        return Scan(
            points, decided, self._last_pts, tables_at is not None, self._unit_at, self._units, tables_at, steps_back
        )

    def _window(self, packets: Buffer, heads: Heads, base: int) -> None:
        """Look at the packets of interest among a few hundred, the first of which is at offset `base`."""
        classes = self._table.classify(heads)
        events = classes.translate(_EVENTS)
        at = 0
        while True:
            of_interest = events if self._undecided is None else classes.translate(_EVENTS_UNDECIDED)
            found = of_interest.find(1, at)
            if found < 0:
                return
            at = found + 1
            start = found * PACKET_BYTES
            packet = bytes(packets[start : start + PACKET_BYTES])
            if self._undecided is not None:
                self._expire(base + start)
            kind = classes[found]
            if kind > _CONTINUED and self.psi.feed(packet):
                self._tables_at = base + start
                self._tables_changed()
                classes = bytes(at) + self._table.classify(heads.part(at))
                events = classes.translate(_EVENTS)
            elif kind & _START:
                self._start(packet, base + start)
            elif kind & _CONTINUED and self._undecided:
                self._continue(self._undecided, packet)

    def _tables_changed(self) -> None:
        old, program = self._reference, self.psi.program
        reference = (program.first("video") or program.first("audio")) if program else None
        if (reference and (reference.pid, reference.codec)) != (old and (old.pid, old.codec)):
            self._settle(self._at_end())
            self._last_start, self._last_pts, self._unit_at = (b"", 0), None, None
            self._order, self._unit_before, self._foreign_units = DecodingOrder(), None, 0
        self._reference = reference
        self._is_video = reference is not None and reference.kind == "video"
        self._slices = first_units(reference.codec) if reference is not None and self._is_video else None
        self._table = _PidTable(self.psi, self.reference_pid)

    def _start(self, packet: bytes, offset: int) -> None:
        """Take a packet of the reference PID in which a PES packet starts."""
        last, last_offset = self._last_start
        self._last_start = packet, offset
        may_be_last = last and not (last[3] ^ packet[3]) & 0xCF and not adaptation_flags(packet) & 0x80
        if may_be_last and _is_duplicate(last, packet, near=offset - last_offset < 16 * PACKET_BYTES):
            return
        self._unit_before, self._unit_at = self._unit_at, offset
        self._units += 1
        if self._undecided is not None:
            self._settle(self._at_end())
        stamps = None if self._slices is None else plain_stamps(packet, self._slices)
        if stamps is not None:
            self._foreign_units = 0
            self._note_stamps(*stamps)
            return
        flagged = bool(adaptation_flags(packet) & 0x40)
        assert self._reference is not None
        if packet[3] & 0xC0:
            if flagged or not self._is_video:
                self._points.append(AccessPoint(offset, None, self._reference.pid, self.psi.preamble()))
            return
        payload = packet[payload_start(packet) :]
        if payload and is_pes_start(payload):
            self._start_unit(payload, offset, packet[3] & 0x0F, flagged=flagged)

    def _start_unit(self, payload: bytes, offset: int, counter: int, *, flagged: bool) -> None:
        """Take the first payload of a PES packet of the reference PID."""
        assert self._reference is not None
        header = read_pes_header(payload)
        content = payload[header.content_at :] if header else b""
        if header and self._is_video and not header.scrambled and is_no_start(self._reference.codec, content):
            self._foreign_units = 0
            self._note_stamps(header.pts, header.dts)
            return
        judge = judge_for(self._reference.codec) if self._is_video else None
        if header is None:
            self._undecided = _Undecided(offset, self.psi.preamble(), flagged, judge, counter, unread=payload)
            return
        verdict = self._begin(header, judge, content)
        if verdict is not None:
            self._foreign_units = 0
        if verdict is None:
            skip = max(0, header.content_at - len(payload))
            preamble = self.psi.preamble()
            self._undecided = _Undecided(offset, preamble, flagged, judge, counter, header=header, skip=skip)
        elif verdict is Verdict.YES or (verdict is Verdict.MAYBE and flagged):
            self._points.append(AccessPoint(offset, header.pts, self._reference.pid, self.psi.preamble()))

    def _begin(self, header: PesHeader, judge: Judge | None, content: bytes) -> Verdict | None:
        """Take the header of a PES packet and what follows it; return the verdict if that decides it."""
        self._note_stamps(header.pts, header.dts)
        if not self._is_video:
            return Verdict.YES
        return Verdict.MAYBE if judge is None or header.scrambled else judge.feed(content)

    def _note_stamps(self, pts: int | None, dts: int | None) -> None:
        """Take the time stamps of an access unit. They are decoded in the order in which they come."""
        if pts is None:
            return
        pts_before, self._last_pts = self._last_pts, pts
        if self._order.goes_back(pts, dts) and pts_before is not None and self._unit_at is not None:
            after = self._unit_at if self._unit_before is None else self._unit_before
            self._steps_back.append(StepBack(self._unit_at, after, pts, pts_before))

    def _continue(self, unit: _Undecided, packet: bytes) -> None:
        """Take a further packet of the reference PID while an access unit is undecided."""
        at = payload_start(packet)
        if at == PACKET_BYTES or packet[3] & 0xC0:
            return
        counter = packet[3] & 0x0F
        if counter == unit.counter:
            return  # a duplicate
        payload = packet[at:]
        if counter != (unit.counter + 1) & 0x0F and unit.header:
            payload = b"\xff" + payload  # packets are missing: no start code may come from both sides of the gap
        unit.counter = counter
        unit.packets += 1
        self._content(unit, payload)
        if self._undecided is unit and unit.packets >= MAX_UNDECIDED_PACKETS:
            self._settle(self._at_bound())

    def _content(self, unit: _Undecided, payload: bytes) -> None:
        """Take a payload of an undecided access unit; settle it if that decides it."""
        if unit.header is None:
            payload = unit.unread + payload
            unit.header = read_pes_header(payload)
            if unit.header is None:
                unit.unread = payload
                return
            unit.unread = b""
            content_at = unit.header.content_at
            unit.skip = max(0, content_at - len(payload))
            verdict = self._begin(unit.header, unit.judge, payload[content_at:])
        else:
            content, unit.skip = payload[unit.skip :], max(0, unit.skip - len(payload))
            verdict = unit.judge.feed(content) if unit.judge else Verdict.MAYBE
        if verdict is not None:
            self._settle(verdict)

    def _expire(self, offset: int) -> None:
        """Settle an access unit that has been undecided for too many bytes."""
        if self._undecided and offset - self._undecided.offset >= MAX_UNDECIDED_BYTES:
            self._settle(self._at_bound())

    def _at_end(self) -> Verdict:
        """Return the verdict on a PES packet that ended before its first picture could be judged."""
        unit = self._undecided
        if unit and unit.header and unit.judge and unit.judge.is_foreign and self._foreign_units:
            return Verdict.MAYBE  # encrypted without saying so, or no video at all: the indicator decides
        return Verdict.YES if unit and not self._is_video and is_pes_start(unit.unread) else Verdict.NO

    def _at_bound(self) -> Verdict:
        """Return the verdict on an access unit whose first packets did not tell."""
        unit = self._undecided
        return Verdict.MAYBE if unit and (unit.judge is None or unit.judge.opened) else self._at_end()

    def _settle(self, verdict: Verdict) -> None:
        """Decide the undecided access unit, if there is one."""
        unit, self._undecided = self._undecided, None
        if unit and unit.header and unit.judge:
            self._foreign_units = self._foreign_units + 1 if unit.judge.is_foreign else 0
        if unit is None or verdict is Verdict.NO or (verdict is Verdict.MAYBE and not unit.flagged):
            return
        assert self._reference is not None
        pts = unit.header.pts if unit.header else None
        self._points.append(AccessPoint(unit.offset, pts, self._reference.pid, unit.preamble))


def _is_duplicate(last: bytes, packet: bytes, *, near: bool) -> bool:
    """Tell whether a packet in which a PES packet starts is the last such one sent again.

    Counter and payload are the same. Farther than 16 packets away that may be chance (pauses without time stamps), so
    there the same clock must be in it too.
    """
    if (last[3] ^ packet[3]) & 0xCF:
        return False
    payload = packet[payload_start(packet) :]
    return last[payload_start(last) :] == payload and (near or (len(payload) > 14 and payload[7] & 0x80 != 0))
