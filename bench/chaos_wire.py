"""HTTP as the clients of the chaos run speak it: byte by byte, so that they can speak it badly."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass

PACKET = 188
LIMIT_BYTES = 64 * 1024  # what asyncio holds of an answer for us, twice at most
HEAD_S = 60.0


class NoHeadError(Exception):
    """The connection ended before there were headers."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of an answer; names are in lower case."""

    status: int
    headers: dict[str, str]

    @property
    def length(self) -> int | None:
        """The Content-Length, if there is one."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdigit() else None


class Wire:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, *, receive_bytes: int = 0, limit: int = LIMIT_BYTES) -> Wire:
        """Connect. `receive_bytes`: size of the kernel's buffer, so that who does not read is felt. Raises OSError."""
        raw = socket.socket()
        try:
            if receive_bytes:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            raw.setblocking(False)
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        except BaseException:
            raw.close()
            raise
        return cls(*await asyncio.open_connection(sock=raw, limit=limit))

    def ask(self, target: str, agent: str, *, method: str = "GET", version: str = "1.1", headers: str = "") -> None:
        """Send a request; `headers` is whole lines."""
        self.writer.write(request(target, agent, method=method, version=version, headers=headers))

    async def head(self, limit_s: float = HEAD_S) -> Head:
        """Read the headers. Raises TimeoutError, NoHeadError, ConnectionError."""
        try:
            async with asyncio.timeout(limit_s):
                raw = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            raise NoHeadError from None
        first, *lines = raw.decode("latin-1").strip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return Head(int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs})

    async def body(self, head: Head, limit_s: float = HEAD_S) -> bytes:
        """Read a body that has a length, or ends with the connection.

        Raises TimeoutError, EOFError, ConnectionError.
        """
        async with asyncio.timeout(limit_s):
            if head.length is not None:
                return await self.reader.readexactly(head.length)
            return await self.reader.read(-1)

    def close(self) -> None:
        """Leave."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Leave with a TCP reset."""
        raw: socket.socket | None = self.writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def request(target: str, agent: str, *, method: str = "GET", version: str = "1.1", headers: str = "") -> bytes:
    """Write the head of a request."""
    return f"{method} {target} HTTP/{version}\r\nHost: 127.0.0.1\r\nUser-Agent: {agent}\r\n{headers}\r\n".encode()


def reason_in(body: bytes) -> str | None:
    """Return the reason that an error answer tells; None where it tells none."""
    try:
        reason = json.loads(body)["error"]["reason"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(reason)


async def fetch(
    port: int, target: str, agent: str, *, method: str = "GET", headers: str = "", limit_s: float = HEAD_S
) -> tuple[Head, bytes]:
    """Make one request on a connection of its own. Raises NoHeadError, TimeoutError, EOFError, OSError."""
    wire = await Wire.open(port)
    try:
        wire.ask(target, agent, method=method, headers=f"Connection: close\r\n{headers}")
        head = await wire.head(limit_s)
        return head, b"" if method == "HEAD" else await wire.body(head, limit_s)
    finally:
        wire.close()
