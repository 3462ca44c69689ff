"""Sections of tables: put together from packets, checked by CRC (ISO/IEC 13818-1 §2.4.4)."""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from aceproxy.mpegts.packets import PACKET_BYTES, adaptation_flags, payload_start

MAX_SECTION_BYTES: Final = 1024  # PAT and PMT: section_length is at most 1021

_MIN_SECTION_BYTES: Final = 12  # header with syntax and CRC
_MIRROR: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_STUFFING: Final = 0xFF


def crc32_mpeg(data: bytes) -> int:
    """Return the CRC-32 of ISO/IEC 13818-1 annex A; 0 for a whole section with its CRC at the end.

    It is the CRC-32 of zlib with the bits of every byte and of the result in the other order and no final inversion,
    so the work is zlib's.
    """
    mirrored = zlib.crc32(data.translate(_MIRROR)) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRROR), "big")


class Section(NamedTuple):
    """A whole section whose CRC is right."""

    raw: bytes
    """From table_id to CRC."""
    start: int
    """Ordinal of the packet it began in, counted by the assembler from 0."""


class SectionAssembler:
    """Cuts the sections out of the packets of one PID.

    Keeps at most one unfinished section of 1024 bytes. Sections without syntax (and CRC), with a wrong CRC, too long,
    or broken by a lost packet are left out without a word: the next repeat brings them.
    """

    def __init__(self) -> None:
        self.accepted = 0
        """Packets taken so far: with payload, undamaged, not duplicates."""
        self._last = b""
        self._partial = b""
        self._partial_start = 0

    @property
    def unfinished(self) -> int | None:
        """Return the ordinal of the packet in which the unfinished section began, None if there is none."""
        return self._partial_start if self._partial else None

    def replaced(self, packet: bytes) -> None:
        """Note that `packet`, equal to the last one apart from its continuity counter, went by without `feed`."""
        self._last = packet

    def feed(self, packet: bytes) -> list[Section]:
        """Take the next packet of the PID; return the sections that ended in it."""
        if len(packet) != PACKET_BYTES or packet[1] & 0x80 or packet[3] & 0xC0:
            return []  # damaged or scrambled
        discontinuity = adaptation_flags(packet) & 0x80
        at = payload_start(packet)
        if at >= PACKET_BYTES:
            if discontinuity:
                self._partial = b""
            return []
        if self._last and not discontinuity:
            counter = packet[3] & 0x0F
            if counter == self._last[3] & 0x0F and packet[at:] == self._last[payload_start(self._last) :]:
                return []
            if counter != (self._last[3] + 1) & 0x0F:
                self._partial = b""
        elif discontinuity:
            self._partial = b""
        self._last = packet
        self.accepted += 1
        return self._cut(packet[at:], starts=bool(packet[1] & 0x40))

    def _cut(self, payload: bytes, *, starts: bool) -> list[Section]:
        """Return the sections that end in a payload; keep the one that does not."""
        found: list[Section] = []
        if not starts:
            if self._partial:
                self._take(self._partial + payload, self._partial_start, found, only_one=True)
            return found
        first = 1 + payload[0]
        if self._partial:
            self._take(self._partial + payload[1:first], self._partial_start, found, only_one=True)
            self._partial = b""
        self._take(payload[first:], self.accepted - 1, found, only_one=False)
        return found

    def _take(self, buf: bytes, start: int, found: list[Section], *, only_one: bool) -> None:
        """Append the whole sections at the start of `buf` to `found` and keep the rest as unfinished."""
        self._partial = b""
        while buf and buf[0] != _STUFFING:
            length = 3 + ((buf[1] & 0x0F) << 8 | buf[2]) if len(buf) >= 3 else PACKET_BYTES
            if length > MAX_SECTION_BYTES:
                return
            if len(buf) < length:
                self._partial, self._partial_start = buf, start
                return
            raw, buf = buf[:length], buf[length:]
            if length >= _MIN_SECTION_BYTES and raw[1] & 0x80 and crc32_mpeg(raw) == 0:
                found.append(Section(raw, start))
            if only_one:
                return
