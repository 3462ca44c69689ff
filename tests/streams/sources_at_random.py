"""Sources of all kinds one after the other into one ingest, and a strict look at the counters of what comes out.

A broadcast is a clip by some clock, with PIDs and codecs that may change in its middle, and null packets between the
others. A source is a stretch of one: the same bytes again, those after a gap, another broadcast, or the same
multiplexed anew. It may be lost at once, or go round in a loop. No packet of any is lost on the
way, so what goes into the ring may have no jump of a counter but those that the source made itself.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from aceproxy.mpegts.packets import keep_alive
from aceproxy.mpegts.splice import Outcome
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


@dataclass(frozen=True)
class Broadcast:
    """An endless stream of packets: who reads a stretch of it anew gets the same bytes."""

    name: str
    ticks: int = 0
    """Added to the clocks of the clip."""
    steps: tuple[tuple[int, int], ...] = ()
    """By PID of the clip, what is added to counters."""
    moves: tuple[tuple[int, tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]], ...] = ()
    """From which packet on it has which PIDs and stream types."""
    null_every: int = 0
    """After so many packets comes a null packet; 0: never."""

    @property
    def packets_per_s(self) -> float:
        """Packets in a second, without null packets."""
        return clip(self.name).bytes_per_s / PACKET

    def read(self, first: int, count: int) -> bytes:
        """Return so many packets from one on, and null packets between them."""
        parts, stop = [], first + count
        bounds = [at for at, *_ in self.moves if first < at < stop]
        for start, end in pairwise([first, *bounds, stop]):
            part = clip(self.name).read(start * PACKET, (end - start) * PACKET, self.ticks)
            pids, types = next((tables for at, *tables in reversed(self.moves) if at <= start), ((), ()))
            if pids or types or self.steps:
                part = changed(part, pids=dict(pids), types=dict(types), steps=dict(self.steps))
            parts.append(part)
        out = b"".join(parts)
        if self.null_every:
            cuts = [first, *range(first + -first % self.null_every, stop, self.null_every), stop]
            null = b"\x47\x1f\xff\x10".ljust(PACKET, b"\xff")
            out = null.join(out[(start - first) * PACKET : (end - first) * PACKET] for start, end in pairwise(cuts))
        return out


class Stretch(NamedTuple):
    """Packets of a broadcast, and after which of them they end."""

    stream: bytes
    stop: int


@dataclass
class Walk:
    """Plays sources at random into an ingest; `found` is what went wrong."""

    seed: int
    skips: bool = False
    """Sources may leave out some of the broadcast, and go on."""
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with an empty ring."""
        self._random = random.Random(self.seed)
        self._now = 100.0
        self._ring = Ring(LIMITS)
        self._follower = Follower()
        self._own: Counter[int] = Counter()  # by how much the present source's counters jump
        self._told = ""
        self._before = self._after = b""
        self._broadcast = self._other(self._random.choice(["light", "light", "radio"]))
        self._at = self._random.randrange(2000)
        self._place = self._stop = 0  # where the last source ended that was sent, and the present one does
        self._append, self._ring.append = self._ring.append, self._appended  # type: ignore[method-assign]  # to see it
        self.ingest = Ingest(self._ring, lambda: self._now)

    def run(self) -> None:
        """Play some sources."""
        for number in range(self._random.randint(2, 7)):
            source = self._source()
            rate = self._broadcast.packets_per_s * PACKET
            self._told = f"seed {self.seed}, source {number}: {self._told}"
            if number:
                self.ingest.begin_source(only_new=self._random.random() < 0.2)
            self._own = Counter(jump.by for jump in Follower().feed(self._before + source + self._after)) + self._late()
            self._play(self._cut(source), rate)
            if self.ingest.splice is None or self.ingest.splice.outcome is not Outcome.PENDING:
                self._place = self._stop
        self.ingest.finish()

    def _appended(self, part: memoryview, media_s: float, point: JoinPoint | None = None) -> None:
        for jump in self._follower.feed(bytes(part)):
            if self._own[jump.by]:
                self._own[jump.by] -= 1
            else:
                self.found.append(f"{self._told}: PID {jump.pid:#x} jumps by {jump.by}, {self.ingest.splice}")
        self._append(part, media_s, point)

    def _other(self, name: str) -> Broadcast:
        """Return another broadcast of a clip: by another clock, or only with other counters."""
        rng = self._random
        steps = ((VIDEO, rng.randrange(1, 16)), (AUDIO, rng.randrange(16)))
        moves = []
        if rng.random() < 0.35:
            moves = [(0, *self._tables()), (rng.randrange(1, 3000), *self._tables())]
        return Broadcast(
            name,
            rng.choice([0, rng.randrange(WRAP)]),
            rng.choice([(), steps]),
            tuple(moves),
            rng.choice([0, 0, 0, rng.randrange(1, 40)]),
        )

    def _tables(self) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
        """Return other PIDs and codecs, or those of the clip."""
        pid = self._random.choice([VIDEO, AUDIO]), self._random.randrange(0x300, 0x900)
        pids = self._random.choice([(), (pid,)])
        return pids, self._random.choice([(), ((AUDIO, AC3),), ((VIDEO, HEVC),)])

    def _source(self) -> bytes:
        """Return the packets of the next source."""
        rng, before = self._random, self._broadcast
        kind = rng.choice(["again", "again", "again", "again", "gap", "gap", "other", "multiplexed anew"])
        rate = before.packets_per_s
        if kind == "other":
            self._broadcast, self._at = self._other(rng.choice(["light", "radio"])), rng.randrange(2000)
        elif kind == "multiplexed anew":
            other = self._other(before.name)
            video = dict(before.steps).get(VIDEO, 0) + rng.randrange(1, 16)
            self._broadcast = replace(
                other, ticks=before.ticks, steps=((VIDEO, video % 16), (AUDIO, rng.randrange(16)))
            )
        gap_s = {"again": -rng.choice([0, 0.02, 0.3, 1, 2]), "gap": rng.uniform(0, 6)}.get(kind, -0.5)
        first = max(0, self._at + int(gap_s * rate))
        if rng.random() < 0.2:
            first = max(0, self._at - rng.randrange(20))
        length_s = rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0, 1), rng.uniform(0.1, 4), rng.uniform(1, 4)])
        self._told = f"{kind} {self._broadcast.name} from {first} for {length_s:.2f} s"
        seen = (
            first if self._broadcast.moves else min(first, 1000)
        )  # so that the jump of a seldom or an old PID is seen
        self._before = self._broadcast.read(first - seen, seen)
        stretch = self._faulty(first, int(length_s * self._broadcast.packets_per_s) + 1)
        self._stop = stretch.stop
        self._after = self._broadcast.read(self._stop, 1000) if self.skips else b""
        if rng.random() < 0.9:
            self._at = stretch.stop
        return stretch.stream

    def _faulty(self, first: int, count: int) -> Stretch:
        """Return what an engine makes of so many packets of the present broadcast."""
        rng, one = self._random, self._broadcast
        fault, middle = rng.random(), first + rng.randrange(count)
        whole = one.read(first, count)
        if fault < 0.2 and one.name == "light":
            back = min(middle, int(rng.uniform(1.3, 2.5) * one.packets_per_s))
            times = rng.randint(1, 3)
            rest = one.read(middle, count) if rng.random() < 0.5 else b""
            self._told += f", goes round {times} times from {middle} back to {middle - back}"
            looped = one.read(first, middle - first) + one.read(middle - back, back) * times + rest
            return Stretch(looped, middle + (count if rest else 0))
        if self.skips and fault < 0.6:
            later = middle + int(rng.choice([rng.uniform(0, 0.5), rng.uniform(0.1, 6)]) * one.packets_per_s)
            if not self._is_about_place(middle, later):
                self._told += f", goes on at {later} after {middle}"
                return Stretch(one.read(first, middle - first) + one.read(later, count), later + count)
        return Stretch(whole, first + count)

    def _late(self) -> Counter[int]:
        """Return by how much counters may jump yet: a seldom PID shows what was left out only in a later source."""
        return self._own if self.skips else Counter()

    def _is_about_place(self, middle: int, later: int) -> bool:
        """Tell whether packets are missing where the last source ended, and no more than may be lost there.

        How far counters jump then depends on which of them were sent, and that is not known here.
        """
        rate, place = self._broadcast.packets_per_s, self._place
        is_over = middle < place - 0.5 * rate and later > place + rate
        return not is_over and middle < place + 0.1 * rate and later > place - 0.5 * rate

    def _cut(self, source: bytes) -> bytes:
        """Return a source that begins and ends anywhere in its first and last packets."""
        first = self._random.choice([0, self._random.randrange(PACKET)])
        last = len(source) - self._random.choice([0, self._random.randrange(min(30 * PACKET, max(1, len(source))))])
        first = min(first, last)
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
