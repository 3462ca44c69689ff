"""Sending a segment: its head, and the rest from its block where it lies, whole or a range of it.

The kernel copies from the block to the socket without waiting; the event loop only hears when the socket can take more.
A block that is being sent lives until that is over, whatever the ring drops.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from aceproxy.hls.window import HeldSegment

PIECE_BYTES = 512 << 10  # handed to the kernel at once
WRITE_BYTES: Final = 64 << 10  # the same by way of the transport, which keeps a copy
LOOKS: Final = 4  # at what a player has taken, within the time in which it must have taken something
LONGEST: Final = 10  # times that: for one piece, however little at a time is taken of it; a block is held as long
_ACKNOWLEDGED: Final = slice(120, 128)  # tcpi_bytes_acked in Linux' struct tcp_info (linux/tcp.h)


@dataclass(frozen=True, slots=True)
class Span:
    """A range of a segment: from byte `start` to before byte `stop` of `size`."""

    start: int
    stop: int
    size: int

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self.start == 0 and self.stop == self.size

    @property
    def content_range(self) -> str:
        """The header of a partial answer (RFC 9110 §14.4)."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def asked_span(header: str | None, size: int) -> Span | None:
    """Read a `Range` header (RFC 9110 §14.1.2); None where nothing of it can be satisfied.

    What is not one range of bytes is ignored, as the standard wants it: then the span is everything.
    """
    everything = Span(0, size, size)
    unit, equals, text = (header or "").partition("=")
    if unit.strip().lower() != "bytes" or not equals or len(text) > 50:
        return everything
    first, dash, last = text.strip().partition("-")
    if not dash or not _is_number_or_empty(first) or not _is_number_or_empty(last) or not (first or last):
        return everything
    if not first:
        count = min(int(last), size)
        return Span(size - count, size, size) if count else None
    start, stop = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return everything
    return Span(start, stop, size) if start < size else None


def _is_number_or_empty(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit())


async def send_segment(
    request: web.Request,
    response: web.StreamResponse,
    held: HeldSegment,
    span: Span,
    stall_s: float,
    on_sent: Callable[[int], None],
) -> None:
    """Send a span of a segment as the body of `response`, whose headers are complete.

    `on_sent` hears of every piece that the socket took, and of 0 bytes while the player takes one slowly. A player that
    takes nothing for `stall_s` is cut off, and one that needs longer than LONGEST times that for a piece. Raises
    ConnectionError when it is gone. Cancel-safe: the connection is closed with the request.
    """
    response.content_length = span.stop - span.start
    await response.prepare(request)
    try:
        head = held.head[span.start : span.stop]
        if head:
            async with asyncio.timeout(stall_s):
                await response.write(head)
            on_sent(len(head))
        await _send_block(request, response, held, span, stall_s, on_sent)
        await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the player took nothing for too long") from None


async def _send_block(
    request: web.Request,
    response: web.StreamResponse,
    held: HeldSegment,
    span: Span,
    stall_s: float,
    on_sent: Callable[[int], None],
) -> None:
    position = max(0, span.start - len(held.head))
    end = span.stop - len(held.head)
    with contextlib.ExitStack() as open_:
        connection: socket.socket | None = None
        while position < end:
            transport = request.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError("the player has gone")
            if connection is None:
                connection = open_.enter_context(_beside(transport))
            count = min(PIECE_BYTES, end - position)
            async with _while_taking(transport, stall_s, on_sent):
                await _send_piece(transport, connection, response, held.block.view(position, count))
            on_sent(count)
            position += count


async def _send_piece(
    transport: asyncio.Transport, connection: socket.socket, response: web.StreamResponse, piece: memoryview
) -> None:
    """Send a piece without copying it, unless the transport still has to send what was written before.

    The transport would keep what its socket does not take at once: half a megabyte for each player that is slow.
    """
    if transport.get_write_buffer_size():
        for start in range(0, len(piece), WRITE_BYTES):
            await response.write(bytes(piece[start : start + WRITE_BYTES]))
        return
    while piece:
        try:
            piece = piece[connection.send(piece) :]
        except BlockingIOError:
            await _writable(connection)


async def _writable(connection: socket.socket) -> None:
    """Wait until a connection takes more, or is broken.

    Not `loop.sock_sendall`: a future and the error in it would know each other, and hold the block until somebody looks
    for cycles.
    """
    loop = asyncio.get_running_loop()
    is_writable = loop.create_future()

    def note() -> None:
        loop.remove_writer(connection)
        if not is_writable.done():
            is_writable.set_result(None)

    loop.add_writer(connection, note)
    try:
        await is_writable
    finally:
        loop.remove_writer(connection)


def _beside(transport: asyncio.Transport) -> socket.socket:
    """Return another descriptor of a transport's connection: the event loop watches that of the transport itself.

    Raises ConnectionResetError when there is none.
    """
    try:
        descriptor = os.dup(transport.get_extra_info("socket").fileno())
    except OSError as error:
        raise ConnectionResetError(f"the connection cannot be written to: {error.strerror}") from error
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(False)
    return connection


@asynccontextmanager
async def _while_taking(
    transport: asyncio.Transport, stall_s: float, on_sent: Callable[[int], None]
) -> AsyncIterator[None]:
    """Allow `stall_s` for what is done here, and as long again from each sign that the player takes something.

    The kernel says that a socket has room only when a third of its buffer is free, which may be more than a megabyte: a
    player that reads slowly would seem to take nothing. What its system has acknowledged tells. Raises TimeoutError.
    """
    loop = asyncio.get_running_loop()
    connection: socket.socket | None = transport.get_extra_info("socket")
    taken = _acknowledged_bytes(connection)
    last_at = loop.time() + LONGEST * stall_s
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal taken, timer
        before, taken = taken, _acknowledged_bytes(connection)
        if taken != before and not limit.expired():
            limit.reschedule(min(loop.time() + stall_s, last_at))
            on_sent(0)
        timer = loop.call_later(stall_s / LOOKS, look)

    async with asyncio.timeout(stall_s) as limit:
        timer = loop.call_later(stall_s / LOOKS, look)
        try:
            yield
        finally:
            timer.cancel()


def _acknowledged_bytes(connection: socket.socket | None) -> int:
    """Return how much of what was sent on a connection the other system has; always 0 where nobody can tell."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None or connection is None:
        return 0
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, option, _ACKNOWLEDGED.stop)
    except OSError:
        return 0  # it is closed, or no TCP connection
    return int.from_bytes(told[_ACKNOWLEDGED], sys.byteorder)
