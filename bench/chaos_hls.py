"""HLS viewers of the chaos run: they follow lists, fetch each segment, and judge both (RFC 8216)."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urljoin

from bench.chaos_crowd import Crowd
from bench.chaos_fates import Fates
from bench.chaos_jumps import ENGINE, UNKNOWN
from bench.chaos_wire import PACKET, NoHeadError, fetch, reason_in

POLL_S = 1.0
KEPT_DIGESTS = 5000
WRAP = 1 << 33
CLOCK_HZ = 90_000
GAP_S = 5.0  # between two segments that are not said to be apart; what is lost in between is less
BACK_S = 0.2  # a picture may be shown before one of the segment before
LISTED = 3  # segments from the live edge at which a viewer begins; without keyframes each may be ten seconds long
LATE_S = 3.0  # a list that old says nothing about what can be had
LINE = re.compile(r"#EXT-X-(MEDIA-SEQUENCE|DISCONTINUITY-SEQUENCE|TARGETDURATION):(\d+)")


class NotAListError(Exception):
    """What should be a media playlist is none."""


@dataclass(slots=True)
class MediaList:
    """A media playlist: `entries` are address and whether the segment is marked as a break, by number."""

    sequence: int
    breaks: int
    target_s: int
    entries: dict[int, tuple[str, bool]] = field(default_factory=dict)


def read_list(text: str) -> MediaList:
    """Read a media playlist. Raises NotAListError."""
    numbers = {name: int(value) for name, value in LINE.findall(text)}
    if not text.startswith("#EXTM3U") or "MEDIA-SEQUENCE" not in numbers or "TARGETDURATION" not in numbers:
        raise NotAListError(text[:80])
    found = MediaList(numbers["MEDIA-SEQUENCE"], numbers.get("DISCONTINUITY-SEQUENCE", 0), numbers["TARGETDURATION"])
    number, is_break, duration_s = found.sequence, False, None
    for line in text.splitlines():
        if line == "#EXT-X-DISCONTINUITY":
            is_break = True
        elif line.startswith("#EXTINF:"):
            duration_s = float(line[8:].partition(",")[0])
            if duration_s + 0.5 > found.target_s + 1:
                raise NotAListError(f"a segment of {duration_s} s, the target is {found.target_s} s")
        elif line and not line.startswith("#"):
            if duration_s is None:
                raise NotAListError("a segment without a duration")
            found.entries[number] = (line, is_break)
            number, is_break, duration_s = number + 1, False, None
    return found


def stamps(segment: bytes) -> tuple[int, int] | None:
    """Return the first and the last DTS of the pictures in a segment (90 kHz); None if there is none."""
    found: list[int] = []
    for at in range(0, len(segment) - PACKET + 1, PACKET):
        if not segment[at + 1] & 0x40 or not segment[at + 3] & 0x10:
            continue
        payload = at + 4 + (1 + segment[at + 4] if segment[at + 3] & 0x20 else 0)
        head = segment[payload : min(payload + 19, at + PACKET)]
        if len(head) == 19 and head[:3] == b"\0\0\1" and head[3] & 0xF0 == 0xE0 and head[7] & 0x80:
            found.append(_ticks(head[14:19] if head[7] & 0x40 else head[9:14]))
    return (found[0], found[-1]) if found else None


def _ticks(part: bytes) -> int:
    value = int.from_bytes(part, "big")
    return (value >> 33 & 7) << 30 | (value >> 17 & 0x7FFF) << 15 | value >> 1 & 0x7FFF


def apart_s(before: int, after: int) -> float:
    """Return how many seconds `after` comes after `before`; negative if it comes before it."""
    return ((after - before + WRAP // 2) % WRAP - WRAP // 2) / CLOCK_HZ


class HlsCrowd(Crowd):
    """So many HLS viewers at any time. `is_damaged` tells whether media may be wrong that is in the lists now.

    `leaps` counts pairs of segments that do not fit, by their cause.
    """

    def __init__(
        self,
        port: int,
        links: list[str],
        count: int,
        rng: random.Random,
        fates: Fates,
        is_damaged: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(port, links, count, rng)
        self.leaps: Counter[str] = Counter()
        self._is_damaged = is_damaged
        self.segments = 0
        self.runs: list[tuple[float, bytes]] = []  # since when at most, and some segments in a row not said to be apart
        self._fates = fates
        self._digests: dict[str, str] = {}

    async def _visit(self, number: int) -> None:
        viewer = _Viewer(self, f"hls/{number}/{self._random.randrange(10**9)}")
        stay_s = self._random.uniform(5.0, 60.0)
        try:
            await viewer.watch(self._random.choice(self._links), stay_s, self._leaving)
        except NotAListError as error:
            self.wrong(f"a list that is none: {error}")
        except TimeoutError:
            self.wrong("no answer in time")
        except (OSError, NoHeadError, EOFError) as error:
            self.seen(f"broken off ({type(error).__name__})")

    def wrong(self, words: str) -> None:
        """Note a mistake of the program."""
        self._fates.wrong(f"HLS: {words}")

    def seen(self, words: str) -> None:
        """Note something for the report."""
        self._fates.seen[f"hls {words}"] += 1

    def judge_step(self, seconds: float, address: str) -> None:
        """Look at how much later a segment begins than the one before ends, of which it is not said to be apart."""
        if -BACK_S < seconds < GAP_S:
            return
        if self._is_damaged():
            self.leaps[ENGINE] += 1
        else:
            self.leaps[UNKNOWN] += 1
            now = time.monotonic()
            self.wrong(f"the segment {address} leaps by {seconds:.1f} s without a cause, seen at {now:.1f}")

    async def get(self, address: str, agent: str) -> tuple[int, bytes]:
        """Ask for a list or a segment; what is refused without a reason is a mistake."""
        head, body = await fetch(self._port, address, agent)
        if head.status != 200 and reason_in(body) is None:
            self.wrong(f"{head.status} without a reason")
        return head.status, body

    def judge_segment(self, address: str, body: bytes) -> None:
        """Look at what any segment has to be."""
        self.segments += 1
        if len(body) % PACKET or not body or body[::PACKET].count(0x47) != len(body) // PACKET:
            self.wrong("a segment that is no whole packets")
            return
        if body[1] & 0x1F or body[2] or body[PACKET + 1] & 0x40 == 0:
            self.wrong("a segment that does not begin with PAT and PMT")
        digest = hashlib.blake2b(body, digest_size=12).hexdigest()
        if self._digests.setdefault(address, digest) != digest:
            self.wrong("a segment that is not the same for everybody")
        if len(self._digests) > KEPT_DIGESTS:
            del self._digests[next(iter(self._digests))]


def _front(found: MediaList) -> str:
    """Say where a list begins, and where its segments are."""
    address = next((address for address, _ in found.entries.values()), "nothing")
    return f"{found.sequence}, break {found.breaks} ({address})"


class _Viewer:
    """One viewer and what it has seen so far."""

    def __init__(self, crowd: HlsCrowd, agent: str) -> None:
        self._crowd = crowd
        self._agent = agent
        self._known: dict[int, tuple[str, bool]] = {}
        self._newest: MediaList | None = None
        self._next: int | None = None
        self._last_stamp: int | None = None
        self._run: list[tuple[float, bytes]] = []  # since when each may have been there at most, and the segment

    async def watch(self, query: str, stay_s: float, leaving: asyncio.Event) -> None:
        """Watch for so long. Raises what `fetch` does, and NotAListError."""
        status, body = await self._crowd.get(f"/ace/manifest.m3u8?{query}", self._agent)
        if status != 200:
            self._crowd.seen(f"refused {reason_in(body)}")
            return
        variant = next((line for line in body.decode().splitlines() if line and not line.startswith("#")), None)
        if variant is None:
            raise NotAListError("a master playlist without a variant")
        address = urljoin("/ace/manifest.m3u8", variant)
        until_at = time.monotonic() + stay_s
        while time.monotonic() < until_at and not leaving.is_set():
            status, body = await self._crowd.get(address, self._agent)
            if status != 200:
                self._crowd.seen(f"list refused {reason_in(body)}")
                return
            listed_at = time.monotonic()
            found = read_list(body.decode())
            self._compare(found)
            await self._fetch_new(found, address, listed_at)
            await asyncio.sleep(POLL_S)
        self._crowd.seen("left")

    def _compare(self, found: MediaList) -> None:
        """Look at how the list has changed."""
        before = self._newest
        if before is not None:
            if found.sequence < before.sequence or found.breaks < before.breaks:
                self._crowd.wrong(f"a list's numbers have fallen: {_front(before)} became {_front(found)}")
            gone = sum(is_break for number, (_, is_break) in before.entries.items() if number < found.sequence)
            if found.sequence in before.entries and found.breaks != before.breaks + gone:
                self._crowd.wrong("the discontinuity sequence number does not count what left the list")
            if found.target_s != before.target_s and found.sequence <= max(before.entries, default=0):
                self._crowd.wrong("the target duration has changed")
        for number, entry in found.entries.items():
            if self._known.setdefault(number, entry) != entry:
                self._crowd.wrong("a segment of a list has changed its address or its break")
        self._newest = found

    async def _fetch_new(self, found: MediaList, base: str, listed_at: float) -> None:
        """Fetch what is new, the last three at first."""
        if not found.entries:
            return
        if self._next is None:
            self._next = max(found.sequence, max(found.entries) - LISTED + 1)
        elif found.sequence > self._next:
            self._crowd.seen("missed segments")
            self._part()
        for number in range(max(self._next, found.sequence), max(found.entries) + 1):
            address, is_break = found.entries[number]
            status, body = await self._crowd.get(urljoin(base, address), self._agent)
            self._next = number + 1
            if status != 200:
                self._crowd.seen(f"segment refused {reason_in(body)}")
                if time.monotonic() - listed_at < LATE_S:
                    self._crowd.wrong(f"a segment of the newest list is refused: {reason_in(body)}")
                self._part()
                continue
            self._crowd.judge_segment(address, body)
            self._follow(body, address, is_break=is_break)

    def _follow(self, body: bytes, address: str, *, is_break: bool) -> None:
        """Look at how a segment goes on from the one before."""
        if is_break:
            self._part()
        times = stamps(body)
        if times is None:
            self._part()
            return
        if self._last_stamp is not None:
            self._crowd.judge_step(apart_s(self._last_stamp, times[0]), address)
        self._last_stamp = times[1]
        age_s = LISTED * (self._newest.target_s if self._newest is not None else 0)
        self._run.append((time.monotonic() - age_s, body))
        if len(self._run) == 3:
            self._crowd.runs.append((self._run[0][0], b"".join(segment for _, segment in self._run)))
            del self._run[:2]

    def _part(self) -> None:
        self._last_stamp = None
        self._run.clear()
