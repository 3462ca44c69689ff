"""Opening a playback the way the official clients do (engine-api §14): start, poll until `dl`, then read.

One deadline covers everything. Inside it, what may still come right is tried again (§9): media that is not there yet,
and playbacks the engine lost. What cannot come right is raised at once: a link nobody knows, an option that is
missing, encryption, an engine that cannot be reached or refuses us, or one that does not answer (another engine may;
that is the caller's choice).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from aceproxy.engine.api import EngineApi, Playback, RedirectedError
from aceproxy.engine.attempt import Attempt, PlaybackLostError
from aceproxy.engine.backoff import Backoff
from aceproxy.engine.fetching import Origins
from aceproxy.engine.links import Link, LinkKind
from aceproxy.engine.media import ByteSink, PageError
from aceproxy.engine.messages import Stat
from aceproxy.engine.opened import ASKING, EngineWatch, KeptPlayback, Opened, StartProgress
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.errors import AceProxyError, Reason

SLOW_ANSWER_S = 2.0  # a start call that takes longer is a reason to see how the engine is
ENGINE_ERRORS_LIMIT = 3  # starts that fail with words nobody knows before that is the answer
_FINAL = (
    Reason.CONTENT_NOT_FOUND,
    Reason.ENGINE_OPTION_MISSING,
    Reason.ENGINE_REDIRECTED,
    Reason.ENGINE_REFUSED,
    Reason.ENGINE_TIMEOUT,
    Reason.ENGINE_UNREACHABLE,
    Reason.ENCRYPTED,
    Reason.RANGE_NOT_SATISFIABLE,
    Reason.NOT_MPEGTS,
)

log = logging.getLogger(__name__)


async def open_playback(
    api: EngineApi,
    link: Link,
    params: Mapping[str, str],
    sink: ByteSink,
    *,
    deadline_at: float,
    on_progress: Callable[[StartProgress], None],
    on_playback: Callable[[Playback], None],
    stopper: PlaybackStopper,
    watch: EngineWatch | None = None,
    byte_range: str = "",
    origins: Origins | None = None,
) -> Opened:
    """Open a playback of `link` on one engine and return it once its first media is in `sink`.

    `deadline_at` is in the event loop's time. `on_playback` is called for every playback that is started (a lost one
    leads to another) and may raise KeptPlayback, `on_progress` whenever something was learnt; both must not block.
    With a `watch` it is given up as ENGINE_TIMEOUT as soon as the engine is gone. `byte_range` is what is wanted of a
    file, see `open_media`.

    Raises AceProxyError: CONTENT_NOT_FOUND, ENGINE_OPTION_MISSING, ENGINE_REDIRECTED, ENCRYPTED, ENGINE_UNREACHABLE,
    ENGINE_REFUSED, ENGINE_TIMEOUT (a start call that was not answered) as soon as they are known; ENGINE_ERROR after
    ENGINE_ERRORS_LIMIT tries; at the deadline the most telling of NO_PEERS, START_TIMEOUT, NO_DATA, SESSION_LOST,
    ENGINE_TIMEOUT and ENGINE_ERROR.

    Cancel-safe: on cancellation and on failure nothing is left open; stopping what was started is left to `stopper`
    and not waited for.
    """
    opening = _Opening(
        api=api,
        link=link,
        params=params,
        sink=sink,
        deadline_at=deadline_at,
        stopper=stopper,
        on_progress=on_progress,
        on_playback=on_playback,
        watch=watch,
        byte_range=byte_range,
        origins=origins,
    )
    return await opening.run()


@dataclass(slots=True, kw_only=True)
class _Opening:
    """The state of one `open_playback`."""

    api: EngineApi
    link: Link
    params: Mapping[str, str]
    sink: ByteSink
    deadline_at: float
    stopper: PlaybackStopper
    on_progress: Callable[[StartProgress], None]
    on_playback: Callable[[Playback], None]
    watch: EngineWatch | None
    byte_range: str
    origins: Origins | None
    as_list: bool = False  # the engine gives this broadcast as HLS only
    tries: int = 0
    attempt: Attempt | None = None  # None while a start call is out
    failure: AceProxyError | None = None  # why the last try ended
    unknown_id: AceProxyError | None = None  # why the content id is being tried as an infohash
    until_alive: asyncio.Timeout | None = None  # lifted by the first sign of life
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    async def run(self) -> Opened:
        try:
            async with asyncio.timeout_at(self.deadline_at):
                return await (self._try_until_open() if self.watch is None else self._try_until_gone(self.watch))
        except TimeoutError:
            raise self._verdict() from None

    async def _try_until_gone(self, watch: EngineWatch) -> Opened:
        """Try until one playback delivers, a failure is final, or the engine turns out to answer nothing at all."""
        opening = self.loop.create_task(self._try_until_open(), name=f"open {self.link.label}")
        gone = self.loop.create_task(watch.gone.wait(), name="engine gone")
        try:
            await asyncio.wait({opening, gone}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._give_up(opening)
            raise
        finally:
            gone.cancel()
        if opening.done():
            return opening.result()
        await self._give_up(opening)
        raise AceProxyError(Reason.ENGINE_TIMEOUT, "it does not tell its version either")

    async def _give_up(self, opening: asyncio.Task[Opened]) -> None:
        """End an opening, and what it opened if it came true at this very moment."""
        opening.cancel()
        await asyncio.wait({opening})
        if opening.cancelled():
            return
        error = opening.exception()
        if error is None:
            opening.result().reader.close()
            self.stopper.stop_nowait(opening.result().playback)
        elif isinstance(error, KeptPlayback):
            self.stopper.stop_nowait(error.playback)

    async def _try_until_open(self) -> Opened:
        """Try until one playback delivers or a failure is final."""
        backoff = Backoff(self.api.limits.retry_first_s)
        lost, unknown = 0, 0
        while True:
            try:
                return await self._try()
            except PlaybackLostError as ended:
                self.failure, self.attempt = ended.error, None
                lost += 1
                if lost == 1:
                    self._tell(None, self.failure.detail)
                    continue
            except RedirectedError as away:
                return await self._open_origin(away)
            except AceProxyError as error:
                if error.reason is Reason.ENCRYPTED and not self.as_list:
                    self.as_list, self.attempt = True, None
                    log.info("%s is encrypted: reading it as HLS", self.link.label)
                    continue
                if self.unknown_id is not None:
                    raise self.unknown_id from error
                if error.reason is Reason.CONTENT_NOT_FOUND and self.link.kind is LinkKind.CONTENT_ID:
                    return await self._try_as_infohash(error)
                unknown += error.reason is Reason.ENGINE_ERROR
                if error.reason in _FINAL or isinstance(error, PageError) or unknown >= ENGINE_ERRORS_LIMIT:
                    raise
                self.failure = error
            self._tell(None, self.failure.detail)
            await backoff.wait()

    async def _try_as_infohash(self, error: AceProxyError) -> Opened:
        """Try the digits of a content id that is not known as an infohash (§2).

        An engine looks for an infohash that does not exist until somebody stops it. So this must show a sign of life
        in half of the time that is left; else the answer is that the content id is not known.
        """
        self.unknown_id = error
        self.link = replace(self.link, kind=LinkKind.INFOHASH)
        log.info("%s: %s; trying the same digits as an infohash", self.link.label, error.detail)
        self._tell(None, error.detail)
        try:
            async with asyncio.timeout_at((self.loop.time() + self.deadline_at) / 2) as self.until_alive:
                return await self._try_until_open()
        except TimeoutError:
            raise error from None
        finally:
            self.until_alive = None

    async def _try(self) -> Opened:
        """Start one playback and carry it to its first media."""
        self.attempt = None
        # a stop may end every playback of a broadcast, so those under way must be over before the next start
        await self.stopper.settle(self.api.url, self.link, self.api.limits.stop_timeout_s)
        playback = await self._start()
        try:
            self.on_playback(playback)
            if playback.is_encrypted and not self.as_list:
                raise AceProxyError(Reason.ENCRYPTED)  # noqa: TRY301 - stopped below like any other
            self.attempt = Attempt(
                self.api,
                playback,
                self.sink,
                deadline_at=self.deadline_at,
                on_learnt=self._learn,
                byte_range=self.byte_range,
            )
            reader = await self.attempt.carry()
        except PlaybackLostError as ended:
            if ended.known:
                self.stopper.stop_nowait(playback)
            else:
                self.stopper.forget(playback)
            raise
        except KeptPlayback:
            raise
        except BaseException:
            self.stopper.stop_nowait(playback)
            raise
        return Opened(playback, reader, self.link)

    async def _open_origin(self, away: RedirectedError) -> Opened:
        """Read the origin that the engine sends players to, if the operator allows it; there is no playback then."""
        if self.origins is None:
            raise away
        playback = Playback(
            engine_url=self.api.url,
            pid=str(uuid.uuid4()),
            playback_url=self.origins.admit(away.target),
            stat_url=None,
            command_url=None,
            infohash=self.link.value if self.link.kind is LinkKind.INFOHASH else None,
            session_id="",
            is_live=True,
            is_encrypted=False,
            key=self.link.key,
            is_list=True,
        )
        self.on_playback(playback)
        self.attempt = Attempt(
            self.api,
            playback,
            self.sink,
            deadline_at=self.deadline_at,
            on_learnt=self._learn,
            fetcher=self.origins.fetcher(self.api.limits.connect_timeout_s),
        )
        try:
            return Opened(playback, await self.attempt.carry(), self.link)
        except PlaybackLostError as lost:
            raise lost.error from lost

    async def _start(self) -> Playback:
        self.tries += 1
        self._tell(None, ASKING)
        call = self.stopper.launch(self.api, self.link, self.params, str(uuid.uuid4()), as_list=self.as_list)
        slow = self.loop.call_later(SLOW_ANSWER_S, self.watch.note_slow) if self.watch is not None else None
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            self.stopper.abandon(call)
            raise
        except AceProxyError as error:
            if error.reason is Reason.SESSION_LOST:
                raise PlaybackLostError(error, known=False) from error
            raise
        finally:
            if slow is not None:
                slow.cancel()

    def _learn(self, stat: Stat | None, detail: str) -> None:
        if stat is not None:
            alive = stat.status == "dl" or stat.peers or stat.downloaded_bytes or stat.progress
            if alive and self.until_alive is not None and not self.until_alive.expired():
                self.until_alive.reschedule(None)
                self.until_alive = self.unknown_id = None  # it is an infohash: from here on as for any other
        self._tell(stat, detail)

    def _tell(self, stat: Stat | None, detail: str) -> None:
        stat = stat or Stat("starting")
        self.on_progress(StartProgress(stat.status, stat.progress, stat.peers, self.tries, detail))

    def _verdict(self) -> AceProxyError:
        """Say what is most telling about a start that met its deadline."""
        if self.unknown_id is not None:
            return self.unknown_id
        told = self.attempt.verdict() if self.attempt is not None else None
        if told is None and self.failure is not None:
            told = AceProxyError(self.failure.reason, self.failure.detail)
        return told or AceProxyError(Reason.ENGINE_TIMEOUT, "no answer to the start call before the deadline")
