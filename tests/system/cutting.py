"""Broadcasts cut to pieces: recordings of many kinds, sources that end at any byte, and what ffmpeg makes of it.

Everything goes through an Ingest as in the program. The recordings are made by ffmpeg on the spot; no two of their
pictures are alike, so a decoded picture tells by its hash which one of the original it is.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aceproxy.mpegts.skip_entry import Entry, EntryMaker
from aceproxy.mpegts.skip_rest import LOOK_BYTES, BegunUnits
from aceproxy.mpegts.splice import Outcome
from aceproxy.mpegts.whole import begins_open
from aceproxy.streams.block import JoinPoint
from aceproxy.streams.ingest import Ingest
from aceproxy.streams.ring import Ring, RingLimits
from tests.mpegts.splicing import WHOLE, crc
from tests.system.programs import tool

PACKET = 188
RATE = 25
VIDEO, CLOCK = 0x100, 0x1F0
LIMITS = RingLimits(block_s=1.0, block_bytes=8 << 20, ring_s=10_000.0, ring_bytes=1 << 30, burst_s=3.0)
LIMIT_S = 60.0

PICTURES = f"-f lavfi -i testsrc2=s=128x96:r={RATE},noise=alls=12:allf=t:all_seed=5"
NOISE = "-f lavfi -i anoisesrc=r=48000:seed=3:a=0.3"
MORE_NOISE = "-f lavfi -i anoisesrc=r=48000:seed=4:a=0.3"
X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"
AAC = "-c:a aac -b:a 64k"


@dataclass(frozen=True)
class Recording:
    """How a recording is made. `change` is done to the stream that ffmpeg has made."""

    arguments: str
    change: Callable[[bytes], bytes] = bytes
    base_ticks: int = 0
    first_point_s: float = 1.0
    """A source that begins at the start of the recording comes to a random-access point within so much media."""


def timed(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield where each clock of a stream stands: place and bytes (6: a PCR) of its field, place of its packet."""
    for at in range(0, len(stream), PACKET):
        control = stream[at + 3]
        body = at + 4
        if control & 0x20:
            if stream[at + 4] and stream[at + 5] & 0x10:
                yield at + 6, 6, at
            body += 1 + stream[at + 4]
        if control & 0x10 and stream[at + 1] & 0x40 and stream[body : body + 3] == b"\0\0\1":
            flags = stream[body + 7] >> 6
            for number in range((0, 0, 1, 2)[flags]):
                yield body + 9 + 5 * number, 5, at


def rebased(stream: bytes, ticks: int) -> bytes:
    """Return a stream with so much added to every clock."""
    out = bytearray(stream)
    for at, size, _ in timed(stream):
        bits = int.from_bytes(stream[at : at + size], "big")
        if size == 6:
            moved = ((bits >> 15) + ticks) % WHOLE << 15 | bits & 0x7FFF
        else:
            value = ((bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF) + ticks
            value %= WHOLE
            moved = bits >> 36 << 36 | (value >> 30) << 33 | (value >> 15 & 0x7FFF) << 17 | (value & 0x7FFF) << 1
            moved |= 1 << 32 | 1 << 16 | 1
        out[at : at + size] = moved.to_bytes(size, "big")
    return bytes(out)


def renumbered(stream: bytes) -> bytes:
    """Return the same stream in packets with other continuity counters: none of them is the same any more."""
    out = bytearray(stream)
    for at in range(0, len(out), PACKET):
        out[at + 3] = out[at + 3] & 0xF0 | (out[at + 3] + 5) & 15
    return bytes(out)


def sparsely_stamped(stream: bytes) -> bytes:
    """Return a stream in which only every third picture has time stamps."""
    out = bytearray(stream)
    count = 0
    for at, size, packet in timed(stream):
        if size == 6 or stream[packet + 1] & 31 != VIDEO >> 8 or stream[packet + 2] != VIDEO & 255:
            continue
        start = at - 9 if stream[at - 9 : at - 6] == b"\0\0\1" else None
        if start is None:
            continue
        count += 1
        if count % 3 and stream.find(b"\0\0\1\x67", start, packet + PACKET) < 0:
            out[start + 7] &= 0x3F
            out[at : at + stream[start + 8]] = b"\xff" * stream[start + 8]
    return bytes(out)


def flagged(stream: bytes) -> bytes:
    """Return a stream in which many a packet with a PCR says that the clock is not continuous, though it is."""
    out = bytearray(stream)
    for number, (_, size, packet) in enumerate(timed(stream)):
        if size == 6 and number % 7 == 0:
            out[packet + 5] |= 0x80
    return bytes(out)


def with_clock_apart(stream: bytes) -> bytes:
    """Return a stream whose PCR comes on a PID of its own, in packets without payload."""
    out = bytearray()
    clocks = {packet: at for at, size, packet in timed(stream) if size == 6}
    for at in range(0, len(stream), PACKET):
        packet = bytearray(stream[at : at + PACKET])
        if at in clocks:
            out += bytes((0x47, CLOCK >> 8, CLOCK & 255, 0x20, 183, 0x10)) + packet[6:12] + b"\xff" * 176
            packet[5] &= 0xEF
            packet[6:12] = b"\xff" * 6  # stuffing now, if nothing else is in the field
        if packet[1] == 0x50 and packet[2] == 0x00:
            length = (packet[6] & 15) << 8 | packet[7]
            section = packet[5 : 8 + length - 4]
            section[8:10] = bytes((0xE0 | CLOCK >> 8, CLOCK & 255))
            packet[5 : 8 + length] = section + crc(bytes(section)).to_bytes(4, "big")
        out += packet
    return bytes(out)


RECORDINGS = {
    "h264 aac": Recording(f"{PICTURES} {NOISE} -t 10 {X264} -g 25 -bf 2 {AAC}"),
    "h264 open gop ac3": Recording(
        f"{PICTURES} {NOISE} -t 10 {X264} -g 24 -bf 3 -x264-params open-gop=1:b-pyramid=none -c:a ac3 -b:a 96k"
    ),
    "h264 open pyramid": Recording(
        f"{PICTURES} {NOISE} -t 10 -c:v libx264 -preset veryfast -pix_fmt yuv420p -g 32 -bf 4"
        f" -x264-params open-gop=1:b-pyramid=normal {AAC}"
    ),
    "h264 open temporal": Recording(
        f"{PICTURES} {NOISE} -t 8 -c:v libx264 -preset medium -pix_fmt yuv420p -g 24 -bf 3"
        f" -x264-params open-gop=1:b-pyramid=normal:direct=temporal:ref=4 {AAC}"
    ),
    "h264 open without cabac": Recording(
        f"{PICTURES} {NOISE} -t 8 -c:v libx264 -preset medium -pix_fmt yuv420p -g 24 -bf 2"
        f" -x264-params open-gop=1:cabac=0:ref=3 {AAC}"
    ),
    "h264 open interlaced": Recording(
        f"{PICTURES} {NOISE} -t 8 -c:v libx264 -preset medium -pix_fmt yuv420p -flags +ildct+ilme -g 24 -bf 3"
        f" -x264-params open-gop=1:tff=1 {AAC}"
    ),
    "h264 open slices": Recording(
        f"{PICTURES} {NOISE} -t 8 -c:v libx264 -preset medium -pix_fmt yuv420p -g 24 -bf 3"
        f" -x264-params open-gop=1:bluray-compat=1:b-pyramid=strict:slices=4 {AAC}"
    ),
    "h264 long gop": Recording(f"{PICTURES} {NOISE} -t 22 {X264} -g 250 -bf 2 {AAC}", first_point_s=10.0),
    "h264 interlaced": Recording(
        f"{PICTURES} {NOISE} -t 10 {X264} -flags +ildct+ilme -x264-params tff=1 -g 25 -bf 2 -c:a mp2"
    ),
    "hevc closed mp2": Recording(
        f"{PICTURES} {NOISE} -t 10 -c:v libx265 -preset ultrafast"
        " -x265-params log-level=none:keyint=25:open-gop=0:bframes=3 -c:a mp2"
    ),
    "hevc open gop": Recording(
        f"{PICTURES} {NOISE} -t 10 -c:v libx265 -preset ultrafast"
        f" -x265-params log-level=none:keyint=25:open-gop=1:bframes=4 {AAC}"
    ),
    "mpeg2 open gop mp2": Recording(f"{PICTURES} {NOISE} -t 10 -c:v mpeg2video -b:v 400k -g 15 -bf 2 -c:a mp2"),
    "mpeg2 closed": Recording(
        f"{PICTURES} {NOISE} -t 10 -c:v mpeg2video -b:v 400k -g 12 -bf 2 -flags +cgop -sc_threshold 1000000000 -c:a mp2"
    ),
    "mpeg2 interlaced": Recording(
        f"{PICTURES} {NOISE} -t 10 -c:v mpeg2video -b:v 500k -g 12 -bf 2 -flags +ildct+ilme -c:a ac3"
    ),
    "three sounds": Recording(
        f"{PICTURES} {NOISE} {MORE_NOISE} -t 10 -map 0 -map 1 -map 2 -map 1 {X264} -g 25 -bf 2"
        " -c:a:0 aac -c:a:1 mp2 -c:a:2 ac3 -metadata:s:a:0 language=ita -metadata:s:a:1 language=eng"
    ),
    "near the wrap": Recording(f"{PICTURES} {NOISE} -t 10 {X264} -g 25 -bf 2 {AAC}", base_ticks=WHOLE - 9 * 90_000),
    "constant rate": Recording(f"{PICTURES} {NOISE} -t 10 {X264} -g 25 -bf 2 {AAC} -muxrate 900k"),
    "clock apart": Recording(f"{PICTURES} {NOISE} -t 10 {X264} -g 25 -bf 2 {AAC}", with_clock_apart),
    "sparsely stamped": Recording(f"{PICTURES} {NOISE} -t 10 {X264} -g 25 -bf 0 {AAC}", sparsely_stamped),
    "discontinuity flags": Recording(f"{PICTURES} {NOISE} -t 10 {X264} -g 25 -bf 2 {AAC}", flagged),
    "radio": Recording(f"{NOISE} -t 16 {AAC}"),
    "radio ac3": Recording(f"{NOISE} -t 16 -c:a ac3 -b:a 96k"),
}


def encode(arguments: str, folder: Path) -> bytes:
    """Return the transport stream that ffmpeg makes."""
    path = folder / "made.ts"
    command = [tool("ffmpeg"), "-nostdin", "-v", "error", "-y", *arguments.split(), "-f", "mpegts", str(path)]
    subprocess.run(command, check=True, timeout=LIMIT_S)
    return path.read_bytes()


def record(name: str, encode: Callable[[str], bytes]) -> bytes:
    """Return a recording."""
    one = RECORDINGS[name]
    stream = one.change(encode(one.arguments))
    return rebased(stream, one.base_ticks) if one.base_ticks else stream


class Walk:
    """Sources of one recording, one after the other, through one Ingest.

    `at` is how far the recording has been sent, in bytes, as long as every source has its clock.
    """

    def __init__(self, stream: bytes, rng: random.Random) -> None:
        self.stream = stream
        self.other_packets = renumbered(stream)
        self.rng = rng
        self.at = 0
        self.ring = Ring(LIMITS)
        self.ingest = Ingest(self.ring, lambda: self._now)
        self.is_elsewhere = False  # a source with another clock has been joined: `at` means nothing any more
        self._is_other = False
        self._stop = 0
        self._now = 100.0
        self._pace_bps = rng.choice([0.0, 150_000.0])  # bytes a second; 0: all at once

    def feed(self, data: bytes) -> None:
        """Let the present source send, in pieces of one size or another."""
        size = self.rng.choice([188, 1000, 1316, 5000, 40_000, 200_000])
        for at in range(0, len(data), size):
            part = data[at : at + size]
            room = self.ingest.room()
            room[: len(part)] = part
            self.ingest.filled(len(part))
            if self._pace_bps:
                self._now += len(part) / self._pace_bps

    @property
    def sent(self) -> int:
        """Return up to which byte the present source has sent."""
        return self._stop

    @property
    def is_pending(self) -> bool:
        """Tell whether the present source has not come to the place."""
        splice = self.ingest.splice
        return splice is not None and splice.outcome is Outcome.PENDING

    def cut(self) -> None:
        """Lose the source: what it has begun and not completed was not sent."""
        is_joined = not self.is_pending
        dropped = self.ingest.dropped_bytes
        self.ingest.begin_source()
        if is_joined:
            self.is_elsewhere |= self._is_other
            self.at = self._stop - (self.ingest.dropped_bytes - dropped)

    def go(self, stream: bytes, start: int, stop: int) -> None:
        """Have a source send this part of a stream, from a packet or from any byte on."""
        self.feed(stream[start if self.rng.random() < 0.5 else start // PACKET * PACKET : stop])
        self._stop = stop
        self._is_other = False

    def again(self, window: int, step: int) -> None:
        """Go on with the same packets from before the place; the source may be lost before it comes to it."""
        self._before(self.stream, window, step)

    def in_other_packets(self, window: int, step: int) -> None:
        """The same with the same clock in other packets."""
        self._before(self.other_packets, window, step)

    def gap(self, window: int, step: int) -> None:
        """Go on with the same packets after the place."""
        start = min(len(self.stream) - 1, self.at + self.rng.randrange(1, window // 2))
        self.go(self.stream, start, start + self.rng.randrange(2 * step))

    def elsewhere(self, window: int, step: int) -> None:
        """Go on with another place and another clock."""
        start = self.rng.randrange(len(self.stream) - window)
        self.go(rebased(self.stream, self.rng.randrange(WHOLE)), start, start + self.rng.randrange(step, window))
        self._is_other = True

    def _before(self, stream: bytes, window: int, step: int) -> None:
        start = max(0, self.at - self.rng.choice([self.rng.randrange(3000), self.rng.randrange(window)]) - PACKET)
        self.go(stream, start, min(len(stream), self.rng.randrange(start, self.at + step)))

    def content(self) -> bytes:
        """Return what a client that joined at the first join point has got."""
        self.ingest.finish()
        point = self.ring.points[0]
        whole = b"".join(block.read(0, block.size) for block in self.ring.blocks())
        return point.preamble + whole[point.offset - self.ring.blocks()[0].start :]


def entry_at(point: JoinPoint, whole: bytes, rng: random.Random) -> Entry:
    """Return the entry at a join point of a stream."""
    maker = EntryMaker(point.preamble)
    taken, is_all = point.offset, False
    while not maker.is_ready(is_all=is_all):
        part = whole[taken : taken + PACKET * rng.choice([1, 20, 500])]
        maker.feed(part)
        taken += len(part)
        is_all = not part
    return maker.entry(whole[taken:])


def skipped(walk: Walk, rng: random.Random, skips: int) -> bytes:
    """Return what a client gets that loses its place so many times, at any byte, and goes on at a later join point."""
    points = walk.ring.points
    first, whole = points[0].offset, b"".join(block.read(0, block.size) for block in walk.ring.blocks())
    out, at = [points[0].preamble], first
    if begins_open(points[1].preamble, whole[points[1].offset :][: 1 << 16]):
        entry = entry_at(points[1], whole, rng)
        out, at = [entry.packets], points[1].offset + entry.skipped
    for left in range(skips, 0, -1):
        lost = rng.randrange(at, at + (len(whole) - at) // (left + 1))
        begun = lost - rng.randrange(lost - first + 1) // PACKET * PACKET - (lost - first) % PACKET
        units = BegunUnits(points[0].preamble, whole[begun : lost + LOOK_BYTES])
        further = [point for point in points if point.offset > lost][1 : 2 + rng.randrange(3)]  # not the very next one
        if not further:
            break
        entry = entry_at(further[-1], whole, rng)
        out += [whole[at:lost], units.rest(lost - begun), entry.marks + entry.packets]
        at = further[-1].offset + entry.skipped
    return b"".join(out) + whole[at:]


@dataclass
class Decoded:
    """What ffmpeg made of a stream: time stamp and hash of every picture and every piece of sound."""

    complaints: str
    pictures: list[tuple[int, str]]
    sounds: dict[int, list[tuple[int, str]]]


def decode(path: Path) -> Decoded:
    """Decode everything in a file, with a decoder that ends where anything is wrong."""
    command = [
        tool("ffmpeg"),
        "-nostdin",
        "-v",
        "error",
        "-threads",
        "1",
        "-copyts",
        "-xerror",
        "-err_detect",
        "explode",
    ]
    command += ["-f", "mpegts", "-i", str(path), "-map", "0", "-fps_mode", "passthrough", "-enc_time_base", "-1"]
    command += ["-f", "framehash", "-hash", "crc32", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    kinds: dict[int, str] = {}
    found = Decoded(done.stderr, [], {})
    for line in done.stdout.splitlines():
        if line.startswith("#media_type"):
            number, kind = line.removeprefix("#media_type ").split(": ")
            kinds[int(number)] = kind
        elif not line.startswith("#"):
            number, _, pts, _, _, digest = (word.strip() for word in line.split(","))
            if kinds[int(number)] == "video":
                found.pictures.append((int(pts), digest))
            else:
                found.sounds.setdefault(int(number), []).append((int(pts), digest))
    return found
