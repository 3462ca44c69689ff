"""After a loss: a source is looked for anew until something of it has gone to the clients, or the time is over.

The search goes from the near to the far: the same engine, other engines, the next link; each try with a limit of its
own, the whole within `recover_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.intake import Intake
from aceproxy.streams.patience import PATIENCE_S, open_while_promising
from aceproxy.streams.present import Present
from aceproxy.streams.reserve import Reserve
from aceproxy.streams.source import Upstream
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.watching import LOOK_S
from aceproxy.streams.ways import DISTRUST, Way, ways_back

SETTLED_S = 3.0  # of media that were new: then a source counts as a good one


class Restoring:
    """Replaces the lost sources of one stream, and remembers how the last ones fared. Belongs to the event loop."""

    def __init__(
        self, present: Present, reserve: Reserve, upstream: Upstream, intake: Intake, timeline: Timeline
    ) -> None:
        self._present = present
        self._reserve = reserve
        self._upstream = upstream
        self._settings = upstream.settings
        self._intake = intake
        self._timeline = timeline
        self._opened_media_s = 0.0  # media that had come in when the present source began to deliver
        self._lost_at: float | None = None  # loop time of the first loss since a source was a good one
        self._short_runs = 0  # losses in a row of sources that had not settled

    async def restore(self, error: AceProxyError) -> None:
        """Replace a lost source; `error` says why it was lost, and is raised when the time for it is over.

        The time counts from the first loss since a source has brought SETTLED_S of new media.
        """
        loop = asyncio.get_running_loop()
        lost_engine, lost_link = self._present.engine_url, self._present.at
        self._timeline.note(EventKind.SOURCE_LOST, reason=error.reason, engine=lost_engine, detail=error.detail)
        self._present.close()
        began_at = loop.time()
        if self._reserve.is_ready and await self._try_spare():
            self._note_restored(lost_engine, lost_link, began_at)
            return
        self._reserve.close()
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
        order = self._upstream.links.order([link for number, link in enumerate(self._present.links) if number != at])
        fallbacks = [self._present.links.index(link) for link in order]
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
                await open_while_promising(
                    self._present.open(way, until_at), self._present.start_status, self._present.progressed, own_s
                )
                await self._prove()
            except AceProxyError as error:
                self._present.close()
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

    async def _try_spare(self) -> bool:
        """Let the spare take over; return whether it delivers."""
        try:
            await self._present.take(self._reserve.take())
            await self._prove()
        except (AceProxyError, OSError) as error:
            self._present.close()
            failure = error if isinstance(error, AceProxyError) else AceProxyError(Reason.INTERNAL, str(error))
            engine = self._present.engine_url
            self._timeline.note(EventKind.REOPEN_FAILED, reason=failure.reason, engine=engine, detail=failure.detail)
            return False
        return True

    async def _prove(self) -> None:
        """Wait until something of the new source has gone to the clients. Raises AceProxyError if nothing will."""
        intake = self._intake
        ended = await self._present.wait_for(intake.flowing, self._settings.splice_wait_s + 2 * LOOK_S)
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
