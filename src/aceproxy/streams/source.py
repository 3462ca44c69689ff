"""A source: our reader of one playback, from the choice of an engine to the stop of the playback on it.

A stream that loses its source makes a new one; a source is never used twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf

from aceproxy.engine.api import Playback
from aceproxy.engine.choice import NoAnswer
from aceproxy.engine.fetching import Origins
from aceproxy.engine.links import Link
from aceproxy.engine.media import ByteSink, MediaEnd, SourceReader
from aceproxy.engine.messages import Stat
from aceproxy.engine.opened import KeptPlayback, StartProgress
from aceproxy.engine.opening import open_playback
from aceproxy.engine.pool import EngineHandle, EnginePool
from aceproxy.engine.rests import Beats
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import StreamLog
from aceproxy.settings import Settings
from aceproxy.streams.company import Company
from aceproxy.streams.gaps import Gaps
from aceproxy.streams.left_links import LeftLinks
from aceproxy.streams.meter import Meter
from aceproxy.streams.noted_sink import NotedSink
from aceproxy.streams.polling import Poll, PollPace, StatPoll
from aceproxy.streams.quality import LinkExperience, NoExperience
from aceproxy.streams.snapshot import EngineStat
from aceproxy.streams.start_story import StartStory, start_words
from aceproxy.streams.timeline import EventKind, Timeline

ENGINE_FAULTS = (Reason.ENGINE_UNREACHABLE, Reason.ENGINE_REFUSED, Reason.ENGINE_TIMEOUT)  # another engine may do
ENDS = {
    MediaEnd.EOF: "the engine closed the connection",
    MediaEnd.RESET: "the connection to the engine was reset",
    MediaEnd.BROKEN: "the engine's body broke off",
    MediaEnd.CLOSED: "the connection was closed by us",
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """What a source needs of the world: the engines, who stops playbacks in the background, who knows links, which
    origins may be read, which other sources there are, whose turn it is to change its source, which no other does
    meanwhile, and which links were left of late.
    """

    settings: Settings
    pool: EnginePool
    stopper: PlaybackStopper
    links: LinkExperience = field(default_factory=NoExperience)
    pace: PollPace = field(default_factory=PollPace)
    beats: Beats = field(default_factory=Beats)
    origins: Origins | None = None
    turns: asyncio.Lock = field(default_factory=asyncio.Lock)
    company: Company = field(default_factory=Company)
    left: LeftLinks = field(default_factory=LeftLinks)


class Source:
    """Opens one playback of `link` into `sink` and watches it.

    `on_infohash` is called as soon as the engine tells it, before any byte; what it raises ends the opening.
    """

    def __init__(
        self,
        upstream: Upstream,
        link: Link,
        params: Mapping[str, str],
        sink: ByteSink,
        on_infohash: Callable[[str], None],
        stream_log: StreamLog,
        timeline: Timeline,
        role: str | None = None,
    ) -> None:
        """Prepare; nothing is asked yet. `role` is told with its events, for a source that is not the stream's own."""
        self.link = link
        self.playback: Playback | None = None
        self.poll: Poll | None = None  # None until it is open
        self.paused = False
        self.came_to_its_end = False  # a list was read to its declared end
        self.progress: StartProgress | None = None
        self._progress_at = 0.0  # loop time
        self.start_failure: AceProxyError | None = None  # of one that could not be opened
        self.on_playback: Callable[[Playback], None] | None = None  # hears of every playback that is started
        self.on_asked: Callable[[], None] | None = None  # is called when an engine is asked to start something
        self.on_progress: Callable[[], None] | None = None  # is called when the engine tells how far the start is
        self._upstream = upstream
        self._params = params
        self._sink = sink
        self._on_infohash = on_infohash
        self._log = stream_log
        self._story = StartStory(timeline, role)
        self.gaps = Gaps()
        self.meter = Meter(upstream.links.add)
        self._title: str | None = None
        self._handle: EngineHandle | None = None
        self._reader: SourceReader | None = None
        self._closed = False

    @property
    def engine_url(self) -> str | None:
        """The engine that was chosen."""
        return self._handle.url if self._handle is not None else None

    @property
    def title(self) -> str | None:
        """The broadcast's name, as far as it is known."""
        return (self.poll.title if self.poll is not None else None) or self._title

    @title.setter
    def title(self, title: str | None) -> None:
        self._title = title

    @property
    def is_live(self) -> bool:
        """Whether it may be judged by real time: not where the engine says that it is a recording."""
        return self.playback is None or self.playback.is_live is not False

    @property
    def last_byte_at(self) -> float | None:
        """Loop time at which the newest byte came."""
        return self._reader.last_byte_at if self._reader is not None else None

    @property
    def leave_requested(self) -> bool:
        """Whether the pool wants this engine left, or this spare's slot back."""
        return self._handle is not None and self._handle.leave_requested.is_set()

    def keep(self) -> None:
        """Be a spare no longer: the slot is not given back for others any more."""
        if self._handle is not None:
            self._handle.keep()

    def lend(self) -> None:
        """Be a spare again: the slot is given back when another stream needs it."""
        if self._handle is not None:
            self._handle.lend()

    @property
    def better_left(self) -> NoAnswer | None:
        """Since when the engine does not tell its version, where another one could do."""
        return self._handle.better_left if self._handle is not None else None

    @property
    def owed_since(self) -> float | None:
        """Since when the engine owes an answer to the question whether it lives; None where it owes none."""
        return self._handle.owes_since if self._handle is not None else None

    def doubt_engine(self, since_at: float = -inf) -> None:
        """Have the engine asked whether it lives: nothing comes any more, since `since_at`."""
        if self._handle is not None:
            self._handle.note_doubt(since_at)

    def see_engine(self) -> None:
        """Have the engine probed at once: something seems wrong."""
        if self._handle is not None:
            self._handle.note_slow()

    async def open(
        self, deadline_at: float, *, ask_first: bool = False, exclude: Collection[str] = (), spare: bool = False
    ) -> None:
        """Choose an engine and start a playback on it; returns when the first bytes are in the sink.

        `ask_first`: have the link resolved before the start, which could disturb the same broadcast's playback.
        `exclude`: engines, by URL, that are not to be used. `spare`: only where others do not need the
        slot. Raises AceProxyError with the most telling reason.
        Cancel-safe: what was started is stopped in the background once `close` is called, which the caller must do in
        any case.
        """
        failed: dict[str, AceProxyError] = {}
        while True:
            try:
                handle = self._handle = self._upstream.pool.choose(self.link, {*exclude, *failed}, spare=spare)
            except AceProxyError:
                if failed:
                    raise next(reversed(failed.values())) from None
                raise
            link = self.link.label
            self._story.note(EventKind.ENGINE_CHOSEN, engine=handle.url, link=link)
            try:
                await handle.wait_turn()
            except AceProxyError as gone:
                handle.release()
                failed[handle.url] = gone
                continue
            if self.on_asked is not None:
                self.on_asked()
            try:
                return await self._open_on(handle, deadline_at, ask_first)
            except AceProxyError as error:
                self._story.note(
                    EventKind.ENGINE_FAILED, reason=error.reason, engine=handle.url, link=link, detail=error.detail
                )
                self.meter.failed(self.link.key, handle.url, error.reason)
                handle.note_failure(error)
                handle.release()
                if error.reason not in ENGINE_FAULTS:
                    raise
                failed[handle.url] = error
            except KeptPlayback as kept:
                kept.slot, self._handle = handle, None
                raise

    async def _open_on(self, handle: EngineHandle, deadline_at: float, ask_first: bool) -> None:
        if ask_first and (infohash := await handle.api.resolve(self.link)):
            self._on_infohash(infohash)
        asked_at = time.monotonic()
        opened = await open_playback(
            handle.api,
            self.link,
            self._params,
            NotedSink(self._sink, self.gaps, lambda: self._story.note(EventKind.FIRST_BYTE, engine=handle.url)),
            deadline_at=deadline_at,
            on_progress=self._note_progress,
            on_playback=self._note_playback,
            stopper=self._upstream.stopper,
            watch=handle,
            origins=self._upstream.origins,
        )
        self.meter.begin(opened.link_used.key, handle.url, time.monotonic() - asked_at)
        self.link = opened.link_used
        self.playback = opened.playback
        self._reader = opened.reader
        settings = self._upstream.settings
        self.poll = StatPoll(handle.api, opened.playback, opened.link_used, settings, self._upstream.pace, self._log)
        self._reader.rest_between_reads(settings.batch_s, settings.batch_bytes, self._upstream.beats)
        handle.note_delivered()
        self._upstream.company.join(handle.url, self)
        if self.paused:  # by its first bytes, before there was a reader
            self._reader.pause()

    async def wait_ended(self) -> AceProxyError:
        """Wait until the engine ends the body, and say how. Cancel-safe."""
        assert self._reader is not None
        end = await self._reader.wait_ended()
        self.came_to_its_end = self.playback is not None and self.playback.is_list and end is MediaEnd.EOF
        return self.lost(AceProxyError(Reason.SOURCE_ENDED, ENDS[end]))

    @property
    def has_parts(self) -> bool:
        """See `Pausable`."""
        return self.playback is not None and self.playback.is_list

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self.paused = True
        self.gaps.interrupted()
        if self._reader is not None:
            self._reader.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self.paused = False
        if self._reader is not None:
            self._reader.resume()

    def close(self) -> None:
        """Let go of the engine: the connection at once, the playback in the background. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._handle is not None:
            self._upstream.company.leave(self._handle.url, self)
        self.meter.close()
        if self._reader is not None:
            self._reader.close()
        if self.playback is not None:
            self._upstream.stopper.stop_nowait(self.playback)
        if self._handle is not None:
            self._handle.release()

    def engine_stat(self, now: float) -> EngineStat:
        """Return what the engine last said of the playback; nothing if that was too long ago."""
        stat = self.poll.stat if self.poll is not None else None
        age_s = now - self.poll.stat_at if self.poll is not None else 0.0
        if stat is None or age_s > self._upstream.settings.stat_max_age_s:
            progress = self.progress
            is_past = self._reader is not None and now - self._progress_at > self._upstream.settings.stat_max_age_s
            if progress is None or stat is not None or is_past:
                return EngineStat()
            return EngineStat(status=progress.status, progress=progress.progress, peers=progress.peers)
        return EngineStat(
            status=stat.status,
            progress=stat.progress,
            peers=stat.peers,
            speed_down_bps=stat.speed_down_bps,
            speed_up_bps=stat.speed_up_bps,
            downloaded_bytes=stat.downloaded_bytes,
            age_s=round(age_s, 2),
        )

    def last_stat(self, now: float) -> Stat | None:
        """Return the engine's last answer about the playback; None if there is none, or it is too old."""
        if self.poll is None or now - self.poll.stat_at > self._upstream.settings.stat_max_age_s:
            return None
        return self.poll.stat

    def start_words(self) -> str | None:
        """How far the start is, in words; None before the engine has told anything."""
        return start_words(self.progress, self.start_failure)

    def lost(self, error: AceProxyError) -> AceProxyError:
        """Tell the pool why it was lost; a list that came to its end was not. Returns `error`."""
        if self._handle is not None and not self.came_to_its_end:
            self._handle.note_lost(error)
        return error

    def _note_progress(self, progress: StartProgress) -> None:
        self.progress, self._progress_at = progress, asyncio.get_running_loop().time()
        if self.on_progress is not None:
            self.on_progress()
        self._story.note_progress(progress, self.engine_url)

    def _note_playback(self, playback: Playback) -> None:
        self._story.note(EventKind.ENGINE_ANSWERED, engine=self.engine_url, infohash=playback.infohash)
        if playback.infohash:
            self._on_infohash(playback.infohash)
        if self.on_playback is not None:
            self.on_playback(playback)
