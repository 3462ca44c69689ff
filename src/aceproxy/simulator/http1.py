"""A small HTTP/1.1 server side on asyncio streams, made so that every way of breaking an answer is in reach.

Rules: one request at a time on a connection; request line and headers up to 16 KiB, body up to 1 MiB with
Content-Length only; the write buffer of a connection stays below `WRITE_BUFFER_BYTES` plus one write. A caller that
closes its sending side counts as gone. Source: RFC 9110, RFC 9112; header shapes from engine-api §3.6.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import parse_qsl, urlsplit

HEAD_LIMIT_BYTES = 16 * 1024
BODY_LIMIT_BYTES = 1024 * 1024
WRITE_BUFFER_BYTES = 256 * 1024
SEND_BUFFER_BYTES = 256 * 1024
POLL_S = 0.02
LINGER_S = 2.0
SERVER = "BaseHTTP/0.6 Python/3.8.16"
REASONS = {
    100: "Continue",
    200: "OK",
    206: "Partial Content",
    302: "Found",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Request Entity Too Large",
    416: "Requested Range Not Satisfiable",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Unsupported method",
    503: "Service Unavailable",
}
ALLOW_ALL = ("Access-Control-Allow-Origin", "*")


class BadRequestError(Exception):
    """What was sent is no request that this server takes; carries the status to answer with."""

    def __init__(self, status: int) -> None:
        """`status` is a key of REASONS."""
        super().__init__(REASONS[status])
        self.status = status


@dataclass(frozen=True)
class Request:
    """One request. Header names are lower case; `query` holds the first value of each parameter."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True)
class Answer:
    """One whole answer. Without `sized` it has no Content-Length and ends with the connection."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    sized: bool = True


def text_answer(status: int, text: str, *, cors: bool = True) -> Answer:
    """Return a plain text answer as the engine's errors are: no charset (engine-api §3.6)."""
    headers = (("Content-Type", "text/plain"),) + ((ALLOW_ALL,) if cors else ())
    return Answer(status, text.encode(), headers)


def json_answer(value: object) -> Answer:
    """Return a JSON answer with status 200."""
    return Answer(200, json.dumps(value).encode(), (("Content-Type", "application/json"), ALLOW_ALL))


def head_bytes(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return status line and headers, with Server and Date as the engine sends them."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Server: {SERVER}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def parse_head(head: bytes) -> tuple[str, str, bool, dict[str, str]]:
    """Return method, target, whether it is HTTP/1.1, and headers. Raises BadRequestError."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.0", "HTTP/1.1") or not parts[0].isalpha():
        raise BadRequestError(400)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if line and (not colon or not name or name != name.strip()):
            raise BadRequestError(400)
        if line:
            headers.setdefault(name.lower(), value.strip())
    return parts[0], parts[1], parts[2] == "HTTP/1.1", headers


class Connection:
    """One accepted connection. Used by one task; `abort` may be called by others on the same loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over a connection that was just accepted."""
        self._reader = reader
        self._writer = writer
        self._chunked = False
        self.drip_s = 0.0  # between two bytes of an answer; 0: it is sent at once
        peer = writer.get_extra_info("peername") or ("", 0)
        local = writer.get_extra_info("sockname") or ("", 0)
        self.peer_host = str(peer[0])
        self.local_address = f"{local[0]}:{local[1]}"
        writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        # the kernel would take several MB more for a caller that reads nothing
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    @property
    def gone(self) -> bool:
        """Whether the caller has closed, or the connection was ended here."""
        return self._reader.at_eof() or self._writer.transport.is_closing()

    async def read_request(self, limit_s: float) -> Request | None:
        """Return the next request, or None when there is none within `limit_s` or the caller is gone.

        Raises BadRequestError. Cancelling it loses what was read.
        """
        try:
            async with asyncio.timeout(limit_s):
                head = await self._reader.readuntil(b"\r\n\r\n")
                method, target, newer, headers = parse_head(head[:-4])
                body = await self._read_body(headers)
        except asyncio.LimitOverrunError:
            raise BadRequestError(431) from None
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return None
        try:
            parts = urlsplit(target)
        except ValueError:
            raise BadRequestError(400) from None
        query: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(name, value)
        wish = headers.get("connection", "").lower()
        keep_alive = "close" not in wish if newer else "keep-alive" in wish
        return Request(method, target, parts.path, query, headers, body, keep_alive)

    async def _read_body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            raise BadRequestError(411)
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise BadRequestError(400)
        if int(length) > BODY_LIMIT_BYTES:
            raise BadRequestError(413)
        if headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self._reader.readexactly(int(length))

    async def answer(self, answer: Answer, *, with_body: bool = True) -> None:
        """Send a whole answer; `with_body` false is for HEAD."""
        headers = answer.headers
        if answer.sized:
            headers += (("Content-Length", str(len(answer.body))),)
        whole = head_bytes(answer.status, headers) + (answer.body if with_body else b"")
        if self.drip_s:
            await self.drip(whole, self.drip_s)
        else:
            self._writer.write(whole)
        await self.flush(LINGER_S)

    async def drip(self, part: bytes, pause_s: float) -> None:
        """Send bytes one by one, with so much time between two, as long as the caller is there."""
        for at in range(len(part)):
            if self.gone:
                return
            self._writer.write(part[at : at + 1])
            await asyncio.sleep(pause_s)

    def begin_body(self, headers: tuple[tuple[str, str], ...], *, status: int = 200, chunked: bool = False) -> None:
        """Send the head of a body without known length; it ends with the connection, or with `end_chunks`."""
        self._chunked = chunked
        if chunked:
            headers += (("Transfer-Encoding", "chunked"),)
        self._writer.write(head_bytes(status, headers))

    def write_nowait(self, block: bytes) -> None:
        """Send bytes of the body. Ask `has_room` before, or the buffer grows."""
        if self._chunked and block:
            block = b"%x\r\n" % len(block) + block + b"\r\n"
        self._writer.write(block)

    def end_chunks(self) -> None:
        """Send the last chunk, if the body is chunked."""
        if self._chunked:
            self._writer.write(b"0\r\n\r\n")

    @property
    def has_room(self) -> bool:
        """Whether the write buffer is below its limit."""
        return self._writer.transport.get_write_buffer_size() < WRITE_BUFFER_BYTES

    async def wait_for_room(self, limit_s: float) -> None:
        """Return when there is room again, the caller is gone, or `limit_s` is over."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(limit_s):
                await self._writer.drain()

    async def flush(self, limit_s: float) -> None:
        """Return when everything is handed to the kernel, the caller is gone, or `limit_s` is over."""
        await self.pause(limit_s, lambda: not self._writer.transport.get_write_buffer_size())

    async def pause(self, limit_s: float, until: Callable[[], bool] | None = None) -> None:
        """Return after `limit_s`, or as soon as the caller is gone or `until()` is true."""
        ends_at = time.monotonic() + limit_s
        while not self.gone and not (until and until()):
            left = ends_at - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, POLL_S))

    async def close(self) -> None:
        """Send what is buffered, within `LINGER_S`, and close."""
        await self.flush(LINGER_S)
        if self._writer.transport.get_write_buffer_size():
            self.abort()
            return
        self._writer.close()

    def abort(self) -> None:
        """Close at once, dropping what is buffered."""
        self._writer.transport.abort()

    def reset(self) -> None:
        """Close with a TCP reset instead of a FIN."""
        raw: socket.socket | None = self._writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()
