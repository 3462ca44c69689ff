"""Asking the engine how a playback is, for as long as it runs: for those who look, and for the judge."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Protocol

from aceproxy.engine.api import EngineApi, Playback
from aceproxy.engine.links import Link, LinkKind
from aceproxy.engine.messages import Stat
from aceproxy.errors import AceProxyError
from aceproxy.logs import StreamLog
from aceproxy.settings import Settings
from aceproxy.streams.engine_word import EngineWord
from aceproxy.ticks import OFF_BEAT_S, next_tick

HURRY_S = 1.0  # between polls while something seems wrong
POLLS_AT_EASE = 4  # playbacks that are polled at the pace of the settings; of more each is asked less often
POLLS_TOGETHER = 8  # about so many are asked at a time
SLOWEST_S = 10.0  # between two polls of one playback, however many there are


class PollPace:
    """When each of all playbacks is asked, and how often: twenty of them do not cost five times as much as four."""

    def __init__(self) -> None:
        self.polls = 0

    def pause_s(self, ordinary_s: float) -> float:
        """Return the time between two polls, `ordinary_s` where there are few."""
        return max(ordinary_s, min(SLOWEST_S, ordinary_s * self.polls / POLLS_AT_EASE))

    def next_at(self, now_s: float, ordinary_s: float) -> float:
        """Return when a playback that is asked now is asked again, about `pause_s` later.

        Some are asked together, which costs half as much as when each wakes the process. All of very many at once would
        be felt.
        """
        pause_s = self.pause_s(ordinary_s)
        slot_s = min(pause_s, max(1.0, round(pause_s * POLLS_TOGETHER / max(1, self.polls))))
        return next_tick(now_s + pause_s - slot_s, slot_s, OFF_BEAT_S)


class Poll(Protocol):
    """What is known of a playback for as long as it runs, see StatPoll."""

    stat: Stat | None
    stat_at: float
    word: EngineWord
    title: str | None

    @property
    def is_hurried(self) -> bool:
        """Whether something seems wrong."""

    def hurry(self) -> None:
        """Something seems wrong."""

    def calm(self) -> None:
        """All is well."""

    async def run(self, title: str | None) -> None:
        """Learn what there is to be known, for ever. Cancel-safe. `title`: what is known already."""


class StatPoll:
    """Polls one playback. `hurry` asks at once, and more often until `calm`. Belongs to the event loop."""

    def __init__(
        self, api: EngineApi, playback: Playback, link: Link, settings: Settings, pace: PollPace, log: StreamLog
    ) -> None:
        self.stat: Stat | None = None
        self.stat_at = 0.0  # loop time of the newest good answer
        self.word = EngineWord()
        self.title: str | None = None
        self._api = api
        self._playback = playback
        self._link = link
        self._settings = settings
        self._pace = pace
        self._log = log
        self._edge_utc: int | None = None
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Something seems wrong: ask now, and again every second."""
        self._hurried.set()

    @property
    def is_hurried(self) -> bool:
        """Whether something seems wrong."""
        return self._hurried.is_set()

    def calm(self) -> None:
        """All is well: back to the ordinary pace."""
        self._hurried.clear()

    async def run(self, title: str | None) -> None:
        """Poll for ever; a failing poll is no failure of the stream. Cancel-safe. `title`: what is known already."""
        self.title = title
        if self._playback.stat_url is None:  # an origin, of which the engine knows nothing
            await asyncio.Event().wait()
        naming = asyncio.ensure_future(self._learn_title())
        self._pace.polls += 1
        try:
            while True:
                await self._ask()
                await self._pause()
        finally:
            self._pace.polls -= 1
            naming.cancel()
            await asyncio.gather(naming, return_exceptions=True)

    async def _pause(self) -> None:
        if self._hurried.is_set():
            await asyncio.sleep(HURRY_S)
            return
        due_at = self._pace.next_at(asyncio.get_running_loop().time(), self._settings.stat_poll_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due_at):
                await self._hurried.wait()

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        before = self.word
        try:
            stat = self.stat = await self._api.stat(self._playback)
        except AceProxyError as error:
            if before.refusal is None:
                self._log.info("the engine does not tell the playback's state: %s", error)
            refusals = before.refusals + 1 if before.refusal is error.reason else 1
            self.word = EngineWord(asked_at=asked_at, refusal=error.reason, refusals=refusals, edge_at=before.edge_at)
            return
        self.stat_at = loop.time()
        edge_utc = stat.livepos.last_utc if stat.livepos is not None else None
        edge_at = before.edge_at if edge_utc is not None else None  # what is not told does not stand still
        if edge_utc is not None and self._edge_utc is not None and edge_utc > self._edge_utc:
            edge_at = asked_at
        self._edge_utc = edge_utc
        self.word = EngineWord(
            asked_at=asked_at,
            status=stat.status,
            speed_down_bps=stat.speed_down_bps,
            peers=stat.peers,
            edge_at=edge_at,
        )

    async def _learn_title(self) -> None:
        infohash = self._playback.infohash
        if not infohash or self.title is not None:
            return
        told = await self._api.describe(replace(self._link, kind=LinkKind.INFOHASH, value=infohash))
        self.title = (told.name if told is not None else None) or None
