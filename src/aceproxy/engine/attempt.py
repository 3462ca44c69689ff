"""One playback from its start to its first media: polling its stat and asking for its media (engine-api §5, §14)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from aceproxy.engine.api import EngineApi, Playback
from aceproxy.engine.backoff import Backoff
from aceproxy.engine.fetching import Fetcher
from aceproxy.engine.list_reader import open_list
from aceproxy.engine.media import ByteSink, ForbiddenError, NotYet, SourceReader, open_media
from aceproxy.engine.messages import UNTOLD, Stat, reason_for
from aceproxy.errors import AceProxyError, Reason

MEDIA_TRIES_LIMIT = 6  # refused media requests of a playback said to play, after which it counts as lost
STAT_FAILURES_LIMIT = 2  # failed stat polls after which media is asked for without them
_SAFETY_S = 1.0  # the deadline is the caller's to enforce; media must not come before it


class PlaybackLostError(Exception):
    """This playback will not deliver, another may. `known` says whether the engine still knows it."""

    def __init__(self, error: AceProxyError, *, known: bool) -> None:
        super().__init__(error)
        self.error = error
        self.known = known


class Attempt:
    """One try to get media out of one playback."""

    def __init__(
        self,
        api: EngineApi,
        playback: Playback,
        sink: ByteSink,
        *,
        deadline_at: float,
        on_learnt: Callable[[Stat | None, str], None],
        byte_range: str = "",
        fetcher: Fetcher | None = None,
    ) -> None:
        """Prepare; nothing is sent yet. `on_learnt` gets the newest stat and what went wrong last, in words.

        `byte_range` is what is wanted of a file, see `open_media`. `fetcher` fetches lists that are not the engine's.
        """
        self._fetcher = fetcher
        self._byte_range = byte_range
        self._api = api
        self._playback = playback
        self._sink = sink
        self._deadline_at = deadline_at
        self._on_learnt = on_learnt
        self._ready = asyncio.Event()  # media may be asked for
        self._stat: Stat | None = None
        self._stat_failures = 0  # in a row
        self._stat_failure: AceProxyError | None = None
        self._media_failure: AceProxyError | None = None

    async def carry(self) -> SourceReader:
        """Poll and, when it is time, ask for media: both at once, for either may hang. Returns the open reader.

        Raises AceProxyError for what cannot come right, PlaybackLostError for what another playback may cure.
        Cancel-safe: nothing is left open.
        """
        loop = asyncio.get_running_loop()
        read = loop.create_task(self._read(), name="open media")
        watch = loop.create_task(self._watch(), name="poll stat")
        # an engine that is alive but never says `dl` is asked for media all the same when half of the time is over
        patience = loop.call_at((loop.time() + self._deadline_at) / 2, self._ready.set)
        try:
            await asyncio.wait({read, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                watch.result()  # only ever ends by raising
            reader = read.result()
        except BaseException:
            watch.cancel()
            read.cancel()
            read.add_done_callback(_close_unwanted)
            await asyncio.wait({read, watch})
            raise
        finally:
            patience.cancel()
            watch.cancel()
            watch.add_done_callback(_take_note)
        return reader  # nothing is awaited once it is there: a cancellation in between would lose it

    def verdict(self) -> AceProxyError | None:
        """Say what is most telling about a playback that has delivered nothing; None if nothing is known."""
        failure, media = self._stat_failure, self._media_failure
        stat = self._stat if self._stat_failures < STAT_FAILURES_LIMIT else None
        if stat is not None and stat.status != "dl":
            silent = stat.peers == 0 and not stat.downloaded_bytes
            return AceProxyError(Reason.NO_PEERS if silent else Reason.START_TIMEOUT, in_words(stat))
        if media is not None:
            return AceProxyError(media.reason, media.detail)
        if stat is not None:
            return AceProxyError(Reason.NO_DATA, "the engine says it plays, but its playback URL gave no answer")
        if failure is not None:
            return AceProxyError(failure.reason, f"stat: {failure.detail}")
        return None

    async def _read(self) -> SourceReader:
        """Ask for media until there is some, from when on that makes sense."""
        await self._ready.wait()
        backoff = Backoff(self._api.limits.retry_first_s)
        tries = 0
        while True:
            try:
                return await self._open()
            except NotYet as error:
                self._media_failure = error
                self._on_learnt(self._stat, error.detail)
                tries += 1
                playing = self._stat is None or self._stat.status == "dl"
                if playing and tries >= MEDIA_TRIES_LIMIT and error.reason is not Reason.NO_DATA:
                    raise PlaybackLostError(error, known=True) from error
            except AceProxyError as error:
                self._media_failure = error
                if error.reason in (Reason.SESSION_LOST, Reason.ENGINE_UNREACHABLE):
                    is_forbidden = isinstance(error, ForbiddenError) and self._is_newest()
                    is_known = is_forbidden or error.reason is Reason.ENGINE_UNREACHABLE
                    raise PlaybackLostError(error, known=is_known) from error
                raise
            await backoff.wait()

    def _is_newest(self) -> bool:
        """Whether the engine has just told that this playback is the one that runs, so that a stop ends no other."""
        told = self._stat.session_id if self._stat is not None and not self._stat_failures else ""
        return bool(told) and told == self._playback.session_id

    async def _open(self) -> SourceReader:
        deadline_at = self._deadline_at + _SAFETY_S
        if self._playback.is_list:
            fetcher = self._fetcher or self._api.list_fetcher()
            return await open_list(fetcher, self._playback.playback_url, self._sink, deadline_at=deadline_at)
        return await open_media(
            self._playback.playback_url,
            self._playback.engine_url,
            self._sink,
            connect_timeout_s=self._api.limits.connect_timeout_s,
            deadline_at=deadline_at,
            byte_range=self._byte_range,
            may_be_empty=self._playback.is_live is False,
        )

    async def _watch(self) -> NoReturn:
        """Poll stat for ever, which also keeps the playback alive; raises what stat says is wrong."""
        if self._playback.stat_url is None:
            self._ready.set()
            await asyncio.Event().wait()
        while True:
            try:
                stat = await self._api.stat(self._playback)
            except AceProxyError as error:
                if error.reason is Reason.SESSION_LOST:
                    raise PlaybackLostError(error, known=False) from error
                if error.reason in (Reason.ENGINE_OPTION_MISSING, Reason.CONTENT_NOT_FOUND):
                    raise
                self._stat_failures += 1
                self._stat_failure = error
                self._on_learnt(self._stat, f"stat: {error.detail}")
                if self._stat_failures >= STAT_FAILURES_LIMIT:
                    self._ready.set()  # a stat that cannot be had proves nothing about the media
            else:
                self._learn(stat)
            await asyncio.sleep(self._api.limits.start_poll_s)

    def _learn(self, stat: Stat) -> None:
        self._stat, self._stat_failures = stat, 0
        if stat.is_encrypted and not self._playback.is_list:
            raise AceProxyError(Reason.ENCRYPTED)
        if stat.status in ("err", "error"):
            words = stat.error_message or "the engine reports an error for this broadcast"
            raise AceProxyError(reason_for(words), words)
        if stat.status in ("dl", UNTOLD):  # who does not say in which state it is may deliver
            self._ready.set()
        self._on_learnt(stat, "")


def in_words(stat: Stat) -> str:
    """Put a stat into words: `prebuffering 34 %, 5 peers`."""
    word = {"prebuf": "prebuffering", "buf": "buffering", "check": "checking"}.get(stat.status, stat.status)
    progress = f" {stat.progress} %" if stat.progress is not None else ""
    peers = f", {stat.peers} {'peer' if stat.peers == 1 else 'peers'}" if stat.peers is not None else ""
    return f"{word}{progress}{peers}"


def _close_unwanted(task: asyncio.Task[SourceReader]) -> None:
    """Close what a task opened after all, and take note of what it raised."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _take_note(task: asyncio.Task[NoReturn]) -> None:
    """Take note of what a task raised: it is of no interest any more."""
    if not task.cancelled():
        task.exception()
