"""PAT and PMT: the tables as they stand now, and the packets that carried them (ISO/IEC 13818-1 §2.4.4).

A player that joins in the middle gets the tables first: the very packets that carried them last, so that their
continuity counters go on in the packets that follow.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from aceproxy.mpegts.codecs import ElementaryStream, codec_of, language_of, registration_of
from aceproxy.mpegts.packets import NULL_PID
from aceproxy.mpegts.sections import Section, SectionAssembler

PAT_PID: Final = 0
MAX_PREAMBLE_PACKETS: Final = 64
MAX_PAT_SECTIONS: Final = 8  # some 2000 programs
MAX_PROGRAMS: Final = 128  # programs of one multiplex whose PMTs are followed

_PAT_TABLE_ID: Final = 0x00
_PMT_TABLE_ID: Final = 0x02
_LOWEST_PMT_PID: Final = 0x10


@dataclass(frozen=True, slots=True)
class Pat:
    """A whole program association table."""

    transport_stream_id: int
    version: int
    programs: MappingProxyType[int, int]
    """PMT PID by program_number, in the order of the table; the network PID (program 0) is not among them."""


@dataclass(frozen=True, slots=True)
class Pmt:
    """A program map table."""

    program_number: int
    version: int
    pcr_pid: int
    streams: tuple[ElementaryStream, ...]

    def first(self, kind: str) -> ElementaryStream | None:
        """Return the first stream of a kind ("video", "audio", ...)."""
        return next((stream for stream in self.streams if stream.kind == kind), None)


def parse_pmt(raw: bytes) -> Pmt | None:
    """Return the PMT in a section whose CRC is right, None where it is not a PMT in force or its lengths are wrong."""
    if len(raw) < 16 or raw[0] != _PMT_TABLE_ID or not raw[5] & 1 or raw[6] or raw[7]:
        return None
    at = 12 + ((raw[10] & 0x0F) << 8 | raw[11])
    end = len(raw) - 4
    if at > end:
        return None
    registration = registration_of(raw[12:at])
    streams: list[ElementaryStream] = []
    while at + 5 <= end:
        stream_type, pid = raw[at], (raw[at + 1] & 0x1F) << 8 | raw[at + 2]
        stop = at + 5 + ((raw[at + 3] & 0x0F) << 8 | raw[at + 4])
        if stop > end:
            return None
        loop = raw[at + 5 : stop]
        codec = codec_of(stream_type, loop, registration)
        streams.append(ElementaryStream(pid, stream_type, codec, language_of(loop)))
        at = stop
    if at != end:
        return None
    return Pmt(raw[3] << 8 | raw[4], raw[5] >> 1 & 0x1F, (raw[8] & 0x1F) << 8 | raw[9], tuple(streams))


class _PatSections:
    """Collects the sections of one version of the PAT."""

    def __init__(self) -> None:
        self._identity = b""  # transport_stream_id, version, last_section_number
        self._parts: dict[int, bytes] = {}
        self._whole: Pat | None = None
        self.starts: dict[int, int] = {}

    def add(self, section: Section) -> Pat | None:
        """Take a section; return the whole table once every part is there."""
        raw = section.raw
        number, last = raw[6], raw[7]
        if raw[0] != _PAT_TABLE_ID or not raw[5] & 1 or not number <= last < MAX_PAT_SECTIONS or len(raw) % 4:
            return None
        identity = raw[3:6] + raw[7:8]
        if identity != self._identity:
            self._identity, self._parts, self.starts, self._whole = identity, {}, {}, None
        self.starts[number] = section.start
        if self._whole is not None and self._parts[number] == raw:
            return self._whole
        self._parts[number] = raw
        if len(self._parts) > last:
            self._whole = self._read(last)
        return self._whole

    def _read(self, last: int) -> Pat:
        """Return the table in the parts from 0 to `last`."""
        raw = self._parts[0]
        programs: dict[int, int] = {}
        for part in range(last + 1):
            body = self._parts[part][8:-4]
            for at in range(0, len(body), 4):
                program, pid = body[at] << 8 | body[at + 1], (body[at + 2] & 0x1F) << 8 | body[at + 3]
                if program:
                    programs[program] = pid
        return Pat(raw[3] << 8 | raw[4], raw[5] >> 1 & 0x1F, MappingProxyType(programs))


@dataclass(slots=True)
class _Carrier:
    """One PID that carries tables: its sections, and the packets since the oldest section still needed."""

    assembler: SectionAssembler = field(default_factory=SectionAssembler)
    window: deque[bytes] = field(default_factory=deque)
    starts: dict[int, int] = field(default_factory=dict)
    """Ordinal of the packet in which each table in force (by program_number, or PAT section_number) began last."""
    settled: bool = False
    """The window is one packet that holds everything: an equal one may take its place unread."""

    def take_repeat(self, packet: bytes) -> bool:
        """Put a packet in the place of the only one held, if it equals that apart from its continuity counter."""
        held = self.window[0]
        if packet[4:] != held[4:] or packet[:3] != held[:3] or (packet[3] ^ held[3]) >= 0x10:
            return False
        self.window[0] = packet
        self.assembler.replaced(packet)
        return True

    def trim(self) -> None:
        """Drop the packets that no table in force and no unfinished section needs, and what is over the bound."""
        needed = list(self.starts.values())
        if self.assembler.unfinished is not None:
            needed.append(self.assembler.unfinished)
        oldest = min(needed, default=self.assembler.accepted)
        keep = min(self.assembler.accepted - oldest, MAX_PREAMBLE_PACKETS)
        while len(self.window) > keep:
            self.window.popleft()
        first = self.assembler.accepted - len(self.window)
        for key in [key for key, start in self.starts.items() if start < first]:
            del self.starts[key]
        self.settled = len(self.window) == 1 and bool(self.starts) and self.assembler.unfinished is None


class PsiTracker:
    """Follows the PAT and the PMTs of a stream, packet by packet of the PIDs that carry them.

    Bounded: 128 programs, 64 packets per PID. Identical repeats cost one comparison.
    """

    def __init__(self) -> None:
        self.pat: Pat | None = None
        """The latest whole PAT in force."""
        self.pmts: MappingProxyType[int, Pmt] = MappingProxyType({})
        """The latest PMT of each program of that PAT, by program_number, as far as they have come."""
        self.program: Pmt | None = None
        """The program that counts: the first of the PAT that has video, else the first that has audio."""
        self._pat_sections = _PatSections()
        self._carriers: dict[int, _Carrier] = {PAT_PID: _Carrier()}
        self._programs_on: dict[int, set[int]] = {}
        self._raw: dict[int, bytes] = {}
        self._preamble: bytes | None = b""

    @property
    def pids(self) -> frozenset[int]:
        """Return the PIDs whose packets `feed` wants."""
        return frozenset(self._carriers)

    def feed(self, packet: bytes) -> bool:
        """Take the next packet of one of `pids` (others are ignored); tell whether a table has changed."""
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        carrier = self._carriers.get(pid)
        if carrier is None:
            return False
        if carrier.settled and carrier.take_repeat(packet):
            self._preamble = None
            return False
        before = carrier.assembler.accepted
        sections = carrier.assembler.feed(packet)
        if carrier.assembler.accepted == before:
            return False
        self._preamble = None
        carrier.window.append(packet)
        changed = False
        for section in sections:
            if pid == PAT_PID:
                changed |= self._take_pat(carrier, section)
            else:
                changed |= self._take_pmt(carrier, section, self._programs_on[pid])
        carrier.trim()
        if changed:
            self._choose()
        return changed

    def preamble(self) -> bytes:
        """Return the packets that carried the tables in force last, PAT first, then the PMT of the program that counts.

        At most 64 packets: further programs' PMTs are left out where they do not fit. Each PID's packets go on to the
        latest one that went by, so the continuity counter of the next one fits. Empty before the first whole PAT. The
        same object is returned until a packet of a table goes by.
        """
        if self._preamble is None:
            self._preamble = self._build_preamble()
        return self._preamble

    def _build_preamble(self) -> bytes:
        if self.pat is None or not self._carriers[PAT_PID].starts:
            return b""
        order = list(dict.fromkeys(self.pat.programs.values()))
        if self.program is not None:
            chosen = self.pat.programs[self.program.program_number]
            order.sort(key=lambda pid: pid != chosen)
        packets = list(self._carriers[PAT_PID].window)
        for pid in order:
            carrier = self._carriers.get(pid)
            if carrier and carrier.starts and len(packets) + len(carrier.window) <= MAX_PREAMBLE_PACKETS:
                packets.extend(carrier.window)
        return b"".join(packets)

    def _take_pat(self, carrier: _Carrier, section: Section) -> bool:
        """Take a section of the PAT; tell whether that made a new table."""
        pat = self._pat_sections.add(section)
        if pat is None:
            return False
        carrier.starts = dict(self._pat_sections.starts)
        if pat == self.pat:
            return False
        self.pat = pat
        programs_on: dict[int, set[int]] = {}
        for program, pid in list(pat.programs.items())[:MAX_PROGRAMS]:
            if _LOWEST_PMT_PID <= pid < NULL_PID:
                programs_on.setdefault(pid, set()).add(program)
        for pid in [pid for pid in self._carriers if pid not in programs_on and pid != PAT_PID]:
            del self._carriers[pid]
        for pid, programs in programs_on.items():
            known = self._carriers.setdefault(pid, _Carrier())
            # a packet that settled for fewer programs may hold one that counts only now
            known.settled = False
            for program in known.starts.keys() - programs:
                del known.starts[program]
        stayed = {n for pid, programs in programs_on.items() for n in programs if n in self._carriers[pid].starts}
        self._programs_on = programs_on
        self._raw = {number: raw for number, raw in self._raw.items() if number in stayed}
        self.pmts = MappingProxyType({number: pmt for number, pmt in self.pmts.items() if number in stayed})
        return True

    def _take_pmt(self, carrier: _Carrier, section: Section, programs: set[int]) -> bool:
        """Take a section from a PID of PMTs; tell whether that made a new table."""
        program = section.raw[3] << 8 | section.raw[4]
        if program not in programs:
            return False
        if self._raw.get(program) == section.raw:
            carrier.starts[program] = section.start
            return False
        pmt = parse_pmt(section.raw)
        if pmt is None:
            return False
        carrier.starts[program] = section.start
        self._raw[program] = section.raw
        self.pmts = MappingProxyType({**self.pmts, program: pmt})
        return True

    def _choose(self) -> None:
        """Find the program that counts."""
        numbers = self.pat.programs if self.pat else {}
        known = [self.pmts[number] for number in numbers if number in self.pmts]
        with_video = (pmt for pmt in known if pmt.first("video"))
        with_audio = (pmt for pmt in known if pmt.first("audio"))
        self.program = next(with_video, None) or next(with_audio, None)
