"""The present source of a stream: which one it is, of which link, and how another one comes into its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from aceproxy.engine.links import Link
from aceproxy.engine.media import ByteSink
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import StreamLog
from aceproxy.mpegts.points import points_in
from aceproxy.mpegts.well_known import offset_of, rows_of
from aceproxy.streams.consumer import Consumer
from aceproxy.streams.intake import Intake
from aceproxy.streams.owner import MetAnother, PlaysElsewhere
from aceproxy.streams.shared import SharedSource
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.spare import Spare, let_others
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.ways import Way

if TYPE_CHECKING:
    from aceproxy.streams.stream import Stream

OVERLAP_S: Final = 4.0  # of a spare's bytes before the place at which it goes on, to find that: engines send in bursts
BACKS_S: Final = 2.0, OVERLAP_S, 3 * OVERLAP_S  # of a spare with another clock, until there is a random-access point
SEARCHED_BYTES: Final = 1 << 20  # of the newest bytes, in which the place is as a rule
LINKS_LIMIT = 8  # links of one stream, its own and fallbacks of all who asked for it


class Present:
    """The source that delivers into the intake, or is being opened. Belongs to the event loop.

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
        self.at_since = 0.0  # loop time since when the present link plays
        self.since = 0.0  # loop time since when the present source plays
        self.source: Source | None = None
        self.asked = asyncio.Event()  # an engine has been asked for the present source: its turn has come
        self.progressed = asyncio.Event()  # an engine has told how far a start is
        self._params = params
        self._upstream = upstream
        self._intake = intake
        self._consumer = consumer
        self._timeline = timeline
        self._log = log

    @property
    def engine_words(self) -> str:
        """The present engine, in words."""
        return self.engine_url or "no engine"

    @property
    def engine_url(self) -> str | None:
        """The present engine's address."""
        return self.source.engine_url if self.source is not None else None

    def add_links(self, links: Sequence[Link]) -> None:
        """Learn further links of the broadcast; bounded, what does not fit is left out."""
        fresh = [link for link in dict.fromkeys(links) if link not in self.links]
        self.links += fresh[: max(0, LINKS_LIMIT - len(self.links))]

    def close(self) -> None:
        """Let go of the source. Idempotent; waits for nothing."""
        if self.source is not None:
            self.source.close()

    def lost(self, error: AceProxyError) -> None:
        """Let go of a source that was opened and is of no use, and tell its engine's keeper why."""
        if self.source is not None:
            self.source.lost(error)
        self.close()

    def gave_up(self, error: AceProxyError) -> None:
        """Tell that the source that is being opened is waited for no longer; the link has failed, the engine not."""
        if self.source is not None and self.source.engine_url is not None:
            self.source.meter.failed(self.source.link.key, self.source.engine_url, error.reason)

    def failed(self, error: AceProxyError) -> None:
        """Let go of a source that could not be opened; `error` is told until there is another one."""
        self.close()
        if self.source is not None:
            self.source.start_failure, self.source.progress = error, None

    async def open(self, way: Way, deadline_at: float, *, only_new: bool = False) -> None:
        """Open a source into the intake, as the present one; `only_new` as for `Intake.begin_source`.

        Raises AceProxyError. Cancel-safe.
        """
        neighbour = self._consumer.neighbour(self.links[way.at]) if way.at else None
        while True:
            source = self.new_source(way.at, self._intake) if neighbour is None else self._shared(way.at, neighbour)
            if way.at != self.at:
                self.at_since = asyncio.get_running_loop().time()
            self.source, self.at = source, way.at
            source.on_asked = self.asked.set
            self._intake.begin_source(source, only_new=only_new)
            ask_first = way.at == 0 and self._consumer.infohash is None and self._consumer.should_ask_first()
            try:
                await source.open(deadline_at, ask_first=ask_first, exclude=way.exclude)
            except PlaysElsewhere as met:
                source.close()
                neighbour = self._consumer.neighbour(met.stream.link)
                if neighbour is None:
                    raise _plays_already(met) from met
                continue
            except AceProxyError as error:
                source.close()
                if error.reason is Reason.AT_CAPACITY and self._consumer.make_way():
                    continue
                raise
            except BaseException:
                source.close()
                raise
            self._learn_link(way.at, source.link)
            self.since = asyncio.get_running_loop().time()
            return

    def _shared(self, at: int, stream: Stream) -> SharedSource:
        """Return a source of link number `at` that reads another stream, not opened yet."""
        link = self.links[at]
        source = SharedSource(stream, self._upstream, link, self._params, self._intake, self._log, self._timeline)
        source.title = self.source.title if self.source is not None else None
        return source

    def new_source(self, at: int, sink: ByteSink, role: str | None = None) -> Source:
        """Return a source of link number `at`, not opened yet; with a `role` it is one beside the present one."""
        on_infohash = self._infohash_sink(at, is_beside=role is not None)
        source = Source(
            self._upstream, self.links[at], self._params, sink, on_infohash, self._log, self._timeline, role
        )
        source.title = self.source.title if self.source is not None else None
        if role is None:
            source.on_playback = self._consumer.playback_started
            source.on_progress = self.progressed.set
        return source

    def _infohash_sink(self, at: int, *, is_beside: bool) -> Callable[[str], None]:
        def learn(infohash: str) -> None:
            try:
                self._consumer.infohash_known(at, infohash)
            except MetAnother as met:
                if not is_beside:
                    raise
                raise _plays_already(met) from met

        return learn

    def _learn_link(self, at: int, link: Link) -> None:
        if link != self.links[at]:
            self._log.info("the engine knows %s only as %s", self.links[at].label, link.label)
            self.links[at] = link

    async def take(self, spare: Spare) -> None:
        """Put a spare in the place of the present source, from what it kept on. Raises OSError.

        Streams take turns: where many leave one engine together, the event loop turns between any two steps. What the
        present source still sends while others have their turn goes on into the intake. Cancel-safe: the spare is the
        present source then, or closed.
        """
        try:
            async with self._upstream.turns:
                await let_others()
                await self._take(spare)
        finally:
            if self.source is not spare.source:
                spare.close()

    async def _take(self, spare: Spare) -> None:
        title = self.source.title if self.source is not None else None
        self.close()
        if spare.at != self.at:
            self.at_since = asyncio.get_running_loop().time()
        self.source, self.at = spare.source, spare.at
        self.since = asyncio.get_running_loop().time()
        self.source.title = self.source.title or title
        self.source.keep()
        self._intake.begin_source(spare.source, with_past=spare.is_at_pace)
        await let_others()  # each of these steps takes milliseconds
        if spare.is_at_pace:
            self._leave_out_what_was_sent(spare)
        await asyncio.sleep(0)
        await spare.sink.hand_over(self._intake)
        self._intake.past_given()

    def _leave_out_what_was_sent(self, spare: Spare) -> None:
        """Have a spare forget what went to the clients long ago: all of it would have to be gone through now.

        Where it has the very packets that were sent last, that is what came before those. If it has not: it came to the
        place that was sent last `-lag_s` ago; a little before that the place is looked for. Where the clocks do not
        tell it is taken to be as far as what was sent, and begins at a random-access point that came little before.
        """
        newest = self._intake.ingest.newest
        rows = rows_of(newest(SEARCHED_BYTES))
        for newest_bytes in (SEARCHED_BYTES, spare.sink.held_bytes) if rows else ():
            fresh = spare.sink.newest(newest_bytes)
            at = offset_of(rows, fresh)
            if at is not None:
                spare.sink.keep_newest(len(fresh) - at)
                return
        lag_s = spare.lag_s(newest)
        if lag_s is not None:
            spare.sink.drop_before(time.monotonic() + min(lag_s, 0.0) - OVERLAP_S)
            return
        sent_at = time.monotonic() - self._intake.quiet_s
        for back_s in BACKS_S:
            if points_in(spare.sink.came_between(sent_at - back_s, sent_at)):
                spare.sink.drop_before(sent_at - back_s)
                return

    async def wait_for(self, event: asyncio.Event, limit_s: float) -> bool:
        """Wait for an event at most so long; return whether the present source ended meanwhile. Cancel-safe."""
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

    def start_status(self) -> str | None:
        """What the engine says of the start that goes on."""
        progress = self.source.progress if self.source is not None else None
        return progress.status if progress is not None else None

    def note_switch(self, engine: str | None, at: int) -> None:
        """Note that there is another source than the one of `engine` and link number `at`."""
        link = self.links[self.at].label if self.at != at else None
        self._timeline.note(EventKind.SWITCHED, engine=self.engine_words, from_engine=engine, link=link)


def _plays_already(met: MetAnother) -> AceProxyError:
    return AceProxyError(Reason.SESSION_LOST, f"this link plays as stream {met.stream.stream_id} already")
