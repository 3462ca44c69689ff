"""The progressive stream: `/ace/getstream`.

Headers are sent only when there is data; until then the request waits, and a failure is a real HTTP error. After the
headers the pump writes to the socket itself, so the event loop must have nothing left to write, and the body must be
delimited by the end of the connection: no chunks, no length.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from dataclasses import replace
from functools import partial

from aiohttp import web

from aceproxy.engine.links import Link, check_url_host
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.client import Client, Visitor
from aceproxy.streams.hub import Hub
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.owner import MetAnother, MetRecording
from aceproxy.streams.recording import NotARecording
from aceproxy.streams.spans import Facts
from aceproxy.streams.stream import Stream
from aceproxy.web.asked import asked_by
from aceproxy.web.connections import Connection
from aceproxy.web.cors import answer_preflight
from aceproxy.web.engine_starts import EngineStarts, wants_session
from aceproxy.web.files import FileLists
from aceproxy.web.playback_sessions import PlaybackSession, PlaybackSessions
from aceproxy.web.recordings import RecordingServer
from aceproxy.web.sounds import Sounds, Wish
from aceproxy.web.visitors import visitor_of

log = logging.getLogger(__name__)

FLUSH_POLL_S = 0.01
FLUSH_LIMIT_S = 10.0  # for the headers to leave; a socket that takes no headers takes no stream
MEDIA_HEADERS = {
    "Content-Type": "video/mp2t",
    "Cache-Control": "no-store",
    "Access-Control-Allow-Origin": "*",
    "Accept-Ranges": "none",
    "Connection": "close",
}


class MediaResponse(web.StreamResponse):
    """A response whose body ends with the connection and is written past the event loop."""

    _length_check = False  # or aiohttp would turn to chunked encoding, which the pump does not write


class StreamRoutes:
    """The routes that deliver media."""

    def __init__(
        self,
        hub: Hub,
        settings: Settings,
        starts: EngineStarts,
        vod: RecordingServer,
        files: FileLists,
        sounds: Sounds,
    ) -> None:
        self._hub = hub
        self._sounds = sounds
        self._settings = settings
        self._starts = starts
        self._vod = vod
        self._files = files

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        for path in ("/ace/getstream", "/ace/getstream/"):
            app.router.add_get(path, self.get_stream, allow_head=False)
            app.router.add_head(path, self.head_stream)
            app.router.add_options(path, answer_preflight)

    async def head_stream(self, request: web.Request) -> web.StreamResponse:
        """Tell what a GET would send, and start nothing."""
        return await self.head(request, asked_by(request, self._settings).link)

    async def head(self, request: web.Request, link: Link) -> web.StreamResponse:
        """Tell what playing a link would send. Raises AceProxyError for what is not allowed or cannot be had."""
        check_url_host(link, self._settings.url_hosts)
        wish = self._sounds.wish(request)
        if self._hub.find(link) is None:
            facts = self._vod.recordings.facts(link)
            if facts is None or facts.size_bytes is None:
                facts = await self._files.facts(link)
            if facts is not None and facts.size_bytes is not None:
                self._sounds.check_recording(wish)
                return self._vod.head(link, facts)
        response = web.Response(headers=MEDIA_HEADERS)
        response.force_close()
        return response

    async def get_stream(self, request: web.Request) -> web.StreamResponse:
        """Play the broadcast, or start a playback session of it if that is what is asked for."""
        if wants_session(request):
            return await self._starts.start(request, "ts")
        return await self.play(request)

    async def play(self, request: web.Request, link: Link | None = None) -> web.StreamResponse:
        """Play a broadcast or a recording, and stay until the client or what it plays ends.

        `link` where the path names it and not the query.
        """
        asked = asked_by(request, self._settings, link)
        link = asked.link
        wish = self._sounds.wish(request)
        if self._vod.recordings.facts(link) is not None:
            self._sounds.check_recording(wish)
            try:
                return await self._vod.play(request, link)
            except NotARecording:
                log.info("%s is not a recording any more", link.label)
        stream = asked.find_or_start(self._hub)
        try:
            visitor = visitor_of(request)
            if wish is not Wish.NONE:
                stream = await self._sounds.find(stream, visitor, wish)
            stream, client = await self._join(stream, visitor)
        except MetRecording as met:
            self._sounds.check_recording(wish)
            if self._vod.recordings.facts(link) is None:  # asked for by another name than the one it was started by
                self._vod.recordings.learn(link, Facts(met.playback.infohash))
            return await self._vod.play(request, link)
        return await self._serve(request, stream, client)

    async def play_session(
        self, request: web.Request, session: PlaybackSession, sessions: PlaybackSessions
    ) -> web.StreamResponse:
        """Play what a session is about; the reader ends with the session."""
        if session.is_recording:
            return await self._play_recording(request, session, sessions)
        if session.stream is None:
            raise session.failure or AceProxyError(Reason.SESSION_UNKNOWN)
        waiting = asyncio.current_task()
        assert waiting is not None
        sessions.add_reader(session, waiting, lambda _: _give_up(waiting))
        try:
            visitor = replace(visitor_of(request), ticket=session.ticket)
            stream = session.stream
            if session.sound is not Wish.NONE:
                stream = await self._sounds.find(stream, visitor, session.sound)
            stream, client = await self._join(stream, visitor)
            sessions.add_reader(session, client, partial(stream.end_client, client))
        except asyncio.CancelledError:
            if session.ended and waiting.uncancel() == 0:
                raise AceProxyError(Reason.SESSION_UNKNOWN) from None
            raise
        finally:
            sessions.reader_left(session, waiting)
        try:
            return await self._serve(request, stream, client)
        finally:
            sessions.reader_left(session, client)

    async def _play_recording(
        self, request: web.Request, session: PlaybackSession, sessions: PlaybackSessions
    ) -> web.StreamResponse:
        reader = object()
        sessions.add_reader(session, reader, lambda _: self._vod.recordings.end_viewer(session.key, session.link))
        try:
            return await self._vod.play(request, session.link, session.key, session.ticket)
        except NotARecording:
            raise AceProxyError(Reason.SESSION_UNKNOWN) from None
        finally:
            sessions.reader_left(session, reader)

    async def _serve(self, request: web.Request, stream: Stream, client: Client) -> web.StreamResponse:
        """Deliver to a client that has joined."""
        self._hub.counters.clients_served += 1
        try:
            outlet = self._make_outlet(request, stream, client)
            return await self._deliver(request, stream, client, outlet)
        finally:
            stream.end_client(client, Reason.CLIENT_LEFT)

    async def _join(self, stream: Stream, visitor: Visitor) -> tuple[Stream, Client]:
        """Join the stream, or the one that it turns out to be."""
        while True:
            try:
                return stream, await stream.join(visitor)
            except MetAnother as met:
                stream = met.stream

    def _make_outlet(self, request: web.Request, stream: Stream, client: Client) -> Outlet:
        """Take the client's place in the ring, while a failure can still be answered with an error."""
        join = stream.ring.join()
        connection: socket.socket | None = request.get_extra_info("socket")
        if join is None or connection is None:
            raise AceProxyError(stream.close_reason or Reason.STREAM_NOT_RUNNING)
        try:
            return Outlet(stream.ring, join, connection, lambda reason: stream.client_done(client, reason))
        except OSError as error:
            raise AceProxyError(Reason.TOO_MANY_CLIENTS, f"no descriptors left: {error.strerror}") from error

    async def _deliver(
        self, request: web.Request, stream: Stream, client: Client, outlet: Outlet
    ) -> web.StreamResponse:
        """Send the headers, hand the socket to the pump, and wait for the client's end."""
        response = MediaResponse(headers=MEDIA_HEADERS)
        response.force_close()
        try:
            await response.prepare(request)
            await _flush(request)
            _travel_light(request, response)
        except BaseException:
            outlet.close()
            raise
        stream.attach(client, outlet)
        reason = await asyncio.shield(client.ended)
        if reason is Reason.STALLED_CLIENT:
            _reset_connection(request)
        return response


def _give_up(waiting: asyncio.Task[object]) -> None:
    """End the wait for a start whose session was stopped."""
    waiting.cancel()


async def _flush(request: web.Request) -> None:
    """Wait until the event loop has nothing left to write, so that the pump's bytes come after the headers.

    A socket that does not even take the headers in time raises TimeoutError, which closes the connection.
    """
    transport = request.transport
    if not isinstance(transport, asyncio.WriteTransport):
        raise ConnectionResetError("the client left before the headers")
    if not transport.get_write_buffer_size():
        return  # as nearly always; a timer would stay in the loop's memory until it is due
    async with asyncio.timeout(FLUSH_LIMIT_S):
        while transport.get_write_buffer_size():  # noqa: ASYNC110 - hardly ever true: the headers fit a fresh socket
            await asyncio.sleep(FLUSH_POLL_S)


def _travel_light(request: web.Request, response: MediaResponse) -> None:
    """Let go of what was needed until the headers were sent: a player stays for hours, and there may be thousands."""
    response.headers.clear()
    connection = request.protocol
    if isinstance(connection, Connection):
        connection.take_no_more()


def _reset_connection(request: web.Request) -> None:
    """Let the kernel drop what a stalled client did not take, instead of keeping it for minutes."""
    connection: socket.socket | None = request.get_extra_info("socket")
    if connection is not None and request.transport is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
