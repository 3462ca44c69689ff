"""Clients of the chaos run that are slow, frozen, broken or rude. Each says itself what it expects to happen to it."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.chaos_fates import Fate, Fates, Outcome
from bench.chaos_players import Verifier
from bench.chaos_wire import NoHeadError, Wire, reason_in, request

SMALL_BYTES = 16 * 1024  # of the kernel's buffer, for who shall be felt when he does not read
READ_S = 1.0
HEAD_TIMEOUT_S = 5.0  # the setting head_timeout_s of the run
SOON_S = 20.0  # for what should happen at once, on a machine that is busy with other things
STOPPED = Path(__file__).with_name("chaos_stopped.py")
WISHES = ("bytes=0-", "bytes=100000-", "bytes=-500", "bytes=5-1", "bytes=0-1,5-9", "potatoes")
RUBBISH = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /ace/getstream HTTP/9.9\r\n\r\n",
    b"GET /ace/getstream?id=" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 9000 + b"\r\n",
    b"POST /ace/getstream HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


class OddCrowd:
    """So many odd clients at any time."""

    def __init__(self, port: int, links: list[str], count: int, rng: random.Random, fates: Fates) -> None:
        self._port = port
        self._links = links
        self._count = count
        self._random = rng
        self._fates = fates
        self._leaving = asyncio.Event()
        self._kinds: tuple[Callable[[Fate, str], Awaitable[None]], ...] = (
            self._frozen, self._frozen, self._stopped, self._slow, self._slow, self._trickling, self._resets,
            self._half_closes, self._old_http, self._asks_head, self._asks_range, self._drips_head,
            self._never_asks, self._leaves_early, self._talks_on, self._rubbish,
        )  # fmt: skip

    async def run(self) -> None:
        """Go on until `leave`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._come_and_go())

    def leave(self) -> None:
        """Have all go."""
        self._leaving.set()

    async def _come_and_go(self) -> None:
        while not self._leaving.is_set():
            kind = self._random.choice(self._kinds)
            fate = self._fates.begin(kind.__name__.strip("_"))
            try:
                await kind(fate, f"/ace/getstream?{self._random.choice(self._links)}")
            except (ConnectionError, asyncio.IncompleteReadError):
                self._fates.end(fate, Outcome.CUT if fate.received_bytes else Outcome.REFUSED, "connection error")
            except NoHeadError:
                self._fates.end(fate, Outcome.REFUSED, "cut before the headers")
            except TimeoutError:
                self._fates.wrong(f"{fate.kind}: nothing happened in time")
            await self._rest(self._random.uniform(0.1, 1.0))

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return

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
        began_at = last_at = time.monotonic()
        taken = 0
        while (now := time.monotonic()) - began_at < seconds and not self._leaving.is_set():
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
            fate.unread_s = max(fate.unread_s, time.monotonic() - last_at) if rate else fate.unread_s
            last_at = now
            taken += len(part)
            fate.received_bytes += len(part)
            verifier.feed(part)
            if rate:
                await self._rest(max(0.0, began_at + taken / rate - time.monotonic()))
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

    async def _frozen(self, fate: Fate, target: str) -> None:
        """Read, then do not read, then read on."""
        wire = await Wire.open(self._port, receive_bytes=SMALL_BYTES, limit=SMALL_BYTES)
        verifier = self._verifier(fate)
        try:
            wire.ask(target, fate.agent)
            if not await self._begin(wire, fate) or not await self._read(wire, fate, 1.5, verifier):
                return
            rested_at = time.monotonic()
            await self._rest(self._random.uniform(2.0, 35.0))
            fate.unread_s = time.monotonic() - rested_at
            if await self._read(wire, fate, 4.0, verifier):
                self._fates.end(fate, Outcome.LEFT)
        finally:
            wire.close()

    async def _stopped(self, fate: Fate, target: str) -> None:
        """Be a process that is stopped and goes on (SIGSTOP, SIGCONT)."""
        rests_s = self._random.uniform(2.0, 35.0)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", str(STOPPED), str(self._port), target, fate.agent, f"{rests_s:.3f}",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(rests_s + 120):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        outcome, _, words = out.decode().strip().partition(" ")
        fate.unread_s = rests_s
        if outcome == "torn":
            self._fates.wrong(f"{fate.kind}: a packet without sync byte")
        elif outcome not in list(Outcome):
            self._fates.wrong(f"{fate.kind}: {out[:80]!r}")
        self._fates.end(fate, Outcome(outcome) if outcome in list(Outcome) else Outcome.LEFT, words)

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
            began_at = time.monotonic()
            if await self._begin(wire, fate) and await self._read(
                wire, fate, self._random.uniform(5, 40), self._verifier(fate), rate
            ):
                self._fates.end(fate, Outcome.LEFT)
            fate.unread_s = time.monotonic() - began_at
        finally:
            wire.close()

    async def _resets(self, fate: Fate, target: str) -> None:
        wire = await Wire.open(self._port)
        try:
            wire.ask(target, fate.agent)
            if await self._begin(wire, fate) and await self._read(
                wire, fate, self._random.uniform(0, 3), self._verifier(fate)
            ):
                self._fates.end(fate, Outcome.LEFT)
        finally:
            wire.reset()

    async def _half_closes(self, fate: Fate, target: str) -> None:
        """Close the sending side: counts as one that has left, so the connection ends."""
        wire = await Wire.open(self._port)
        try:
            wire.ask(target, fate.agent)
            if not await self._begin(wire, fate) or not await self._read(wire, fate, 1.0, self._verifier(fate)):
                return
            wire.writer.write_eof()
            self._fates.end(fate, Outcome.LEFT)
            async with asyncio.timeout(SOON_S):
                while await wire.reader.read(64 * 1024):
                    pass
        finally:
            wire.close()

    async def _old_http(self, fate: Fate, target: str) -> None:
        await self._watch(fate, target, self._random.uniform(1, 6), version="1.0")

    async def _asks_range(self, fate: Fate, target: str) -> None:
        wish = self._random.choice(WISHES)
        await self._watch(fate, target, self._random.uniform(1, 6), headers=f"Range: {wish}\r\n")

    async def _asks_head(self, fate: Fate, target: str) -> None:
        wire = await Wire.open(self._port)
        try:
            wire.ask(target, fate.agent, method="HEAD")
            head = await wire.head(SOON_S)
            if head.status != 200 or head.headers.get("content-type") != "video/mp2t":
                self._fates.wrong(f"{fate.kind}: {head.status} {head.headers.get('content-type')}")
            async with asyncio.timeout(SOON_S):
                if await wire.reader.read(100):
                    self._fates.wrong(f"{fate.kind}: an answer to HEAD with a body")
            self._fates.end(fate, Outcome.REFUSED, "answered")
        finally:
            wire.close()

    async def _drips_head(self, fate: Fate, target: str) -> None:
        """Send a request byte by byte, for less than is allowed."""
        wire = await Wire.open(self._port)
        try:
            whole = request(target, fate.agent)
            for at in range(len(whole)):
                wire.writer.write(whole[at : at + 1])
                await asyncio.sleep(HEAD_TIMEOUT_S / 4 / len(whole))
            if await self._begin(wire, fate) and await self._read(wire, fate, 2.0, self._verifier(fate)):
                self._fates.end(fate, Outcome.LEFT)
        finally:
            wire.close()

    async def _never_asks(self, fate: Fate, target: str) -> None:
        """Send a byte now and then, or none at all, for ever."""
        wire = await Wire.open(self._port)
        pause_s = self._random.choice((0.1, 0.7, 3600.0))
        dripping = asyncio.create_task(_drip(wire, b"GET " + target.encode() + b"&" + b"x" * 9999, pause_s))
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S + SOON_S):
                answer = await wire.reader.read(-1)
            if answer and reason_in(answer.partition(b"\r\n\r\n")[2]) != "request_timeout":
                self._fates.wrong(f"{fate.kind}: {answer[:60]!r}")
            self._fates.end(fate, Outcome.REFUSED, "answered" if answer else "closed")
        finally:
            dripping.cancel()
            wire.close()

    async def _leaves_early(self, fate: Fate, target: str) -> None:
        """Ask and leave before there is an answer."""
        wire = await Wire.open(self._port)
        wire.ask(target, fate.agent)
        await asyncio.sleep(self._random.choice((0, 0.01, 0.3)))
        (wire.reset if self._random.random() < 0.5 else wire.close)()
        self._fates.end(fate, Outcome.REFUSED, "left early")

    async def _talks_on(self, fate: Fate, target: str) -> None:
        """Send further requests and rubbish while the stream is being sent: nobody listens."""
        wire = await Wire.open(self._port)
        try:
            wire.ask(target, fate.agent)
            wire.ask("/api/health", fate.agent)
            if not await self._begin(wire, fate):
                return
            wire.writer.write(self._random.randbytes(20_000))
            if await self._read(wire, fate, 3.0, self._verifier(fate)):
                self._fates.end(fate, Outcome.LEFT)
        finally:
            wire.close()

    async def _rubbish(self, fate: Fate, _target: str) -> None:
        wire = await Wire.open(self._port)
        try:
            wire.writer.write(self._random.choice(RUBBISH))
            answer = b""
            async with asyncio.timeout(HEAD_TIMEOUT_S + SOON_S):
                try:
                    answer = await wire.reader.read(-1)
                except ConnectionError:
                    self._fates.seen["rubbish was reset"] += 1
            if answer and not answer.startswith(b"HTTP/1."):
                self._fates.wrong(f"{fate.kind}: {answer[:60]!r}")
            self._fates.end(fate, Outcome.REFUSED, answer[9:12].decode("latin-1"))
        finally:
            wire.close()


async def _drip(wire: Wire, whole: bytes, pause_s: float) -> None:
    for at in range(len(whole)):
        wire.writer.write(whole[at : at + 1])
        await asyncio.sleep(pause_s)
