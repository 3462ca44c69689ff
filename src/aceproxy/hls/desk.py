"""The desk: who watches by lists, and which window belongs to which stream.

A viewer is known by the token in its list's address. It counts as a client of the stream from its first list on, and
leaves by silence. Tokens are the viewers' own: one that is not known (after a pause, or a restart of the program) is
admitted like a new one, so that a player goes on with the address it has. Used on the event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from aceproxy.errors import AceProxyError, Reason
from aceproxy.hls.ahead import Ahead, LeftViewers
from aceproxy.hls.playlist import MediaList
from aceproxy.hls.shown import Shown, let_burst_in
from aceproxy.hls.window import HeldSegment, Window, WindowLimits
from aceproxy.settings import Settings
from aceproxy.streams.client import Client, Delivery, Visitor
from aceproxy.streams.hub import Hub
from aceproxy.streams.owner import MetAnother, MetRecording
from aceproxy.streams.states import State
from aceproxy.streams.stream import Stream
from aceproxy.ticks import tick

log = logging.getLogger(__name__)

SWEEP_S: Final = 1.0
UNFOLLOWED_S: Final = 5.0  # after which a viewer has left that never asked for more than its first list
LEAST_WAIT_S: Final = 5.0  # for the first segment, when the start has used up its time
TURNED_AWAY_S: Final = 60.0  # for which a viewer that was ended by the operator gets no list under its token
MANY_TURNED_AWAY: Final = 1000
MANY_STREAMS: Final = 1000  # that are gone and whose numbers are remembered
BREAKS_WRAP: Final = 100_000  # minutes
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BY_OPERATOR: Final = (Reason.KICKED, Reason.STOPPED)


def new_token() -> str:
    """Return a token for a viewer."""
    return secrets.token_urlsafe(9)


@dataclass(eq=False, slots=True)
class _Viewer:
    token: str
    client: Client
    shown: Shown
    visitor: Visitor
    seen_at: float
    followed: bool
    ahead: Ahead


class HlsDesk:
    """Keeps windows and viewers. `sweep` must run as long as it is used."""

    def __init__(self, hub: Hub, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings
        self._limits = WindowLimits.from_settings(settings)
        self._shown: dict[Stream, Shown] = {}
        self._generations: dict[str, Shown] = {}
        self._viewers: dict[str, _Viewer] = {}
        self._latest: dict[tuple[str, Visitor], _Viewer] = {}  # who of several alike asked for a list last
        self._continuations: dict[str, tuple[int, int]] = {}  # of streams that are gone: where the next run begins
        self._turned_away: dict[str, tuple[float, Reason]] = {}
        self._left = LeftViewers()

    async def watch(
        self, token: str, find: Callable[[], Stream], visitor: Visitor, *, is_announced: bool = False
    ) -> Shown:
        """Return what the viewer `token` watches, as soon as there is a segment; admit it if it is not known.

        `is_announced`: this is for a master playlist, the viewer's own list will be asked for next. `find` returns
        the stream, started if need be. Raises AceProxyError with the real reason: BAD_PARAMETER, KICKED,
        STOPPED, START_TIMEOUT, TOO_MANY_CLIENTS, or that of the start that failed. Cancel-safe: a viewer that leaves
        while it is being admitted is none.
        """
        if not _TOKEN.fullmatch(token):
            raise AceProxyError(Reason.BAD_PARAMETER, "viewer is at most 64 letters, digits, - and _")
        viewer = self._known(token)
        if viewer is None:
            return await self._admit(token, find, visitor, is_announced=is_announced)
        viewer.followed = True
        self._note_list(viewer, visitor)
        await self._wait_ready(viewer.shown, viewer.client, self._settings.start_timeout_s)
        return viewer.shown

    def playlist(self, token: str, shown: Shown) -> MediaList:
        """Return the list of `shown` as it stands, as the viewer `token` gets it."""
        viewer = self._viewers.get(token)
        listed = shown.window.playlist()
        return viewer.ahead.shown(listed) if viewer is not None and viewer.shown is shown else listed

    def has_viewer(self, token: str) -> bool:
        """Whether `token` is that of a viewer who watches now."""
        viewer = self._viewers.get(token)
        return viewer is not None and not viewer.client.ended.done()

    def leave(self, token: str) -> None:
        """See a viewer off that says it leaves."""
        viewer = self._viewers.get(token)
        if viewer is not None and not viewer.client.ended.done():
            viewer.shown.stream.end_client(viewer.client, Reason.PLAYER_STOPPED)

    def segment(self, stream_id: str, generation: str, number: int) -> tuple[Shown, HeldSegment]:
        """Return a segment by its address. Raises SEGMENT_GONE."""
        shown = self._generations.get(generation)
        held = shown.window.find(number) if shown is not None and shown.stream.stream_id == stream_id else None
        if shown is None or held is None:
            raise AceProxyError(Reason.SEGMENT_GONE)
        return shown, held

    def sent(self, shown: Shown, held: HeldSegment, count: int, visitor: Visitor) -> None:
        """Hear that `count` bytes of a segment were sent; count them for the viewer they must have been for.

        Segments' addresses name no viewer: it is the one with this address and agent that asked for a list last. What
        nobody is found for (a cache's requests) is counted for the stream.
        """
        stream = shown.stream
        stream.ring.fetched = max(stream.ring.fetched, held.block.end)  # a source that is held back may go on
        viewer = self._latest.get((stream.stream_id, visitor))
        if viewer is None or viewer.client.ended.done():
            stream.shared_bytes += count
            return
        viewer.seen_at = time.monotonic()
        viewer.client.took(count, max(0, stream.ring.head - held.block.end))

    async def sweep(self) -> None:
        """See viewers off that have been silent, and let go of what nobody watches; for ever. Cancel-safe."""
        while True:
            await tick(SWEEP_S)
            try:
                self._sweep(time.monotonic())
            except Exception:
                log.exception("looking after HLS viewers failed")

    # --- own ---

    def _known(self, token: str) -> _Viewer | None:
        """Return a viewer that is still a client. Raises AceProxyError for one that the operator has ended."""
        viewer = self._viewers.get(token)
        if viewer is not None and viewer.client.ended.done():
            self._forget(viewer)
            viewer = None
        until_at, reason = self._turned_away.get(token, (0.0, Reason.KICKED))
        if time.monotonic() < until_at:
            raise AceProxyError(reason)
        return viewer

    async def _admit(self, token: str, find: Callable[[], Stream], visitor: Visitor, *, is_announced: bool) -> Shown:
        deadline_at = time.monotonic() + self._settings.start_timeout_s
        stream, client = await self._join(find(), visitor)
        try:
            shown = self._show(stream)
            await self._wait_ready(shown, client, max(LEAST_WAIT_S, deadline_at - time.monotonic()))
            await let_burst_in(shown)
        except BaseException:
            stream.end_client(client, Reason.CLIENT_LEFT)
            raise
        known = self._known(token)
        if known is not None:  # two requests of one player at the same time
            stream.end_client(client, Reason.CLIENT_LEFT)
            return known.shown
        self._hub.counters.clients_served += 1
        ahead = self._left.resume(token, shown.generation, *shown.window.front)
        viewer = _Viewer(token, client, shown, visitor, time.monotonic(), not is_announced, ahead)
        self._viewers[token] = viewer
        self._note_list(viewer, visitor)
        return shown

    def _note_list(self, viewer: _Viewer, visitor: Visitor) -> None:
        """Note that the viewer has asked for a list just now, from where and with which agent."""
        viewer.seen_at = time.monotonic()
        self._unlink(viewer)
        viewer.visitor = visitor
        self._latest[viewer.shown.stream.stream_id, visitor] = viewer

    def _unlink(self, viewer: _Viewer) -> None:
        key = (viewer.shown.stream.stream_id, viewer.visitor)
        if self._latest.get(key) is viewer:
            del self._latest[key]

    async def _join(self, stream: Stream, visitor: Visitor) -> tuple[Stream, Client]:
        while True:
            try:
                return stream, await stream.join(visitor, Delivery.HLS)
            except MetAnother as met:
                stream = met.stream
            except MetRecording as met:
                raise AceProxyError(Reason.RECORDING) from met

    def _show(self, stream: Stream) -> Shown:
        """Return the stream's window, made when it is first asked for."""
        shown = self._shown.get(stream)
        if shown is None:
            window = Window(
                stream.ring,
                replace(self._limits, block_s=stream.block_s),
                *self._numbers(stream),
                time.monotonic,
                lambda: datetime.now(UTC),
            )
            shown = Shown(stream, window, secrets.token_hex(8))
            if window.is_ready:
                shown.ready.set()
            stream.ring.on_cut.append(shown.note_cut)
            self._shown[stream] = self._generations[shown.generation] = shown
        return shown

    def _numbers(self, stream: Stream) -> tuple[int, int]:
        """Return a number of a segment and a count of breaks that no earlier list of this stream had.

        A player that goes on with its address must see that what comes is another stretch. Breaks are kept few, since
        hls.js counts up to them.
        """
        second = int(stream.life.created_utc.timestamp())
        earlier = [
            shown.window.continuation
            for shown in self._generations.values()
            if shown.stream.stream_id == stream.stream_id
        ]
        earlier += [self._continuations.pop(stream.stream_id, (0, 0)), (second, second // 60 % BREAKS_WRAP)]
        return max(number for number, _ in earlier), max(breaks for _, breaks in earlier)

    async def _wait_ready(self, shown: Shown, client: Client, limit_s: float) -> None:
        """Wait for the first segment. Raises START_TIMEOUT, or why the client ended meanwhile."""
        if not shown.ready.is_set():
            ready = asyncio.ensure_future(shown.ready.wait())
            waited: set[asyncio.Future[Any]] = {ready, client.ended}
            try:
                await asyncio.wait(waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ready.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ready
        if client.ended.done():
            raise AceProxyError(client.ended.result())
        if not shown.ready.is_set():
            raise AceProxyError(Reason.START_TIMEOUT, f"no whole segment within {limit_s:.0f} s")

    def _sweep(self, now: float) -> None:
        for viewer in list(self._viewers.values()):
            limit_s = self._settings.hls_silence_s
            if not viewer.followed:
                limit_s = min(limit_s, UNFOLLOWED_S)
            if not viewer.client.ended.done() and now - viewer.seen_at > limit_s:
                viewer.shown.stream.end_client(viewer.client, Reason.CLIENT_SILENT)
            if viewer.client.ended.done():
                self._forget(viewer)
        for token in [token for token, (until_at, _) in self._turned_away.items() if until_at <= now]:
            del self._turned_away[token]
        for shown in list(self._generations.values()):
            self._look_after(shown, now)

    def _look_after(self, shown: Shown, now: float) -> None:
        """Let a window rest that nobody watches; forget one some time after its stream has closed."""
        stream = shown.stream
        if stream.state is State.CLOSED:
            self._shown.pop(stream, None)
            if shown.closed_at is None:
                shown.closed_at = now
                shown.window.close()
                self._continuations[stream.stream_id] = shown.window.continuation
                while len(self._continuations) > MANY_STREAMS:
                    del self._continuations[next(iter(self._continuations))]
            playlist = shown.window.playlist()
            if now - shown.closed_at > sum(segment.duration_s for segment in playlist.segments) + playlist.target_s:
                del self._generations[shown.generation]
                shown.let_go()
        elif not any(client.delivery is Delivery.HLS for client in stream.clients.values()):
            shown.window.rest()

    def _forget(self, viewer: _Viewer) -> None:
        if self._viewers.get(viewer.token) is viewer:
            del self._viewers[viewer.token]
        self._unlink(viewer)
        if viewer.followed:
            self._left.note(viewer.token, viewer.shown.generation, viewer.ahead, viewer.shown.window.continuation)
        reason = viewer.client.ended.result() if viewer.client.ended.done() else None
        if reason in _BY_OPERATOR and len(self._turned_away) < MANY_TURNED_AWAY:
            self._turned_away[viewer.token] = (time.monotonic() + TURNED_AWAY_S, reason)
