"""Clients of the chaos run that do not behave: what they send, how they leave, what HTTP they speak."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bench.chaos_fates import Fate, Outcome
from bench.chaos_odd_clients import SOON_S, OddClients
from bench.chaos_wire import Wire, reason_in, request

HEAD_TIMEOUT_S = 5.0  # the setting head_timeout_s of the run
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


class RudeClients(OddClients):
    """Each of `kinds` is one client, from its coming to its end."""

    @property
    def kinds(self) -> tuple[Callable[[Fate, str], Awaitable[None]], ...]:
        """Return what they may be."""
        return (
            self._resets, self._half_closes, self._old_http, self._asks_head, self._asks_range, self._drips_head,
            self._never_asks, self._leaves_early, self._talks_on, self._rubbish,
        )  # fmt: skip

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
