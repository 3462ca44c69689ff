"""The supply of a stream: one source after the other, so that its intake always has one that delivers.

A stream has one task, and that runs `start`, then `watch` and `restore` in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from aceproxy.engine.backoff import pause_s
from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import StreamLog
from aceproxy.streams.choosing import Choosing
from aceproxy.streams.consumer import Consumer
from aceproxy.streams.intake import Intake
from aceproxy.streams.present import Present
from aceproxy.streams.reserve import Reserve
from aceproxy.streams.restoring import Restoring
from aceproxy.streams.situation import ReserveLimits
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.starting import Starting
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.watching import Watching
from aceproxy.streams.ways import LINK_FAULTS

LINK_PATIENCE_S: Final = 8.0  # with a link of which nothing comes in, while there is another one


class Supply:
    """Keeps a source at hand for one stream: opens the first one, has it watched, and has it replaced.

    Belongs to the event loop. `links` are names of one broadcast, best first.
    """

    def __init__(
        self,
        links: Sequence[Link],
        params: Mapping[str, str],
        upstream: Upstream,
        intake: Intake,
        consumer: Consumer,
        timeline: Timeline,
        log: StreamLog,
    ) -> None:
        settings = self._settings = upstream.settings
        self._present = Present(links, params, upstream, intake, consumer, timeline, log)
        self.links = self._present.links
        self.recoveries = 0
        limits = ReserveLimits(
            settings.start_timeout_s, settings.return_s, settings.return_proof_s, settings.standby_bytes
        )
        self.reserve = Reserve(limits, self._present.new_source, intake.ingest.newest, timeline, intake.ingest.has_new)
        choosing = Choosing(self._present, self.reserve, upstream, timeline)
        self._watching = Watching(self._present, self.reserve, choosing, upstream, intake, consumer, timeline)
        self._starting = Starting(self._present, self.reserve, upstream)
        self._restoring = Restoring(self._present, self.reserve, choosing, upstream, intake, timeline)
        self._upstream = upstream
        self._intake = intake
        self._timeline = timeline
        self._log = log

    @property
    def source(self) -> Source | None:
        """The source that delivers, or is being opened."""
        return self._present.source

    @property
    def at(self) -> int:
        """The number of the link that plays."""
        return self._present.at

    @property
    def switches(self) -> int:
        """How often another source took over without a loss."""
        return self._watching.switches

    @property
    def wants_standby(self) -> bool:
        """Whether a second source is to run beside the present one."""
        return self._watching.wants_standby

    @property
    def asks_standby(self) -> bool:
        """Whether one was asked for, however few watch."""
        return self._watching.asks_standby

    @asks_standby.setter
    def asks_standby(self, wanted: bool) -> None:
        self._watching.asks_standby = wanted

    @property
    def engine_words(self) -> str:
        """The present engine, in words."""
        return self._present.engine_words

    def add_links(self, links: Sequence[Link]) -> None:
        """Learn further links of the broadcast; bounded, what does not fit is left out."""
        self._present.add_links(links)

    def close(self) -> None:
        """Let go of every source. Idempotent; waits for nothing."""
        self.reserve.close()
        self._present.close()

    async def settle(self) -> None:
        """Wait, after `close`, for what is still running."""
        await self.reserve.settle()

    async def start(self, deadline_at: float) -> AceProxyError | None:
        """Open the first source, of the first link that can be had, until clients can join.

        Links that have played clearly better than others come first, and last those that some stream has lost again and
        again just now. One that gets nowhere is left for the next after
        LINK_PATIENCE_S, and tried again, for what time is left, when none of the others can be had. Returns why that
        source has ended already, if it has. Raises AceProxyError with the reason of the link that was tried first, or
        what `Consumer.infohash_known` raises.
        """
        loop = asyncio.get_running_loop()
        first: AceProxyError | None = None
        links = self._upstream.left.order(self._upstream.links.order(self._present.links), loop.time())
        order = [self._present.links.index(link) for link in links]
        stuck: list[int] = []  # links given up while there was another one
        patience_s = LINK_PATIENCE_S
        while order:
            at = order.pop(0)
            others = len(order) + len(stuck)
            share_s = (deadline_at - loop.time()) / (others + 1)
            try:
                return await self._start_with(at, loop.time() + share_s, patience_s if others else inf)
            except AceProxyError as error:
                self._present.close()
                first = first or error
                is_over = self._starting.has_only_pages or not (others or self._starting.gave_up)
                if error.reason not in LINK_FAULTS or is_over:
                    raise first from None
                self._timeline.note(
                    EventKind.LINK_FAILED, reason=error.reason, link=self._present.links[at].label, detail=error.detail
                )
            if self._starting.gave_up:
                stuck.append(at)
            if not order:
                order, stuck, patience_s = stuck, [], inf
        assert first is not None
        raise first

    async def _start_with(self, at: int, deadline_at: float, patience_s: float) -> AceProxyError | None:
        """Open sources of one link until one sends packets; a failure has the reason of the first of them.

        `patience_s` as for `Starting.open`.
        """
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self._starting.next_link()
        first: AceProxyError | None = None
        while True:
            self._watching.count_viewers()
            try:
                await self._starting.open(at, deadline_at, wants_standby=self.wants_standby, patience_s=patience_s)
            except AceProxyError as error:
                raise first or error from None
            try:
                return await self._wait_joinable()
            except AceProxyError as error:
                self._note_failed(error)
                first = first or error
                elsewhere = self._starting.shun(error)
                wait_s = 0.0 if elsewhere else pause_s(self._settings.retry_first_s, loop.time() - began_at)
                if not (elsewhere or error.reason is Reason.NO_DATA) or loop.time() + wait_s > deadline_at:
                    raise first from None
                self._present.lost(error)
            await asyncio.sleep(wait_s)

    def _note_failed(self, error: AceProxyError) -> None:
        """Tell that what the present engine sent is of no use."""
        link = self._present.links[self._present.at].label
        engine = self._present.engine_words
        self._timeline.note(EventKind.ENGINE_FAILED, reason=error.reason, engine=engine, link=link, detail=error.detail)

    async def _wait_joinable(self) -> AceProxyError | None:
        """Wait for a join point, or so long that none is to be expected. Raises NOT_MPEGTS, NO_DATA."""
        intake = self._intake
        ended = await self._present.wait_for(intake.joinable, self._settings.keyframe_wait_s)
        if intake.ring.head == 0:
            if intake.ingest.received_bytes and not ended:
                raise AceProxyError(Reason.NOT_MPEGTS)
            raise AceProxyError(Reason.NO_DATA, "the engine ended the stream at once")
        if not intake.joinable.is_set():
            self._log.warning("no keyframe so far: clients start at any packet")
        return AceProxyError(Reason.SOURCE_ENDED, "soon after the start") if ended else None

    async def watch(self) -> AceProxyError:
        """Wait until the present source is lost, and say why. Cancel-safe.

        Meanwhile another source may take its place where that is better, without a loss.
        """
        return await self._watching.watch()

    async def restore(self, error: AceProxyError) -> None:
        """Replace a lost source; `error` says why it was lost, and is raised when the time for it is over.

        The time counts from the first loss since a source has brought SETTLED_S of new media.
        """
        self._watching.count_viewers()
        await self._restoring.restore(error, wants_standby=self.wants_standby)
        self.recoveries += 1
