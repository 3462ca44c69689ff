"""Tables after a splice: which PID of a new source goes on as which PID that was sent, and the PAT and PMT that say so.

Streams of the same codec keep the PID they had, so that players keep their decoders; others come on a PID that was
never used. What is sent are own sections: the PAT stays as it was where it named one program only, the PMT gets the
next version number as soon as anything in it differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aceproxy.mpegts.codecs import ElementaryStream
from aceproxy.mpegts.packets import NULL_PID, PACKET_BYTES, pid_of
from aceproxy.mpegts.psi import PAT_PID, Pmt, PsiTracker, parse_pmt
from aceproxy.mpegts.sections import SectionAssembler, crc32_mpeg

_FIRST_FREE_PID: Final = 0x100


@dataclass(frozen=True, slots=True)
class Tables:
    """A PAT and the PMT of the program that counts, as whole sections."""

    pat: bytes
    pmt: bytes
    pmt_pid: int
    program: Pmt
    program_count: int

    @property
    def layout(self) -> tuple[object, ...]:
        """Return what must be equal for two sources to be of the same make: program, PIDs, codecs."""
        streams = tuple((one.pid, one.stream_type, one.codec) for one in self.program.streams)
        return self.program.program_number, self.pmt_pid, self.program.pcr_pid, streams


def tables_of(psi: PsiTracker) -> Tables | None:
    """Return the tables in force, None while there are none."""
    if psi.pat is None or psi.program is None:
        return None
    pmt_pid = psi.pat.programs[psi.program.program_number]
    assemblers = {PAT_PID: SectionAssembler(), pmt_pid: SectionAssembler()}
    pat = pmt = b""
    preamble = psi.preamble()
    for at in range(0, len(preamble), PACKET_BYTES):
        packet = preamble[at : at + PACKET_BYTES]
        pid = pid_of(packet)
        for section in assemblers[pid].feed(packet) if pid in assemblers else ():
            if pid == PAT_PID and not pat:
                pat = section.raw
            elif pid == pmt_pid and parse_pmt(section.raw) == psi.program:
                pmt = section.raw
    if not pat or not pmt:
        return None
    return Tables(pat, pmt, pmt_pid, psi.program, len(psi.pat.programs))


def map_pids(sent: Tables | None, new: Tables, is_used: Callable[[int], bool]) -> dict[int, int]:
    """Return the PID to send for each PID of a new program. `is_used` tells which PIDs have been sent so far."""
    if sent is None:
        return {one.pid: one.pid for one in new.program.streams} | {new.program.pcr_pid: new.program.pcr_pid}
    found: dict[int, int] = {}
    left = list(sent.program.streams)
    for rule in (_same_place, _same_language, _same_codec):
        for one in new.program.streams:
            match = next((old for old in left if rule(one, old)), None) if one.pid not in found else None
            if match is not None:
                left.remove(match)
                found[one.pid] = match.pid
    taken = set(found.values()) | {one.pid for one in sent.program.streams} | {sent.pmt_pid, sent.program.pcr_pid}
    pcr_pid = new.program.pcr_pid
    if not _has_stream(new.program, pcr_pid) and not _has_stream(sent.program, sent.program.pcr_pid):
        found[pcr_pid] = sent.program.pcr_pid
    for pid in [*(one.pid for one in new.program.streams), pcr_pid]:
        if pid not in found and pid != NULL_PID:
            found[pid] = pid if pid not in taken and not is_used(pid) else _free_pid(taken, is_used)
            taken.add(found[pid])
    return found


def _has_stream(program: Pmt, pid: int) -> bool:
    """Tell whether a PID (such as the one with the PCR) is one of a program's streams."""
    return any(one.pid == pid for one in program.streams)


def _same_place(one: ElementaryStream, old: ElementaryStream) -> bool:
    return one.pid == old.pid and _same_codec(one, old) and one.language == old.language


def _same_language(one: ElementaryStream, old: ElementaryStream) -> bool:
    return _same_codec(one, old) and one.language == old.language


def _same_codec(one: ElementaryStream, old: ElementaryStream) -> bool:
    return one.codec == old.codec and (one.codec is not None or one.stream_type == old.stream_type)


def _free_pid(taken: set[int], is_used: Callable[[int], bool]) -> int:
    unused = (pid for pid in range(_FIRST_FREE_PID, NULL_PID) if pid not in taken)
    first = next(unused)
    return first if not is_used(first) else next((pid for pid in unused if not is_used(pid)), first)


def mapped_tables(sent: Tables | None, new: Tables, pid_map: dict[int, int]) -> Tables:
    """Return the tables to send for a new source's `new`, once `sent` were sent."""
    if sent is None:
        return new
    pmt = _mapped_pmt(sent, new, pid_map)
    pat = sent.pat
    if sent.program_count != 1 or pat[7]:
        body = _number(sent.program.program_number) + _number(0xE000 | sent.pmt_pid)
        pat = with_crc(bytes((0, 0xB0, 13)) + pat[3:5] + bytes((_next_version(pat[5]), 0, 0)) + body)
    program = parse_pmt(pmt)
    return sent if program is None else Tables(pat, pmt, sent.pmt_pid, program, 1)


def _mapped_pmt(sent: Tables, new: Tables, pid_map: dict[int, int]) -> bytes:
    out = bytearray(new.pmt[:-4])
    out[3:5] = sent.pmt[3:5]
    _set_pid(out, 8, pid_map)
    at = 12 + ((out[10] & 0x0F) << 8 | out[11])
    while at + 5 <= len(out):
        _set_pid(out, at + 1, pid_map)
        at += 5 + ((out[at + 3] & 0x0F) << 8 | out[at + 4])
    old = sent.pmt[:-4]
    same = out[:5] == old[:5] and out[6:] == old[6:]
    out[5] = sent.pmt[5] if same else _next_version(sent.pmt[5])
    return with_crc(bytes(out))


def _set_pid(out: bytearray, at: int, pid_map: dict[int, int]) -> None:
    pid = (out[at] & 0x1F) << 8 | out[at + 1]
    pid = pid_map.get(pid, pid)
    out[at : at + 2] = bytes((out[at] & 0xE0 | pid >> 8, pid & 0xFF))


def _next_version(control: int) -> int:
    return control & 0xC1 | (((control >> 1) + 1) & 0x1F) << 1


def _number(value: int) -> bytes:
    return value.to_bytes(2, "big")


def with_crc(content: bytes) -> bytes:
    """Return a section with its CRC at the end."""
    return content + crc32_mpeg(content).to_bytes(4, "big")


class TableWriter:
    """Puts own PAT and PMT packets in the place of a source's, for the life of that source."""

    def __init__(
        self, sent: Tables | None, psi: PsiTracker, is_used: Callable[[int], bool], counters: dict[int, int]
    ) -> None:
        """Begin after `sent` (None: nothing was) with the tables in force in `psi`, which must have some.

        `counters` are the last continuity counters sent by PID, to be shared with whoever writes the other packets.
        """
        self.sent = sent
        self.pid_map: dict[int, int] = {}
        self._psi = PsiTracker()
        self._is_used = is_used
        self._counters = counters
        preamble = psi.preamble()
        for at in range(0, len(preamble), PACKET_BYTES):
            self._psi.feed(preamble[at : at + PACKET_BYTES])
        self._map()

    @property
    def pids(self) -> frozenset[int]:
        """Return the PIDs of the source whose packets are for `feed`."""
        return self._psi.pids

    @property
    def keeps_services(self) -> bool:
        """Tell whether the source's service tables are true for what is sent: the program has kept its number."""
        mine, program = self._psi.program, self.sent
        return mine is not None and program is not None and mine.program_number == program.program.program_number

    def feed(self, packet: bytes) -> tuple[bytes, bool]:
        """Take a packet of one of `pids`; return what to send in its place, and whether `pid_map` or `pids` changed."""
        if self._psi.feed(packet):
            self._map()
            return self.packets(), True
        if not packet[1] & 0x40 or self.sent is None or self._psi.program is None or self._psi.pat is None:
            return b"", False
        pid = pid_of(packet)
        if pid == PAT_PID:
            return self._write(PAT_PID, self.sent.pat), False
        if pid == self._psi.pat.programs.get(self._psi.program.program_number):
            return self._write(self.sent.pmt_pid, self.sent.pmt), False
        return b"", False

    def packets(self) -> bytes:
        """Return the packets of both tables."""
        if self.sent is None:
            return b""
        return self._write(PAT_PID, self.sent.pat) + self._write(self.sent.pmt_pid, self.sent.pmt)

    def _write(self, pid: int, section: bytes) -> bytes:
        packets = packets_of(pid, section, self._counters.get(pid, 0x0F))
        self._counters[pid] = packets[-1][3] & 0x0F
        return b"".join(packets)

    def _map(self) -> None:
        new = tables_of(self._psi)
        if new is not None:
            self.pid_map = map_pids(self.sent, new, self._is_used)
            self.sent = mapped_tables(self.sent, new, self.pid_map)


def packets_of(pid: int, section: bytes, counter: int) -> list[bytes]:
    """Return the packets that carry one section; `counter` is the last continuity counter of the PID before."""
    content = b"\x00" + section
    packets: list[bytes] = []
    for at in range(0, len(content), 184):
        counter = (counter + 1) & 0x0F
        head = bytes((0x47, (0x00 if at else 0x40) | pid >> 8, pid & 0xFF, 0x10 | counter))
        packets.append((head + content[at : at + 184]).ljust(PACKET_BYTES, b"\xff"))
    return packets
