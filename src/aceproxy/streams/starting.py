"""The first source of a stream: a start that fails on one engine, or gets nowhere there, is made on another one.

An engine may take the start call and never answer, answer with nonsense, or play and send nothing. That cannot be told
from the broadcast's own trouble, so it is given its time; but where another engine is up with room to spare, the same
link is begun there as well after a while, and the first that delivers stays.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

from aceproxy.engine.api import Playback
from aceproxy.engine.media import PageError
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.patience import collects, open_while_promising
from aceproxy.streams.present import Present
from aceproxy.streams.racing import comes_first, take_spare
from aceproxy.streams.reserve import Reserve
from aceproxy.streams.source import Source, Upstream
from aceproxy.streams.spare import Purpose, Spare
from aceproxy.streams.ways import Way

RIVAL_AFTER_S: Final = 4.0  # without a sign that the engine gets anywhere: that it collects data, from somebody
LOOK_S: Final = 0.25
ELSEWHERE: Final = frozenset({Reason.ENGINE_ERROR, Reason.NO_DATA, Reason.NOT_MPEGTS, Reason.SESSION_LOST})
"""Failures of a start that another engine may not have; of those to reach an engine at all `Source.open` knows."""


class Starting:
    """Opens the first source of one stream. Belongs to the event loop."""

    def __init__(self, present: Present, reserve: Reserve, upstream: Upstream) -> None:
        self._present = present
        self._reserve = reserve
        self._pool = upstream.pool
        self._retry_first_s = upstream.settings.retry_first_s
        self._paged: frozenset[str] = frozenset()  # engines that sent a page in the place of media, of any link
        self._is_asked_again = False  # the only engine, though it has sent one
        self._shunned: frozenset[str] = frozenset()  # engines (by URL) on which the present link has failed
        self.gave_up = False  # on the present link, of which something might still have come

    def next_link(self) -> None:
        """Another link is begun: no engine has failed with it yet."""
        self._shunned, self.gave_up = frozenset() if self.has_only_pages else self._paged, False
        self._reserve.close()

    def shun(self, error: AceProxyError) -> bool:
        """Leave the present engine for what came of it; return whether there is another one to go to.

        If there is none, all of them may be asked again.
        """
        engine = self._present.engine_url
        if engine is None or error.reason not in ELSEWHERE:
            return False
        self._shunned |= {engine}
        if isinstance(error, PageError):
            self._paged |= {engine}
        if self._elsewhere():
            return True
        self._shunned = frozenset()
        return False

    async def open(self, at: int, deadline_at: float, *, wants_standby: bool, patience_s: float = inf) -> None:
        """Open a source of link number `at`; returns when its first bytes are in. Cancel-safe.

        `wants_standby`: a rival that comes second is kept. After `patience_s` it is given up unless an engine says that
        data comes in. Raises AceProxyError with the reason of the engine that was asked first, or what `Present.open`
        raises.
        """
        first: AceProxyError | None = None
        while True:
            try:
                await self._open_first(Way(at, self._shunned), deadline_at, patience_s)
            except AceProxyError as error:
                first = first or error
                may_go_on = not self.gave_up and (self.shun(error) or await self._may_ask_again(error))
                if not may_go_on or asyncio.get_running_loop().time() + LOOK_S > deadline_at:
                    raise first from None
                self._present.close()
            else:
                self._reserve.restored(at, wants_standby=wants_standby)
                return

    @property
    def has_only_pages(self) -> bool:
        """Whether all engines that could be asked have sent pages in the place of media."""
        return bool(self._paged) and not self._pool.fit_for_spares() - self._paged

    async def _may_ask_again(self, error: AceProxyError) -> bool:
        """Wait a moment and return True where the only engine has sent a page, for the first time."""
        if not isinstance(error, PageError) or len(self._paged) > 1 or self._is_asked_again:
            return False
        self._is_asked_again = True
        await asyncio.sleep(self._retry_first_s)
        return True

    def _elsewhere(self) -> frozenset[str]:
        return self._pool.fit_for_spares() - self._shunned

    async def _open_first(self, way: Way, deadline_at: float, patience_s: float) -> None:
        """Open the present source by one way; a rival that delivers before that takes its place."""
        self._present.asked.clear()
        opening, rivals = self._present.open(way, deadline_at), self._run_rivals(way.at, deadline_at)
        if patience_s < inf:
            progressed = self._present.progressed
            opening = open_while_promising(opening, self._collected, progressed, patience_s, verdict=self._give_up)
        try:
            if await comes_first(opening, rivals, "start"):
                return
        except AceProxyError:
            if not await self._rival_delivers():
                raise
        await take_spare(self._present, self._reserve)

    async def _run_rivals(self, at: int, deadline_at: float) -> None:
        """Begin rivals, one after the other, while the start gets nowhere; return when one delivers.

        A rival that gets nowhere either is left for an engine that was not asked yet.
        """
        await self._present.asked.wait()
        loop = asyncio.get_running_loop()
        moved_at = rival_moved_at = loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            if self._reserve.delivering.is_set():
                return
            if _collects(self._present.source):
                moved_at = loop.time()
            self._drop_failed()
            here = frozenset(url for url in (self._present.engine_url,) if url is not None)
            is_stuck = loop.time() - moved_at >= RIVAL_AFTER_S
            if (other := self._reserve.spare) is not None:
                if _collects(other.source):
                    rival_moved_at = loop.time()
                elif loop.time() - rival_moved_at >= RIVAL_AFTER_S:
                    self._leave_rival(other, here)
            if is_stuck and self._reserve.spare is None and self._elsewhere() - here:
                rival_moved_at = loop.time()
                rival = self._reserve.race(Way(at, self._shunned | here), deadline_at, Purpose.START)
                rival.source.on_playback = _refuse_recording

    def _leave_rival(self, rival: Spare, here: frozenset[str]) -> None:
        """Let go of a rival that gets nowhere, if there is an engine that was asked neither `here` nor before."""
        asked = here | {url for url in (rival.engine_url,) if url is not None}
        if self._elsewhere() - asked:
            self._shunned |= asked - here
            self._reserve.close()

    async def _rival_delivers(self) -> bool:
        """Wait for what comes of the rival, if there is one; its own deadline bounds that.

        Where the link was given up a rival is waited for only as long as data comes in for it.
        """
        while (rival := self._reserve.spare) is not None and not self._reserve.delivering.is_set():
            if self.gave_up and not _collects(rival.source):
                return False
            self._drop_failed()
            await asyncio.sleep(LOOK_S)
        return self._reserve.delivering.is_set()

    def _drop_failed(self) -> None:
        """Let go of a rival that failed, and of its engine."""
        rival = self._reserve.spare
        if rival is not None and rival.failure is not None and rival.engine_url is not None:
            self._shunned |= {rival.engine_url}
            if isinstance(rival.failure, PageError):
                self._paged |= {rival.engine_url}
        self._reserve.drop_failed()

    def _collected(self) -> str | None:
        """What the engine says of the start, None where no data comes in for it."""
        return self._present.start_status() if _collects(self._present.source) else None

    def _give_up(self, words: str) -> AceProxyError:
        """Give the present link up; return why."""
        self.gave_up = True
        source = self._present.source
        told = source.progress if source is not None else None
        reason = Reason.START_TIMEOUT
        if told is not None and told.status == "dl":
            reason = Reason.NO_DATA
        elif told is not None and told.peers == 0:
            reason = Reason.NO_PEERS
        error = AceProxyError(reason, words)
        self._present.gave_up(error)
        return error


def _collects(source: Source | None) -> bool:
    return source is not None and collects(source.progress)


def _refuse_recording(playback: Playback) -> None:
    """Raise where another engine than the first calls it a recording: that is no broadcast to be shared."""
    if playback.is_live is False:
        raise AceProxyError(Reason.NOT_MPEGTS, "this engine calls it a recording")
