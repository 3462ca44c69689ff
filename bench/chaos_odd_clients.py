"""What the odd clients of the chaos run have in common: how they connect, read, rest and judge."""

from __future__ import annotations

import asyncio
import random
import time

from bench.chaos_crowd import rest
from bench.chaos_fates import Fate, Fates, Outcome
from bench.chaos_players import Verifier
from bench.chaos_wire import Wire, reason_in

READ_S = 1.0
SOON_S = 20.0  # for what should happen at once, on a machine that is busy with other things


class OddClients:
    """Clients of one sort; subclasses have a method for each kind. `leaving` has all of them go."""

    def __init__(self, port: int, rng: random.Random, fates: Fates, leaving: asyncio.Event) -> None:
        self._port = port
        self._random = rng
        self._fates = fates
        self._leaving = leaving

    async def rest(self, seconds: float) -> None:
        """Do nothing for so long, or until all are to go."""
        await rest(seconds, self._leaving)

    async def _begin(self, wire: Wire, fate: Fate) -> bool:
        """Wait for the headers; return whether there is a stream to read."""
        head = await wire.head()
        if head.status == 200:
            if "transfer-encoding" in head.headers or head.length is not None:
                self._fates.wrong(f"{fate.kind}: a stream with {head.headers}")
            return True
        reason = reason_in(await wire.body(head, SOON_S))
        if reason is None:
            self._fates.wrong(f"{fate.kind}: a refusal without a reason, {head.status}")
        self._fates.end(fate, Outcome.REFUSED, reason or "no reason")
        return False

    async def _read(self, wire: Wire, fate: Fate, seconds: float, verifier: Verifier, rate: float = 0.0) -> bool:
        """Read for so long, at most `rate` bytes a second; return False if the other side ended it."""
        began_at = time.monotonic()
        taken = 0
        while time.monotonic() - began_at < seconds and not self._leaving.is_set():
            count = max(1, int(rate / 4)) if rate else 64 * 1024
            try:
                async with asyncio.timeout(READ_S):
                    part = await wire.reader.read(count)
            except TimeoutError:
                continue
            except ConnectionError:
                part = b""
            if not part:
                self._fates.end(fate, Outcome.CUT)
                return False
            taken += len(part)
            fate.received_bytes += len(part)
            verifier.feed(part)
            if rate:
                await self.rest(max(0.0, began_at + taken / rate - time.monotonic()))
        return True

    def _verifier(self, fate: Fate) -> Verifier:
        return Verifier(lambda: self._fates.wrong(f"{fate.kind}: a packet without sync byte"))

    async def _watch(self, fate: Fate, target: str, seconds: float, *, headers: str = "", version: str = "1.1") -> None:
        """Be an ordinary player for some seconds."""
        wire = await Wire.open(self._port)
        try:
            wire.ask(target, fate.agent, headers=headers, version=version)
            if await self._begin(wire, fate) and await self._read(wire, fate, seconds, self._verifier(fate)):
                self._fates.end(fate, Outcome.LEFT)
        finally:
            wire.close()
