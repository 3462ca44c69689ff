"""The HTTP server: all routes on one port."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from aceproxy.web.answers import add_security_headers, errors_as_json
from aceproxy.web.connections import Connection, Connections
from aceproxy.web.guard import Guard

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

    def __init__(self, groups: list[Routes], guard: Guard, connections: Connections) -> None:
        self.connections = connections
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

        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            return Connection(self.connections, server, loop)

        self._listening = await loop.create_server(connection, host, port, backlog=BACKLOG, reuse_address=True)
        return [one.getsockname()[:2] for one in self._listening.sockets]

    async def stop_listening(self) -> None:
        """Accept nobody any more; who is connected stays."""
        if self._listening is not None:
            self._listening.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._runner.cleanup()
