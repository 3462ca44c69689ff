"""What is known of a new source while its place is being looked for: its newest packets, tables and clocks."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from aceproxy.mpegts.access import Analyzer
from aceproxy.mpegts.packets import PACKET_BYTES, payload_start
from aceproxy.mpegts.psi import PsiTracker
from aceproxy.mpegts.splice_sent import events_of
from aceproxy.mpegts.splice_stamps import Stamp, later, pids_of
from aceproxy.mpegts.splice_tables import Tables, tables_of


class PesStart(NamedTuple):
    """Where a PES packet starts in a source, and its own clocks (90 kHz)."""

    offset: int
    pts: int | None
    dts: int | None


def _offset_of(start: PesStart) -> int:
    return start.offset


class NewSource:
    """Collects the packets of one source. Offsets are bytes since it began.

    The caller shows it every packet with a clock apart (`take`), so what is known at a packet never depends on how the
    input was cut.
    """

    def __init__(self) -> None:
        self.held = bytearray()
        self.base = 0
        """Offset of the first byte held."""
        self.starts: dict[int, list[PesStart]] = {}
        """Every PES packet that starts in what is held, by PID."""
        self.points: list[int] = []
        """Offsets of the random-access points in what is held."""
        self.clocks: dict[int, int] = {}
        """The latest PCR of each PID."""
        self.tables: Tables | None = None
        self._analyzer = Analyzer()

    @property
    def end(self) -> int:
        """Return the offset after the last byte."""
        return self.base + len(self.held)

    @property
    def reference_pid(self) -> int | None:
        """Return the PID whose access units count."""
        return self._analyzer.reference_pid

    @property
    def has_video(self) -> bool:
        """Tell whether the reference PID carries video."""
        return self._analyzer.has_video

    @property
    def psi(self) -> PsiTracker:
        """Return the tables that have come so far."""
        return self._analyzer.psi

    def take(self, packets: memoryview, stamp: Stamp | None) -> None:
        """Take the next packets; `stamp` is what the last of them says of time."""
        self.held += packets
        scan = self._analyzer.feed(packets)
        self.points += [point.offset for point in scan.points if point.offset >= self.base]
        if scan.psi_changed:
            self.tables = tables_of(self._analyzer.psi)
        if stamp is None:
            return
        if stamp.pcr is not None:
            self.clocks[stamp.pid] = stamp.pcr
        if stamp.starts:
            start = PesStart(self.end - PACKET_BYTES, stamp.pts, stamp.dts)
            self.starts.setdefault(stamp.pid, []).append(start)

    def trim(self, offset: int) -> None:
        """Let go of what lies before an offset."""
        if offset <= self.base:
            return
        del self.held[: offset - self.base]
        self.base = offset
        self.points = [point for point in self.points if point >= offset]
        self.starts = {
            pid: kept
            for pid, starts in self.starts.items()
            if (kept := [start for start in starts if start.offset >= offset])
        }

    def reference_starts(self) -> list[PesStart]:
        """Return the PES packets of the reference PID."""
        return self.starts.get(self.reference_pid, []) if self.reference_pid is not None else []

    def point_start(self, which: int) -> PesStart | None:
        """Return the first (0) or the newest (-1) random-access point, None where there is none.

        It has no clocks where they cannot be read: the stream is scrambled.
        """
        if not self.points:
            return None
        starts, offset = self.reference_starts(), self.points[which]
        at = bisect_left(starts, offset, key=_offset_of)
        return starts[at] if at < len(starts) and starts[at].offset == offset else PesStart(offset, None, None)

    def clock_after(self, offset: int) -> int | None:
        """Return the first PCR from an offset on, of any PID."""
        with memoryview(self.held) as view, view[offset - self.base :] as rest:
            return next((stamp.pcr for _, stamp in events_of(rest) if stamp.pcr is not None), None)

    def media_held(self) -> int:
        """Return the media time held, by the reference PID's time stamps, 90 kHz."""
        starts = self.reference_starts()
        first = next((start.dts for start in starts if start.dts is not None), None)
        last = next((start.dts for start in reversed(starts) if start.dts is not None), None)
        return later(last, first) if first is not None and last is not None else 0

    def payload(self, pid: int, start: int, stop: int) -> bytes | None:
        """Return the payloads of a PID between two offsets, None where packets are missing or unreadable."""
        pieces: list[bytes] = []
        last = b""
        with memoryview(self.held) as view, view[start - self.base : stop - self.base] as part:
            for index, one in enumerate(pids_of(part)):
                if one != pid:
                    continue
                packet = bytes(part[index * PACKET_BYTES : (index + 1) * PACKET_BYTES])
                if not packet[3] & 0x10 or (last and packet[3:] == last[3:]):
                    continue
                if packet[1] & 0x80 or packet[3] & 0xC0 or (last and (packet[3] - last[3] - 1) & 0x0F):
                    return None
                pieces.append(packet[payload_start(packet) :])
                last = packet
        return b"".join(pieces)
