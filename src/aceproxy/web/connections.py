"""Connections, and how long and how many of them may wait for a request.

Whoever opens a connection and sends no request, or one byte of it now and then, costs memory and a descriptor. So a
request's head has a deadline, and only so many connections may wait: for one address, and in all. When all places are
taken, a newcomer gets one of the address that has the most, so that who comes with one is served while others come
with thousands. A connection that has its request is none of them: players stay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from aceproxy.access.networks import Networks
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.web.answers import SECURITY_HEADERS, error_answer
from aceproxy.web.forwarded import normal_address

SWEEP_S = 0.5
GRACE_S = 0.25  # in which nobody is turned away for having many: a burst of real clients is accepted at once
SEND_LIMIT_S = 30.0  # for a whole answer that is no stream; its reader has stopped reading then
NO_MESSAGES: deque[Any] = deque(maxlen=0)  # for all who take no more: an empty queue takes 700 bytes

log = logging.getLogger(__name__)


class Connections:
    """Those that are open, and those of them that wait. Event loop only."""

    def __init__(self, settings: Settings, most: int) -> None:
        """`most`: connections at all, for which there are descriptors."""
        self.turned_away = 0  # connections closed for waiting too long, or for too many of them
        self._settings = settings
        self._proxies = Networks(settings.trusted_proxies)
        self._most = most
        self._open = 0
        self._waiting: dict[Connection, None] = {}  # in the order in which they began to wait
        self._by_address: dict[str, dict[Connection, None]] = {}  # the same, but for trusted proxies
        self._sweeping: asyncio.TimerHandle | None = None

    def settings_changed(self, settings: Settings) -> None:
        """Take the proxies that are trusted now for such; who waits already stays where it was counted."""
        self._proxies.become(settings.trusted_proxies)

    @property
    def waiting(self) -> int:
        """How many wait for a request."""
        return len(self._waiting)

    def opened(self, connection: Connection) -> bool:
        """Take a new connection; False if there is no room for it."""
        self._open += 1
        if self._open > self._most or not self._make_room(connection.address):
            self.turned_away += 1
            return False
        self.wait(connection)
        return True

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open -= 1
        self.asked(connection)

    def wait(self, connection: Connection) -> None:
        """A connection waits for its next request."""
        self.asked(connection)
        self._waiting[connection] = None
        if connection.address not in self._proxies:
            self._by_address.setdefault(connection.address, {})[connection] = None
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def asked(self, connection: Connection) -> None:
        """A connection has its request, or waits no more."""
        self._waiting.pop(connection, None)
        waiting = self._by_address.get(connection.address)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._by_address[connection.address]

    def _make_room(self, address: str) -> bool:
        """See to it that one more may wait; False if nobody has more than `address`, and all have only just come."""
        if len(self._waiting) < self._settings.max_waiting:
            return True
        heaviest = max(self._by_address.values(), key=len, default={})
        if len(heaviest) > len(self._by_address.get(address, ())) + 1:
            self._turn_away(next(iter(heaviest)))
            return True
        oldest = next(iter(self._waiting))
        if asyncio.get_running_loop().time() - oldest.waiting_at < GRACE_S:
            return False
        self._turn_away(oldest)
        return True

    def _sweep(self) -> None:
        """Turn away who waits for too long, and of an address with too many the longest waiting ones."""
        self._sweeping = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._waiting):
            if connection.deadline_at(self._settings.head_timeout_s) <= now:
                self._turn_away(connection)
        for many in list(self._by_address.values()):
            if len(many) > self._settings.max_waiting_per_address:
                owing = [one for one in many if one.owes_a_head and now - one.waiting_at >= GRACE_S]
                for connection in owing[: max(0, len(owing) - self._settings.max_waiting_per_address)]:
                    self._turn_away(connection)
        if self._waiting:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _turn_away(self, connection: Connection) -> None:
        self.turned_away += 1
        self.asked(connection)
        connection.turn_away()


class Connection(RequestHandler):
    """One connection; what is refused before there is a request gets the same kind of answer as everything else."""

    __slots__ = ("_begun", "_connections", "_head_at", "_is_counted", "_takes_more", "address", "waiting_at")

    def __init__(self, connections: Connections, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, **server._kwargs)  # noqa: SLF001 - aiohttp offers no way to say which class
        self._connections = connections
        self._is_counted = False
        self._takes_more = True  # requests
        self._begun = False  # whether bytes of a request have come that is not whole yet
        self._head_at: float | None = None  # since when a head is owed: from the start, later from its first byte
        self.address = ""
        self.waiting_at = 0.0  # loop time

    @property
    def owes_a_head(self) -> bool:
        """Whether a request has been begun, or none has ever come."""
        return self._head_at is not None

    def deadline_at(self, head_timeout_s: float) -> float:
        """Return the loop time at which it has waited too long; one that rests between requests has another limit."""
        return float("inf") if self._head_at is None else self._head_at + head_timeout_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there is no room."""
        peer = transport.get_extra_info("peername")
        self.address = normal_address(str(peer[0])) if isinstance(peer, tuple) else ""
        self.waiting_at = self._head_at = self._loop.time()
        self._is_counted = True
        if self._connections.opened(self):
            super().connection_made(transport)
        else:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        if self._is_counted:
            self._is_counted = False
            self._connections.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note when a head begins, and when it is whole."""
        if not self._takes_more:
            return
        super().data_received(data)
        if self._messages:  # a whole head: it is for us to serve it, however long we need to get to that
            self._connections.asked(self)
            self._head_at = None
            self._begun = False
        elif not self._request_in_progress:
            self._begun = True
            if self._head_at is None:
                self._head_at = self._loop.time()

    def take_no_more(self) -> None:
        """Read no further requests: what is answered now ends with the connection. Lets go of what reads them."""
        self._takes_more = False
        self._parser = None
        self._messages = NO_MESSAGES
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
            self._keepalive_handle = None

    def turn_away(self) -> None:
        """Close it; who has begun a request is told why, as far as the socket takes it at once."""
        if self._begun and self.transport is not None:
            self.transport.write(_too_slow())
        self.force_close()

    async def _handle_request(self, *arguments: Any) -> tuple[web.StreamResponse, bool]:
        """Serve one request: meanwhile it does not count as waiting."""
        self._connections.asked(self)
        try:
            return await super()._handle_request(*arguments)
        finally:
            if self._is_counted:
                self.waiting_at = self._loop.time()
                self._head_at = None
                self._begun = False
                self._connections.wait(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send what is left of an answer, as long as somebody reads it."""
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            if isinstance(self.transport, asyncio.WriteTransport):
                self.transport.abort()
            return resp, True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or one whose answer failed."""
        if isinstance(exc, (ConnectionError, TimeoutError)) or request.writer.output_size > 0:
            raise ConnectionError("the client is gone, or has been sent something already")
        if status >= 500:
            log.error("answering %s failed", request.path, exc_info=exc)
            answer = error_answer(AceProxyError(Reason.INTERNAL))
        else:
            answer = error_answer(AceProxyError(Reason.REQUEST_REFUSED, _parsers_words(message or "")))
        answer.headers.update({**SECURITY_HEADERS, "Server": "AceProxy"})
        answer.force_close()
        return answer


def _parsers_words(message: str) -> str:
    """Say in one line what the parser found wrong, without what it had read: that may hold a token."""
    words = message.partition("\n")[0].rstrip(": ")
    if words.startswith("Got more than "):
        return words.partition(" when reading")[0] + " in the address or in one header"
    return words


def _too_slow() -> bytes:
    """Write an answer by hand: there is no request that aiohttp could answer."""
    answer = error_answer(AceProxyError(Reason.REQUEST_TIMEOUT))
    body = answer.body
    assert isinstance(body, bytes)
    headers = {
        **SECURITY_HEADERS,
        "Server": "AceProxy",
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 408 Request Timeout\r\n{head}\r\n".encode() + body
