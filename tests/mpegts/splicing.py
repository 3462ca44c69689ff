"""What the tests of splicing share: a strict reader of transport streams that has no code of the program in it.

It holds every stream against ISO/IEC 13818-1: sync, continuity counters, CRC and versions of the tables, PCR that only
goes forward, time stamps that rise and stand before no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from aceproxy.mpegts.splice import Splicer
from aceproxy.simulator.broadcast import CLIPS_FOLDER
from aceproxy.simulator.clips import Clip, load_clip

PACKET = 188
HALF = 1 << 32
WHOLE = 1 << 33


@cache
def clip(name: str) -> Clip:
    """Return one of the simulator's clips."""
    return load_clip(CLIPS_FOLDER / f"{name}.ts")


def media(name: str, start_s: float, stop_s: float, base_ticks: int = 0) -> bytes:
    """Return a stretch of the endless broadcast of a clip, whole packets."""
    one = clip(name)
    first, last = (int(at * one.bytes_per_s) // PACKET * PACKET for at in (start_s, stop_s))
    return one.read(first, last - first, base_ticks)


def pieces(stream: bytes, packets: int = 512) -> Iterator[bytes]:
    """Cut a stream into chunks of so many packets."""
    for at in range(0, len(stream), packets * PACKET):
        yield stream[at : at + packets * PACKET]


def run(splicer: Splicer, stream: bytes, packets: int = 512) -> bytes:
    """Feed a source's bytes to a splicer in chunks (a packet cut off at the end is lost, as on the way)."""
    whole = stream[: len(stream) // PACKET * PACKET]
    return b"".join(bytes(splicer.feed(piece)) for piece in pieces(whole, packets))


def splice(*sources: bytes, packets: int = 512) -> tuple[bytes, Splicer]:
    """Return what comes of sources one after the other."""
    splicer = Splicer()
    out = []
    for source in sources:
        splicer.begin_source()
        out.append(run(splicer, source, packets))
    return b"".join(out), splicer


def after(one: int, other: int) -> int:
    """Return how much later a 33-bit clock value is than another."""
    return (one - other + HALF) % WHOLE - HALF


@dataclass
class Unit:
    """One PES packet: clocks, elementary stream, and whether the next one of the PID has begun."""

    pts: int
    dts: int
    content: bytes
    clock: int | None
    """The last PCR before it."""
    whole: bool = False


@dataclass
class Seen:
    """What a stream holds, and everything that is wrong with it."""

    units: dict[int, list[Unit]] = field(default_factory=dict)
    pcrs: list[int] = field(default_factory=list)
    pmts: list[bytes] = field(default_factory=list)
    pats: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def times(self, pid: int) -> list[int]:
        """Return the DTS of a PID's access units."""
        return [unit.dts for unit in self.units.get(pid, [])]


def _ticks(five: bytes) -> int:
    assert five[0] & five[2] & five[4] & 1, "marker bits"
    bits = int.from_bytes(five, "big")
    return (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF


def crc(data: bytes) -> int:
    """Return the CRC of ISO/IEC 13818-1 annex A; of a section with its CRC it is 0."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ 0x04C11DB7 if register >> 31 else register << 1) & 0xFFFFFFFF
    return register


class Reader:
    """Reads a whole stream, packet by packet."""

    def __init__(self, *, max_step_s: float = 0.7, counters: bool = True) -> None:
        self.seen = Seen()
        self._max_step = max_step_s * 90_000
        self._check_counters = counters
        self._counters: dict[int, int] = {}
        self._sections: dict[int, bytes] = {}
        self._pmt_pids: set[int] = set()
        self._tables: dict[bytes, bytes] = {}
        self._crcs: dict[bytes, bool] = {}
        self._clock: int | None = None
        self._at = 0

    def read(self, stream: bytes) -> Seen:
        """Return what is in a stream."""
        assert len(stream) % PACKET == 0
        for self._at in range(0, len(stream), PACKET):
            packet = stream[self._at : self._at + PACKET]
            pid = (packet[1] & 31) << 8 | packet[2]
            if packet[0] != 0x47:
                self._fault("sync")
            if pid == 0x1FFF:
                continue
            self._counter(pid, packet)
            self._clocks(packet)
            if packet[3] & 0x10:
                body = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
                self._payload(pid, body, starts=bool(packet[1] & 0x40))
        return self.seen

    def _fault(self, what: str) -> None:
        self.seen.faults.append(f"packet {self._at // PACKET}: {what}")

    def _counter(self, pid: int, packet: bytes) -> None:
        counter, payload = packet[3] & 15, packet[3] >> 4 & 1
        last = self._counters.get(pid)
        if not payload and packet[4] and packet[5] & 0x80:
            last = None  # it says that the counter begins anew (§2.4.3.5)
        if self._check_counters and last is not None and counter != (last + payload) % 16:
            self._fault(f"counter of {pid:#x}: {counter} after {last}")
        self._counters[pid] = counter

    def _clocks(self, packet: bytes) -> None:
        if not packet[3] & 0x20 or packet[4] < 7 or not packet[5] & 0x10:
            return
        pcr = int.from_bytes(packet[6:12], "big") >> 15
        if self._clock is not None and not 0 <= after(pcr, self._clock) <= self._max_step:
            self._fault(f"PCR {after(pcr, self._clock) / 90_000:+.3f} s")
        self._clock = pcr
        self.seen.pcrs.append(pcr)

    def _payload(self, pid: int, body: bytes, *, starts: bool) -> None:
        if pid == 0 or pid in self._pmt_pids:
            self._table(pid, body, starts=starts)
            return
        units = self.seen.units.get(pid)
        if starts and body[:3] == b"\0\0\1" and not body[7] & 0x80:
            if units:
                units[-1].content += body[9 + body[8] :]  # sound may go on in a PES packet without time stamps
        elif starts and body[:3] == b"\0\0\1":
            units = self.seen.units.setdefault(pid, [])
            pts = _ticks(body[9:14])
            dts = _ticks(body[14:19]) if body[7] & 0x40 else pts
            if units:
                units[-1].whole = True
                if not 0 < after(dts, units[-1].dts) <= self._max_step:
                    self._fault(f"DTS of {pid:#x} {after(dts, units[-1].dts) / 90_000:+.3f} s")
            if self._clock is not None and after(dts, self._clock) < 0:
                self._fault(f"DTS of {pid:#x} before the PCR")
            units.append(Unit(pts, dts, body[9 + body[8] :], self._clock))
        elif units:
            units[-1].content += body

    def _table(self, pid: int, body: bytes, *, starts: bool) -> None:
        if starts:
            self._sections[pid] = body[1 + body[0] :]
        elif pid in self._sections:
            self._sections[pid] += body
        section = self._sections.get(pid, b"")
        if len(section) < 3 or section[0] == 0xFF:
            return
        length = 3 + ((section[1] & 15) << 8 | section[2])
        if len(section) < length:
            return
        section = section[:length]
        del self._sections[pid]
        if section not in self._crcs:
            self._crcs[section] = crc(section) == 0
        if not self._crcs[section]:
            self._fault(f"CRC of a section on {pid:#x}")
            return
        before = self._tables.get(section[:1] + section[3:5])
        if before != section:
            if before and before[5] == section[5]:
                self._fault("a table changed without a new version")
            elif before and (section[5] - before[5]) & 0x3E != 2:
                self._fault("a version was left out")
            self._tables[section[:1] + section[3:5]] = section
            (self.seen.pats if pid == 0 else self.seen.pmts).append(section)
        if pid == 0:
            for at in range(8, len(section) - 4, 4):
                if section[at : at + 2] != b"\0\0":
                    self._pmt_pids.add((section[at + 2] & 31) << 8 | section[at + 3])


def read(stream: bytes, *, max_step_s: float = 0.7, counters: bool = True) -> Seen:
    """Return what is in a stream and what is wrong with it."""
    return Reader(max_step_s=max_step_s, counters=counters).read(stream)


def check(stream: bytes, *, max_step_s: float = 0.7) -> Seen:
    """Return what is in a stream in which nothing may be wrong."""
    seen = read(stream, max_step_s=max_step_s)
    assert not seen.faults, seen.faults[:5]
    return seen


def streams_of(pmt: bytes) -> list[tuple[int, int]]:
    """Return (PID, stream_type) of every stream in a PMT section."""
    at = 12 + ((pmt[10] & 15) << 8 | pmt[11])
    found = []
    while at < len(pmt) - 4:
        found.append(((pmt[at + 1] & 31) << 8 | pmt[at + 2], pmt[at]))
        at += 5 + ((pmt[at + 3] & 15) << 8 | pmt[at + 4])
    return found


def without(stream: bytes, lost: Iterable[int]) -> bytes:
    """Return a stream without the packets of these numbers."""
    gone = set(lost)
    return b"".join(stream[at : at + PACKET] for at in range(0, len(stream), PACKET) if at // PACKET not in gone)
