"""The HTTP server: all routes on one port."""

from __future__ import annotations

import socket
from typing import Protocol

from aiohttp import web

from aceproxy.web.answers import add_security_headers, errors_as_json

LINE_LIMIT = 32 << 10  # bytes of a request line or header; longer links than any real one still get a proper answer
BODY_LIMIT = 64 << 10
KEEPALIVE_S = 30.0
BACKLOG = 1024


class Routes(Protocol):
    """A group of routes."""

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""


class Server:
    """Serves groups of routes on one address."""

    def __init__(self, groups: list[Routes]) -> None:
        app = web.Application(middlewares=[errors_as_json], client_max_size=BODY_LIMIT)
        app.on_response_prepare.append(add_security_headers)
        for group in groups:
            group.add_to(app)
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
        site = web.TCPSite(self._runner, host, port, backlog=BACKLOG, reuse_address=True)
        await site.start()
        server = site._server  # noqa: SLF001 - aiohttp does not tell the sockets of a site in any other way
        sockets: tuple[socket.socket, ...] = getattr(server, "sockets", ())
        return [one.getsockname()[:2] for one in sockets]

    async def stop_listening(self) -> None:
        """Accept nobody any more; who is connected stays."""
        for site in list(self._runner.sites):
            await site.stop()

    async def close(self) -> None:
        """Close all connections."""
        await self._runner.cleanup()
