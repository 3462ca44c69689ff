"""Clients of the chaos run that read too little: frozen, stopped, slow, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.chaos_fates import Fate, Outcome
from bench.chaos_odd_clients import OddClients
from bench.chaos_wire import Wire

SMALL_BYTES = 16 * 1024  # of the kernel's buffer, for who shall be felt when he does not read
SHORT_REST_S = (2.0, 35.0)
LONG_REST_S = (35.0, 60.0)  # by when all that the ring had is gone
LONG_SHARE = 0.3
LIMIT_S = 120.0  # for a process to say what became of it
STOPPED = Path(__file__).with_name("chaos_stopped.py")


class SlowClients(OddClients):
    """Each of `kinds` is one client, from its coming to its end."""

    @property
    def kinds(self) -> tuple[Callable[[Fate, str], Awaitable[None]], ...]:
        """Return what they may be, the frequent ones more than once."""
        return (self._frozen, self._frozen, self._stopped, self._slow, self._slow, self._trickling)

    def _rest_s(self) -> float:
        return self._random.uniform(*(LONG_REST_S if self._random.random() < LONG_SHARE else SHORT_REST_S))

    async def _frozen(self, fate: Fate, target: str) -> None:
        """Read, then do not read, then read on."""
        wire = await Wire.open(self._port, receive_bytes=SMALL_BYTES, limit=SMALL_BYTES)
        verifier = self._verifier(fate)
        try:
            wire.ask(target, fate.agent)
            if not await self._begin(wire, fate) or not await self._read(wire, fate, 1.5, verifier):
                return
            with fate.resting():
                await self.rest(self._rest_s())
            if await self._read(wire, fate, 4.0, verifier):
                self._fates.end(fate, Outcome.LEFT)
        finally:
            wire.close()

    async def _stopped(self, fate: Fate, target: str) -> None:
        """Be a process that is stopped and goes on (SIGSTOP, SIGCONT)."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", str(STOPPED), str(self._port), target, fate.agent, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(LIMIT_S):
                word = (await process.stdout.readline()).decode().strip()
            if word == "playing":
                with fate.resting():
                    process.send_signal(signal.SIGSTOP)
                    await self.rest(self._rest_s())
                process.send_signal(signal.SIGCONT)
                async with asyncio.timeout(LIMIT_S):
                    word = (await process.stdout.readline()).decode().strip()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._conclude(fate, word)

    def _conclude(self, fate: Fate, said: str) -> None:
        outcome, _, reason = said.partition(" ")
        if outcome not in list(Outcome):
            self._fates.wrong(f"{fate.kind}: {said[:80]!r}")
        self._fates.end(fate, Outcome(outcome) if outcome in list(Outcome) else Outcome.LEFT, reason)

    async def _slow(self, fate: Fate, target: str) -> None:
        """Read a part of what is played."""
        wire = await Wire.open(self._port, receive_bytes=SMALL_BYTES, limit=SMALL_BYTES)
        try:
            wire.ask(target, fate.agent)
            if not await self._begin(wire, fate):
                return
            began_at = time.monotonic()
            rate = self._random.uniform(0.05, 0.45) * 122_000
            if await self._read(wire, fate, self._random.uniform(10, 60), self._verifier(fate), rate):
                self._fates.end(fate, Outcome.LEFT)
            fate.slow_s = time.monotonic() - began_at
        finally:
            wire.close()

    async def _trickling(self, fate: Fate, target: str) -> None:
        """Read a byte or a thousand each second: the system tells the other side once in a minute."""
        wire = await Wire.open(self._port, receive_bytes=SMALL_BYTES, limit=4096)
        try:
            wire.ask(target, fate.agent)
            rate = self._random.choice((4.0, 1000.0))
            with fate.resting():
                if await self._begin(wire, fate) and await self._read(
                    wire, fate, self._random.uniform(5, 40), self._verifier(fate), rate
                ):
                    self._fates.end(fate, Outcome.LEFT)
        finally:
            wire.close()
