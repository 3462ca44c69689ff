"""A shared source: another stream of this program that plays one of our links, read like an engine's body.

An engine is not asked to play one broadcast twice: some end the first playback then. The pump writes the other stream's
ring into a pair of sockets, as to any client, and the other end is read into the sink. The other stream is held for as
long as it is read; it stays what it is, with clients and a life of its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from aceproxy.engine.links import Link
from aceproxy.engine.media import ByteSink, MediaEnd
from aceproxy.engine.messages import Stat
from aceproxy.engine.rests import Beats
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import StreamLog
from aceproxy.streams.engine_word import EngineWord
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.ring import Join
from aceproxy.streams.snapshot import EngineStat
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.states import DELIVERING
from aceproxy.streams.timeline import EventKind, Timeline

if TYPE_CHECKING:
    from aceproxy.streams.stream import Stream

LOOK_S: Final = 0.25  # how often it is seen whether the other stream still delivers


def delivers_to(other: Stream, asking: Stream) -> bool:
    """Say whether `asking` may read `other`: it delivers, and is not fed by `asking` itself, however indirectly."""
    at: Stream | None = other
    while at is not None:
        if at is asking or at.state not in DELIVERING:
            return False
        at = at.source.stream if isinstance(at.source, SharedSource) else None
    return True


class _NoPoll:
    """There is nobody to be asked: the other stream asks its engine. See Poll."""

    is_hurried = False

    def __init__(self) -> None:
        self.stat: Stat | None = None
        self.stat_at = 0.0
        self.word = EngineWord()
        self.title: str | None = None

    def hurry(self) -> None:
        """Nothing can be hurried."""

    def calm(self) -> None:
        """Nothing was hurried."""

    async def run(self, title: str | None) -> None:
        """Wait for ever. Cancel-safe."""
        self.title = title
        await asyncio.Event().wait()


class _Body(asyncio.BufferedProtocol):
    """Reads the near end of the pair into the sink. It is the SourceReader of a shared source."""

    def __init__(self, sink: ByteSink) -> None:
        loop = asyncio.get_running_loop()
        self.received_bytes = 0
        self.detail = ""
        self.last_byte_at = loop.time()
        self.opened: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[MediaEnd] = loop.create_future()
        self._sink = sink
        self._transport: asyncio.Transport | None = None
        self._clock = loop.time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next bytes go."""
        del sizehint  # the ring decides
        return self._sink.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has arrived."""
        if self._ended.done():
            return
        self.last_byte_at = self._clock()
        try:
            self._sink.filled(nbytes)
        except OSError as error:
            self._end(MediaEnd.BROKEN, f"the media cannot be kept: {error.strerror}")
            return
        self.received_bytes += nbytes
        if not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        self._end(MediaEnd.EOF if exc is None else MediaEnd.RESET, "the other stream ended")

    async def wait_ended(self) -> MediaEnd:
        """See SourceReader."""
        return await asyncio.shield(self._ended)

    def pause(self) -> None:
        """See SourceReader."""
        if self._transport is not None and not self._ended.done():
            self._transport.pause_reading()

    def resume(self) -> None:
        """See SourceReader."""
        self.last_byte_at = self._clock()  # the silence was ours
        if self._transport is not None and not self._ended.done():
            self._transport.resume_reading()

    def rest_between_reads(self, rest_s: float, below_bytes: int, beats: Beats) -> None:
        """Of no use here: the pump writes in beats."""

    def close(self) -> None:
        """See SourceReader."""
        self._end(MediaEnd.CLOSED, "closed")

    def _end(self, how: MediaEnd, detail: str) -> None:
        if self._ended.done():
            return
        self.detail = detail
        self._ended.set_result(how)
        if not self.opened.done():
            self.opened.cancel()
        if self._transport is not None:
            self._transport.abort()


class SharedSource(Source):
    """Reads `stream`, which plays the link. What others ask an engine is answered by that stream, or by nobody."""

    def __init__(
        self,
        stream: Stream,
        upstream: Upstream,
        link: Link,
        params: Mapping[str, str],
        sink: ByteSink,
        log: StreamLog,
        timeline: Timeline,
    ) -> None:
        """Prepare; nothing is read yet."""
        super().__init__(upstream, link, params, sink, lambda _: None, log, timeline)
        self.stream = stream
        self._outlet: Outlet | None = None
        self._body: _Body | None = None

    @property
    def engine_url(self) -> str | None:
        """The engine that the other stream uses."""
        return self.stream.source.engine_url if self.stream.source is not None else None

    async def open(
        self, deadline_at: float, *, ask_first: bool = False, exclude: Collection[str] = (), spare: bool = False
    ) -> None:
        """Begin to read the other stream, a little before its live edge; see Source.

        Raises SESSION_LOST if that does not deliver, NO_DATA if nothing comes.
        """
        del ask_first, exclude, spare  # no engine is asked
        if self.on_asked is not None:
            self.on_asked()
        join = self.stream.ring.join() if self.stream.state in DELIVERING else None
        if join is None:
            raise self._gone()
        self.stream.hold(self)
        self._story.note(EventKind.SHARED, stream=self.stream.stream_id, engine=self.engine_url, link=self.link.label)
        body = self._body = self._reader = _Body(self._sink)
        try:
            await self._connect(join, body)
        except OSError as error:
            raise AceProxyError(Reason.INTERNAL, error.strerror or "") from error
        self.poll = _NoPoll()
        try:
            async with asyncio.timeout_at(deadline_at):
                await asyncio.wait({body.opened})
        except TimeoutError:
            raise AceProxyError(Reason.NO_DATA, "the other stream sends nothing") from None
        if body.opened.cancelled():
            raise self._gone()
        self._story.note(EventKind.FIRST_BYTE, engine=self.engine_url)
        if self.paused:
            body.pause()

    async def _connect(self, join: Join, body: _Body) -> None:
        """Have the pump write the other stream's ring into a pair of sockets that is read into `body`.

        Raises OSError when descriptors are out.
        """
        near, far = socket.socketpair()
        with far:  # the outlet has a descriptor of its own
            try:
                near.setblocking(False)
                far.setblocking(False)
                self._outlet = Outlet(self.stream.ring, join, far, self._fed)
                self.stream.feed(self._outlet)
                await asyncio.get_running_loop().create_connection(lambda: body, sock=near)
            except BaseException:
                near.close()
                raise

    async def wait_ended(self) -> AceProxyError:
        """Wait until the other stream does not deliver any more. Cancel-safe."""
        assert self._body is not None
        ended = asyncio.ensure_future(self._body.wait_ended())
        try:
            while not ended.done() and self.stream.state in DELIVERING:
                await asyncio.wait({ended}, timeout=LOOK_S)
        finally:
            ended.cancel()
        return AceProxyError(Reason.SOURCE_ENDED, f"the stream {self.stream.stream_id} delivers no more")

    def close(self) -> None:
        """See Source."""
        super().close()
        if self._outlet is not None:
            self.stream.feed_no_more(self._outlet)
            self._outlet = None
        self.stream.release(self)

    def engine_stat(self, now: float) -> EngineStat:
        """Return what the other stream's engine last said."""
        return self.stream.source.engine_stat(now) if self.stream.source is not None else EngineStat()

    def last_stat(self, now: float) -> Stat | None:
        """Return the engine's last answer to the other stream."""
        return self.stream.source.last_stat(now) if self.stream.source is not None else None

    def stream_closed(self, reason: Reason, detail: str) -> None:
        """See Holder: its outlet is ended as well, and with that the body."""

    def _fed(self, reason: Reason) -> None:
        """Hear from the pump that it writes no more."""
        self._outlet = None

    def _gone(self) -> AceProxyError:
        return AceProxyError(Reason.SESSION_LOST, f"the stream {self.stream.stream_id} does not deliver")
