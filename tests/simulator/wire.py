"""A raw HTTP caller for tests: sees every byte, so that broken answers can be looked at."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aceproxy.simulator import Content, Simulator

LIMIT_S = 30.0
QUIET_S = 0.3
VERSION = "/webui/api/service?method=get_version"


@dataclass(frozen=True)
class Reply:
    """One answer, read to its end. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    head: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, simulator: Simulator) -> Wire:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", simulator.port))

    def send(self, target: str, *, method: str = "GET", headers: str = "", body: bytes = b"") -> None:
        """Send a request; `headers` is whole lines."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: engine.test:6878\r\n{length}{headers}\r\n"
        self.writer.write(head.encode() + body)

    async def head(self, limit_s: float = LIMIT_S) -> tuple[int, dict[str, str], bytes]:
        """Read status line and headers."""
        async with asyncio.timeout(limit_s):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split(" ")[1]), headers, raw

    async def reply(self, *, with_body: bool = True, limit_s: float = LIMIT_S) -> Reply:
        """Read one answer by its Content-Length, or to the end of the connection."""
        status, headers, raw = await self.head(limit_s)
        async with asyncio.timeout(limit_s):
            if not with_body:
                body = b""
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self.reader.read()
        return Reply(status, headers, body, raw)

    async def read(self, count: int, limit_s: float = LIMIT_S) -> bytes:
        """Read exactly `count` bytes."""
        async with asyncio.timeout(limit_s):
            return await self.reader.readexactly(count)

    async def rest(self, limit_s: float = LIMIT_S) -> bytes:
        """Read to the end of the connection; raises TimeoutError if it does not end."""
        async with asyncio.timeout(limit_s):
            return await self.reader.read()

    async def silent_for(self, quiet_s: float) -> bool:
        """Say whether nothing arrives, not even an end, for `quiet_s`."""
        try:
            async with asyncio.timeout(quiet_s):
                await self.reader.read(65536)
        except TimeoutError:
            return True
        return False

    async def read_for(self, seconds: float) -> bytes:
        """Read what arrives within a time."""
        got = bytearray()
        try:
            async with asyncio.timeout(seconds):
                while block := await self.reader.read(65536):
                    got += block
        except TimeoutError:
            pass
        return bytes(got)

    async def close(self) -> None:
        """Close."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


async def ask(simulator: Simulator, target: str, *, method: str = "GET", headers: str = "", body: bytes = b"") -> Reply:
    """Ask on a connection of its own."""
    wire = await Wire.open(simulator)
    try:
        wire.send(target, method=method, headers=headers, body=body)
        return await wire.reply(with_body=method != "HEAD")
    finally:
        await wire.close()


def content(simulator: Simulator, name: str) -> Content:
    """Return a content by its name."""
    return next(one for one in simulator.contents if one.name == name)


def local(url: str) -> str:
    """Return the path and query of a URL."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def start_target(what: Content, pid: str | None, *, hls: bool = False, extra: str = "&format=json") -> str:
    """Return the target of a start call."""
    call = "manifest.m3u8" if hls else "getstream"
    return f"/ace/{call}?infohash={what.infohash}{f'&pid={pid}' if pid else ''}{extra}"


async def start(
    simulator: Simulator, what: Content, pid: str | None = "p", *, hls: bool = False, extra: str = ""
) -> dict[str, Any]:
    """Start a playback; return the response object."""
    answer = (await ask(simulator, start_target(what, pid, hls=hls, extra=f"&format=json{extra}"))).json
    assert answer["error"] is None
    response: dict[str, Any] = answer["response"]
    return response


async def stat(simulator: Simulator, response: dict[str, Any], query: str = "") -> Any:
    """Ask for stat; return the whole answer."""
    return (await ask(simulator, local(response["stat_url"]) + query)).json


async def media_target(simulator: Simulator, response: dict[str, Any]) -> str:
    """Follow the redirect of a progressive playback; return the target of the stream."""
    hop = await ask(simulator, local(response["playback_url"]))
    assert hop.status == 302
    return local(hop.headers["location"])


async def open_media(simulator: Simulator, response: dict[str, Any]) -> Wire:
    """Open the stream of a progressive playback; return the connection with the head not yet read."""
    wire = await Wire.open(simulator)
    wire.send(await media_target(simulator, response))
    return wire


async def until_silent(wire: Wire) -> None:
    """Read until nothing comes for a while, but no end either."""
    async with asyncio.timeout(LIMIT_S):
        while not await wire.silent_for(QUIET_S):
            assert not wire.reader.at_eof()


async def json_start(simulator: Simulator, what: Content, pid: str = "p") -> Any:
    """Start by JSON; return the whole answer."""
    return (await ask(simulator, start_target(what, pid))).json


async def playing(simulator: Simulator, what: Content, pid: str = "p") -> Wire:
    """Start and open a stream past its head."""
    wire = await open_media(simulator, await start(simulator, what, pid))
    assert (await wire.head())[0] == 200
    return wire
