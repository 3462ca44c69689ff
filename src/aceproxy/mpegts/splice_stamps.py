"""The clocks inside packets: found with strided slices, read, shifted, compared (ISO/IEC 13818-1 §2.4.3.4 to §2.4.3.7).

All values are in units of 90 kHz modulo 2^33. A PCR's 27 MHz extension is never changed: clocks are shifted by whole
units. Only a PES header whose time stamps stand in the packet in which it begins is seen.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from aceproxy.mpegts.clock import WRAP
from aceproxy.mpegts.packets import PACKET_BYTES, Buffer, Heads, heads_of, payload_start
from aceproxy.mpegts.pes import is_pes_start, read_pes_header, read_pts

FRAME: Final = 2400
"""Less than the time of a frame of two fields, and more than that of a field (90 kHz, 25 to 30 frames a second)."""

PID_MASK: Final = 0x1FFF
PIDS: Final = 0x2000

_MASKED: Final = bytes(value & 0x1F for value in range(256))
_STARTS: Final = bytes(1 if value & 0x40 else 0 for value in range(256))
_WITH_FIELD: Final = bytes(2 if value & 0x20 else 0 for value in range(256))
_LONG_FIELD: Final = bytes(2 if 7 <= value <= 183 else 0 for value in range(256))
_WITH_PCR: Final = bytes(2 if value & 0x10 else 0 for value in range(256))


class Stamp(NamedTuple):
    """What one packet says of time."""

    pid: int
    pcr: int | None
    """The base, 90 kHz."""
    starts: bool
    """A PES packet starts here."""
    pts: int | None
    dts: int | None
    """The PTS where there is no DTS of its own."""


def later(one: int, other: int) -> int:
    """Return by how much the clock value `one` is later than `other`: negative where it is earlier, wrap included."""
    return (one - other + WRAP // 2) % WRAP - WRAP // 2


def pids_of(packets: Buffer | Heads) -> tuple[int, ...]:
    """Return the PID of every packet."""
    heads = packets if isinstance(packets, Heads) else heads_of(packets)
    count = len(heads.first)
    pairs = bytearray(2 * count)
    pairs[0::2] = heads.first.translate(_MASKED)
    pairs[1::2] = heads.second
    return struct.unpack(f">{count}H", pairs)


def stamped(view: memoryview) -> bytes:
    """Return one byte per packet, not 0 where a payload unit starts (bit 0) or a PCR stands (bit 1)."""
    packets = bytes(view)
    starts = packets[1::PACKET_BYTES].translate(_STARTS)
    control = int.from_bytes(packets[3::PACKET_BYTES].translate(_WITH_FIELD), "little")
    length = int.from_bytes(packets[4::PACKET_BYTES].translate(_LONG_FIELD), "little")
    flags = int.from_bytes(packets[5::PACKET_BYTES].translate(_WITH_PCR), "little")
    return (int.from_bytes(starts, "little") | control & length & flags).to_bytes(len(starts), "little")


def read_stamp(packet: bytes) -> Stamp:
    """Return the clocks in a packet."""
    pid = (packet[1] & 0x1F) << 8 | packet[2]
    pcr = None
    if packet[3] & 0x20 and 7 <= packet[4] <= 183 and packet[5] & 0x10:
        pcr = int.from_bytes(packet[6:11], "big") >> 7
    at = _pes_at(packet)
    if at is None:
        return Stamp(pid, pcr, False, None, None)
    payload = packet[at:]
    header = read_pes_header(payload)
    pts = header.pts if header else None
    dts = read_pts(payload[14:19]) if pts is not None and _has_dts(payload) else pts
    return Stamp(pid, pcr, True, pts, dts)


def shift_stamps(out: bytearray, at: int, shift: int) -> None:
    """Add `shift` to every clock of the packet that begins at `at` in `out`."""
    packet = bytes(out[at : at + PACKET_BYTES])
    if packet[3] & 0x20 and 7 <= packet[4] <= 183 and packet[5] & 0x10:
        field = int.from_bytes(packet[6:12], "big")
        moved = ((field >> 15) + shift) % WRAP << 15 | field & 0x7FFF
        out[at + 6 : at + 12] = moved.to_bytes(6, "big")
    start = _pes_at(packet)
    if start is None:
        return
    payload = packet[start:]
    header = read_pes_header(payload)
    if header is None or header.pts is None:
        return
    _shift_field(out, at + start + 9, shift)
    if _has_dts(payload):
        _shift_field(out, at + start + 14, shift)


def delay_stamps(out: bytearray, at: int, pts_by: int, dts_by: int) -> None:
    """Add so much to the PTS, and to the DTS where there is one, of the packet that begins at `at` in `out`."""
    packet = bytes(out[at : at + PACKET_BYTES])
    start = _pes_at(packet)
    header = read_pes_header(packet[start:]) if start is not None else None
    if start is None or header is None or header.pts is None:
        return
    _shift_field(out, at + start + 9, pts_by)
    if _has_dts(packet[start:]):
        _shift_field(out, at + start + 14, dts_by)


def without_pcr(out: bytearray, at: int) -> None:
    """Take the PCR out of the packet that begins at `at` in `out`; what stood after it moves up, stuffing follows."""
    end = at + 5 + out[at + 4]
    out[at + 5] &= 0xEF
    out[at + 6 : end] = out[at + 12 : end] + b"\xff" * 6


def lone_pcr(packet: bytes, counter: int) -> bytes:
    """Return a packet without payload that has nothing but the PCR of `packet`."""
    head = bytes((0x47, packet[1] & 0x1F, packet[2], 0x20 | counter & 0x0F, 183, 0x10 | packet[5] & 0x80))
    return (head + packet[6:12]).ljust(PACKET_BYTES, b"\xff")


def _pes_at(packet: bytes) -> int | None:
    """Return where in a packet a PES packet starts in the clear."""
    if not packet[1] & 0x40 or packet[1] & 0x80 or packet[3] & 0xC0:
        return None
    at = payload_start(packet)
    return at if at + 6 <= PACKET_BYTES and is_pes_start(packet[at : at + 3]) else None


def _has_dts(payload: bytes) -> bool:
    return payload[7] & 0x40 != 0 and payload[8] >= 10 and len(payload) >= 19


def _shift_field(out: bytearray, at: int, shift: int) -> None:
    """Shift one PTS or DTS field; its prefix stays."""
    ticks = (read_pts(out[at : at + 5]) + shift) % WRAP
    out[at : at + 5] = bytes(
        (
            out[at] & 0xF0 | ticks >> 29 & 0x0E | 1,
            ticks >> 22 & 0xFF,
            ticks >> 14 & 0xFE | 1,
            ticks >> 7 & 0xFF,
            ticks << 1 & 0xFE | 1,
        )
    )
