"""Clips and the endless broadcast made of them.

A clip is one lap of a constant-rate transport stream (rules in `clip_mux`). A broadcast repeats it for ever: lap `k` is
the clip with `k` lap lengths added to every PCR, PTS and DTS (33-bit base, wrapping). Continuity counters close over
the seam by construction, so nothing else changes. The places of all time stamps are found once, when the clip is
loaded; a read costs one copy and a few patches.

Sources: ISO/IEC 13818-1 clauses 2.4.3.2 to 2.4.3.7. Pure but for `load_clip`, which reads a file.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

PACKET_BYTES = 188
CLOCK_HZ = 90_000
TICKS_WRAP = 1 << 33
LAP_UNIT_TICKS = 28_800  # 0.32 s: 8 frames of 25 fps and 15 AAC frames of 48 kHz


class ClipError(ValueError):
    """A clip breaks the rules it must follow to repeat without a seam."""


class Stamp(Enum):
    """What kind of time stamp stands at a place."""

    PCR = "pcr"
    PTS = "pts"
    PTS_WITH_DTS = "pts_with_dts"
    DTS = "dts"


@dataclass(frozen=True, slots=True)
class Place:
    """A time stamp in a clip: byte offset of its field, kind, value (90 kHz) and, for a PCR, the 9-bit extension."""

    offset: int
    kind: Stamp
    ticks: int
    extension: int = 0

    def field(self, shift_ticks: int) -> bytes:
        """Return the field's bytes with `shift_ticks` added, modulo 2^33."""
        ticks = (self.ticks + shift_ticks) % TICKS_WRAP
        if self.kind is Stamp.PCR:
            return (ticks << 15 | 0x3F << 9 | self.extension).to_bytes(6, "big")
        prefix = PREFIXES[self.kind]
        value = prefix << 36 | (ticks >> 30) << 33 | (ticks >> 15 & 0x7FFF) << 17 | (ticks & 0x7FFF) << 1
        return (value | MARKER_BITS).to_bytes(5, "big")


PREFIXES = {Stamp.PTS: 2, Stamp.PTS_WITH_DTS: 3, Stamp.DTS: 1}
MARKER_BITS = 1 << 32 | 1 << 16 | 1


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """Where a decoder may start: offset of the PAT before it, and the presentation time (90 kHz, of lap 0)."""

    offset: int
    ticks: int


@dataclass(frozen=True)
class Clip:
    """One lap. `data` is whole packets; `places` and `entry_points` are sorted by offset."""

    name: str
    data: bytes
    lap_ticks: int
    places: tuple[Place, ...]
    entry_points: tuple[EntryPoint, ...]
    pcr_pid: int

    @property
    def lap_bytes(self) -> int:
        """Length of a lap in bytes."""
        return len(self.data)

    @property
    def bytes_per_s(self) -> float:
        """Rate of the broadcast in bytes per second."""
        return len(self.data) * CLOCK_HZ / self.lap_ticks

    @property
    def bitrate_bps(self) -> int:
        """Rate of the broadcast in bits per second."""
        return round(self.bytes_per_s * 8)

    def read(self, position: int, count: int, base_ticks: int = 0) -> bytes:
        """Return `count` bytes of the endless broadcast at byte `position`, time stamps moved by `base_ticks`.

        `position` and `count` must be multiples of 188 (so that no time stamp is cut in two) and not negative.
        """
        if position % PACKET_BYTES or count % PACKET_BYTES or position < 0 or count < 0:
            raise ValueError(f"not whole packets: position {position}, count {count}")
        out = bytearray()
        while len(out) < count:
            lap, start = divmod(position + len(out), len(self.data))
            stop = min(len(self.data), start + count - len(out))
            out += self._lap_part(start, stop, base_ticks + lap * self.lap_ticks)
        return bytes(out)

    def _lap_part(self, start: int, stop: int, shift_ticks: int) -> bytearray:
        part = bytearray(self.data[start:stop])
        first = bisect_left(self.places, start, key=_offset)
        for place in self.places[first : bisect_left(self.places, stop, lo=first, key=_offset)]:
            field = place.field(shift_ticks)
            at = place.offset - start
            part[at : at + len(field)] = field
        return part

    def entry_point(self, number: int) -> EntryPoint:
        """Return entry point `number` of the endless broadcast: its byte position and time, both growing for ever."""
        lap, index = divmod(number, len(self.entry_points))
        entry = self.entry_points[index]
        return EntryPoint(entry.offset + lap * len(self.data), entry.ticks + lap * self.lap_ticks)

    def entry_number_at(self, position: int) -> int:
        """Return the number of the first entry point at or after byte `position`."""
        lap, offset = divmod(position, len(self.data))
        return lap * len(self.entry_points) + bisect_left(self.entry_points, offset, key=_entry_offset)


def _offset(place: Place) -> int:
    return place.offset


def _entry_offset(entry: EntryPoint) -> int:
    return entry.offset


def load_clip(path: Path) -> Clip:
    """Read a clip from a file (a few milliseconds per megabyte). Raises ClipError and OSError."""
    return parse_clip(path.stem, path.read_bytes())


def parse_clip(name: str, data: bytes) -> Clip:
    """Find every time stamp and entry point of a clip. Raises ClipError if it cannot repeat."""
    if not data or len(data) % PACKET_BYTES:
        raise ClipError(f"{name}: not whole packets")
    if data[::PACKET_BYTES].count(0x47) != len(data) // PACKET_BYTES:
        raise ClipError(f"{name}: a packet without sync byte")
    places, entries = scan(data)
    if not entries:
        raise ClipError(f"{name}: no entry point")
    clocks = [place for place in places if place.kind is Stamp.PCR]
    if len(clocks) < 2:
        raise ClipError(f"{name}: fewer than two PCR")
    pcr_pid = pid_at(data, clocks[0].offset - 6)
    return Clip(name, data, _lap_ticks(name, data, clocks), tuple(places), tuple(entries), pcr_pid)


def scan(data: bytes) -> tuple[list[Place], list[EntryPoint]]:
    """Return every time stamp and entry point of whole packets, in order."""
    places: list[Place] = []
    entries: list[EntryPoint] = []
    for offset in range(0, len(data), PACKET_BYTES):
        has_field = data[offset + 3] & 0x20 and data[offset + 4]
        if has_field and data[offset + 5] & 0x10:
            pcr = int.from_bytes(data[offset + 6 : offset + 12], "big")
            places.append(Place(offset + 6, Stamp.PCR, pcr >> 15, pcr & 0x1FF))
        if data[offset + 1] & 0x40:
            stamps = _pes_stamps(data, offset)
            places += stamps
            if stamps and has_field and data[offset + 5] & 0x40:
                entries.append(EntryPoint(_before_tables(data, offset), stamps[0].ticks))
    return places, entries


def pid_at(data: bytes | bytearray, offset: int) -> int:
    """Return the PID of the packet at `offset`."""
    return (data[offset + 1] & 0x1F) << 8 | data[offset + 2]


def payload_at(data: bytes | bytearray, offset: int) -> int:
    """Return where the payload of the packet at `offset` begins (its end if there is none)."""
    if not data[offset + 3] & 0x10:
        return offset + PACKET_BYTES
    return offset + 4 + (1 + data[offset + 4] if data[offset + 3] & 0x20 else 0)


def _pes_stamps(data: bytes, offset: int) -> list[Place]:
    at = payload_at(data, offset)
    if at + 19 > offset + PACKET_BYTES or data[at : at + 3] != b"\x00\x00\x01" or not data[at + 7] & 0x80:
        return []
    with_dts = bool(data[at + 7] & 0x40)
    places = [Place(at + 9, Stamp.PTS_WITH_DTS if with_dts else Stamp.PTS, _ticks(data[at + 9 : at + 14]))]
    if with_dts:
        places.append(Place(at + 14, Stamp.DTS, _ticks(data[at + 14 : at + 19])))
    return places


def _ticks(field: bytes) -> int:
    value = int.from_bytes(field, "big")
    return (value >> 33 & 7) << 30 | (value >> 17 & 0x7FFF) << 15 | value >> 1 & 0x7FFF


def _before_tables(data: bytes, offset: int) -> int:
    before = offset - 2 * PACKET_BYTES
    return before if before >= 0 and pid_at(data, before) == 0 else offset


def _lap_ticks(name: str, data: bytes, clocks: list[Place]) -> int:
    span = (clocks[-1].ticks - clocks[0].ticks) * len(data) / (clocks[-1].offset - clocks[0].offset)
    units = round(span / LAP_UNIT_TICKS)
    if units < 1 or abs(units * LAP_UNIT_TICKS - span) > span / 1000:
        raise ClipError(f"{name}: a lap of {span / CLOCK_HZ:.3f} s is no multiple of 0.32 s")
    return units * LAP_UNIT_TICKS
