"""While a source runs: it is looked at until it is lost, and another one takes its place where that is better."""

from __future__ import annotations

import asyncio

from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.carried import Carried
from aceproxy.streams.choosing import Choosing
from aceproxy.streams.consumer import Consumer
from aceproxy.streams.elsewhere import Elsewhere
from aceproxy.streams.engine_word import EngineWord
from aceproxy.streams.intake import Intake
from aceproxy.streams.judging import Call, JudgeLimits, Judgement, Look, SourceJudge
from aceproxy.streams.overtaking import Overtaking
from aceproxy.streams.present import Present
from aceproxy.streams.reserve import Reserve
from aceproxy.streams.situation import Situation
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.spare import Purpose, Spare
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.ticks import OFF_BEAT_S, next_tick

LOOK_S = 0.5  # between two looks at the present source
EASE_LOOK_S = 1.0  # while all is well with it, and nothing runs beside it
EASE_SILENT_S = 0.3  # for which it may be silent then
DOUBT_LOOK_S = 0.2  # while it is silent
AGAIN_S = 60.0  # after a source was left for garbage, or for repeats: where the next one does the same; doubles
LONGEST_AGAIN_S = 3600.0
LATE_S = 0.1  # a look so much later than it should have been finds sources silent that are not


class Watching:
    """Watches the present sources of one stream, one after the other. Belongs to the event loop."""

    def __init__(
        self,
        present: Present,
        reserve: Reserve,
        choosing: Choosing,
        upstream: Upstream,
        intake: Intake,
        consumer: Consumer,
        timeline: Timeline,
    ) -> None:
        self.switches = 0  # without a loss
        self.asks_standby = upstream.settings.standby  # whoever may ask for one has asked
        self._is_crowded = False  # since `count_viewers` was last called
        self._spare_damage_s = 0.0  # for which a source may damage the picture before it is left for that once more
        self._spare_doubt_s = 0.0  # for which one that repeats itself is taken for the broadcast's own doing
        self._elsewhere = Elsewhere()
        self._carried = Carried(intake.ingest.newest)
        self._overtaking = Overtaking(intake.ingest.newest, upstream.company)
        self._present = present
        self._reserve = reserve
        self._choosing = choosing
        self._upstream = upstream
        self._settings = upstream.settings
        self._intake = intake
        self._consumer = consumer
        self._timeline = timeline

    @property
    def wants_standby(self) -> bool:
        """Whether a second source is to run beside the present one: somebody asks for it, or so many watch."""
        return self.asks_standby or self._is_crowded

    def count_viewers(self) -> None:
        """See how many watch: from `standby_clients` on until half of them have left they are to have a standby."""
        limit, count = self._settings.standby_clients, self._consumer.client_count
        self._is_crowded = bool(limit) and (count >= limit or (self._is_crowded and 2 * count > limit))

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
        source = self._present.source
        assert source is not None
        assert source.poll is not None
        limits = JudgeLimits.from_settings(self._settings)
        judge = SourceJudge(limits, self._spare_damage_s, self._spare_doubt_s)
        self._carried = Carried(self._intake.ingest.newest)
        polling = asyncio.ensure_future(source.poll.run(source.title))
        ended = asyncio.ensure_future(source.wait_ended())
        look_s, loop = LOOK_S, asyncio.get_running_loop()
        try:
            while True:
                look_at = self._next_look_at(source, look_s)
                await asyncio.wait({ended}, timeout=look_at - loop.time())
                if ended.done():
                    return ended.result()
                look = self._look(source, is_late=loop.time() - look_at > LATE_S)
                judgement = judge.look(look)
                look_s = LOOK_S
                if self._doubt(source, look):
                    look_s = DOUBT_LOOK_S
                elif judgement is None and look.silent_s <= EASE_SILENT_S and self._reserve.spare is None:
                    look_s = EASE_LOOK_S
                if judgement is not None and judgement.call is Call.LOST:
                    if look.is_overtaken:
                        self._overtaking.made(look.now)
                    return source.lost(judgement.error)
                if judgement is not None and judgement.call is Call.POOR and look.silent_s >= EASE_SILENT_S:
                    self._elsewhere.tried(source.last_byte_at, look.now)
                if judgement is not None and judgement.call is Call.INNOCENT:
                    self._timeline.note(EventKind.REPEATED)
                    self._intake.let_repeat()
                if self._reserve.tend(self._situation(source, judgement)) is not None:
                    if judgement is not None:
                        self._note_left(judgement.error.reason)
                    return await self._switch()
        finally:
            ended.cancel()
            polling.cancel()
            await asyncio.gather(ended, polling, return_exceptions=True)

    def _note_left(self, reason: Reason) -> None:
        """A source was left for what the next one may do as well: it is given ever more time to."""
        if reason is Reason.NOT_MPEGTS:
            self._spare_damage_s = min(max(AGAIN_S, 2 * self._spare_damage_s), LONGEST_AGAIN_S)
        elif reason is Reason.SOURCE_LOOPS:
            self._spare_doubt_s = min(max(AGAIN_S, 2 * self._spare_doubt_s), LONGEST_AGAIN_S)

    def _situation(self, source: Source, judgement: Judgement | None) -> Situation:
        self.count_viewers()
        return Situation(
            now=asyncio.get_running_loop().time(),
            source=source,
            at=self._present.at,
            engine=source.engine_url,
            engines=frozenset(self._upstream.pool.urls),
            fit=self._upstream.pool.fit_for_spares(),
            preferred=self._preferred(source),
            links=len(self._present.links),
            has_clients=self._consumer.has_clients,
            wants_standby=self.wants_standby,
            since=self._present.since,
            at_since=self._present.at_since,
            arrivals=self._upstream.pool.arrivals.count,
            judgement=judgement,
            next_links=self._choosing.next_links(self._present.at, self._intake.media_s),
        )

    def _preferred(self, source: Source) -> frozenset[str]:
        """Return the engines that the operator prefers to the present one, if they could take the stream."""
        spare = self._reserve.spare
        own = frozenset({spare.engine_url} if spare is not None and spare.engine_url is not None else ())
        return self._upstream.pool.preferred_to(source.engine_url, own)

    async def _switch(self) -> AceProxyError | None:
        """Let the spare take over from a source that still delivers; return what went wrong."""
        engine, at = self._present.engine_url, self._present.at
        try:
            spare = self._reserve.take()
            await self._present.take(spare)
        except OSError as error:
            return AceProxyError(Reason.SOURCE_ENDED, f"the next source could not take over: {error.strerror}")
        self.switches += 1
        if spare.purpose is Purpose.RETURN:
            self._reserve.returns.made(asyncio.get_running_loop().time())
        self._present.note_switch(engine, at)
        return None

    def _doubt(self, source: Source, look: Look) -> bool:
        """Have the engine asked whether it lives if so little comes, before anybody makes anything of it.

        Return whether to look again soon.
        """
        doubt_since = self._overtaking.doubts(source, self._standby, look.now)
        if doubt_since is not None:
            source.doubt_engine(doubt_since)
        is_silent = not look.paused and look.silent_s >= self._settings.quiet_s / 2
        if is_silent:
            source.doubt_engine()
        elif look.is_unusual and look.silent_s > EASE_SILENT_S and not look.paused:
            source.doubt_engine(look.now - look.silent_s)
            return True
        return is_silent

    def _next_look_at(self, source: Source, look_s: float) -> float:
        """Return when to look next: at a tick, or as soon as a standby may have overtaken the source."""
        now = asyncio.get_running_loop().time()
        tick_at = next_tick(now, look_s, OFF_BEAT_S)
        look_at = self._overtaking.look_at(source, self._standby, now)
        return tick_at if look_at is None else min(tick_at, look_at)

    @property
    def _standby(self) -> Spare | None:
        """What runs beside the present source, of the same link."""
        spare = self._reserve.spare
        return spare if spare is not None and spare.at == self._present.at else None

    def _look(self, source: Source, *, is_late: bool) -> Look:
        """Look at the present source; something odd makes the engine be asked at once.

        `is_late`: there was no time to look, and perhaps none to read what has come.
        """
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
        standby = self._standby if silent_s >= self._settings.quiet_s and self._reserve.is_ready else None
        return Look(
            now=now,
            silent_s=silent_s,
            better_left=source.better_left,
            received_bytes=ingest.received_bytes,
            packet_bytes=ingest.packet_bytes,
            media_s=intake.media_s,
            carried_s=self._carried.note(now, ingest.packet_bytes, intake.media_s),
            points=ingest.points,
            has_video=ingest.analyzer.has_video,
            is_live=source.is_live,
            paused=source.paused,
            engine=source.poll.word if source.poll is not None else EngineWord(),
            repeating_s=intake.repeating_s,
            is_held=ingest.guard.holding,
            has_spare=self._reserve.is_ready,
            spare_is_behind=standby is not None and self._overtaking.is_behind(standby),
            is_overtaken=not is_late and self._overtaking.has_overtaken(source, self._standby, now),
            habit_s=source.gaps.habit_s(now) if silent_s >= self._settings.quiet_s else 0.0,
            breaks=ingest.breaks,
            is_unusual=self._elsewhere.is_worth_a_try(source.last_byte_at, source.gaps, now),
            owed_s=self._overtaking.owed_s(source, now),
            could_move=bool(self._upstream.pool.fit_for_spares() - {source.engine_url}),
        )
