"""One HTTP response that is received into a sink: the protocol below `media`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import Enum, StrEnum, auto
from itertools import chain
from typing import Protocol

from aceproxy.engine.http_response import (
    HEAD_LIMIT_BYTES,
    STATUS_LINE_START,
    BrokenResponseError,
    ChunkDecoder,
    ResponseHead,
    head_end,
    parse_head,
)
from aceproxy.engine.rests import Beats, Rests
from aceproxy.engine.words import error_text
from aceproxy.errors import AceProxyError, Reason

ERROR_TEXT_LIMIT_BYTES = 4096  # of an error page
CHUNKED_ROOM_BYTES = 256 << 10
REDIRECTS = (301, 302, 303, 307, 308)


class NotYet(AceProxyError):  # noqa: N818 - no error yet, as the name says
    """The playback gives no media now but may a little later (§9 rows 3, 4, 6): to be tried again.

    `reason` is what to report if the deadline passes without anything more telling.
    """


class PageError(AceProxyError):
    """A page came in the place of media, as if it were that (status 200), with words that nobody knows (ENGINE_ERROR).

    No engine does so (§4.1): what answers there is something else, or broken, for this link as for any other.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.ENGINE_ERROR, detail)


class ByteSink(Protocol):
    """Where received media goes. Both methods are called on the event loop and must not block."""

    def room(self) -> memoryview:
        """Return writable memory for the next received bytes, never empty."""

    def filled(self, n: int) -> None:
        """Take note that the first `n` bytes of the last `room()` hold media now."""


class MediaEnd(StrEnum):
    """How a body ended."""

    EOF = "eof"  # orderly: the engine closed, or all announced bytes are there
    RESET = "reset"  # the connection failed
    BROKEN = "broken"  # what arrived contradicts HTTP, or ended before its announced end
    CLOSED = "closed"  # by `MediaReader.close`


class _Phase(Enum):
    HEAD = auto()
    BODY = auto()  # decoded and copied: chunked, or its first bytes are still being looked at
    DIRECT = auto()  # received into the sink's memory
    ERROR = auto()  # the text of an error page
    DONE = auto()


class ResponseBody(asyncio.BufferedProtocol):
    """One response on one connection.

    `opened` is done when there is media in the sink, or a redirect, or the whole of an error page (`error_page`); it
    fails with NotYet. `ended` is done, with a result in every case, when nothing more will come.
    """

    def __init__(
        self, sink: ByteSink, error_text_timeout_s: float, *, partial: bool = False, may_be_empty: bool = False
    ) -> None:
        """`partial`: a part of a file was asked for, so 206 is media as well.

        `may_be_empty`: it is of a file, of which an announced length of 0 is the truth and no failure.
        """
        self._may_be_empty = may_be_empty
        self._media_statuses = (200, 206) if partial else (200,)
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        self._phase = _Phase.HEAD
        self._staging = bytearray(HEAD_LIMIT_BYTES)
        self._staged = 0
        self._first = bytearray()  # first bytes of the body while they might still be a second status line
        self._decided = False
        self._chunks: ChunkDecoder | None = None
        self._left: int | None = None
        self._eof = False
        self._error_text_timeout_s = error_text_timeout_s
        self._error_timer: asyncio.TimerHandle | None = None
        self._rests: Rests | None = None
        self._rest_below_bytes = 0
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self.head: ResponseHead | None = None
        self.error_page = bytearray()
        self.received_bytes = 0
        self.is_empty_file = False
        self.last_byte_at = self._loop.time()
        self.detail = ""
        self.opened: asyncio.Future[ResponseHead] = self._loop.create_future()
        self.ended: asyncio.Future[MediaEnd] = self._loop.create_future()

    # called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next bytes go."""
        del sizehint  # the ring decides
        if self._phase is _Phase.DIRECT:
            room = self._sink.room()
            return room if self._left is None else room[: self._left]
        return memoryview(self._staging)[self._staged :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has arrived."""
        if self._phase is _Phase.DIRECT:
            self.last_byte_at = self._loop.time()
            self._fill(nbytes)
            self._rest(nbytes)
            return
        try:
            if self._phase is _Phase.HEAD:
                self._staged += nbytes
                self._read_head()
            else:
                self._read_body(memoryview(self._staging)[:nbytes])
                self._rest(nbytes)
        except BrokenResponseError as error:
            self._end(MediaEnd.BROKEN, str(error))

    def eof_received(self) -> bool:
        """Note the orderly end; the transport then closes itself."""
        self._eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Conclude how the body ended."""
        if exc is not None and not isinstance(exc, OSError):
            self._end(MediaEnd.BROKEN, error_text(type(exc).__name__))
        elif exc is not None or not self._eof:
            self._end(MediaEnd.RESET, "connection reset")
        elif self._left or (self._chunks is not None and not self._chunks.ended):
            self._end(MediaEnd.BROKEN, "ended before its announced end")
        else:
            self._end(MediaEnd.EOF, "closed by the engine")
        self._transport = self._rests = None  # which know this protocol: no cycle is left to be looked for

    # called by the owner

    def send(self, request: bytes) -> None:
        """Send the one request of this connection."""
        assert self._transport is not None
        self._transport.write(request)

    def pause(self) -> None:
        """Receive nothing until `resume`; the engine is held up by TCP. Of no effect once it has ended."""
        self._paused = True
        if self._rests is not None:
            self._rests.end()
        if self._transport is not None and self._phase is not _Phase.DONE:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False
        self._rested()
        self.last_byte_at = self._loop.time()  # the silence was ours

    def rest_between_reads(self, rest_s: float, below_bytes: int, beats: Beats) -> None:
        """From now on, after a read that found fewer than `below_bytes`, read again `rest_s` later at most.

        Of both twice as much where many share the `beats`. See `Rests`. To be called once.
        """
        if rest_s > 0 and self._transport is not None and self._phase is not _Phase.DONE:
            self._rest_below_bytes = below_bytes
            self._rests = Rests(self._transport, self, rest_s, beats, self._rested, self._reset)

    def close(self) -> None:
        """End it at once; the sink is not called any more. May be called again."""
        self._end(MediaEnd.CLOSED, "closed")

    # own steps

    def _rest(self, nbytes: int) -> None:
        """Rest after a read of so many bytes, if that is all there was."""
        if self._rests is None or self._paused or self._phase not in (_Phase.DIRECT, _Phase.BODY):
            return
        below_bytes = self._rest_below_bytes * self._rests.step
        if nbytes < (below_bytes if self._phase is _Phase.DIRECT else min(below_bytes, CHUNKED_ROOM_BYTES)):
            self._rests.begin()

    def _rested(self) -> None:
        if self._transport is not None and self._phase is not _Phase.DONE and not self._paused:
            self._transport.resume_reading()

    def _reset(self, error: OSError) -> None:
        self._end(MediaEnd.RESET, error_text(error.strerror or "connection reset"))

    def _read_head(self) -> None:
        end = head_end(self._staging[: self._staged])
        if end < 0:
            if self._staged == HEAD_LIMIT_BYTES:
                raise BrokenResponseError("a head longer than 16 KiB")
            return
        head = self.head = parse_head(bytes(self._staging[:end]))
        rest = bytes(self._staging[end : self._staged])
        self._staged = 0
        self._left = head.length
        if head.status in REDIRECTS:
            self._open(head)
            return
        if head.status in self._media_statuses and "json" not in head.headers.get("content-type", ""):
            self._phase = _Phase.BODY
            self._decided = False
        else:
            self._begin_page(head)
        if head.chunked:
            self._chunks = ChunkDecoder()
            self._staging = bytearray(CHUNKED_ROOM_BYTES)
        self._read_body(memoryview(rest))
        if self._left == 0:
            self._end(MediaEnd.EOF, "all bytes received")

    def _begin_page(self, head: ResponseHead) -> None:
        """What follows is text, to be read to its end, but not for long."""
        self._phase = _Phase.ERROR
        self._error_timer = self._loop.call_later(self._error_text_timeout_s, self._open, head)

    def _read_body(self, received: memoryview) -> None:
        if self._chunks is None:
            self._take(received if self._left is None else received[: self._left])
            return
        parts = self._chunks.feed(received)
        for part in parts:
            if self._phase is _Phase.BODY and self._decided:
                self._copy(chain((part,), parts))
            else:
                self._take(part)
        if self._chunks.ended:
            self._end(MediaEnd.EOF, "all bytes received")

    def _take(self, part: memoryview) -> None:
        """Take bytes of the body proper, without framing."""
        if self._phase is _Phase.DONE or not part:
            return
        if self._phase is _Phase.ERROR:
            self.error_page += part[: ERROR_TEXT_LIMIT_BYTES - len(self.error_page)]
            self._count(len(part))
        elif self._decided:
            self._copy((part,))
        else:
            self._first += part
            if STATUS_LINE_START.startswith(self._first[: len(STATUS_LINE_START)]):
                if len(self._first) >= len(STATUS_LINE_START):
                    raise BrokenResponseError("two responses in one")
                return
            self._decided = True
            first, self._first = self._first, bytearray()
            if self.head is not None and "html" in self.head.headers.get("content-type", "") and first[:1] == b"<":
                self._begin_page(self.head)
                self._take(memoryview(first))
            else:
                self._copy((memoryview(first),))

    def _copy(self, parts: Iterable[memoryview]) -> None:
        """Copy parts of the body into the sink: small ones together."""
        self.last_byte_at = self._loop.time()
        if self._chunks is None:
            self._phase = _Phase.DIRECT
        room, used = self._sink.room(), 0
        try:
            for part in parts:
                rest = part
                while rest and self._phase is not _Phase.DONE:
                    n = min(len(room) - used, len(rest))
                    room[used : used + n] = rest[:n]
                    used, rest = used + n, rest[n:]
                    if used == len(room):
                        self._fill(used)
                        room, used = self._sink.room(), 0
        finally:  # what came before a broken chunk is media
            self._fill(used)

    def _fill(self, count: int) -> None:
        if not count or self._phase is _Phase.DONE:
            return
        try:
            self._sink.filled(count)
        except OSError as error:
            self._end(MediaEnd.BROKEN, f"the media cannot be kept: {error.strerror}")
        else:
            self._count(count)

    def _count(self, nbytes: int) -> None:
        if self._phase is not _Phase.ERROR:
            self.received_bytes += nbytes
            if not self.opened.done() and self.head is not None:
                self.opened.set_result(self.head)
        if self._left is not None:
            self._left -= nbytes
            if self._left == 0:
                self._end(MediaEnd.EOF, "all bytes received")

    def _open(self, head: ResponseHead) -> None:
        if not self.opened.done():
            self.opened.set_result(head)

    def _end(self, how: MediaEnd, detail: str) -> None:
        if self.ended.done():
            return
        if self._error_timer is not None:
            self._error_timer.cancel()
        if self._rests is not None:
            self._rests.close()
        self.detail = detail
        self.ended.set_result(how)
        if not self.opened.done():
            if how is MediaEnd.CLOSED:
                self.opened.cancel()
            elif self._phase is _Phase.ERROR and self.head is not None:
                self.opened.set_result(self.head)
            elif self._may_be_empty and how is MediaEnd.EOF and self.head is not None and self.head.length == 0:
                self.is_empty_file = True
                self.opened.set_result(self.head)
            else:
                self.opened.set_exception(self._not_opened(how, detail))
        self._phase = _Phase.DONE
        if self._transport is not None:
            self._transport.abort()

    def _not_opened(self, how: MediaEnd, detail: str) -> NotYet:
        if how is MediaEnd.BROKEN:
            return NotYet(Reason.ENGINE_ERROR, f"a corrupt response: {detail}")
        if self.head is None:
            return NotYet(Reason.NO_DATA, f"no answer, {detail}")
        return NotYet(Reason.NO_DATA, "an empty body" if how is MediaEnd.EOF else f"no data, {detail}")
