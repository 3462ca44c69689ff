"""The HTTP server: all routes on one port."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from aceproxy.errors import AceProxyError, Reason
from aceproxy.web.answers import SECURITY_HEADERS, add_security_headers, error_answer, errors_as_json
from aceproxy.web.guard import Guard

log = logging.getLogger(__name__)

LINE_LIMIT = 32 << 10  # bytes of a request line or header; longer links than any real one still get a proper answer
BODY_LIMIT = 64 << 10
KEEPALIVE_S = 30.0
BACKLOG = 1024


class Routes(Protocol):
    """A group of routes."""

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""


class _Connection(RequestHandler):
    """One connection; what is refused before there is a request gets the same kind of answer as everything else."""

    __slots__ = ()

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
            answer = error_answer(AceProxyError(Reason.REQUEST_REFUSED, (message or "").partition("\n")[0]))
        answer.headers.update({**SECURITY_HEADERS, "Server": "AceProxy"})
        answer.force_close()
        return answer


class Server:
    """Serves groups of routes on one address."""

    def __init__(self, groups: list[Routes], guard: Guard) -> None:
        app = web.Application(middlewares=[errors_as_json, guard.check], client_max_size=BODY_LIMIT)
        app.on_response_prepare.append(add_security_headers)
        self.groups = tuple(groups)
        for group in groups:
            group.add_to(app)
        self._listening: asyncio.Server | None = None
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,  # a client that leaves while it waits for a start must be noticed
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
            shutdown_timeout=1.0,
        )

    async def start(self, host: str | None, port: int) -> list[tuple[str, int]]:
        """Listen; returns the addresses, with the real port where 0 was asked. Raises OSError if it is taken."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None

        def connection() -> RequestHandler:
            made = server()
            made.__class__ = _Connection  # aiohttp offers no way to say which class it shall make
            return made

        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(connection, host, port, backlog=BACKLOG, reuse_address=True)
        return [one.getsockname()[:2] for one in self._listening.sockets]

    async def stop_listening(self) -> None:
        """Accept nobody any more; who is connected stays."""
        if self._listening is not None:
            self._listening.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._runner.cleanup()
