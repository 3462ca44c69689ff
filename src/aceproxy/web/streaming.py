"""The progressive stream: `/ace/getstream`.

Headers are sent only when there is data; until then the request waits, and a failure is a real HTTP error. After the
headers the pump writes to the socket itself, so the event loop must have nothing left to write, and the body must be
delimited by the end of the connection: no chunks, no length.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct

from aiohttp import web

from aceproxy.engine.links import Link, check_url_host, engine_params, link_from_query
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.client import Client, Visitor
from aceproxy.streams.hub import Hub
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.stream import MetAnother, Stream

AGENT_LIMIT = 200  # characters of a User-Agent that are kept
FLUSH_LIMIT_S = 10.0  # for the headers to leave; a socket that takes no headers takes no stream
MEDIA_HEADERS = {
    "Content-Type": "video/mp2t",
    "Cache-Control": "no-store",
    "Access-Control-Allow-Origin": "*",
    "Accept-Ranges": "none",
    "Connection": "close",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class MediaResponse(web.StreamResponse):
    """A response whose body ends with the connection and is written past the event loop."""

    _length_check = False  # or aiohttp would turn to chunked encoding, which the pump does not write


def visitor_of(request: web.Request) -> Visitor:
    """Say who asks, with outside text made harmless."""
    agent = _CONTROL.sub(" ", request.headers.get("User-Agent", ""))[:AGENT_LIMIT]
    return Visitor(address=request.remote or "unknown", agent=agent)


class StreamRoutes:
    """The routes that deliver media."""

    def __init__(self, hub: Hub, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        for path in ("/ace/getstream", "/ace/getstream/"):
            app.router.add_get(path, self.get_stream, allow_head=False)
            app.router.add_head(path, self.head_stream)

    async def head_stream(self, request: web.Request) -> web.StreamResponse:
        """Tell what a GET would send, and start nothing."""
        self._link(request)
        return web.Response(headers={name: MEDIA_HEADERS[name] for name in MEDIA_HEADERS if name != "Connection"})

    async def get_stream(self, request: web.Request) -> web.StreamResponse:
        """Join the broadcast, starting it if need be, and stay until the client or the stream ends."""
        link = self._link(request)
        params = engine_params(list(request.query.items()))
        stream = self._hub.find_or_start(link, params)
        while True:
            try:
                await stream.ready()
                break
            except MetAnother as met:
                stream = met.stream
        client = stream.admit(visitor_of(request))
        self._hub.counters.clients_served += 1
        try:
            response = await self._open_response(request)
            reason = await self._deliver(request, stream, client)
        finally:
            stream.end_client(client, Reason.CLIENT_LEFT)
        if reason is Reason.STALLED_CLIENT:
            _reset_connection(request)
        return response

    def _link(self, request: web.Request) -> Link:
        link = link_from_query(list(request.query.items()))
        check_url_host(link, self._settings.url_hosts)
        return link

    async def _open_response(self, request: web.Request) -> MediaResponse:
        """Send the headers and wait until the event loop has nothing left to write."""
        response = MediaResponse(headers=MEDIA_HEADERS)
        response.force_close()
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left before the headers")
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(high=0)
            async with asyncio.timeout(FLUSH_LIMIT_S):
                await response.write(b"")
                await response.drain()
        return response

    async def _deliver(self, request: web.Request, stream: Stream, client: Client) -> Reason:
        """Hand the socket to the pump and wait for the client's end."""
        join = stream.ring.join()
        if join is None:
            raise AceProxyError(stream.close_reason or Reason.STREAM_NOT_RUNNING)
        connection: socket.socket | None = request.get_extra_info("socket")
        if connection is None:
            raise ConnectionResetError("the client left before the first byte")
        outlet = Outlet(stream.ring, join, connection, lambda reason: stream.client_done(client, reason))
        stream.attach(client, outlet)
        return await asyncio.shield(client.ended)


def _reset_connection(request: web.Request) -> None:
    """Let the kernel drop what a stalled client did not take, instead of keeping it for minutes."""
    connection: socket.socket | None = request.get_extra_info("socket")
    if connection is not None and request.transport is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
