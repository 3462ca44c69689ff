"""Sources of all kinds one after the other into one ingest, and a strict look at the counters of what comes out.

A source is a stretch of a clip: the same broadcast again, later or by another clock, multiplexed anew, with other PIDs
and codecs, with tables that change in its middle, in a loop. No packet of any is lost on the way, so what goes into the
ring may have no jump of a counter but those that the source made itself.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from aceproxy.mpegts.packets import keep_alive
from aceproxy.streams.block import JoinPoint
from aceproxy.streams.ingest import Ingest
from aceproxy.streams.ring import Ring, RingLimits
from tests.mpegts.splicing import clip, crc

PACKET, WRAP = 188, 1 << 33
PAT, PMT, SDT, VIDEO, AUDIO, NULL = 0x0, 0x1000, 0x11, 0x100, 0x101, 0x1FFF
AC3, HEVC = 0x81, 0x24
LIMITS = RingLimits(block_s=1.0, block_bytes=1 << 20, ring_s=20.0, ring_bytes=8 << 20, burst_s=3.0)
SIZES = (PACKET, 1000, 5000, 20_000, 60_000)


class Jump(NamedTuple):
    """A counter that did not go on; `by` says how many packets seem to be missing."""

    pid: int
    by: int


class Follower:
    """Follows the counters of a sequence of packets (ISO/IEC 13818-1 §2.4.3.3), without duplicates."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def feed(self, packets: bytes) -> list[Jump]:
        """Return the jumps in the next packets."""
        found = []
        for at in range(0, len(packets), PACKET):
            pid, control = pid_at(packets, at), packets[at + 3]
            last, self._last[pid] = self._last.get(pid), control & 15
            is_anew = control & 0x20 and packets[at + 4] and packets[at + 5] & 0x80
            if pid == NULL or last is None or is_anew:
                continue
            by = (control - last - (control >> 4 & 1)) & 15
            if by:
                found.append(Jump(pid, by))
        return found


def pid_at(packets: bytes | bytearray, at: int) -> int:
    """Return the PID of the packet at a place."""
    return (packets[at + 1] & 31) << 8 | packets[at + 2]


def changed(
    stream: bytes,
    *,
    pids: Mapping[int, int] | None = None,
    types: Mapping[int, int] | None = None,
    steps: Mapping[int, int] | None = None,
) -> bytes:
    """Return a stream with other PIDs, with other stream types in its PMT, and with `steps` added to its counters.

    All by the PIDs it has.
    """
    out = bytearray(stream)
    pids, types, steps = pids or {}, types or {}, steps or {}
    for at in range(0, len(out), PACKET):
        pid = pid_at(out, at)
        if pid == PMT:
            stop = at + 8 + ((out[at + 6] & 15) << 8 | out[at + 7])
            out[at + 5 : stop] = _section(bytes(out[at + 5 : stop - 4]), tuple(pids.items()), tuple(types.items()))
        to = pids.get(pid, pid)
        out[at + 1 : at + 3] = bytes((out[at + 1] & 0xE0 | to >> 8, to & 0xFF))
        out[at + 3] = out[at + 3] & 0xF0 | (out[at + 3] + steps.get(pid, 0)) & 15
    return bytes(out)


@cache
def _section(section: bytes, pids: tuple[tuple[int, int], ...], kinds: tuple[tuple[int, int], ...]) -> bytes:
    out = bytearray(section)
    to, types = dict(pids), dict(kinds)
    places = [8]
    at = 12 + ((out[10] & 15) << 8 | out[11])
    while at < len(out):
        out[at] = types.get((out[at + 1] & 31) << 8 | out[at + 2], out[at])
        places.append(at + 1)
        at += 5 + ((out[at + 3] & 15) << 8 | out[at + 4])
    for place in places:
        pid = (out[place] & 31) << 8 | out[place + 1]
        out[place : place + 2] = (0xE000 | to.get(pid, pid)).to_bytes(2, "big")
    return bytes(out) + crc(bytes(out)).to_bytes(4, "big")


@dataclass
class Walk:
    """Plays sources at random into an ingest; `found` is what went wrong."""

    seed: int
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with an empty ring."""
        self._random = random.Random(self.seed)
        self._now = 100.0
        self._ring = Ring(LIMITS)
        self._follower = Follower()
        self._own: Counter[int] = Counter()  # by how much the present source's counters jump
        self._told = ""
        self._at_s = self._random.uniform(0, 3)
        self._clip = self._random.choice(["light", "light", "radio"])
        self._append, self._ring.append = self._ring.append, self._appended  # type: ignore[method-assign]  # to see it
        self.ingest = Ingest(self._ring, lambda: self._now)

    def run(self) -> None:
        """Play some sources."""
        for number in range(self._random.randint(2, 6)):
            source, rate = self._source()
            self._told = f"seed {self.seed}, source {number}: {self._told}"
            if number:
                self.ingest.begin_source(only_new=self._random.random() < 0.2)
            self._own = Counter(jump.by for jump in Follower().feed(source))
            self._play(self._cut(source), rate)
        self.ingest.finish()

    def _appended(self, part: memoryview, media_s: float, point: JoinPoint | None = None) -> None:
        for jump in self._follower.feed(bytes(part)):
            if self._own[jump.by]:
                self._own[jump.by] -= 1
            else:
                self.found.append(f"{self._told}: PID {jump.pid:#x} jumps by {jump.by}, {self.ingest.splice}")
        self._append(part, media_s, point)

    def _source(self) -> tuple[bytes, float]:
        """Return a source and its bytes in a second."""
        rng, one = self._random, clip(self._random.choice([self._clip] * 4 + ["light", "radio"]))
        kind = rng.choice(["again", "again", "again", "later", "other clock", "multiplexed anew"])
        is_over = kind in ("again", "multiplexed anew")
        start_s = max(0.0, self._at_s - rng.choice([0, 0.3, 1, 2])) if is_over else self._at_s + rng.uniform(0, 5)
        length_s = rng.uniform(0.1, 4.0)
        first, size = (int(of_s * one.bytes_per_s) // PACKET * PACKET for of_s in (start_s, length_s))
        source = one.read(first, size, rng.randrange(WRAP) if kind == "other clock" else 0)
        self._told = f"{kind} {one.name} {start_s:.2f} to {start_s + length_s:.2f} s"
        if kind == "multiplexed anew" or (kind != "again" and rng.random() < 0.5):
            source = changed(source, steps={VIDEO: rng.choice([0, rng.randrange(16)]), AUDIO: rng.randrange(16)})
        if rng.random() < 0.35:
            cut = rng.choice([0, rng.randrange(len(source) // PACKET) * PACKET])
            source = self._otherwise(source[:cut]) + self._otherwise(source[cut:])
        if rng.random() < 0.2 and one.name == "light":
            source = self._looped(source, one.bytes_per_s)
        if rng.random() < 0.9:
            self._at_s, self._clip = start_s + length_s, one.name
        return source, one.bytes_per_s

    def _otherwise(self, source: bytes) -> bytes:
        """Return a source with other PIDs and codecs."""
        pids = {self._random.choice([VIDEO, AUDIO]): self._random.randrange(0x300, 0x900)}
        types = self._random.choice([{}, {AUDIO: AC3}, {VIDEO: HEVC}])
        return changed(source, pids=self._random.choice([{}, pids]), types=types)

    def _looped(self, source: bytes, rate: float) -> bytes:
        """Return a source that goes back once or twice."""
        first = self._random.randrange(len(source) // PACKET) * PACKET
        last = first + int(self._random.uniform(1.3, 2.5) * rate) // PACKET * PACKET
        if last >= len(source):
            return source
        rest = source[last:] if self._random.random() < 0.3 else b""
        return source[:last] + source[first:last] * self._random.randint(1, 2) + rest

    def _cut(self, source: bytes) -> bytes:
        """Return a source that begins and ends anywhere in its first and last packets."""
        first = self._random.choice([0, self._random.randrange(PACKET)])
        last = len(source) - self._random.choice([0, self._random.randrange(min(30 * PACKET, len(source)))])
        return source[first:last]

    def _play(self, source: bytes, rate: float) -> None:
        patience_s = self._random.choice([0.2, 1.0, 100.0])
        at = 0
        while at < len(source):
            room = self.ingest.room()
            size = min(self._random.choice(SIZES), len(room), len(source) - at)
            room[:size] = source[at : at + size]
            self.ingest.filled(size)
            at += size
            self._now += size / rate
            splice = self.ingest.splice
            if splice is not None and splice.outcome.value == "pending" and at / rate > patience_s:
                self.ingest.give_up_splice()
            if self.ingest.guard.repeating_at is not None and self._random.random() < 0.02:
                self.ingest.let_repeat()
            if self._random.random() < 0.01:
                self._ring.append(memoryview(keep_alive(7)), self._ring.edge_s)
