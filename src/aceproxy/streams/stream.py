"""A stream: one broadcast, pulled from one source at a time and shared by any number of clients.

Everything here runs on the event loop. No lock anywhere: what must not be interleaved has no `await` in it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from aceproxy.engine.api import Playback
from aceproxy.engine.links import Link, StreamKey
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import stream_log
from aceproxy.streams import stalls
from aceproxy.streams.attendance import Attendance
from aceproxy.streams.awaited import Awaited
from aceproxy.streams.client import Client, Delivery, Visitor
from aceproxy.streams.intake import Intake
from aceproxy.streams.life import Life
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.owner import Holder, MetAnother, MetRecording, PlaysElsewhere, StreamOwner
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import RingLimits
from aceproxy.streams.shared import delivers_to
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.states import DELIVERING, State
from aceproxy.streams.supply import Supply
from aceproxy.streams.timeline import KINDS, Event, EventKind, Timeline
from aceproxy.streams.watches import StallWatch

LOSSES = (EventKind.SOURCE_LOST, EventKind.REOPEN_FAILED, EventKind.ENDED)  # events that are about the present source


class Stream:
    """One broadcast: its names, its parts, and the door for those who want it. Written by the event loop only.

    `Attendance` knows who is there, `Life` what state it is in, `Supply` where its bytes come from.
    """

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
        self.record_id = secrets.token_hex(8)
        self.shared_bytes = 0  # sent to caches and players that cannot be told apart
        self.log = stream_log(logging.getLogger(__name__), self.stream_id)
        settings = self._settings = upstream.settings
        self.timeline = Timeline(time.monotonic)
        self._stop_noting = self.timeline.listen(self._noted)
        self.stall_watch = StallWatch(self.timeline)
        self._attendance = Attendance(self.timeline, self.log, self._interest_changed)
        self.clients = self._attendance.clients
        self.ended_clients = self._attendance.ended
        self.audience = self._attendance.audience
        self.intake = Intake(RingLimits.from_settings(settings), pump, settings.splice_wait_s, self.log, self.timeline)
        self.ring = self.intake.ring
        self.block_s = settings.block_s  # of its ring: the setting may change
        self.supply = self._make_supply(links, params, upstream, pump)
        self._pump = pump
        self._owner = owner
        self._awaited = Awaited()
        self._is_over = False  # the owner was told of the end
        self.life = Life(self, owner, self._attendance, self._awaited, settings)

    def _make_supply(self, links: Sequence[Link], params: Mapping[str, str], upstream: Upstream, _pump: Pump) -> Supply:
        """Return what keeps a source at hand; for subclasses to replace."""
        return Supply(links, params, upstream, self.intake, self, self.timeline, self.log)

    @property
    def derived_from(self) -> str | None:
        """The id of the stream that it is made of, None for one that an engine delivers."""
        return None

    @property
    def state(self) -> State:
        """Where it stands in its life."""
        return self.life.state

    @property
    def close_reason(self) -> Reason | None:
        """Why it is over, None while it is not."""
        return self.life.close_reason

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
        with self._attendance.wait():
            try:
                await self._wait_ready()
                self._owner.check_room()
                place.check()
            except BaseException:
                place.leave()
                raise
            client = Client(visitor, delivery)
            client.place = place
            self._attendance.came(client)
            self._owner.changed()
            return client

    async def wait_live(self, visitor: Visitor) -> None:
        """Wait until the stream delivers, without joining it; `visitor` has a place meanwhile.

        Raises what `join` raises. Cancel-safe. A caller that joins, or holds, before it waits for anything else can
        be sure that the stream is still there.
        """
        place = self._owner.admit(self, visitor)
        interest = ExitStack()
        interest.enter_context(self._attendance.wait())
        try:
            await self._wait_ready()
            place.check()
        except BaseException:
            interest.close()
            raise
        finally:
            place.leave()
        # Not before the caller could join: where no streams without clients are kept it would be closed by then.
        asyncio.get_running_loop().call_soon(interest.close)

    async def _wait_ready(self) -> None:
        await self._awaited.wait_ready()
        if self.state is State.CLOSED:
            raise AceProxyError(self.close_reason or Reason.STREAM_NOT_RUNNING)

    @property
    def waiting(self) -> int:
        """How many visitors wait for the start."""
        return self._attendance.waiting

    @property
    def holder_count(self) -> int:
        """How many keep it alive without playing it."""
        return self._attendance.holder_count

    def hold(self, holder: Holder) -> None:
        """Keep the stream alive for `holder`, until `release` or the stream's end; of no effect once it is closed."""
        if self.state is not State.CLOSED:
            self._attendance.hold(holder)
            self._interest_changed()
            self._owner.changed()

    def release(self, holder: Holder) -> None:
        """Let go of the stream. May be called again."""
        if self._attendance.release(holder):
            self._interest_changed()
            self._owner.changed()

    async def wait_told(self) -> Playback:
        """Wait until an engine has said what it plays, which is long before there is data.

        Raises what `join` raises. Cancel-safe; keeps nothing alive, see `hold`.
        """
        return await self._awaited.wait_told()

    def attach(self, client: Client, outlet: Outlet) -> None:
        """Hand a client's outlet to the pump."""
        client.outlet = outlet
        self._pump.add(outlet)

    def feed(self, outlet: Outlet) -> None:
        """Hand an outlet that belongs to no client to the pump."""
        self._pump.add(outlet)

    def feed_no_more(self, outlet: Outlet) -> None:
        """End an outlet that belongs to no client."""
        self._pump.end(outlet, Reason.STOPPED)

    def client_done(self, client: Client, reason: Reason) -> None:
        """Hear that a client has ended: from the pump, or from whoever admitted it and could not attach it."""
        if not self._attendance.left(client, reason):
            return
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

    # --- its beginning and its end ---

    def begin(self) -> asyncio.Task[None]:
        """Start the stream's own task; the owner keeps it."""
        return self.life.begin()

    def close(self, reason: Reason, detail: str = "") -> None:
        """End the stream and all its clients with a reason. Waits for nothing; idempotent."""
        if self.state is State.CLOSED:
            return
        error = AceProxyError(reason, detail)
        self.life.end(reason, error.message)
        self.supply.close()
        self._awaited.fail(error)
        self._attendance.dismiss_holders(reason, detail)
        self._end_clients(reason)
        self.timeline.note(EventKind.ENDED, reason=reason, message=error.message)
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

    # --- Consumer ---

    @property
    def client_count(self) -> int:
        """How many watch."""
        return len(self.clients)

    @property
    def has_clients(self) -> bool:
        """Whether anybody watches, or waits to."""
        return self._attendance.has_clients

    def playback_started(self, playback: Playback) -> None:
        """Hear of a playback that was started. One by other digits or another link has yet to prove itself.

        Raises MetRecording, unless clients have been served already.
        """
        if playback.is_live is False and self.state is State.STARTING:
            raise MetRecording(playback)
        if playback.key == self.link.key:
            self._awaited.tell(playback)

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
        raise PlaysElsewhere(other)

    def neighbour(self, link: Link) -> Stream | None:
        """Return another stream that plays this link now and can be read instead; None while there has been no data."""
        other = self._owner.find(link) if self.state is not State.STARTING else None
        return other if other is not None and delivers_to(other, self) else None

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
        return self._attendance.sent_bytes + self.shared_bytes

    def sample(self, elapsed_s: float) -> None:
        """Measure rates since the last sample, `elapsed_s` ago."""
        self.intake.sample(elapsed_s)
        if self.state is State.RECOVERING or (self.clients and self.intake.quiet_s >= self._settings.quiet_s):
            self.intake.keep_alive()
        now, source = time.monotonic(), self.source
        self._attendance.sample(now, elapsed_s)
        if source is not None and self.state in DELIVERING:
            stat, last_byte_at = source.engine_stat(now), None if source.paused else source.last_byte_at
            habit_s = source.gaps.habit_s(now)
            self.stall_watch.look(now, last_byte_at, stat, habit_s)
            source.meter.look(last_byte_at, stat, self.intake.bitrate_bps, source.title, habit_s)

    def _interest_changed(self) -> None:
        self.life.interest_changed()

    def _noted(self, event: Event) -> None:
        """Write an event of the time line into the log, and pass it on."""
        level = KINDS[event.kind].level
        if level is not None:
            if event.kind in stalls.KINDS and not stalls.is_told(stalls.times_of(event.details)):
                level = logging.DEBUG
            self.log.log(level, "%s", event.words)
        if event.reason is not None and event.kind in LOSSES and self.source is not None:
            self.source.meter.lost(event.reason)
        self._owner.noted(self, event)
