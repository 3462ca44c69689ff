"""Viewers of a recording in the chaos run: whole, in parts, begun and left. Every byte is compared with the file."""

from __future__ import annotations

import asyncio
import json
import random
import re
from urllib.request import Request, urlopen

from bench.chaos_crowd import Crowd
from bench.chaos_fates import Fates
from bench.chaos_wire import Head, NoHeadError, Wire, reason_in

LIMIT_S = 30.0
STALL_S = 60.0  # the longest pause, while engines fail, before it is called one without an end
TOTAL = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def read_truth(engine_port: int, content_id: str) -> bytes:
    """Return a file as an engine sends it, past the proxy. Raises OSError, ValueError."""
    base = f"http://127.0.0.1:{engine_port}"
    with urlopen(f"{base}/ace/getstream?id={content_id}&format=json&pid=truth", timeout=LIMIT_S) as answer:
        response = json.loads(answer.read())["response"]
    try:
        with urlopen(response["playback_url"], timeout=LIMIT_S) as answer:
            whole: bytes = answer.read()
    finally:
        urlopen(Request(f"{response['command_url']}?method=stop"), timeout=LIMIT_S).close()
    return whole


class FileCrowd(Crowd):
    """So many viewers of one recording at any time."""

    def __init__(self, port: int, content_id: str, truth: bytes, count: int, rng: random.Random, fates: Fates) -> None:
        super().__init__(port, [f"id={content_id}"], count, rng)
        self.compared_bytes = 0
        self.whole = 0  # times the file was had from its first byte to its last
        self._truth = truth
        self._fates = fates

    async def play_whole(self) -> bool:
        """Have the whole file once, when all is over; return whether it is right."""
        before, self._leaving = self.whole, asyncio.Event()
        await self._play("chaos/file/last", "", rate=1e9, stop=None)
        return self.whole > before

    async def _visit(self, number: int) -> None:
        wish, stop = self._choose()
        try:
            await self._play(f"chaos/file/{number}", wish, rate=self._random.choice((3e5, 1e6, 1e9)), stop=stop)
        except TimeoutError:
            self._fates.wrong("a recording stood still without an end")
        except (OSError, NoHeadError) as error:
            self._fates.seen[f"file broken off ({type(error).__name__})"] += 1

    def _choose(self) -> tuple[str, int | None]:
        """Choose what to ask for, and after how many bytes to leave."""
        size = len(self._truth)
        first = self._random.randrange(size)
        wish = self._random.choice(
            ("", "", f"bytes={first}-", f"bytes={first}-{min(size - 1, first + 99_999)}", f"bytes=-{size - first}",
             f"bytes={size}-", "bytes=0-0", f"bytes={first}-{size * 3}", "bytes=9-4")
        )  # fmt: skip
        return wish, self._random.choice((None, None, 0, 50_000, 1_000_000))

    async def _play(self, agent: str, wish: str, *, rate: float, stop: int | None) -> None:
        wire = await Wire.open(self._port)
        try:
            wire.ask(f"/ace/getstream?{self._links[0]}", agent, headers=f"Range: {wish}\r\n" if wish else "")
            head = await wire.head()
            if head.status not in (200, 206):
                await self._refused(wire, head)
                return
            await self._compare(wire, head, wish, rate, stop)
        finally:
            wire.close()

    async def _refused(self, wire: Wire, head: Head) -> None:
        reason = reason_in(await wire.body(head))
        self._fates.seen[f"file refused {reason}"] += 1
        if reason is None or reason == "internal":
            self._fates.wrong(f"a recording was refused with {head.status}, {reason}")
        if reason == "range_not_satisfiable" and head.headers.get("content-range") != f"bytes */{len(self._truth)}":
            self._fates.wrong(f"a wrong size in {head.headers.get('content-range')}")

    async def _compare(self, wire: Wire, head: Head, wish: str, rate: float, stop: int | None) -> None:
        span = TOTAL.fullmatch(head.headers.get("content-range", ""))
        at = int(span[1]) if span else 0
        end = int(span[2]) + 1 if span else len(self._truth)
        if (head.status == 206) != (span is not None) or (head.length is not None and head.length != end - at):
            self._fates.wrong(f"{wish!r}: {head.status}, {head.headers}")
            return
        loop = asyncio.get_running_loop()
        began_at, first = loop.time(), at
        while at < end and not self._leaving.is_set() and (stop is None or at - first < stop):
            async with asyncio.timeout(STALL_S):
                part = await wire.reader.read(64 * 1024)
            if not part:
                self._fates.seen["file cut"] += 1
                return
            if part != self._truth[at : at + len(part)]:
                self._fates.wrong("a recording with bytes that are not the file's")
                return
            at += len(part)
            self.compared_bytes += len(part)
            await asyncio.sleep(max(0.0, began_at + (at - first) / rate - loop.time()))
        self.whole += first == 0 and at == len(self._truth)
        self._fates.seen["file had" if at == end else "file left"] += 1
