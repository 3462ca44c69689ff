"""A stream: one broadcast, pulled from one source at a time and shared by any number of clients.

Everything here runs on the event loop. No lock anywhere: what must not be interleaved has no `await` in it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from aceproxy.engine.api import Playback
from aceproxy.engine.links import Link, StreamKey
from aceproxy.engine.opening import KeptPlayback
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import stream_log
from aceproxy.streams.client import Client, Delivery, Place, Visitor
from aceproxy.streams.intake import Intake
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.pump import Pump
from aceproxy.streams.record import Audience
from aceproxy.streams.ring import RingLimits
from aceproxy.streams.snapshot import EndedClient
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.states import State, check_edge
from aceproxy.streams.supply import Supply
from aceproxy.streams.timeline import KINDS, Event, EventKind, Timeline
from aceproxy.streams.watches import SkipWatch, StallWatch

LOSSES = (EventKind.SOURCE_LOST, EventKind.REOPEN_FAILED, EventKind.ENDED)  # events that are about the present source
ENDED_CLIENTS = 50  # remembered per stream


class StreamOwner(Protocol):
    """Who keeps the streams, as a stream sees it. Nothing here waits."""

    def changed(self) -> None:
        """A stream has another state, or a client came or went."""

    def check_room(self) -> None:
        """Raise TOO_MANY_CLIENTS if there can be no further client."""

    def admit(self, stream: Stream, visitor: Visitor) -> Place:
        """Give a visitor a place. Raises TOO_MANY_FOR_ADDRESS, TOO_MANY_FOR_TOKEN or TOO_MANY_CLIENTS."""

    def might_be_running(self, stream: Stream) -> bool:
        """Whether the broadcast may already run under another kind of name."""

    def find_infohash(self, infohash: str) -> Stream | None:
        """Return the running stream of an infohash."""

    def infohash_known(self, stream: Stream, infohash: str) -> None:
        """The engine has told the broadcast's infohash. May raise MetAnother."""

    def met_recording(self, stream: Stream, met: MetRecording) -> None:
        """What was started turned out to be a recording; its playback and slot are the owner's from now on."""

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


class MetRecording(KeptPlayback):
    """The engine says that this is a recording: each viewer plays it apart, the first one on this very playback."""


class Stream:
    """One broadcast. Fields are written by the event loop only."""

    def __init__(
        self,
        links: Sequence[Link],
        params: Mapping[str, str],
        upstream: Upstream,
        pump: Pump,
        owner: StreamOwner,
        *,
        variant: str = "",
    ) -> None:
        """Create the stream in state `starting`; `begin` does the starting. `links`: its own, then fallbacks.

        `variant` sets the names of a stream that is made of another one with the same links apart.
        """
        suffix = f"-{variant}" if variant else ""
        self.stream_id = links[0].stream_id + suffix
        self.key = StreamKey(links[0].key + suffix)
        self.aliases = {self.key}
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
        self.close_reason: Reason | None = None
        self.close_message: str | None = None
        self.idle_at: float | None = self.created_at
        self.log = stream_log(logging.getLogger(__name__), self.stream_id)
        settings = self._settings = upstream.settings
        self.timeline = Timeline(time.monotonic)
        self._stop_noting = self.timeline.listen(self._noted)
        self.stall_watch = StallWatch(self.timeline)
        self._skip_watch = SkipWatch(self.timeline)
        self.intake = Intake(RingLimits.from_settings(settings), pump, settings.splice_wait_s, self.log, self.timeline)
        self.ring = self.intake.ring
        self.supply = self._make_supply(links, params, upstream, pump)
        self._pump = pump
        self._owner = owner
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ready.add_done_callback(_retrieve)
        self._holders: set[Holder] = set()
        self._told: asyncio.Future[Playback] = asyncio.get_running_loop().create_future()
        self._told.add_done_callback(_retrieve)
        self._is_over = False  # the owner was told of the end
        self._deserted = asyncio.Event()  # set when the last client leaves a stream that is draining
        self._idle_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def _make_supply(self, links: Sequence[Link], params: Mapping[str, str], upstream: Upstream, _pump: Pump) -> Supply:
        """Return what keeps a source at hand; for subclasses to replace."""
        return Supply(links, params, upstream, self.intake, self, self.timeline, self.log)

    @property
    def derived_from(self) -> str | None:
        """The id of the stream that it is made of, None for one that an engine delivers."""
        return None

    @property
    def link(self) -> Link:
        """The link that the stream is known by."""
        return self.supply.links[0]

    @property
    def source(self) -> Source | None:
        """The source that delivers, or is being opened."""
        return self.supply.source

    @property
    def recoveries(self) -> int:
        """How often the source was replaced after a loss."""
        return self.supply.recoveries

    # --- for those who want to watch ---

    async def join(self, visitor: Visitor, delivery: Delivery = Delivery.MPEGTS) -> Client:
        """Wait until the stream delivers and register a client; its bytes begin with `attach`.

        Raises AceProxyError with the start's reason, MetAnother or MetRecording. Cancel-safe: the start goes on for the
        others. The caller must see to `end_client` in the end.
        """
        place = self._owner.admit(self, visitor)
        joined = False
        self.waiting += 1
        self._interest_changed()
        try:
            await asyncio.shield(self._ready)
            if self.state is State.CLOSED:
                raise AceProxyError(self.close_reason or Reason.STREAM_NOT_RUNNING)
            self._owner.check_room()
            if place.is_revoked:
                raise AceProxyError(Reason.TOKEN_REVOKED)
            client = Client(visitor, delivery)
            client.place = place
            joined = True
            self.clients[client.client_id] = client
            self.audience.came(len(self.clients))
            self._owner.changed()
            self.timeline.note(EventKind.CLIENT_JOINED, client=client.client_id, agent=visitor.agent)
            self.log.info("client %s (%s, %s) joined", client.client_id, visitor.address, visitor.agent or "no agent")
            return client
        finally:
            self.waiting -= 1
            if not joined:
                place.leave()
            self._interest_changed()

    async def wait_live(self, visitor: Visitor) -> None:
        """Wait until the stream delivers, without joining it; `visitor` has a place meanwhile.

        Raises what `join` raises. Cancel-safe. A caller that joins, or holds, before it waits for anything else can
        be sure that the stream is still there.
        """
        place = self._owner.admit(self, visitor)
        self.waiting += 1
        self._interest_changed()
        try:
            await asyncio.shield(self._ready)
            if self.state is State.CLOSED:
                raise AceProxyError(self.close_reason or Reason.STREAM_NOT_RUNNING)
            if place.is_revoked:
                raise AceProxyError(Reason.TOKEN_REVOKED)
        finally:
            self.waiting -= 1
            place.leave()
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
        if client.place is not None:
            client.place.leave()
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
        self.supply.close()
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
            self._stop_noting()  # the time line is kept for a while, and would keep the stream's buffers with it
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
                if error is None:
                    error = await self.supply.watch()
                await self._recover(error)
                error = None
        except MetAnother as met:
            self._go_elsewhere(met)
            self.log.info("the same broadcast as %s", met.stream.stream_id)
            self.close(Reason.GAVE_WAY)
        except MetRecording as met:
            self._go_elsewhere(met)
            self._owner.met_recording(self, met)
            self.close(Reason.RECORDING)
        except AceProxyError as error:
            self.close(error.reason, error.detail)
        except Exception:
            self.log.exception("the stream failed")
            self.close(Reason.INTERNAL)
        finally:
            self.supply.close()
            await self.supply.settle()

    def _go_elsewhere(self, met: MetAnother | MetRecording) -> None:
        """Send whoever waits for the start to where it is to be had."""
        if not self._ready.done():
            self._ready.set_exception(met)
        if not self._told.done():
            self._told.set_exception(met)

    async def _start(self) -> AceProxyError | None:
        """Bring the stream from `starting` to `live`; returns why its source has ended already, if it has."""
        deadline_at = asyncio.get_running_loop().time() + self._settings.start_timeout_s
        ended_early = await self.supply.start(deadline_at)
        self._go(State.LIVE if self.idle_at is None else State.LINGERING)
        self.live_utc = datetime.now(UTC)
        self.start_s = round(time.monotonic() - self.created_at, 3)
        self.timeline.note(EventKind.LIVE, start_s=self.start_s, engine=self.supply.engine_words)
        self._ready.set_result(None)
        if not self._told.done() and self.source is not None and self.source.playback is not None:
            self._told.set_result(self.source.playback)
        return ended_early

    async def _recover(self, error: AceProxyError) -> None:
        """Have the source replaced while clients stay connected. Raises `error` when the time for it is over."""
        is_over = self.source is not None and self.source.came_to_its_end
        if is_over:
            error = AceProxyError(Reason.ENDED)
        if is_over or not self._settings.recover_s:
            self.supply.close()
            await self._drain(error.reason)
        if is_over or self.state is not State.LIVE:
            raise error
        self._go(State.RECOVERING)
        self.stall_watch.source_changed(time.monotonic())
        await self.supply.restore(error)
        self._go(State.LIVE if self.idle_at is None else State.LINGERING)

    async def _drain(self, reason: Reason) -> None:
        """Let the clients read what is there, to the end."""
        self.timeline.note(EventKind.DRAINING, reason=reason, clients=len(self.clients))
        self._go(State.DRAINING)
        self.intake.finish(reason)
        if self.clients or self.waiting:
            await self._deserted.wait()

    # --- Consumer ---

    @property
    def has_clients(self) -> bool:
        """Whether anybody watches, or waits to."""
        return bool(self.clients or self.waiting)

    def playback_started(self, playback: Playback) -> None:
        """Hear of a playback that was started. One by other digits or another link has yet to prove itself.

        Raises MetRecording, unless clients have been served already.
        """
        if playback.is_live is False and self.state is State.STARTING:
            raise MetRecording(playback)
        if not self._told.done() and playback.key == self.link.key:
            self._told.set_result(playback)

    def infohash_known(self, at: int, infohash: str) -> None:
        """The engine has told the infohash of link number `at`. May raise MetAnother, or AceProxyError."""
        if at == 0:
            self.infohash = infohash
            self._owner.infohash_known(self, infohash)
            return
        other = self._owner.find_infohash(infohash)
        if other is None or other is self:
            return
        if self.state is State.STARTING:
            raise MetAnother(other)
        raise AceProxyError(Reason.SESSION_LOST, f"this link plays as stream {other.stream_id} already")

    def plays_as_fallback(self, link: Link, infohash: str | None) -> bool:
        """Whether it plays this link, or this infohash, in the place of its own."""
        source = self.source
        if not self.supply.at or source is None or source.playback is None or self.state is State.CLOSED:
            return False
        same = infohash is not None and source.playback.infohash == infohash and source.link.index == link.index
        return same or source.link.key == link.key

    def should_ask_first(self) -> bool:
        """Whether the broadcast may already run under another kind of name."""
        return self._owner.might_be_running(self)

    def make_way(self) -> bool:
        """Have a playback freed that nobody watches; False if there is none."""
        return self._owner.make_way(self)

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
        if self.state is State.RECOVERING or (self.clients and self.intake.quiet_s >= self._settings.quiet_s):
            self.intake.keep_alive()
        for client in self.clients.values():
            client.sample(elapsed_s)
        now, source = time.monotonic(), self.source
        self._skip_watch.look(now, self.clients.values())
        if source is not None and self.state in (State.LIVE, State.LINGERING):
            stat, last_byte_at = source.engine_stat(now), None if source.paused else source.last_byte_at
            self.stall_watch.look(now, last_byte_at, stat)
            source.meter.look(last_byte_at, stat, self.intake.bitrate_bps, source.title)

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
