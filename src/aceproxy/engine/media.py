"""The progressive body of a playback, received straight into the memory it stays in (engine-api §4.1).

`open_media` asks for it, follows the engine's own redirects, and hands back a `MediaReader` once the first byte of
media has arrived. From then on the event loop receives directly into what the sink offers: no bytes object is made on
the way, and nothing here ever waits for anybody.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from aceproxy.engine.body import REDIRECTS, ByteSink, MediaEnd, NotYet, PageError, ResponseBody
from aceproxy.engine.http_response import ResponseHead
from aceproxy.engine.messages import NO_JSON, error_of, is_media_url, rewrite_url
from aceproxy.engine.os_words import os_words
from aceproxy.engine.rests import Beats
from aceproxy.engine.words import error_text
from aceproxy.errors import AceProxyError, Reason

__all__ = [
    "ByteSink",
    "ForbiddenError",
    "MediaEnd",
    "MediaReader",
    "NotYet",
    "PageError",
    "RangeRefusedError",
    "SourceReader",
    "open_media",
]

REDIRECT_LIMIT = 3
RANGE_REFUSED = 416
_TOTAL = re.compile(r"bytes \*/([0-9]{1,18})")
_NOT_YET = (404, 500, 502, 503, 504)


class RangeRefusedError(AceProxyError):
    """The file does not have the bytes that were asked for (RFC 9110 §15.5.17); `total` is its size, if it was told."""

    def __init__(self, total: int | None) -> None:
        super().__init__(Reason.RANGE_NOT_SATISFIABLE)
        self.total = total


class ForbiddenError(AceProxyError):
    """The engine gives no media of a playback that it may still know: another one may run in its place (§9)."""


class SourceReader(Protocol):
    """Media that is being received into its sink, as a body or by a list. The owner must `close` it."""

    @property
    def received_bytes(self) -> int:
        """Bytes of media given to the sink so far."""

    @property
    def detail(self) -> str:
        """How it ended, in words; empty while it has not."""

    @property
    def last_byte_at(self) -> float:
        """The event loop's time when the last bytes arrived; now, while none are to be expected yet."""

    async def wait_ended(self) -> MediaEnd:
        """Wait until nothing more will come. Cancel-safe."""

    def pause(self) -> None:
        """Receive nothing until `resume`."""

    def resume(self) -> None:
        """Go on after `pause`."""

    def rest_between_reads(self, rest_s: float, below_bytes: int, beats: Beats) -> None:
        """After a read that found fewer than `below_bytes`, read again at most `rest_s` (seconds) later.

        Of both twice as much where many share the `beats`. To be called once.
        """

    def close(self) -> None:
        """Stop receiving at once; the sink is not called any more."""


class MediaReader:
    """A body that is being received into its sink. Made by `open_media`; the owner must `close` it."""

    def __init__(self, body: ResponseBody, url: str) -> None:
        self._body = body
        self.url = url

    @property
    def received_bytes(self) -> int:
        """Bytes of media given to the sink so far."""
        return self._body.received_bytes

    @property
    def last_byte_at(self) -> float:
        """The event loop's time when the last bytes arrived."""
        return self._body.last_byte_at

    @property
    def head(self) -> ResponseHead:
        """Status and headers of the answer."""
        assert self._body.head is not None  # or there would be no media
        return self._body.head

    @property
    def detail(self) -> str:
        """How the body ended, in words; empty while it has not."""
        return self._body.detail

    async def wait_ended(self) -> MediaEnd:
        """Wait until the body ends, without a limit of its own: silence is for the caller to judge. Cancel-safe."""
        return await asyncio.shield(self._body.ended)

    def pause(self) -> None:
        """Receive nothing until `resume`. May be called again."""
        self._body.pause()

    def resume(self) -> None:
        """Go on after `pause`; the time in between does not count as silence. May be called again."""
        self._body.resume()

    def rest_between_reads(self, rest_s: float, below_bytes: int, beats: Beats) -> None:
        """After a read that found fewer than `below_bytes`, read again at most `rest_s` (seconds) later.

        Of both twice as much where many share the `beats`. To be called once.
        """
        self._body.rest_between_reads(rest_s, below_bytes, beats)

    def close(self) -> None:
        """Stop receiving at once; the sink is not called any more. May be called at any time and again."""
        self._body.close()


async def open_media(
    url: str,
    engine_url: str,
    sink: ByteSink,
    *,
    connect_timeout_s: float,
    deadline_at: float,
    byte_range: str = "",
    may_be_empty: bool = False,
) -> MediaReader:
    """Ask for a progressive body and return its reader when the first byte of media is in the sink.

    `deadline_at` is in the event loop's time and bounds everything, since engines hold back even the headers while
    they prebuffer (§4.1); `connect_timeout_s` bounds each TCP connection. Only the engine itself is ever contacted:
    scheme, host and port of every address are replaced by `engine_url`'s. Cancel-safe: no connection is left.
    `byte_range` asks for a part of a file (RFC 9110 §14.1.2, such as `bytes=100-`); the answer's head says what it got.
    With `may_be_empty` a body whose announced length is 0 is returned as well: it is a file of no bytes.

    Raises RangeRefusedError, NotYet where a later try may succeed, the deadline included; AceProxyError with
    SESSION_LOST (the engine does not know the playback any more), ENGINE_UNREACHABLE, or ENGINE_ERROR (redirected
    astray).
    """
    loop = asyncio.get_running_loop()
    url = rewrite_url(url, engine_url)
    for _ in range(REDIRECT_LIMIT + 1):
        timeout_s = min(connect_timeout_s, deadline_at - loop.time())
        body = await _connect(url, sink, timeout_s, connect_timeout_s, byte_range, may_be_empty)
        try:
            async with asyncio.timeout_at(deadline_at):
                head = await body.opened
        except TimeoutError:
            body.close()
            if body.head is None:
                raise NotYet(Reason.START_TIMEOUT, "the engine held back its answer until the deadline") from None
            raise NotYet(Reason.NO_DATA, "headers, but no data until the deadline") from None
        except BaseException:
            body.close()
            raise
        if body.received_bytes or body.is_empty_file:
            return MediaReader(body, url)
        body.close()
        if head.status == RANGE_REFUSED and byte_range:
            total = _TOTAL.fullmatch(head.headers.get("content-range", ""))
            raise RangeRefusedError(int(total[1]) if total else None)
        if head.status not in REDIRECTS:
            raise _refused(head.status, body.error_page.decode("utf-8", "replace"))
        url = _next_hop(url, head.headers.get("location", ""), engine_url)
    raise AceProxyError(Reason.ENGINE_ERROR, f"more than {REDIRECT_LIMIT} redirects")


async def _connect(
    url: str, sink: ByteSink, timeout_s: float, error_text_timeout_s: float, byte_range: str, may_be_empty: bool
) -> ResponseBody:
    parts = urlsplit(url)
    body = ResponseBody(sink, error_text_timeout_s, partial=bool(byte_range), may_be_empty=may_be_empty)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    secure = True if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(lambda: body, parts.hostname or "", port, ssl=secure)
    except TimeoutError:
        raise AceProxyError(Reason.ENGINE_UNREACHABLE, "no connection in time") from None
    except OSError as error:
        raise AceProxyError(Reason.ENGINE_UNREACHABLE, os_words(error)) from error
    except BaseException:
        body.close()
        raise
    wanted = f"Range: {byte_range}\r\n" if byte_range else ""
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    body.send(
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: AceProxy\r\nAccept: */*\r\n"
        f"Accept-Encoding: identity\r\n{wanted}Connection: close\r\n\r\n".encode("ascii")
    )
    return body


def _next_hop(url: str, location: str, engine_url: str) -> str:
    try:
        target = urljoin(url, location)
    except ValueError:
        target = ""
    if not location or not is_media_url(target):
        raise AceProxyError(Reason.ENGINE_ERROR, f"redirected astray: {error_text(location)[:80]}")
    return rewrite_url(target, engine_url)


def _refused(status: int, text: str) -> AceProxyError:
    """What an answer without media means."""
    told = error_of(text)
    detail = f"HTTP {status}: {told.detail.removeprefix(NO_JSON)}"  # in the place of media nobody expects any
    if told.reason is Reason.SESSION_LOST:
        return AceProxyError(Reason.SESSION_LOST, detail)
    if status == 403:
        return ForbiddenError(Reason.SESSION_LOST, detail)
    if status == 200 or status in _NOT_YET:
        soon = told.reason in (Reason.START_TIMEOUT, Reason.CONTENT_NOT_FOUND)
        if status == 200 and told.reason is Reason.ENGINE_ERROR:
            return PageError(detail)
        return NotYet(Reason.START_TIMEOUT if soon else told.reason, detail)
    return AceProxyError(Reason.ENGINE_ERROR, detail)
