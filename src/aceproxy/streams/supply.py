"""The supply of a stream: one source after the other, so that its intake always has one that delivers.

A stream has one task, and that runs `start`, then `watch` and `restore` in turn. Where a source is looked for anew
goes from the near to the far: the same engine, other engines, the next link; each try with a limit of its own, the
whole within `recover_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from aceproxy.engine.links import Link
from aceproxy.engine.media import ByteSink
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import StreamLog
from aceproxy.streams.consumer import Consumer
from aceproxy.streams.intake import Intake
from aceproxy.streams.judging import Call, EngineWord, JudgeLimits, Judgement, Look, SourceJudge
from aceproxy.streams.patience import PATIENCE_S, open_while_promising
from aceproxy.streams.reserve import Reserve, ReserveLimits, Situation
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.spare import Spare
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.ways import DISTRUST, LINK_FAULTS, Way, ways_back

SETTLED_S = 3.0  # of media that were new: then a source counts as a good one
LINKS_LIMIT = 8  # links of one stream, its own and fallbacks of all who asked for it
LOOK_S = 0.5  # between two looks at the present source
DOUBT_LOOK_S = 0.2  # while it is silent


class Supply:
    """Keeps the present source of one stream. Belongs to the event loop.

    `links` are names of one broadcast, best first; `at` says which one plays.
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
        self.links = list(links)
        self.at = 0
        self.source: Source | None = None
        self.recoveries = 0
        self.switches = 0  # without a loss
        self.wants_standby = upstream.settings.standby
        self._params = params
        self._upstream = upstream
        self._settings = upstream.settings
        self._intake = intake
        self._consumer = consumer
        self._timeline = timeline
        self._log = log
        self._opened_media_s = 0.0  # media that had come in when the present source began to deliver
        self._at_since = 0.0  # loop time since when the present link plays
        settings = upstream.settings
        limits = ReserveLimits(
            settings.start_timeout_s, settings.return_s, settings.return_proof_s, settings.standby_bytes
        )
        self.reserve = Reserve(limits, self._new_source, intake.ingest.newest, timeline)
        self._lost_at: float | None = None  # loop time of the first loss since a source was a good one
        self._progressed = asyncio.Event()  # an engine has told how far a start is
        self._short_runs = 0  # losses in a row of sources that had not settled

    @property
    def engine_words(self) -> str:
        """The present engine, in words."""
        return (self.source.engine_url if self.source is not None else None) or "no engine"

    def add_links(self, links: Sequence[Link]) -> None:
        """Learn further links of the broadcast; bounded, what does not fit is left out."""
        fresh = [link for link in dict.fromkeys(links) if link not in self.links]
        self.links += fresh[: max(0, LINKS_LIMIT - len(self.links))]

    def close(self) -> None:
        """Let go of every source. Idempotent; waits for nothing."""
        self.reserve.close()
        self._close_source()

    async def settle(self) -> None:
        """Wait, after `close`, for what is still running."""
        await self.reserve.settle()

    def _close_source(self) -> None:
        if self.source is not None:
            self.source.close()

    # --- the first source ---

    async def start(self, deadline_at: float) -> AceProxyError | None:
        """Open the first source, of the first link that can be had, until clients can join.

        Links that have played clearly better than others come first. Returns why that source has ended already, if it
        has. Raises AceProxyError with the reason of the link that was tried first, or what `Consumer.infohash_known`
        raises.
        """
        loop = asyncio.get_running_loop()
        first: AceProxyError | None = None
        order = [self.links.index(link) for link in self._upstream.links.order(self.links)]
        for number, at in enumerate(order):
            share_s = (deadline_at - loop.time()) / (len(order) - number)
            try:
                return await self._start_with(at, loop.time() + share_s)
            except AceProxyError as error:
                self._close_source()
                first = first or error
                if error.reason not in LINK_FAULTS or number + 1 == len(order):
                    raise first from None
                self._timeline.note(
                    EventKind.LINK_FAILED, reason=error.reason, link=self.links[at].label, detail=error.detail
                )
        raise AssertionError("a stream without links")

    async def _start_with(self, at: int, deadline_at: float) -> AceProxyError | None:
        """Open sources of one link until one sends packets."""
        loop = asyncio.get_running_loop()
        while True:
            await self._open(Way(at), deadline_at)
            try:
                return await self._wait_joinable()
            except AceProxyError as error:
                if error.reason is not Reason.NO_DATA or loop.time() + self._settings.retry_first_s > deadline_at:
                    raise
            self._log.info("the engine sent no packet; trying again")
            self._close_source()
            await asyncio.sleep(self._settings.retry_first_s)

    async def _wait_joinable(self) -> AceProxyError | None:
        """Wait for a join point, or so long that none is to be expected. Raises NOT_MPEGTS, NO_DATA."""
        intake = self._intake
        ended = await self._wait_for(intake.joinable, self._settings.keyframe_wait_s)
        if intake.ring.head == 0:
            if intake.ingest.received_bytes and not ended:
                raise AceProxyError(Reason.NOT_MPEGTS)
            raise AceProxyError(Reason.NO_DATA, "the engine ended the stream at once")
        if not intake.joinable.is_set():
            self._log.warning("no keyframe so far: clients start at any packet")
        return AceProxyError(Reason.SOURCE_ENDED, "soon after the start") if ended else None

    async def _wait_for(self, event: asyncio.Event, limit_s: float) -> bool:
        """Wait for an event at most so long; return whether the present source ended meanwhile."""
        source = self.source
        assert source is not None
        happened = asyncio.ensure_future(event.wait())
        ended = asyncio.ensure_future(source.wait_ended())
        try:
            await asyncio.wait({happened, ended}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            return ended.done()
        finally:
            happened.cancel()
            ended.cancel()
            await asyncio.gather(happened, ended, return_exceptions=True)

    # --- while it runs ---

    async def watch(self) -> AceProxyError:
        """Wait until the present source is lost, and say why. Cancel-safe.

        Meanwhile another source may take its place where that is better, without a loss.
        """
        while True:
            error = await self._watch_source()
            if error is not None:
                return error

    async def _watch_source(self) -> AceProxyError | None:
        """Watch one source until it is lost (say why) or another one takes over (None)."""
        source = self.source
        assert source is not None
        assert source.poll is not None
        judge = SourceJudge(JudgeLimits.from_settings(self._settings))
        polling = asyncio.ensure_future(source.poll.run(source.title))
        ended = asyncio.ensure_future(source.wait_ended())
        look_s = LOOK_S
        try:
            while True:
                await asyncio.wait({ended}, timeout=look_s)
                if ended.done():
                    return ended.result()
                look = self._look(source)
                look_s = LOOK_S
                if self._is_doubtful(look):
                    source.doubt_engine()
                    look_s = DOUBT_LOOK_S
                judgement = judge.look(look)
                if judgement is not None and judgement.call is Call.LOST:
                    return source.lost(judgement.error)
                if judgement is not None and judgement.call is Call.INNOCENT:
                    self._timeline.note(EventKind.REPEATED)
                    self._intake.let_repeat()
                if self.reserve.tend(self._situation(source, judgement)) is not None:
                    return await self._switch()
        finally:
            ended.cancel()
            polling.cancel()
            await asyncio.gather(ended, polling, return_exceptions=True)

    def _situation(self, source: Source, judgement: Judgement | None) -> Situation:
        return Situation(
            now=asyncio.get_running_loop().time(),
            source=source,
            at=self.at,
            engine=source.engine_url,
            engines=frozenset(self._upstream.pool.urls),
            links=len(self.links),
            has_clients=self._consumer.has_clients,
            wants_standby=self.wants_standby,
            at_since=self._at_since,
            judgement=judgement,
        )

    async def _switch(self) -> AceProxyError | None:
        """Let the spare take over from a source that still delivers; return what went wrong."""
        engine, at = self.source.engine_url if self.source is not None else None, self.at
        try:
            await self._take_spare()
        except OSError as error:
            return AceProxyError(Reason.SOURCE_ENDED, f"the next source could not take over: {error.strerror}")
        self.switches += 1
        self._note_switch(engine, at)
        return None

    async def _take_spare(self) -> None:
        """Put the spare in the place of the present source, from what it kept on."""
        spare: Spare = self.reserve.take()
        title = self.source.title if self.source is not None else None
        self._close_source()
        if spare.at != self.at:
            self._at_since = asyncio.get_running_loop().time()
        self.source, self.at = spare.source, spare.at
        self.source.title = self.source.title or title
        self.source.keep()
        self._intake.begin_source(spare.source)
        await spare.sink.hand_over(self._intake)

    def _is_doubtful(self, look: Look) -> bool:
        """Whether so little comes that the engine is asked if it lives, before anybody makes anything of it."""
        return not look.paused and look.silent_s >= self._settings.quiet_s / 2

    def _look(self, source: Source) -> Look:
        """Look at the present source; something odd makes the engine be asked at once."""
        now = asyncio.get_running_loop().time()
        intake, ingest = self._intake, self._intake.ingest
        silent_s = 0.0 if source.last_byte_at is None else max(0.0, now - source.last_byte_at)
        if source.poll is not None:
            if silent_s >= self._settings.quiet_s or intake.repeating_s is not None:
                if not source.poll.is_hurried:
                    source.see_engine()
                source.poll.hurry()
            else:
                source.poll.calm()
        return Look(
            now=now,
            silent_s=silent_s,
            better_left=source.better_left,
            received_bytes=ingest.received_bytes,
            packet_bytes=ingest.packet_bytes,
            media_s=intake.media_s,
            points=ingest.points,
            has_video=ingest.analyzer.has_video,
            is_live=source.is_live,
            paused=source.paused,
            engine=source.poll.word if source.poll is not None else EngineWord(),
            repeating_s=intake.repeating_s,
            is_held=ingest.guard.holding,
            has_spare=self.reserve.is_ready,
        )

    # --- after a loss ---

    async def restore(self, error: AceProxyError) -> None:
        """Replace a lost source; `error` says why it was lost, and is raised when the time for it is over.

        The time counts from the first loss since a source has brought SETTLED_S of new media.
        """
        loop = asyncio.get_running_loop()
        lost_engine, lost_link = self.source.engine_url if self.source is not None else None, self.at
        self._timeline.note(EventKind.SOURCE_LOST, reason=error.reason, engine=lost_engine, detail=error.detail)
        self._close_source()
        began_at = loop.time()
        if self.reserve.is_ready and await self._try_spare():
            self._note_restored(lost_engine, lost_link, began_at)
            return
        self.reserve.close()
        wait_s = self._settings.retry_first_s
        was_settled = self._lost_at is None or self._intake.media_s - self._opened_media_s >= SETTLED_S
        self._short_runs = 0 if was_settled else self._short_runs + 1
        others_first = error.reason in DISTRUST or not was_settled
        if self._lost_at is None or was_settled:
            self._lost_at = began_at
        else:  # it has just come back: an engine that ends every playback at once is not to be hammered
            await asyncio.sleep(wait_s)
        deadline_at = self._lost_at + self._settings.recover_s
        failure: AceProxyError | None = None
        patience_s = PATIENCE_S
        while failure is None or loop.time() + wait_s < deadline_at:
            if failure is not None:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, 8 * self._settings.retry_first_s)
            ways = self._ways(lost_engine, lost_link, others_first=others_first)
            failure = await self._try_round(ways, deadline_at, patience_s)
            patience_s *= 2
            if failure is None:
                self._note_restored(lost_engine, lost_link, began_at)
                return
        detail = f"{error.detail}; then {failure.reason}" if error.detail else f"then {failure.reason}"
        raise AceProxyError(error.reason, detail) from failure

    def _ways(self, engine: str | None, at: int, *, others_first: bool) -> list[Way]:
        """Return the ways to try."""
        order = self._upstream.links.order([link for number, link in enumerate(self.links) if number != at])
        fallbacks = [self.links.index(link) for link in order]
        engines = frozenset(self._upstream.pool.urls)
        return ways_back(at, engine, engines, fallbacks, others_first=others_first, short_runs=self._short_runs)

    async def _try_round(self, ways: Sequence[Way], deadline_at: float, patience_s: float) -> AceProxyError | None:
        """Try one way after the other; return None once a source delivers, else the last failure.

        While there is another way, one that promises nothing is left after `patience_s`.
        """
        loop = asyncio.get_running_loop()
        failure = AceProxyError(Reason.SOURCE_ENDED, "no time left")
        for number, way in enumerate(ways):
            limit_s = self._settings.reopen_s if number + 1 < len(ways) else self._settings.start_timeout_s
            until_at = min(deadline_at, loop.time() + limit_s)
            if until_at <= loop.time():
                break
            try:
                own_s = until_at - loop.time() if number + 1 == len(ways) else patience_s
                await open_while_promising(self._open(way, until_at), self._start_status, self._progressed, own_s)
                await self._prove()
            except AceProxyError as error:
                self._close_source()
                failure = error
                self._timeline.note(
                    EventKind.REOPEN_FAILED,
                    reason=error.reason,
                    detail=error.detail,
                    link=self.links[way.at].label if len(self.links) > 1 else None,
                )
            else:
                return None
        return failure

    def _start_status(self) -> str | None:
        """What the engine says of the start that goes on."""
        progress = self.source.progress if self.source is not None else None
        return progress.status if progress is not None else None

    async def _try_spare(self) -> bool:
        """Let the spare take over; return whether it delivers."""
        try:
            await self._take_spare()
            await self._prove()
        except (AceProxyError, OSError) as error:
            self._close_source()
            failure = error if isinstance(error, AceProxyError) else AceProxyError(Reason.INTERNAL, str(error))
            self._timeline.note(EventKind.REOPEN_FAILED, reason=failure.reason, detail=failure.detail)
            return False
        return True

    async def _prove(self) -> None:
        """Wait until something of the new source has gone to the clients. Raises AceProxyError if nothing will."""
        intake = self._intake
        ended = await self._wait_for(intake.flowing, self._settings.splice_wait_s + 2 * LOOK_S)
        if intake.goes_over_old:
            raise AceProxyError(Reason.SOURCE_LOOPS, "the reopened source only repeats what was sent before")
        if intake.flowing.is_set():
            return
        if ended:
            raise AceProxyError(Reason.NO_DATA, "the engine ended the stream at once")
        fit = intake.ingest.source_packets_bytes
        raise AceProxyError(Reason.SOURCE_STALLED if fit else Reason.NOT_MPEGTS, "nothing of it could be sent on")

    def _note_restored(self, lost_engine: str | None, lost_link: int, began_at: float) -> None:
        loop = asyncio.get_running_loop()
        self.recoveries += 1
        self._opened_media_s = self._intake.media_s
        engine = self.engine_words
        self._timeline.note(EventKind.RECOVERED, engine=engine, after_s=loop.time() - began_at)
        if engine != lost_engine or self.at != lost_link:
            self._note_switch(lost_engine, lost_link)

    def _note_switch(self, engine: str | None, at: int) -> None:
        link = self.links[self.at].label if self.at != at else None
        self._timeline.note(EventKind.SWITCHED, engine=self.engine_words, from_engine=engine, link=link)

    # --- opening ---

    async def _open(self, way: Way, deadline_at: float) -> None:
        """Open a source into the intake. Raises AceProxyError."""
        while True:
            source = self._new_source(way.at, self._intake)
            if way.at != self.at:
                self._at_since = asyncio.get_running_loop().time()
            self.source, self.at = source, way.at
            self._intake.begin_source(source)
            ask_first = way.at == 0 and self._consumer.infohash is None and self._consumer.should_ask_first()
            try:
                await source.open(deadline_at, ask_first=ask_first, exclude=way.exclude)
            except AceProxyError as error:
                source.close()
                if error.reason is Reason.AT_CAPACITY and self._consumer.make_way():
                    continue
                raise
            except BaseException:
                source.close()
                raise
            self._learn_link(way.at, source.link)
            return

    def _new_source(self, at: int, sink: ByteSink, role: str | None = None) -> Source:
        source = Source(
            self._upstream, self.links[at], self._params, sink, self._infohash_sink(at), self._log, self._timeline, role
        )
        source.title = self.source.title if self.source is not None else None
        if role is None:
            source.on_playback = self._consumer.playback_started
            source.on_progress = self._progressed.set
        return source

    def _infohash_sink(self, at: int) -> Callable[[str], None]:
        return lambda infohash: self._consumer.infohash_known(at, infohash)

    def _learn_link(self, at: int, link: Link) -> None:
        if link != self.links[at]:
            self._log.info("the engine knows %s only as %s", self.links[at].label, link.label)
            self.links[at] = link
