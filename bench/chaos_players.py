"""Players of the chaos run: they come, verify what they get, and leave."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field

PACKET = 188
READ_BYTES = 188 * 1024
VERIFIED_SHARE = 0.2  # of the players look at continuity counters too, which costs time
MEAN_STAY_S = 15.0
HEAD_S = 60.0
KEPT_JUMPS = 2000


@dataclass(slots=True)
class Tally:
    """What all players saw."""

    joined: int = 0
    left: int = 0
    received_bytes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cut: int = 0  # ended by the other side
    out_of_sync: int = 0  # players who met a packet without sync byte: never right
    jumps: int = 0  # of continuity counters: right where packets were damaged or a player was moved forward
    jumped: list[tuple[float, int, int, int]] = field(default_factory=list)  # when, PID, counter before, counter then
    longest_wait_s: float = 0.0  # without any byte, null packets included
    gave_up: int = 0  # waited for headers until the limit: never right


class Verifier:
    """Judges one body."""

    def __init__(self, tally: Tally, *, counters: bool) -> None:
        self._tally = tally
        self._counters = counters
        self._rest = b""
        self._last: dict[int, int] = {}
        self._lost = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + data
        whole = len(data) // PACKET * PACKET
        self._rest = data[whole:]
        if not self._lost and data[:whole:PACKET].count(0x47) != whole // PACKET:
            self._lost = True
            self._tally.out_of_sync += 1
        if self._counters and not self._lost:
            self._count(data[:whole])

    def _count(self, data: bytes) -> None:
        last = self._last
        for at in range(0, len(data), PACKET):
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            control = data[at + 3]
            if pid == 0x1FFF or not control & 0x10:
                continue
            before = last.get(pid)
            last[pid] = control & 15
            if before is not None and control & 15 not in ((before + 1) & 15, before):
                self._tally.jumps += 1
                if len(self._tally.jumped) < KEPT_JUMPS:
                    self._tally.jumped.append((time.monotonic(), pid, before, control & 15))


class Crowd:
    """Keeps so many players watching. `links` are what they may ask for, as queries."""

    def __init__(self, port: int, links: list[str], count: int, seed: int) -> None:
        self.tally = Tally()
        self._port = port
        self._links = links
        self._count = count
        self._random = random.Random(seed)
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Play until `leave`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._come_and_go())

    def leave(self) -> None:
        """Have all players go."""
        self._leaving.set()

    async def _come_and_go(self) -> None:
        while not self._leaving.is_set():
            stay_s = self._random.expovariate(1 / MEAN_STAY_S)
            await self._watch(self._random.choice(self._links), stay_s)
            await self._pause(self._random.uniform(0.05, 1.0))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return

    async def _watch(self, query: str, stay_s: float) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=READ_BYTES)
        except OSError as error:
            self.tally.refused[type(error).__name__] += 1
            return
        try:
            writer.write(f"GET /ace/getstream?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            if await self._begin(reader):
                await self._read(reader, stay_s)
        except ConnectionError:
            self.tally.cut += 1
        finally:
            writer.transport.abort()

    async def _begin(self, reader: asyncio.StreamReader) -> bool:
        """Wait for the headers; return whether there is a body to watch."""
        try:
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            self.tally.gave_up += 1
            return False
        except asyncio.IncompleteReadError:
            self.tally.refused["cut before the headers"] += 1
            return False
        if b" 200 " in head[:16]:
            self.tally.joined += 1
            return True
        body = await reader.read(65536)
        try:
            self.tally.refused[str(json.loads(body)["error"]["reason"])] += 1
        except (ValueError, KeyError):
            self.tally.refused["an error without a reason"] += 1
        return False

    async def _read(self, reader: asyncio.StreamReader, stay_s: float) -> None:
        loop = asyncio.get_running_loop()
        verifier = Verifier(self.tally, counters=self._random.random() < VERIFIED_SHARE)
        until_at = loop.time() + stay_s
        last_at = loop.time()
        while not self._leaving.is_set():
            try:
                async with asyncio.timeout_at(min(until_at, loop.time() + 1.0)):
                    data = await reader.read(READ_BYTES)
            except TimeoutError:
                if loop.time() >= until_at:
                    break
                continue
            if not data:
                self.tally.cut += 1
                return
            now = loop.time()
            self.tally.longest_wait_s = max(self.tally.longest_wait_s, now - last_at)
            last_at = now
            self.tally.received_bytes += len(data)
            verifier.feed(data)
            if now >= until_at:
                break
        self.tally.left += 1
