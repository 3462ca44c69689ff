"""A stream: one broadcast, pulled from one source at a time and shared by any number of clients.

Everything here runs on the event loop. No lock anywhere: what must not be interleaved has no `await` in it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from aceproxy.engine.api import Playback
from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import stream_log
from aceproxy.streams.client import Client, Delivery, Visitor
from aceproxy.streams.intake import Intake
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.pump import Pump
from aceproxy.streams.record import Audience
from aceproxy.streams.ring import RingLimits
from aceproxy.streams.snapshot import EndedClient
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.states import State, check_edge
from aceproxy.streams.timeline import KINDS, Event, EventKind, Timeline
from aceproxy.streams.watches import SkipWatch, StallWatch

LOSSES = (EventKind.SOURCE_LOST, EventKind.REOPEN_FAILED, EventKind.ENDED)  # events that are about the present source
ENDED_CLIENTS = 50  # remembered per stream
SETTLED_S = 3.0  # a source that has lasted this long after a loss counts as a good one


class StreamOwner(Protocol):
    """Who keeps the streams, as a stream sees it. Nothing here waits."""

    def changed(self) -> None:
        """A stream has another state, or a client came or went."""

    def check_room(self) -> None:
        """Raise TOO_MANY_CLIENTS if there can be no further client."""

    def might_be_running(self, stream: Stream) -> bool:
        """Whether the broadcast may already run under another kind of name."""

    def infohash_known(self, stream: Stream, infohash: str) -> None:
        """The engine has told the broadcast's infohash. May raise MetAnother."""

    def make_way(self, asking: Stream) -> bool:
        """Free a playback that nobody watches for `asking`; False if there is none."""

    def became_idle(self, stream: Stream) -> None:
        """The last client left."""

    def client_ended(self, stream: Stream, client: Client, reason: Reason) -> None:
        """A client is gone."""

    def noted(self, stream: Stream, event: Event) -> None:
        """Something was added to the stream's time line."""

    def closed(self, stream: Stream, reason: Reason, detail: str) -> None:
        """The stream is over; clients may still be ending."""

    def settled(self, stream: Stream) -> None:
        """The stream is over and its last client is gone."""


class Holder(Protocol):
    """Who keeps a stream alive without playing it, as a stream sees it."""

    def stream_closed(self, reason: Reason, detail: str) -> None:
        """The stream is over. Must not wait."""


class MetAnother(Exception):  # noqa: N818 - not an error: two links turned out to name one broadcast
    """The broadcast is already running as `stream`: go there."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.stream_id)
        self.stream = stream


class Stream:
    """One broadcast. Fields are written by the event loop only."""

    def __init__(
        self, link: Link, params: Mapping[str, str], upstream: Upstream, pump: Pump, owner: StreamOwner
    ) -> None:
        """Create the stream in state `starting`; `run` does the starting."""
        self.link = link
        self.stream_id = link.stream_id
        self.aliases = {link.key}
        self.infohash: str | None = None
        self.state = State.STARTING
        self.state_at = self.created_at = time.monotonic()
        self.created_utc = datetime.now(UTC)
        self.live_utc: datetime | None = None
        self.start_s: float | None = None  # from the request to the first data
        self.clients: dict[str, Client] = {}
        self.ended_clients: deque[EndedClient] = deque(maxlen=ENDED_CLIENTS)
        self.ended_clients_bytes = 0
        self.audience = Audience()
        self.record_id = secrets.token_hex(8)
        self.shared_bytes = 0  # sent to caches and players that cannot be told apart
        self.waiting = 0
        self.recoveries = 0
        self.close_reason: Reason | None = None
        self.close_message: str | None = None
        self.idle_at: float | None = self.created_at
        self.source: Source | None = None
        self.log = stream_log(logging.getLogger(__name__), self.stream_id)
        settings = self._settings = upstream.settings
        self.timeline = Timeline(time.monotonic)
        self.timeline.listen(self._noted)
        self.stall_watch = StallWatch(self.timeline)
        self._skip_watch = SkipWatch(self.timeline)
        self.intake = Intake(RingLimits.from_settings(settings), pump, settings.splice_wait_s, self.log, self.timeline)
        self.ring = self.intake.ring
        self._params = params
        self._upstream = upstream
        self._pump = pump
        self._owner = owner
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ready.add_done_callback(_retrieve)
        self._holders: set[Holder] = set()
        self._told: asyncio.Future[Playback] = asyncio.get_running_loop().create_future()
        self._told.add_done_callback(_retrieve)
        self._opened_at = 0.0  # loop time at which the present source delivered
        self._lost_at: float | None = None  # loop time of the first loss since a source has lasted
        self._is_over = False  # the owner was told of the end
        self._deserted = asyncio.Event()  # set when the last client leaves a stream that is draining
        self._idle_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    # --- for those who want to watch ---

    async def join(self, visitor: Visitor, delivery: Delivery = Delivery.MPEGTS) -> Client:
        """Wait until the stream delivers and register a client; its bytes begin with `attach`.

        Raises AceProxyError with the start's reason, or MetAnother. Cancel-safe: the start goes on for the others. The
        caller must see to `end_client` in the end.
        """
        self.waiting += 1
        self._interest_changed()
        try:
            await asyncio.shield(self._ready)
            if self.state is State.CLOSED:
                raise AceProxyError(self.close_reason or Reason.STREAM_NOT_RUNNING)
            self._owner.check_room()
            client = Client(visitor, delivery)
            self.clients[client.client_id] = client
            self.audience.came(len(self.clients))
            self._owner.changed()
            self.timeline.note(EventKind.CLIENT_JOINED, client=client.client_id, agent=visitor.agent)
            self.log.info("client %s (%s, %s) joined", client.client_id, visitor.address, visitor.agent or "no agent")
            return client
        finally:
            self.waiting -= 1
            self._interest_changed()

    @property
    def holder_count(self) -> int:
        """How many keep it alive without playing it."""
        return len(self._holders)

    def hold(self, holder: Holder) -> None:
        """Keep the stream alive for `holder`, until `release` or the stream's end; of no effect once it is closed."""
        if self.state is not State.CLOSED:
            self._holders.add(holder)
            self._interest_changed()
            self._owner.changed()

    def release(self, holder: Holder) -> None:
        """Let go of the stream. May be called again."""
        if holder in self._holders:
            self._holders.discard(holder)
            self._interest_changed()
            self._owner.changed()

    async def wait_told(self) -> Playback:
        """Wait until an engine has said what it plays, which is long before there is data.

        Raises what `join` raises. Cancel-safe; keeps nothing alive, see `hold`.
        """
        return await asyncio.shield(self._told)

    def attach(self, client: Client, outlet: Outlet) -> None:
        """Hand a client's outlet to the pump."""
        client.outlet = outlet
        self._pump.add(outlet)

    def client_done(self, client: Client, reason: Reason) -> None:
        """Hear that a client has ended: from the pump, or from whoever admitted it and could not attach it."""
        if self.clients.pop(client.client_id, None) is None:
            return
        self.ended_clients_bytes += client.sent_bytes
        self.ended_clients.append(client.ended_snapshot(reason))
        self._skip_watch.forget(client)
        self.audience.left(client.visit(reason))
        self.timeline.note(
            EventKind.CLIENT_LEFT,
            reason=reason,
            client=client.client_id,
            agent=client.agent,
            sent_bytes=client.sent_bytes,
            skips=client.skips,
        )
        if not client.ended.done():
            client.ended.set_result(reason)
        self._owner.changed()
        self._owner.client_ended(self, client, reason)
        self._interest_changed()
        if self._is_over:
            self._settle()

    def end_client(self, client: Client, reason: Reason) -> None:
        """End one client; waits for nothing."""
        if client.outlet is not None:
            self._pump.end(client.outlet, reason)
        else:
            self.client_done(client, reason)

    # --- life ---

    def begin(self) -> asyncio.Task[None]:
        """Start the stream's own task; the owner keeps it."""
        self.timeline.note(EventKind.START_ASKED, link=self.link.label)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"stream {self.stream_id}")
        return self._task

    def close(self, reason: Reason, detail: str = "") -> None:
        """End the stream and all its clients with a reason. Waits for nothing; idempotent."""
        if self.state is State.CLOSED:
            return
        self.close_reason = reason
        self._go(State.CLOSED)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._close_source()
        if not self._ready.done():
            self._ready.set_exception(AceProxyError(reason, detail))
        if not self._told.done():
            self._told.set_exception(AceProxyError(reason, detail))
        holders, self._holders = self._holders, set()
        for holder in holders:
            holder.stream_closed(reason, detail)
        self._end_clients(reason)
        self.close_message = AceProxyError(reason, detail).message
        self.timeline.note(EventKind.ENDED, reason=reason, message=self.close_message)
        self._owner.closed(self, reason, detail)
        self._is_over = True
        self._settle()

    def _settle(self) -> None:
        """Tell the owner once the last client of a stream that is over has ended."""
        if not self.clients:
            self._owner.settled(self)

    def _end_clients(self, reason: Reason) -> None:
        self._pump.forget(self.ring, reason)
        self.intake.close()
        for client in list(self.clients.values()):
            if client.outlet is None:
                self.client_done(client, reason)

    async def _run(self) -> None:
        try:
            error = await self._start()
            while True:
                source = self.source
                assert source is not None
                if error is None:
                    error = await source.wait_end()
                await self._recover(error)
                error = None
        except MetAnother as met:
            if not self._ready.done():
                self._ready.set_exception(met)
            if not self._told.done():
                self._told.set_exception(met)
            self.log.info("the same broadcast as %s", met.stream.stream_id)
            self.close(Reason.GAVE_WAY)
        except AceProxyError as error:
            self.close(error.reason, error.detail)
        except Exception:
            self.log.exception("the stream failed")
            self.close(Reason.INTERNAL)
        finally:
            self._close_source()

    async def _start(self) -> AceProxyError | None:
        """Bring the stream from `starting` to `live`; retries short-lived sources inside the start deadline."""
        deadline_at = asyncio.get_running_loop().time() + self._settings.start_timeout_s
        ended_early = await self._open_until_joinable(deadline_at)
        self._go(State.LIVE if self.idle_at is None else State.LINGERING)
        self.live_utc = datetime.now(UTC)
        self.start_s = round(time.monotonic() - self.created_at, 3)
        self.timeline.note(EventKind.LIVE, start_s=self.start_s, engine=self._engine_words())
        self._ready.set_result(None)
        if not self._told.done() and self.source is not None and self.source.playback is not None:
            self._told.set_result(self.source.playback)
        return ended_early

    async def _open_until_joinable(self, deadline_at: float) -> AceProxyError | None:
        """Open sources until one sends packets; returns why it has ended already, if it has."""
        loop = asyncio.get_running_loop()
        while True:
            await self._open(deadline_at)
            try:
                return await self._wait_joinable()
            except AceProxyError as error:
                if error.reason is not Reason.NO_DATA or loop.time() + self._settings.retry_first_s > deadline_at:
                    raise
            self.log.info("the engine sent no packet; trying again")
            self._close_source()
            await asyncio.sleep(self._settings.retry_first_s)

    async def _open(self, deadline_at: float) -> None:
        while True:
            if self.state is State.CLOSED:
                raise AceProxyError(self.close_reason or Reason.STOPPED)
            title = self.title
            self.source = Source(
                self._upstream, self.link, self._params, self.intake, self._note_infohash, self.log, self.timeline
            )
            self.source.title = title
            self.source.on_playback = self._note_playback
            self.intake.begin_source(self.source)
            ask_first = self.infohash is None and self._owner.might_be_running(self)
            try:
                await self.source.open(deadline_at, ask_first=ask_first)
            except AceProxyError as error:
                self._close_source()
                if error.reason is Reason.AT_CAPACITY and self._owner.make_way(self):
                    continue
                raise
            except BaseException:
                self._close_source()
                raise
            if self.source.link != self.link:
                self.log.info("the engine knows %s only as %s", self.link.label, self.source.link.label)
                self.link = self.source.link
            return

    async def _wait_joinable(self) -> AceProxyError | None:
        """Wait for a join point, or so long that none is to be expected. Raises NOT_MPEGTS, NO_DATA."""
        source = self.source
        assert source is not None
        joinable = asyncio.ensure_future(self.intake.joinable.wait())
        ended = asyncio.ensure_future(source.wait_ended())
        try:
            await asyncio.wait(
                {joinable, ended}, timeout=self._settings.keyframe_wait_s, return_when=asyncio.FIRST_COMPLETED
            )
            if self.ring.head == 0:
                if self.intake.ingest.received_bytes and not ended.done():
                    raise AceProxyError(Reason.NOT_MPEGTS)
                raise AceProxyError(Reason.NO_DATA, "the engine ended the stream at once")
            if not joinable.done():
                self.log.warning("no keyframe so far: clients start at any packet")
            return AceProxyError(Reason.SOURCE_ENDED, "soon after the start") if ended.done() else None
        finally:
            joinable.cancel()
            ended.cancel()
            await asyncio.gather(joinable, ended, return_exceptions=True)

    async def _recover(self, error: AceProxyError) -> None:
        """Open the playback anew while clients stay connected. Raises `error` when the time for it is over."""
        is_over = self.source is not None and self.source.came_to_its_end
        self._close_source()
        if is_over:
            error = AceProxyError(Reason.ENDED)
        if is_over or not self._settings.recover_s:
            await self._drain(error.reason)
        if is_over or self.state is not State.LIVE:
            raise error
        self._go(State.RECOVERING)
        self.stall_watch.source_changed(time.monotonic())
        lost_engine = self._engine_words()
        self.timeline.note(EventKind.SOURCE_LOST, reason=error.reason, engine=lost_engine, detail=error.detail)
        lost_at = time.monotonic()
        loop = asyncio.get_running_loop()
        now = loop.time()
        wait_s = self._settings.retry_first_s
        if now - self._opened_at >= SETTLED_S or self._lost_at is None:
            self._lost_at = now
        else:  # it has just come back: an engine that ends every playback at once is not to be hammered
            await asyncio.sleep(wait_s)
        deadline_at = self._lost_at + self._settings.recover_s
        while True:
            if loop.time() >= deadline_at:
                raise error
            try:
                await self._open(min(deadline_at, loop.time() + self._settings.start_timeout_s))
            except AceProxyError as failure:
                self.timeline.note(EventKind.REOPEN_FAILED, reason=failure.reason, detail=failure.detail)
                if loop.time() + wait_s >= deadline_at:
                    raise AceProxyError(error.reason, f"{error.detail}; then {failure.reason}") from failure
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, 8 * self._settings.retry_first_s)
            else:
                self.recoveries += 1
                self._opened_at = loop.time()
                self._go(State.LIVE if self.idle_at is None else State.LINGERING)
                engine = self._engine_words()
                self.timeline.note(EventKind.RECOVERED, engine=engine, after_s=time.monotonic() - lost_at)
                if engine != lost_engine:
                    self.timeline.note(EventKind.SWITCHED, engine=engine, from_engine=lost_engine)
                return

    async def _drain(self, reason: Reason) -> None:
        """Let the clients read what is there, to the end."""
        self.timeline.note(EventKind.DRAINING, reason=reason, clients=len(self.clients))
        self._go(State.DRAINING)
        self.intake.finish(reason)
        if self.clients or self.waiting:
            await self._deserted.wait()

    def _note_infohash(self, infohash: str) -> None:
        self.infohash = infohash
        self._owner.infohash_known(self, infohash)

    def _note_playback(self, playback: Playback) -> None:
        """Hear of a playback that was started. One by other digits or another link has yet to prove itself."""
        if not self._told.done() and playback.key == self.link.key:
            self._told.set_result(playback)

    def _close_source(self) -> None:
        if self.source is not None:
            self.source.close()

    @property
    def title(self) -> str | None:
        """The broadcast's name, as the engine tells it some time after the start."""
        return self.source.title if self.source is not None else None

    @property
    def outbound_bytes(self) -> int:
        """Bytes that went to clients, present and gone."""
        present = sum(client.sent_bytes for client in self.clients.values())
        return self.ended_clients_bytes + self.shared_bytes + present

    def sample(self, elapsed_s: float) -> None:
        """Measure rates since the last sample, `elapsed_s` ago."""
        self.intake.sample(elapsed_s)
        if self.state is State.RECOVERING:
            self.intake.keep_alive()
        for client in self.clients.values():
            client.sample(elapsed_s)
        now, source = time.monotonic(), self.source
        self._skip_watch.look(now, self.clients.values())
        if source is not None and self.state in (State.LIVE, State.LINGERING):
            stat, last_byte_at = source.engine_stat(now), None if source.paused else source.last_byte_at
            self.stall_watch.look(now, last_byte_at, stat)
            source.meter.look(last_byte_at, stat, self.intake.bitrate_bps, source.title)

    def _engine_words(self) -> str:
        return (self.source.engine_url if self.source is not None else None) or "no engine"

    # --- interest ---

    def _interest_changed(self) -> None:
        """Begin to linger when nobody is left, and stop lingering when somebody comes."""
        if self.state is State.CLOSED:
            return
        if self.state is State.DRAINING and not self.waiting and not self.clients:
            self._deserted.set()  # who only holds the stream reads nothing
        elif self.waiting or self.clients or self._holders:
            self.idle_at = None
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None
            if self.state is State.LINGERING:
                self.timeline.note(EventKind.REVISITED)
                self._go(State.LIVE)
        elif self._idle_timer is None:
            self.idle_at = time.monotonic()
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._settings.linger_s, self.close, Reason.LINGER_OVER)
            if self.state is State.LIVE:
                self.timeline.note(EventKind.DESERTED, linger_s=self._settings.linger_s)
                self._go(State.LINGERING)
            self._owner.became_idle(self)

    def _noted(self, event: Event) -> None:
        """Write an event of the time line into the log, and pass it on."""
        level = KINDS[event.kind].level
        if level is not None:
            self.log.log(level, "%s", event.words)
        if event.reason is not None and event.kind in LOSSES and self.source is not None:
            self.source.meter.lost(event.reason)
        self._owner.noted(self, event)

    def _go(self, state: State) -> None:
        check_edge(self.state, state)
        self.state = state
        self._owner.changed()
        self.state_at = time.monotonic()


def _retrieve(future: asyncio.Future[None] | asyncio.Future[Playback]) -> None:
    """Mark a failed start as seen: there may be nobody who waits for it."""
    if not future.cancelled():
        future.exception()
