"""After a loss: a source is looked for anew until something of it has gone to the clients, or the time is over.

The search goes from the near to the far: the same engine, other engines, the next link; each try with a limit of its
own, the whole within `recover_s`. What was begun beside the lost source goes on meanwhile, and takes its place as soon
as it delivers; where there is nothing of the kind and a try is slow, the next engine is begun beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from math import inf
from typing import Any, Final

from aceproxy.engine.backoff import LONGEST, pause_s
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.choosing import Choosing, Lost
from aceproxy.streams.fresher import fresher_comes
from aceproxy.streams.intake import Intake
from aceproxy.streams.judging import FROZEN_EDGE_S
from aceproxy.streams.patience import PATIENCE_S, open_while_promising
from aceproxy.streams.present import Present
from aceproxy.streams.racing import comes_first, take_spare
from aceproxy.streams.reserve import Reserve
from aceproxy.streams.source import Upstream
from aceproxy.streams.spare import FRESH_S, SILENT_S
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.watching import LOOK_S
from aceproxy.streams.ways import Way

RACE_AFTER_S: Final = 1.0  # a try that has not delivered so long after it was begun is not the only one
RACE_BYTES: Final = 4096  # of a spare, before it takes the place of a try that goes on: a quarter of a second of sound
RACE_LOOK_S: Final = 0.05
EACH_S: Final = 0.1  # so much longer is waited between two rounds for each stream that waits: ten starts a second
LOOK_FOR_ENGINES_S: Final = 1.0  # between two probes of engines that do not answer, while clients wait for one
SETTLED_S = 3.0  # of media that were new: then a source counts as a good one


class Restoring:
    """Replaces the lost sources of one stream, and remembers how the last ones fared. Belongs to the event loop."""

    def __init__(
        self,
        present: Present,
        reserve: Reserve,
        choosing: Choosing,
        upstream: Upstream,
        intake: Intake,
        timeline: Timeline,
    ) -> None:
        self._present = present
        self._reserve = reserve
        self._upstream = upstream
        self._settings = upstream.settings
        self._intake = intake
        self._timeline = timeline
        self._opened_media_s = 0.0  # media that had come in when the present source began to deliver
        self._lost_at: float | None = None  # loop time of the first loss since a source was a good one
        self._lost_engine: str | None = None  # whose playback was lost last
        self._has_looped = False  # that engine has gone over old data: what it begins with is not given out again
        self._choosing = choosing

    async def restore(self, error: AceProxyError, *, wants_standby: bool = False) -> None:
        """Replace a lost source; `error` says why it was lost, and is raised when the time for it is over.

        The time counts from the first loss since a source has brought SETTLED_S of new media. `wants_standby`: what was
        begun besides is kept as a standby.
        """
        loop = asyncio.get_running_loop()
        lost_engine, lost_link = self._present.engine_url, self._present.at
        self._lost_engine, self._has_looped = lost_engine, error.reason is Reason.SOURCE_LOOPS
        self._timeline.note(EventKind.SOURCE_LOST, reason=error.reason, engine=lost_engine, detail=error.detail)
        self._present.close()
        began_at = loop.time()
        was_settled = self._lost_at is None or self._intake.media_s - self._opened_media_s >= SETTLED_S
        if was_settled:
            self._lost_at = began_at
        lost = Lost(lost_link, lost_engine, was_settled, error)
        self._reserve.returns.lost(began_at)
        self._reserve.claim()
        self._choosing.lost(lost, self._intake.media_s)
        if not (self._reserve.delivering.is_set() and await self._try_spare()):
            await self._search(lost)
        self._reserve.restored(self._present.at, wants_standby=wants_standby)
        self._note_restored(lost_engine, lost_link, began_at)

    async def _search(self, lost: Lost) -> None:
        """Try one round after the other; returns once a source delivers, raises its error when the time is over."""
        loop, error = asyncio.get_running_loop(), lost.error
        assert self._lost_at is not None
        may_go_on = lost.was_settled or self._choosing.is_new(self._choosing.ways(lost))
        if not may_go_on and await self._pause(self._pause_s(self._lost_at)):
            return  # what ends at once each time is not to be hammered
        deadline_at = self._lost_at + self._settings.recover_s
        failure: AceProxyError | None = None
        patience_s = PATIENCE_S
        while failure is None or loop.time() < deadline_at:
            if failure is not None:
                if await self._pause(min(self._pause_s(self._lost_at), deadline_at - loop.time())):
                    return
                if loop.time() >= deadline_at:
                    break
            had_failed = failure is not None
            failure = await self._try_round(self._choosing.ways(lost), deadline_at, patience_s)
            patience_s *= 2
            if failure is None:
                if had_failed:
                    self._upstream.pool.arrivals.tell_restored()
                return
        detail = f"{error.detail}; then {failure.reason}" if error.detail else f"then {failure.reason}"
        raise AceProxyError(error.reason, detail) from failure

    def _pause_s(self, lost_at: float) -> float:
        """Return how long to wait between two rounds: longer the longer it takes, and where many streams wait."""
        first_s = self._settings.retry_first_s
        own_s = pause_s(first_s, asyncio.get_running_loop().time() - lost_at)
        return max(own_s, min(self._upstream.pool.arrivals.waiting * EACH_S, LONGEST * first_s))

    async def _pause(self, wait_s: float) -> bool:
        """Wait, at most until the spare delivers or an engine comes; return whether the spare has taken over.

        That another stream, which had waited as well, is back ends the wait too, though not before `retry_first_s`.
        """
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        until_at = began_at + wait_s
        pool, delivering = self._upstream.pool, self._reserve.delivering
        before, restored = pool.arrivals.count, pool.arrivals.restored
        while not delivering.is_set() and pool.arrivals.count == before and loop.time() < until_at:
            if pool.arrivals.restored != restored:
                until_at = min(until_at, began_at + self._settings.retry_first_s)
            pool.look_for_engines()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(until_at, loop.time() + LOOK_FOR_ENGINES_S)):
                    await _first(delivering.wait(), pool.arrivals.wait())
        return delivering.is_set() and await self._try_spare()

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
            self._reserve.drop_failed()
            apart = self._choosing.apart(way)
            if apart is None:
                continue
            try:
                own_s = until_at - loop.time() if number + 1 == len(ways) else patience_s
                await self._open_first(apart, until_at, own_s)
                await self._prove_or_pass(until_at)
            except AceProxyError as error:
                self._present.failed(error)
                self._choosing.failed()
                failure = error
                self._timeline.note(
                    EventKind.REOPEN_FAILED,
                    reason=error.reason,
                    engine=self._present.engine_url,
                    detail=error.detail,
                    link=self._present.links[way.at].label if len(self._present.links) > 1 else None,
                )
            else:
                return None
        return failure

    async def _open_first(self, way: Way, until_at: float, own_s: float) -> None:
        """Open the present source by one way; a spare that delivers before that takes its place. Cancel-safe.

        Raises AceProxyError.
        """
        present = self._present
        present.asked.clear()
        may_loop = self._has_looped and self._lost_engine not in way.exclude
        opened = present.open(way, until_at, only_new=may_loop)
        opening = open_while_promising(opened, present.start_status, present.progressed, own_s)
        if not await comes_first(opening, self._wait_beside(way, until_at), "reopen"):
            await take_spare(present, self._reserve)

    async def _wait_beside(self, way: Way, until_at: float) -> None:
        """Return when the spare delivers; where there is none and the way is slow, one is begun on another engine."""
        if self._reserve.spare is None:
            await self._present.asked.wait()
            await asyncio.sleep(RACE_AFTER_S)
            exclude = frozenset(url for url in (self._present.engine_url, self._lost_engine) if url is not None)
            if self._upstream.pool.fit_for_spares() - exclude:
                self._reserve.race(Way(way.at, exclude), until_at)
        await self._reserve.delivering.wait()
        while (spare := self._reserve.spare) is None or spare.sink.received_bytes < RACE_BYTES:
            await asyncio.sleep(RACE_LOOK_S)  # what brings a packet now and then does not win
            await self._reserve.delivering.wait()

    async def _try_spare(self) -> bool:
        """Let the spare take over; return whether it delivers."""
        is_fresh = self._reserve.spare is not None and self._reserve.spare.silent_s < FRESH_S
        try:
            await take_spare(self._present, self._reserve)
            until_at = asyncio.get_running_loop().time() + self._settings.start_timeout_s
            await self._prove_or_pass(until_at, inf if is_fresh else SILENT_S)
        except AceProxyError as error:
            self._present.close()
            self._choosing.failed()
            engine = self._present.engine_url
            self._timeline.note(EventKind.REOPEN_FAILED, reason=error.reason, engine=engine, detail=error.detail)
            return False
        return True

    async def _prove_or_pass(self, until_at: float, limit_s: float = inf) -> None:
        """Wait until something new has gone to the clients, of the present source or of one that comes to it sooner.

        That one may start until `until_at`. Raises AceProxyError if nothing will.
        """
        present, ingest, pool = self._present, self._intake.ingest, self._upstream.pool
        while True:
            fresher = fresher_comes(present, self._reserve, ingest, pool, self._lost_engine, until_at)
            if await comes_first(self._prove(limit_s), fresher, "proof"):
                return
            await take_spare(present, self._reserve)
            limit_s = inf

    async def _prove(self, limit_s: float = inf) -> None:
        """Wait until something of the new source has gone to the clients. Raises AceProxyError if nothing will."""
        intake, loop = self._intake, asyncio.get_running_loop()
        until_at = loop.time() + min(limit_s, self._settings.splice_wait_s + 2 * LOOK_S)
        ended = False
        while not (ended or intake.flowing.is_set() or loop.time() >= until_at):
            ended = await self._present.wait_for(intake.flowing, min(LOOK_S, max(0.0, until_at - loop.time())))
            if (intake.repeating_s or 0.0) >= FROZEN_EDGE_S:
                raise AceProxyError(Reason.SOURCE_LOOPS, "the reopened source only repeats what was sent before")
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
        self._opened_media_s = self._intake.media_s
        engine = self._present.engine_words
        self._timeline.note(EventKind.RECOVERED, engine=engine, after_s=loop.time() - began_at)
        if engine != lost_engine or self._present.at != lost_link:
            self._present.note_switch(lost_engine, lost_link)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of these is over; the others are cancelled. Cancel-safe."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
