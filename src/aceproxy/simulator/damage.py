"""Faults of the media itself: what is done to the bytes of a broadcast."""

from __future__ import annotations

import random
from dataclasses import replace

from aceproxy.simulator.clips import PACKET_BYTES, Clip, Stamp, payload_at, pid_at, scan

NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184
FIRST_ES_PID, LAST_ES_PID = 0x20, 0x0FFF
INVERTED = bytes(255 - value for value in range(256))
MP4_HEAD = (
    b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
    b"\x00\x00\x00\x10moov\x00\x00\x00\x08mvhd"
    b"\x00\x00\x00\x01mdat\x00\x00\x00\x10\x00\x00\x00\x00"
)


def noise(source: random.Random, count: int) -> bytes:
    """Return `count` random bytes."""
    return source.randbytes(count)


def mp4_like(source: random.Random, count: int, *, first: bool) -> bytes:
    """Return `count` bytes of something that begins as an MP4 file does; never a TS sync byte."""
    body = source.randbytes(count).replace(b"\x47", b"\x46")
    return (MP4_HEAD + body)[:count] if first else body


def scramble(packets: bytes) -> bytes:
    """Return the packets with elementary streams marked scrambled and their payload made unreadable."""
    out = bytearray(packets)
    for offset in range(0, len(out), PACKET_BYTES):
        if not FIRST_ES_PID <= pid_at(out, offset) <= LAST_ES_PID or not out[offset + 3] & 0x10:
            continue
        at, stop = payload_at(out, offset), offset + PACKET_BYTES
        out[offset + 3] |= 0x80
        out[at:stop] = out[at:stop].translate(INVERTED)
    return bytes(out)


def with_stuck_clock(packets: bytes, pcr: bytes) -> tuple[bytes, bytes]:
    """Return the packets with every PCR replaced by `pcr` (b"": by the first one), and the PCR to go on with."""
    out = bytearray(packets)
    for place in scan(packets)[0]:
        if place.kind is Stamp.PCR:
            pcr = pcr or packets[place.offset : place.offset + 6]
            out[place.offset : place.offset + 6] = pcr
    return bytes(out), pcr


def with_junk(packets: bytes, junk: bytes, at: int) -> bytes:
    """Return the packets with `junk` put in at byte `at`."""
    return packets[:at] + junk + packets[at:]


def without_entry_points(clip: Clip) -> Clip:
    """Return the clip with every picture (or sound group) that is an entry point cut out.

    Its packets become null packets, or keep only their PCR; continuity counters are numbered anew, so that the gap
    is no loss to a receiver. Positions and times stay as they are.
    """
    data = bytearray(clip.data)
    cutting = False
    left: list[int] = []
    for offset in range(0, len(data), PACKET_BYTES):
        if pid_at(data, offset) != clip.pcr_pid:
            continue
        if data[offset + 1] & 0x40:
            cutting = bool(data[offset + 3] & 0x20 and data[offset + 4] and data[offset + 5] & 0x40)
        if cutting:
            _cut_payload(data, offset)
        elif data[offset + 3] & 0x10:
            left.append(offset)
    for offset in left[len(left) - len(left) % 16 :]:
        _cut_payload(data, offset)
    _number_anew(data, clip.pcr_pid)
    places = tuple(
        place
        for place in clip.places
        if place.kind.value == "pcr" or pid_at(data, place.offset // PACKET_BYTES * PACKET_BYTES) != 0x1FFF
        if place.kind.value == "pcr" or data[place.offset // PACKET_BYTES * PACKET_BYTES + 3] & 0x10
    )
    return replace(clip, data=bytes(data), places=places)


def _cut_payload(data: bytearray, offset: int) -> None:
    if data[offset + 3] & 0x20 and data[offset + 4] and data[offset + 5] & 0x10:
        data[offset + 1] &= 0x1F
        data[offset + 3] = 0x20
        data[offset + 4] = 183
        data[offset + 5] = 0x10
        data[offset + 12 : offset + PACKET_BYTES] = b"\xff" * (PACKET_BYTES - 12)
    else:
        data[offset : offset + PACKET_BYTES] = NULL_PACKET


def _number_anew(data: bytearray, pid: int) -> None:
    counter = 0
    for offset in range(0, len(data), PACKET_BYTES):
        if pid_at(data, offset) != pid:
            continue
        has_payload = bool(data[offset + 3] & 0x10)
        data[offset + 3] = data[offset + 3] & 0xF0 | (counter if has_payload else counter - 1) & 0x0F
        counter += has_payload
