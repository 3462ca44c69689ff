"""Ordinary players of the chaos run: they come, verify what they get, and leave."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.chaos_crowd import Crowd
from bench.chaos_fates import Fate, Fates, Outcome
from bench.chaos_wire import PACKET, NoHeadError, Wire, reason_in

READ_BYTES = 188 * 1024
VERIFIED_SHARE = 0.2  # of the players look at continuity counters too, which costs time
MEAN_STAY_S = 15.0
KEPT_JUMPS = 2000
NAMELESS = ("an error without a reason", "cut before the headers")


@dataclass(slots=True)
class Tally:
    """What all players saw."""

    received_bytes: int = 0
    out_of_sync: int = 0  # players who met a packet without sync byte: never right
    jumps: int = 0  # of continuity counters: right where packets were damaged or a player was moved forward
    jumped: list[tuple[float, int, int, int]] = field(default_factory=list)  # when, PID, counter before, counter then
    longest_wait_s: float = 0.0  # without any byte, null packets included
    gave_up: int = 0  # waited for headers until the limit: never right

    def lose_sync(self) -> None:
        """Count a player who met a packet without sync byte."""
        self.out_of_sync += 1

    def jump(self, pid: int, before: int, got: int) -> None:
        """Count a jump of a continuity counter."""
        self.jumps += 1
        if len(self.jumped) < KEPT_JUMPS:
            self.jumped.append((time.monotonic(), pid, before, got))


class Verifier:
    """Judges one body. `on_lost` is called once, where a packet has no sync byte; `on_jump` for counters, if given."""

    def __init__(self, on_lost: Callable[[], None], on_jump: Callable[[int, int, int], None] | None = None) -> None:
        self._on_lost = on_lost
        self._on_jump = on_jump
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
            self._on_lost()
        if self._on_jump is not None and not self._lost:
            self._count(data[:whole], self._on_jump)

    def _count(self, data: bytes, on_jump: Callable[[int, int, int], None]) -> None:
        last = self._last
        for at in range(0, len(data), PACKET):
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            control = data[at + 3]
            if pid == 0x1FFF or not control & 0x10:
                continue
            before = last.get(pid)
            last[pid] = control & 15
            if before is not None and control & 15 not in ((before + 1) & 15, before):
                on_jump(pid, before, control & 15)


class PlayerCrowd(Crowd):
    """Keeps so many players watching."""

    def __init__(self, port: int, links: list[str], count: int, seed: int, fates: Fates, kind: str = "player") -> None:
        super().__init__(port, links, count, random.Random(seed))
        self.tally = Tally()
        self._fates = fates
        self._kind = kind

    async def _visit(self, number: int) -> None:
        del number
        stay_s = self._random.expovariate(1 / MEAN_STAY_S)
        await self._watch(self._random.choice(self._links), stay_s)

    async def _watch(self, query: str, stay_s: float) -> None:
        fate = self._fates.begin(self._kind)
        try:
            wire = await Wire.open(self._port, limit=READ_BYTES)
        except OSError as error:
            self._fates.end(fate, Outcome.REFUSED, type(error).__name__)
            return
        try:
            wire.ask(f"/ace/getstream?{query}", fate.agent)
            if await self._begin(wire, fate):
                await self._read(wire.reader, stay_s, fate)
                self._fates.end(fate, Outcome.LEFT)
        except ConnectionError:
            self._fates.end(fate, Outcome.CUT if fate.received_bytes else Outcome.REFUSED, "connection error")
        finally:
            wire.close()

    async def _begin(self, wire: Wire, fate: Fate) -> bool:
        """Wait for the headers; return whether there is a body to watch."""
        try:
            head = await wire.head()
        except TimeoutError:
            self.tally.gave_up += 1
            return False
        except NoHeadError:
            self._fates.end(fate, Outcome.REFUSED, NAMELESS[1])
            return False
        if head.status == 200:
            return True
        body = await wire.reader.read(65536)
        self._fates.end(fate, Outcome.REFUSED, reason_in(body) or NAMELESS[0])
        return False

    async def _read(self, reader: asyncio.StreamReader, stay_s: float, fate: Fate) -> None:
        loop = asyncio.get_running_loop()
        looks = self._random.random() < VERIFIED_SHARE
        verifier = Verifier(self.tally.lose_sync, self.tally.jump if looks else None)
        last_at = loop.time()
        until_at = last_at + stay_s
        while not self._leaving.is_set():
            try:
                async with asyncio.timeout_at(min(until_at, loop.time() + 1.0)):
                    data = await reader.read(READ_BYTES)
            except TimeoutError:
                if loop.time() >= until_at:
                    return
                continue
            if not data:
                self._fates.end(fate, Outcome.CUT)
                return
            now = loop.time()
            self.tally.longest_wait_s = max(self.tally.longest_wait_s, now - last_at)
            last_at = now
            self.tally.received_bytes += len(data)
            fate.received_bytes += len(data)
            verifier.feed(data)
            if now >= until_at:
                return
