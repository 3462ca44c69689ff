"""DVB subtitles and teletext where one source follows another: each page comes whole, once, and in order."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import cache

import pytest

from aceproxy.streams.block import JoinPoint
from aceproxy.streams.ingest import Ingest
from aceproxy.streams.ring import Ring
from tests.mpegts.splicing import PACKET, clip, crc, media, pieces
from tests.streams.sources_at_random import AUDIO, LIMITS, PMT, VIDEO, Follower, changed, pid_at

SUBTITLES, TELETEXT = 0x120, 0x121
SECONDS = 30
EVERY_S = {SUBTITLES: 1.7, TELETEXT: 0.2}
PACKETS = {SUBTITLES: 4, TELETEXT: 1}  # of a page
NAMED = {SUBTITLES: b"\x59\x08ita\x10\x00\x01\x00\x02", TELETEXT: b"\x56\x05ita\x09\x00"}  # ETSI EN 300 468 §6.2
HEAD = 14  # of a PES packet with a PTS


@cache
def broadcast(first_counter: int) -> bytes:
    """Return a broadcast with subtitles and teletext; each page is numbered."""
    source, rate = media("light", 0, SECONDS), clip("light").bytes_per_s
    out = bytearray()
    counters, pages, clock = dict.fromkeys(PACKETS, first_counter), dict.fromkeys(PACKETS, 0), 0
    for at in range(0, len(source), PACKET):
        packet = source[at : at + PACKET]
        if packet[3] & 0x20 and packet[4] >= 7 and packet[5] & 0x10:
            clock = int.from_bytes(packet[6:11], "big") >> 7
        out += with_pages_named(packet) if pid_at(packet, 0) == PMT else packet
        for pid, every_s in EVERY_S.items():
            number = int(at / rate / every_s)
            if clock and number > pages[pid]:
                pages[pid] = number
                for packet in page(pid, number, clock + 45_000, counters[pid]):
                    out += packet
                counters[pid] += PACKETS[pid]
    return bytes(out)


def with_pages_named(packet: bytes) -> bytes:
    """Return a PMT packet that names both streams as well."""
    section = bytearray(packet[5 : 8 + ((packet[6] & 15) << 8 | packet[7]) - 4])
    for pid, descriptor in NAMED.items():
        section += bytes((6, 0xE0 | pid >> 8, pid & 0xFF, 0xF0, len(descriptor))) + descriptor
    section[2] = len(section) + 4 - 3
    return (packet[:5] + bytes(section) + crc(bytes(section)).to_bytes(4, "big")).ljust(PACKET, b"\xff")


def page(pid: int, number: int, pts: int, counter: int) -> Iterator[bytes]:
    """Yield the packets of one page."""
    size = 184 * PACKETS[pid]
    stamp = bytes((0x21 | pts >> 29 & 14, pts >> 22 & 255, pts >> 14 & 254 | 1, pts >> 7 & 255, pts << 1 & 254 | 1))
    head = b"\x00\x00\x01\xbd" + (size - 6).to_bytes(2, "big") + b"\x84\x80\x05" + stamp
    content = (head + struct.pack(">I", number) * size)[:size]
    for index in range(PACKETS[pid]):
        start = 0x40 if index == 0 else 0
        counter += 1
        piece = content[184 * index : 184 * (index + 1)]
        yield bytes((0x47, start | pid >> 8, pid & 0xFF, 0x10 | counter & 15)) + piece


def pages_in(packets: bytes, pid: int) -> list[tuple[int, int]]:
    """Return number and size of each page in a stream."""
    found: list[bytearray] = []
    for at in range(0, len(packets), PACKET):
        if pid_at(packets, at) == pid and packets[at + 3] & 0x10:
            if packets[at + 1] & 0x40:
                found.append(bytearray())
            body = at + (5 + packets[at + 4] if packets[at + 3] & 0x20 else 4)
            found[-1] += packets[body : at + PACKET]
    return [(int.from_bytes(one[HEAD : HEAD + 4], "big"), len(one)) for one in found]


@pytest.mark.parametrize("seed", range(12))
def test_each_page_comes_whole_and_once(seed: int) -> None:
    rng = random.Random(seed)
    first = broadcast(0)
    sources, rate = [first, changed(broadcast(5), steps={VIDEO: 3, AUDIO: 9})], len(first) / SECONDS
    ring, sent, now, at_s = Ring(LIMITS), bytearray(), 0.0, rng.uniform(0, 2)
    append = ring.append

    def appended(part: memoryview, media_s: float, point: JoinPoint | None = None) -> None:
        sent.extend(part)
        append(part, media_s, point)

    ring.append = appended  # type: ignore[method-assign]  # to see what goes in
    ingest = Ingest(ring, lambda: now)
    while at_s < SECONDS - 8:
        start_s = max(0.0, at_s + rng.choice([-2, -1, -0.2, rng.uniform(0.3, 2.5)]))
        at_s = start_s + rng.uniform(2.2, 5)
        source = rng.choice(sources)[int(start_s * rate) // PACKET * PACKET : int(at_s * rate) // PACKET * PACKET]
        for piece in pieces(source, 100):
            ingest.room()[: len(piece)] = piece
            ingest.filled(len(piece))
            now += len(piece) / rate
        ingest.begin_source()
    assert Follower().feed(bytes(sent)) == []
    for pid, count in PACKETS.items():
        found = pages_in(bytes(sent), pid)
        numbers = [number for number, _ in found]
        assert numbers == sorted(set(numbers))
        assert {size for _, size in found} == {184 * count}
        assert len(numbers) > (numbers[-1] - numbers[0]) // 2  # what lies in a gap is missing
