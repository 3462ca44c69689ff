"""A recording (`is_live` 0) for one viewer: a playback of its own, of which parts are read one after another.

Engines play a file to each player apart and deliver any part of it by HTTP ranges (engine-api §4.1). So nothing is
shared here and nothing goes through a ring: what the engine sends is handed on, and what the viewer does not take the
engine keeps. A player that seeks closes its request and makes another: the playback is kept for a while and read from
there.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping

from aceproxy.engine.api import Playback
from aceproxy.engine.attempt import Attempt, PlaybackLostError
from aceproxy.engine.backoff import pause_s
from aceproxy.engine.handle import EngineHandle
from aceproxy.engine.http_response import ResponseHead
from aceproxy.engine.links import Link
from aceproxy.engine.media import MediaEnd, MediaReader
from aceproxy.engine.messages import Stat
from aceproxy.engine.opened import KeptPlayback
from aceproxy.engine.opening import open_playback
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.client import Place, Visitor
from aceproxy.streams.relay import Relay
from aceproxy.streams.source import ENGINE_FAULTS, Upstream
from aceproxy.streams.spans import Facts, Span, read_head


class NotARecording(Exception):  # noqa: N818 - not an error: the broadcast turned out to be live
    """The engine says that this is live."""


class Recording:
    """One viewer's playback of a recording. At most one `Reading` at a time; `reading` is it."""

    def __init__(
        self, upstream: Upstream, link: Link, params: Mapping[str, str], visitor: Visitor, make_way: Callable[[], bool]
    ) -> None:
        """Nothing is asked of an engine before a part is opened. `make_way` frees a slot that nobody uses."""
        self.recording_id = secrets.token_hex(6)
        self.link = link
        self.visitor = visitor
        self.place: Place | None = None
        self.facts = Facts()
        self.stat: Stat | None = None
        self.reading: Reading | None = None
        self.is_opening = False  # taken for a request whose first bytes are not there yet
        self.started_at = self.idle_at = time.monotonic()
        self.start_s: float | None = None  # from the first request to its first bytes
        self.sent_bytes = 0
        self.position: int | None = None
        self.closed = False
        self._upstream = upstream
        self._params = params
        self._make_way = make_way
        self._playback: Playback | None = None
        self._handle: EngineHandle | None = None
        self._shunned: frozenset[str] = frozenset()  # engines that fell silent, left alone where there is another one

    @property
    def engine_url(self) -> str | None:
        """The engine that plays it."""
        return self._handle.url if self._handle is not None else None

    def adopt(self, begun: KeptPlayback) -> None:
        """Go on with a playback that was begun before it was known that this is a recording, and has not been read."""
        self._playback, self._handle = begun.playback, begun.slot
        self.facts = Facts(begun.playback.infohash, self.facts.size_bytes, self.facts.content_type)

    async def open(self, span: Span) -> Reading:
        """Open a part; returns when its first bytes are there. The caller must `close` the reading.

        Raises AceProxyError, RangeRefusedError, and NotARecording where the engine says it is live. Cancel-safe.
        """
        span = span.settled(self.facts.size_bytes)
        relay, head = await self._open_relay(span)
        try:
            first, stop, self.facts = read_head(head, span, self.facts)
            if head.status != 206:
                span.settled(self.facts.size_bytes)  # an engine that looks at no ranges refuses none
            return Reading(self, relay, first, stop, is_part=head.status == 206)
        except BaseException:
            relay.close()
            raise

    async def reopen(self, position: int) -> Relay:
        """Open what comes from `position` on, after the engine broke off. Raises like `open`."""
        relay, head = await self._open_relay(Span(position))
        first, _, _ = read_head(head, Span(position), self.facts)
        if first != position:
            relay.close()
            raise AceProxyError(Reason.SOURCE_ENDED, "the engine cannot go on in the middle of the file")
        return relay

    def close(self) -> None:
        """Let go of the engine; the playback is stopped in the background. Idempotent."""
        self.closed = True
        if self.reading is not None:
            self.reading.cut()
        self._drop(known=True)

    async def _open_relay(self, span: Span) -> tuple[Relay, ResponseHead]:
        if self.closed:
            raise AceProxyError(Reason.STOPPED)
        deadline_at = asyncio.get_running_loop().time() + self._upstream.settings.start_timeout_s
        relay = Relay()
        reader = await self._from_playback(span, relay, deadline_at)
        if reader is None:
            reader = await self._from_new_playback(span, relay, deadline_at)
        relay.attach(reader)
        return relay, reader.head

    async def _from_playback(self, span: Span, relay: Relay, deadline_at: float) -> MediaReader | None:
        """Read from the playback there is; None if there is none, or the engine has lost it."""
        playback, handle = self._playback, self._handle
        if playback is None or handle is None:
            return None
        attempt = Attempt(
            handle.api, playback, relay, deadline_at=deadline_at, on_learnt=self._learn, byte_range=span.header
        )
        try:
            async with asyncio.timeout_at(deadline_at):
                reader = await attempt.carry()
        except PlaybackLostError as lost:
            self._drop(known=lost.known)
            return None
        except TimeoutError:
            error = attempt.verdict() or AceProxyError(Reason.START_TIMEOUT)
            self._shun(error)  # what gives nothing in all that time is not asked for the next part
            raise error from None
        except AceProxyError as error:
            if handle.delivered or error.reason not in ENGINE_FAULTS:
                raise
            handle.note_failure(error)  # it was only begun on this engine: another one may do
            self._drop(known=True)
            return None
        assert isinstance(reader, MediaReader)  # the playback is no list, see _check_recording
        handle.note_delivered()
        return reader

    def _choose(self, failed: dict[str, AceProxyError]) -> EngineHandle:
        """Take a place on an engine that has not failed. Raises the last one's failure, or why there is no place."""
        while True:
            try:
                return self._upstream.pool.choose(self.link, {*failed, *self._shunned})
            except AceProxyError as error:
                if self._shunned:
                    self._shunned = frozenset()  # there is no other one
                elif error.reason is Reason.AT_CAPACITY and self._make_way():
                    pass  # a stream without clients has given its place
                elif failed:
                    raise next(reversed(failed.values())) from None
                else:
                    raise

    async def _from_new_playback(self, span: Span, relay: Relay, deadline_at: float) -> MediaReader:
        """Start a playback on an engine that can, and read from it."""
        failed: dict[str, AceProxyError] = {}
        while True:
            handle = self._choose(failed)
            try:
                opened = await open_playback(
                    handle.api,
                    self.link,
                    self._params,
                    relay,
                    deadline_at=deadline_at,
                    on_progress=lambda _: None,
                    on_playback=_check_recording,
                    stopper=self._upstream.stopper,
                    watch=handle,
                    byte_range=span.header,
                )
            except AceProxyError as error:
                handle.note_failure(error)
                handle.release()
                if error.reason not in ENGINE_FAULTS:
                    raise
                failed[handle.url] = error
                continue
            except BaseException:
                handle.release()
                raise
            assert isinstance(opened.reader, MediaReader)
            handle.note_delivered()
            self._handle, self._playback, self._shunned = handle, opened.playback, frozenset()
            if self.closed:  # meanwhile
                opened.reader.close()
                self._drop(known=True)
                raise AceProxyError(Reason.STOPPED)
            self.facts = Facts(opened.playback.infohash, self.facts.size_bytes, self.facts.content_type)
            return opened.reader

    def _learn(self, stat: Stat | None, _words: str) -> None:
        self.stat = stat or self.stat

    def _shun(self, error: AceProxyError) -> None:
        """Let go of a playback that gives nothing although its connection stands: another engine is tried first."""
        if self._handle is not None:
            self._handle.note_lost(error)
            self._shunned = frozenset({self._handle.url})
        self._drop(known=True)

    def _drop(self, *, known: bool) -> None:
        playback, self._playback = self._playback, None
        handle, self._handle = self._handle, None
        if playback is not None and known:
            self._upstream.stopper.stop_nowait(playback)
        elif playback is not None:
            self._upstream.stopper.forget(playback)
        if handle is not None:
            handle.release()

    @property
    def silence_s(self) -> float:
        """Silence of the engine after which it is asked anew."""
        return self._upstream.settings.silence_s

    async def recover(self, position: int, *, was_silent: bool) -> Relay:
        """Open what comes from `position` on, again and again for `recover_s`. Raises the last failure.

        `was_silent`: the engine has not broken off, but stopped to send. It may hang, and is asked last.
        """
        loop = asyncio.get_running_loop()
        if was_silent:
            self._shun(AceProxyError(Reason.ENGINE_STALLED, f"no data for {self.silence_s:g} s"))
        settings = self._upstream.settings
        began_at = loop.time()
        while True:
            try:
                return await self.reopen(position)
            except NotARecording:
                raise AceProxyError(Reason.SOURCE_ENDED, "the engine says that it is live now") from None
            except AceProxyError:
                wait_s = pause_s(settings.retry_first_s, loop.time() - began_at)
                if self.closed or loop.time() + wait_s >= began_at + settings.recover_s:
                    raise
            await asyncio.sleep(wait_s)


class Reading:
    """A part of a recording on its way to the viewer: bytes `first` up to `stop`, which is None if not known."""

    def __init__(self, recording: Recording, relay: Relay, first: int, stop: int | None, *, is_part: bool) -> None:
        self.recording = recording
        self.first = first
        self.stop = stop
        self.is_part = is_part
        self._relay = relay
        recording.reading = self
        if recording.start_s is None:
            recording.start_s = round(time.monotonic() - recording.started_at, 3)
        recording.is_opening = False
        recording.position = first

    async def chunks(self) -> AsyncIterator[memoryview]:
        """Give the bytes in order. What the engine breaks off is asked for anew, from where it ended.

        Raises AceProxyError when it cannot be had. Cancel-safe.
        """
        position = self.first
        while self.stop is None or position < self.stop:
            chunk = await self._relay.next(self.recording.silence_s)
            if chunk is None:
                if self.stop is None and self._relay.end is MediaEnd.EOF:
                    return
                was_silent = self._relay.end is None
                self._relay.close()
                self._relay = await self.recording.recover(position, was_silent=was_silent)
                continue
            chunk = chunk if self.stop is None else chunk[: self.stop - position]
            position += len(chunk)
            self.recording.position = position
            self.recording.sent_bytes += len(chunk)
            yield chunk

    def cut(self) -> None:
        """End the bytes: whoever takes them gets STOPPED, as the playback is closed."""
        self._relay.cut()

    def close(self) -> None:
        """Let go of the engine's connection; the playback stays for the viewer's next request."""
        self._relay.close()
        if self.recording.reading is self:
            self.recording.reading = None
            self.recording.idle_at = time.monotonic()


def _check_recording(playback: Playback) -> None:
    if playback.is_encrypted or playback.is_list:
        raise AceProxyError(Reason.NOT_MPEGTS, "a recording that is given as HLS only")
    if playback.is_live is not False:
        raise NotARecording
