"""Rewriting the packets of a spliced source: continuity counters, PIDs, clocks, tables.

The packets of a window are taken together. One byte table says for every PID what to add to its continuity counters,
and that sum is made for all packets at once with whole numbers as long as the window; only packets with a clock, and
those of a few special PIDs, are looked at one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from aceproxy.mpegts.clock import WRAP
from aceproxy.mpegts.packets import NULL_PACKET, NULL_PID, PACKET_BYTES, Heads, heads_of
from aceproxy.mpegts.recovery import Recovery
from aceproxy.mpegts.splice_clocks import PATIENCE_BYTES, Clocks
from aceproxy.mpegts.splice_counters import last_counters
from aceproxy.mpegts.splice_sent import WINDOW_PACKETS
from aceproxy.mpegts.splice_stamps import (
    FRAME,
    PIDS,
    Stamp,
    later,
    lone_pcr,
    pids_of,
    read_stamp,
    shift_stamps,
)
from aceproxy.mpegts.splice_tables import TableWriter

_NEW: Final = 0x80  # the first packet of the PID will say what to add
_CLOSED: Final = 0x81  # left out until its gate opens
_TABLE: Final = 0x82  # own packets in its place
_LEFT_OUT: Final = 0x83
_FIRST: Final = 0x0F  # the counter before the first one of a PID
_SPECIAL: Final = re.compile(rb"[\x80-\xff]")
_PLAIN: Final = bytes(value if value < 0x10 else 0 for value in range(256))
_NIBBLE: Final = bytes(value & 0x0F for value in range(256))
_UPPER: Final = bytes(value & 0xF0 for value in range(256))
_HIGHS: Final = bytes(pid >> 8 for pid in range(PIDS))
_LOWS: Final = bytes(pid & 0xFF for pid in range(PIDS))
_FLAGS: Final = bytes(value & 0xE0 for value in range(256))
_SERVICE_PIDS: Final = range(0x10, 0x20)
_CLOCK_PIDS: Final = (0x14,)  # TDT and TOT belong to no program
_SHORT_SPAN: Final = 16


@dataclass(frozen=True, slots=True)
class Gate:
    """From where on a PID is sent: at the first PES packet for which both hold."""

    open_at: int = 0
    """Offset in the source."""
    after: int | None = None
    """PTS, as sent, that must be exceeded."""
    leading_before: int | None = None
    """PTS, as sent, of the picture that opens it: those that follow it and are shown before it are left out."""


class Rewriter:
    """Makes what is sent out of one source, packet by packet: the result does not depend on how it is cut.

    `counters` are the last continuity counters by PID sent, kept up for tables and for PIDs that are closed; `sent`
    returns those of all PIDs, up to what `feed` returned last. Every PCR is left out until it exceeds `floor`.
    `as_it_comes`: nothing is changed, until `renumber` says what is.
    """

    def __init__(
        self,
        offset: int,
        counters: dict[int, int],
        *,
        shift: int = 0,
        writer: TableWriter | None = None,
        gates: Mapping[int, Gate] | None = None,
        floor: int | None = None,
        sent: Callable[[], Mapping[int, int]] = dict,
        recovery: Recovery | None = None,
        as_it_comes: bool = False,
    ) -> None:
        self.clocks = Clocks(offset, shift, floor, recovery)
        self.shift = self.clocks.shift
        self.writer = writer
        self.dropped_bytes = 0
        """Bytes of the source that were left out behind closed gates."""
        self._offset = offset
        self._counters = counters
        self._sent = sent
        self._counted: int | None = None  # of the parts of what is sent now, those whose counters are in `_counters`
        self._is_padded = False  # what is sent now has null packets where the source had other ones
        self._gates = dict(gates or {})
        self._opened: dict[int, tuple[int, Gate]] = {}  # where, and what opens it at the same place once more
        self._leading: dict[int, int] = {}  # PIDs on which leading pictures may follow, and `leading_before` of each
        self._first_code = 0 if as_it_comes else _NEW
        self._codes = bytearray()
        self._span = WINDOW_PACKETS
        self._highs = self._lows = b""
        self._map_before: Mapping[int, int] = {}
        self._prepare()

    @property
    def pid_map(self) -> Mapping[int, int]:
        """Return the PID sent for each PID of the source that has got another one (or may have)."""
        return self.writer.pid_map if self.writer else {}

    def feed(self, view: memoryview) -> tuple[bytes, bytes | memoryview]:
        """Take the next whole packets; return what to send, and the source's packets that are in it as they came."""
        out: list[bytes] = []
        kept: list[bytes] = []
        dropped, self._counted, self._is_padded = self.dropped_bytes, None, False
        for start in range(0, len(view), WINDOW_PACKETS * PACKET_BYTES):
            with view[start : start + WINDOW_PACKETS * PACKET_BYTES] as window:
                self._window(window, out, kept)
                self._offset += len(window)
        is_all = dropped == self.dropped_bytes and not self._is_padded
        return b"".join(out), view if is_all else b"".join(kept)

    def resume(self) -> None:
        """Go on with the same source after a break: gates that are still closed open by the clock alone."""
        self._gates = {pid: replace(gate, open_at=0) for pid, gate in self._gates.items()}
        self.clocks.begin_again(self._offset)

    def renumber(self, pids: Iterable[int]) -> None:
        """Have the counters of these PIDs of the source go on from those sent last, whatever they are by now."""
        self._counters.update(self._sent())
        for pid in pids:
            if self._codes[pid] < 0x10 and pid != NULL_PID:
                self._codes[pid] = _NEW

    def set_back(self, counters: Mapping[int, int], steps: Mapping[int, int]) -> None:
        """Take back what was sent last: `counters` are the last ones before it, by PID sent.

        `steps` is what was added to counters then, by PID of the source.
        """
        self._counters.clear()
        self._counters.update(counters)
        self.clocks.set_back(self._offset)
        for pid, step in steps.items():
            if self._codes[pid] < 0x10 or self._codes[pid] in (_NEW, _CLOSED):
                self._codes[pid] = step
                self._gates.pop(pid, None)
        for pid in range(NULL_PID):
            if self._codes[pid] < 0x10 and pid not in steps:  # all that was sent of it may have been taken back
                self._close_again(pid)

    def _close_again(self, pid: int) -> None:
        """Have a PID begin anew, at the place where it began if there was a gate."""
        opened_at, gate = self._opened.pop(pid, (0, None))
        self._leading.pop(pid, None)
        self._codes[pid] = _NEW
        if gate is not None and self._offset - opened_at < PATIENCE_BYTES:
            self._codes[pid] = _CLOSED
            self._gates[pid] = gate

    def _prepare(self) -> None:
        """Say what is to be done with every PID."""
        codes = bytearray([_LEFT_OUT if self.writer else self._first_code]) * PIDS
        mapped = self.pid_map
        if self.writer:
            for pid in (*mapped, *filter(self._passes, _SERVICE_PIDS)):
                codes[pid] = _NEW
            for pid in self.writer.pids:
                codes[pid] = _TABLE
            highs, lows = bytearray(_HIGHS), bytearray(_LOWS)
            for pid, target in mapped.items():
                highs[pid], lows[pid] = target >> 8, target & 0xFF
            self._highs, self._lows = bytes(highs), bytes(lows)
        # tables may have changed in the middle of the source: PIDs that are sent as before go on as they did
        for pid in (*mapped, *_SERVICE_PIDS) if self._codes else ():
            is_known = self._codes[pid] < 0x10 and self._map_before.get(pid, pid) == mapped.get(pid, pid)
            if is_known and codes[pid] == _NEW:
                codes[pid] = self._codes[pid]
        self._map_before = dict(mapped)
        for pid in self._gates:
            if codes[pid] == _NEW:
                codes[pid] = _CLOSED
        codes[NULL_PID] = 0
        self._codes = codes

    def _passes(self, pid: int) -> bool:
        """Tell whether a PID of service tables is sent: with those of another service only the time of day."""
        return pid in _CLOCK_PIDS or (self.writer is not None and self.writer.keeps_services)

    def _window(self, view: memoryview, out: list[bytes], kept: list[bytes]) -> None:
        pids = pids_of(view)
        at = 0
        while at < len(pids):
            stop = at + self._span
            with view[at * PACKET_BYTES : stop * PACKET_BYTES] as rest:
                done = self._stretch(rest, pids[at:stop], self._offset + at * PACKET_BYTES, out, kept)
            # what is after a change is done anew: short stretches keep that little where changes come often
            self._span = min(WINDOW_PACKETS, 2 * self._span) if at + done >= min(stop, len(pids)) else _SHORT_SPAN
            at += done

    def _stretch(
        self, view: memoryview, pids: tuple[int, ...], offset: int, out: list[bytes], kept: list[bytes]
    ) -> int:
        """Do packets up to one that changes what is to be done with a PID; return how many were done."""
        if self._leading:
            pids = pids[: self._until_leading(view, pids, out)]
        codes = bytes(map(self._codes.__getitem__, pids))
        specials = [found.start() for found in _SPECIAL.finditer(codes)]
        first_new = next((index for index in specials if self._opens(view, index, pids[index], offset)), None)
        if first_new is not None:
            specials = [index for index in specials if index < first_new]
        count = len(pids) if first_new is None else first_new
        with view[: count * PACKET_BYTES] as part:
            plain = self._plain(part, codes[:count], pids[:count])
            done = 0
            for index in specials:
                out.append(bytes(plain[done * PACKET_BYTES : index * PACKET_BYTES]))
                kept.append(bytes(part[done * PACKET_BYTES : index * PACKET_BYTES]))
                done = index + 1
                packet = bytes(part[index * PACKET_BYTES : done * PACKET_BYTES])
                if self._special(packet, codes[index], pids[index], out, kept):
                    return done
            out.append(bytes(plain[done * PACKET_BYTES :] if done else plain))
            kept.append(bytes(part[done * PACKET_BYTES :]))
        if first_new is not None:  # not before all that comes before it: tables may change there
            packet = bytes(view[count * PACKET_BYTES : (count + 1) * PACKET_BYTES])
            self._open(packet, pids[count], offset)
        return count

    def _opens(self, view: memoryview, index: int, pid: int, offset: int) -> bool:
        """Tell whether a special packet is the first of its PID to be sent."""
        code = self._codes[pid]
        if code != _CLOSED:
            return code == _NEW
        if not view[index * PACKET_BYTES + 1] & 0x40:
            return False
        stamp = read_stamp(bytes(view[index * PACKET_BYTES : (index + 1) * PACKET_BYTES]))
        return self._gate_opens(self._gates[pid], stamp, offset + index * PACKET_BYTES)

    def _open(self, packet: bytes, pid: int, offset: int) -> None:
        """Have a PID be plain from this packet on."""
        target = self.pid_map.get(pid, pid)
        if self._codes[pid] == _CLOSED:
            stamp, gate = read_stamp(packet), self._gates.pop(pid)
            after = gate.after if stamp.pts is None else (stamp.pts + self.shift - 1) % WRAP
            self._opened[pid] = offset, replace(gate, open_at=0, after=after)
            if gate.leading_before is not None:
                self._leading[pid] = gate.leading_before
            self._counters.setdefault(target, _FIRST)  # as of the clocks that were sent before it
        last = self._counters.get(target)
        step = packet[3] >> 4 & 1
        self._codes[pid] = 0 if last is None else (last + step - packet[3]) & 0x0F

    def _until_leading(self, view: memoryview, pids: tuple[int, ...], out: list[bytes]) -> int:
        """Return how many packets come before one with which pictures begin or end that are left out.

        A picture that follows a random-access point and is shown before it is made from pictures that were never sent.
        If the very first packet begins one, its gate is closed until they are over.
        """
        for index, pid in enumerate(pids):
            if pid not in self._leading or not view[index * PACKET_BYTES + 1] & 0x40:
                continue
            packet = bytes(view[index * PACKET_BYTES : (index + 1) * PACKET_BYTES])
            stamp = read_stamp(packet)
            ahead = later(stamp.pts + self.shift, self._leading[pid]) if stamp.pts is not None else 0
            if 0 <= ahead < FRAME:
                continue  # the same picture: its other field, or once more
            if index:
                return index
            first = self._leading.pop(pid)
            if ahead < 0 and self._codes[pid] < 0x10:
                self._count(out)
                self._codes[pid] = _CLOSED
                self._gates[pid] = Gate(0, first)
        return len(pids)

    def _gate_opens(self, gate: Gate, stamp: Stamp, offset: int) -> bool:
        if not stamp.starts:  # not a PES packet: sections have no clock to wait for
            return offset >= gate.open_at
        if gate.after is None or not self.clocks.is_patient(offset):
            return offset >= gate.open_at
        return offset >= gate.open_at and stamp.pts is not None and later(stamp.pts + self.shift, gate.after) > 0

    def _plain(self, view: memoryview, codes: bytes, pids: tuple[int, ...]) -> bytearray:
        """Return the packets with counters, PIDs and clocks changed; those that are special are left as they are."""
        out = bytearray(view)
        count = len(codes)
        control = view[3::PACKET_BYTES].tobytes()
        steps = int.from_bytes(codes.translate(_PLAIN), "little")
        # a counter and a step are less than 16 each: no sum reaches into the next byte
        summed = int.from_bytes(control.translate(_NIBBLE), "little") + steps
        counters = summed.to_bytes(count, "little").translate(_NIBBLE)
        upper = int.from_bytes(control.translate(_UPPER), "little")
        out[3::PACKET_BYTES] = (upper | int.from_bytes(counters, "little")).to_bytes(count, "little")
        self.clocks.move(view, out, codes, self._offset)
        if self._highs:
            flags = int.from_bytes(view[1::PACKET_BYTES].tobytes().translate(_FLAGS), "little")
            highs = int.from_bytes(bytes(map(self._highs.__getitem__, pids)), "little")
            out[1::PACKET_BYTES] = (flags | highs).to_bytes(count, "little")
            out[2::PACKET_BYTES] = bytes(map(self._lows.__getitem__, pids))
        return out

    def _special(self, packet: bytes, code: int, pid: int, out: list[bytes], kept: list[bytes]) -> bool:
        """Do one special packet; tell whether that changed what is to be done with others."""
        if code == _TABLE and self.writer is not None:
            replaced, changed = self.writer.feed(packet)
            # as many packets as the source had with them, so that places in the one are places in the other
            count = len(replaced) // PACKET_BYTES
            self._is_padded = self._is_padded or count > 1
            out.append(replaced or NULL_PACKET)
            kept.append(packet + NULL_PACKET * (count - 1))
            if changed:
                self._count(out)
                self._prepare()
            return changed
        pcr = read_stamp(packet).pcr if code == _CLOSED else None
        if pcr is not None and self.clocks.is_due(pcr, self._offset):
            target = self.pid_map.get(pid, pid)
            lone = lone_pcr(packet, self._counters.setdefault(target, _FIRST))
            kept.append(lone)
            moved = bytearray(lone)
            shift_stamps(moved, 0, self.shift)
            moved[1:3] = bytes((target >> 8, target & 0xFF))
            out.append(bytes(moved))
        self.dropped_bytes += PACKET_BYTES
        return False

    def _count(self, out: list[bytes]) -> None:
        """Keep up the counters: what is to be done with a PID changes. `out` is what is sent now, up to here."""
        if self._counted is None:
            self._counters.update(self._sent())
        self._counters.update(last_counters(heads_of(b"".join(out[self._counted or 0 :]))))
        self._counted = len(out)


def steps_of(own: bytes, sent: Heads) -> dict[int, int]:
    """Return what was added to the counters of each PID of a source, by the newest of its packets.

    `own` are packets of the source, `sent` the heads of as many that were sent for them, or of more: the newest count.
    """
    heads = heads_of(own)
    count = min(len(heads.first), len(sent.first))
    heads, sent = heads.part(len(heads.first) - count), sent.part(len(sent.first) - count)
    pairs = zip(pids_of(heads), heads.control, sent.control, strict=True)
    return {pid: (after - before) & 0x0F for pid, before, after in pairs}
