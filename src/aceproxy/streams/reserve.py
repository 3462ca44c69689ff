"""The reserve of a stream: decides when a second source runs beside the present one, and when it takes over.

There is at most one. It is opened on another engine, or for another link; a playback of the same broadcast is never
opened twice on one engine. Reasons to have one, the strongest first: the present engine is to be left or delivers
poorly; the link was lost again and again, so that it is left for another one the next time; a fallback link plays
although the first one could; the stream is to have a standby.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from aceproxy.errors import AceProxyError, Reason
from aceproxy.mpegts.packets import PACKET_BYTES
from aceproxy.mpegts.splice import Outcome
from aceproxy.mpegts.splice_trial import trial
from aceproxy.streams.ingest import TAIL_BYTES
from aceproxy.streams.lags import LIMIT_S, Lags
from aceproxy.streams.situation import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    ReserveLimits,
    Returns,
    Situation,
    purpose_of,
    serves,
    ways_beside,
)
from aceproxy.streams.source import Source
from aceproxy.streams.spare import FRESH_S, RACES, SILENT_S, WAITING, Purpose, Spare, TailSink
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.tried import Tried
from aceproxy.streams.ways import Way

AHEAD_S: Final = 0.25  # of media that a spare has more than was sent; less may be a matter of when they are looked at
GRACE_S: Final = 3.0  # for which one that was to be moved to is kept though the present source seems well again
CHANGE_S: Final = 60.0  # between two changes of a standby for one on an engine that may be less behind
NEW_BYTES: Final = 1 << 20  # of what a spare sends, in which something is looked for that has not gone by
PROOF_S: Final = 2.0  # how long one must deliver before a poor source is left for it


class Reserve:
    """Keeps the spare of one stream. Belongs to the event loop.

    `make` makes an unopened source of a link for a sink; `sent` returns the newest packets of the present source, so
    many bytes at most; `has_new` says whether there is anything in what a spare sends that has not gone by before.
    """

    def __init__(
        self,
        limits: ReserveLimits,
        make: Callable[[int, TailSink, str], Source],
        sent: Callable[[int], bytes],
        timeline: Timeline,
        has_new: Callable[[bytes], bool] = bool,
    ) -> None:
        self.spare: Spare | None = None
        self._limits = limits
        self._make = make
        self._sent = sent
        self._has_new = has_new
        self._timeline = timeline
        self._failures = 0
        self._not_before = 0.0
        self._arrivals = 0  # how many there were when last looked
        self._tries = 0  # of returns, each by the next way
        self._in_vain = Tried()  # while there is reason to move away
        self._poor_at = 0.0  # loop time at which there last was reason to move away
        self.lags = Lags(sent)
        self.returns = Returns(limits.return_s)
        self._change_at = 0.0  # loop time from which on a standby may be changed for one that is less behind
        self.delivering = asyncio.Event()  # the spare has been opened, and has not failed
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_ready(self) -> bool:
        """Whether a source could take over now."""
        return self.spare is not None and self.spare.is_ready

    def is_ahead(self) -> bool:
        """Whether the spare has media that was not sent yet, by the clock of the broadcast."""
        spare = self.spare
        if spare is None:
            return False
        lag_s = spare.lag_s(self._sent)
        return lag_s is not None and lag_s <= -AHEAD_S

    def tend(self, situation: Situation) -> Spare | None:
        """Open, keep or drop the spare; return it if it is to take over now."""
        purpose = purpose_of(situation, self.returns)
        if purpose is Purpose.MOVE:
            self._poor_at = situation.now
        else:
            self._in_vain.clear()
        if situation.arrivals != self._arrivals:  # what failed for want of an engine may go now
            self._arrivals, self._failures, self._not_before = situation.arrivals, 0, 0.0
        spare = self.spare
        if spare is not None:
            self._look_after(spare, purpose, situation)
        if self.spare is None:
            if purpose is not None and self._may_open(purpose, situation):
                self._open(purpose, situation)
            return None
        spare = self.spare
        if not spare.is_ready:
            return None
        if not spare.is_told:
            spare.is_told = True
            self._timeline.note(EventKind.STANDBY_READY, engine=spare.source.engine_url, purpose=spare.purpose.value)
        self.lags.look(spare, situation.now)
        if spare.purpose is Purpose.STANDBY and situation.now >= self._change_at:
            self._change_for_better(spare, situation)
        return spare if purpose is spare.purpose and self._may_take_over(spare, situation) else None

    def _may_open(self, purpose: Purpose, situation: Situation) -> bool:
        """Say whether it is time for another one: to return, after a wait, or where an engine was not tried yet."""
        is_time = purpose is Purpose.RETURN or situation.now >= self._not_before
        return is_time or self._next_engine(ways_beside(purpose, situation), situation) is not None

    def _next_engine(self, ways: Sequence[Way], situation: Situation) -> Way | None:
        """Return a way to move with the present link where one was no use and another engine was not tried."""
        if not self._in_vain or not ways or ways[0].at != situation.at:
            return None
        return self._in_vain.others(ways[0], situation.fit)

    def _change_for_better(self, spare: Spare, situation: Situation) -> None:
        """Let go of a standby that is far behind where another engine may do better; the next look opens that."""
        engine = spare.engine_url
        if not self.lags.better(engine, situation.fit - {situation.engine, engine}):
            self._tell_lag(spare)
            return
        self._change_at = situation.now + CHANGE_S
        self._timeline.note(
            EventKind.STANDBY_LOST,
            engine=engine,
            purpose=spare.purpose.value,
            detail="it is far behind, and another engine may be less",
            behind_s=self.lags.of(engine),
        )
        self.close()

    def _tell_lag(self, spare: Spare) -> None:
        """Tell once of a standby that is far behind, and that no engine does better."""
        behind_s = self.lags.of(spare.engine_url)
        if not spare.is_lag_told and behind_s is not None and behind_s > LIMIT_S:
            spare.is_lag_told = True
            self._timeline.note(EventKind.STANDBY_BEHIND, engine=spare.engine_url, behind_s=behind_s)

    def _look_after(self, spare: Spare, purpose: Purpose | None, situation: Situation) -> None:
        """Drop a spare that failed, must give way or is not wanted any more; change what it is for."""
        self.drop_failed()
        if self.spare is not None and spare.is_silent and _delivers(situation):
            self._drop(spare, spare.source.lost(_silent(spare)))
        if self.spare is not None and purpose is spare.purpose is Purpose.MOVE and spare.gets_nowhere():
            self._pass_over(spare, situation)
        if self.spare is None or spare.purpose is purpose:
            return
        is_of_use = purpose is not None and serves(spare, purpose, situation)
        if purpose is not None and is_of_use:
            spare.purpose = purpose
        elif spare.purpose is not Purpose.MOVE or situation.now - self._poor_at >= GRACE_S:
            self._let_go(spare)

    def _pass_over(self, spare: Spare, situation: Situation) -> None:
        """Leave one that was to be moved to and gets nowhere, if there is an engine that was not tried."""
        asked = frozenset(engine for engine in (spare.engine_url, situation.engine) if engine is not None)
        if self._in_vain.others(Way(spare.at, asked), situation.fit) is not None:
            self._drop(spare, AceProxyError(Reason.NO_DATA, f"nothing came of it in {SILENT_S:.0f} s"))

    def _let_go(self, spare: Spare) -> None:
        """Drop a spare for which there is no reason any more; whoever was told that it is ready is told so."""
        if spare.is_told:
            detail = "it is not needed any more"
            self._timeline.note(
                EventKind.STANDBY_LOST, engine=spare.engine_url, purpose=spare.purpose.value, detail=detail
            )
        self.close()

    def _may_take_over(self, spare: Spare, situation: Situation) -> bool:
        assert spare.ready_at is not None
        ready_s = situation.now - spare.ready_at
        if spare.purpose is Purpose.MOVE:
            judgement = situation.judgement
            if judgement is not None and judgement.is_still and not situation.source.leave_requested:
                return self._brings_more(spare, judgement.error.reason, ready_s)
            return situation.source.leave_requested or ready_s >= PROOF_S
        if spare.purpose in WAITING or ready_s < self._limits.return_proof_s:
            return False
        if not situation.has_clients:
            return True
        if (self.lags.of(spare.engine_url) or 0.0) > LIMIT_S:
            self._refuse(spare, situation, "it is behind what viewers have")
            return False
        if spare.is_same is None and not spare.is_compared:
            spare.is_compared = True
            compare = self._compare(spare, to_link=spare.at != situation.at)
            self._keep(asyncio.get_running_loop().create_task(compare, name="compare sources"))
        if spare.is_same is False:
            self._refuse(spare, situation, "it cannot be joined without a jump")
        return spare.is_same is True

    def _brings_more(self, spare: Spare, lacking: Reason, ready_s: float) -> bool:
        """Say whether a spare has what the present source does not send: pictures, anything at all, anything new.

        One that has not, when it has delivered for a while, is let go: it is not the engine.
        """
        if lacking is Reason.SOURCE_STALLED:
            lag_s = spare.lag_s(self._sent)
            is_better = ready_s >= PROOF_S if lag_s is None else lag_s <= -AHEAD_S
        elif lacking is Reason.SOURCE_LOOPS:
            is_better = self._has_new(spare.sink.newest(NEW_BYTES))
        else:
            is_better = ready_s >= PROOF_S and spare.has_moving_pictures()
        if is_better:
            return True
        if ready_s >= 2 * PROOF_S:
            self._drop(spare, None, "it brings no more than the present one")
        return False

    def _refuse(self, spare: Spare, situation: Situation, detail: str) -> None:
        """Do not return to it now: viewers would notice. It may do as a standby."""
        if not situation.wants_standby or spare.at != situation.at:
            self._drop(spare, None, detail)
            return
        self.returns.refused(situation.now)
        spare.purpose, spare.is_same, spare.is_compared = Purpose.STANDBY, None, False

    async def _compare(self, spare: Spare, *, to_link: bool) -> None:
        """Find out, in a thread, whether a spare sends the very packets that are being sent."""
        sent = self._sent(TAIL_BYTES)
        sent = sent[: len(sent) // 2 // PACKET_BYTES * PACKET_BYTES]  # it may be behind by a moment
        outcome = await asyncio.to_thread(trial, sent, spare.sink.content())
        if outcome is Outcome.PENDING:
            spare.is_compared = False  # it is farther behind: once more
        else:  # engines of one swarm send the same bytes; links may be of two encoders with one clock
            spare.is_same = outcome is Outcome.SAME_BYTES or (outcome is Outcome.SAME_CLOCK and to_link)

    def _open(self, purpose: Purpose, situation: Situation) -> None:
        ways = ways_beside(purpose, situation)
        if not ways:
            return
        tries = self._tries if purpose is Purpose.RETURN else self._failures
        way = self._next_engine(ways, situation) or ways[tries % len(ways)]
        if purpose is Purpose.STANDBY:
            way = replace(way, exclude=way.exclude | self.lags.worse(situation.fit - way.exclude))
        reason = situation.judgement.error.reason if situation.judgement is not None else None
        if purpose is not Purpose.STANDBY:
            self._timeline.note(EventKind.TRYING_BESIDE, reason=reason, purpose=purpose.value)
        self._begin(purpose, way, situation.now + self._limits.start_timeout_s)

    def _begin(self, purpose: Purpose, way: Way, deadline_at: float) -> Spare:
        """Open a spare; there must be none yet."""
        sink = TailSink(self._limits.standby_bytes)
        spare = self.spare = Spare(self._make(way.at, sink, purpose.value), sink, way.at, purpose)
        spare.on_news = lambda: self._heard(spare)
        self._keep(spare.begin(deadline_at, way.exclude))
        return spare

    def _heard(self, spare: Spare) -> None:
        """Hear that a spare is open, or has failed."""
        if spare is not self.spare:
            return
        if spare.failure is None:
            self.delivering.set()
        else:
            self.delivering.clear()

    # --- after a loss ---

    def claim(self) -> None:
        """The present source is lost: what has begun beside it is needed now, and its slot is not given back.

        One that has fallen silent would only be waited for.
        """
        self.drop_failed()
        if self.spare is not None and self.spare.is_silent:
            self._drop(self.spare, _silent(self.spare))
        if self.spare is not None:
            self.spare.source.keep()

    def leave_link(self, at: int) -> None:
        """Link number `at` is lost again and again: a spare of it is not waited for."""
        if self.spare is not None and self.spare.at == at:
            self._drop(self.spare, None, "the link is left")

    def drop_failed(self) -> None:
        """Let go of a spare that will not deliver, or has to give way."""
        spare = self.spare
        if spare is None:
            return
        if spare.failure is not None:
            self._drop(spare, spare.failure)
        elif spare.source.leave_requested:
            self._drop(spare, None, "it gives way")

    def race(self, way: Way, deadline_at: float, purpose: Purpose = Purpose.RESTORE) -> Spare:
        """Open one beside a start that goes on, to take the first that delivers; there must be none yet."""
        self._timeline.note(EventKind.TRYING_BESIDE, purpose=purpose.value)
        return self._begin(purpose, way, deadline_at)

    def restored(self, at: int, *, wants_standby: bool) -> None:
        """The stream has a source again, of link number `at`: what was begun beside it stays as a standby, or goes."""
        spare = self.spare
        if spare is None:
            return
        if spare.purpose in RACES:
            if not wants_standby or spare.at != at:
                self.close()
                return
            spare.purpose = Purpose.STANDBY
        spare.source.lend()

    def take(self) -> Spare:
        """Give the spare away."""
        spare = self.spare
        assert spare is not None
        self.spare = None
        self.delivering.clear()
        self._failures = 0
        spare.take()
        return spare

    def close(self) -> None:
        """Drop the spare, without a word. Idempotent; waits for nothing."""
        if self.spare is not None:
            self.spare.close()
            self.spare = None
            self.delivering.clear()

    async def settle(self) -> None:
        """Wait for the end of all tasks after `close`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop(self, spare: Spare, error: AceProxyError | None, detail: str = "") -> None:
        now = asyncio.get_running_loop().time()
        if spare.purpose is Purpose.RETURN:
            self.returns.refused(now)
            self._tries += 1
        else:
            if spare.purpose is Purpose.MOVE:
                self._in_vain.add(spare.at, spare.engine_url)
            self._not_before = now + min(FIRST_WAIT_S * 2**self._failures, LONGEST_WAIT_S)
            self._failures = min(self._failures + 1, 10)
        self._timeline.note(
            EventKind.STANDBY_LOST,
            reason=error.reason if error is not None else None,
            engine=spare.source.engine_url,
            purpose=spare.purpose.value,
            detail=error.detail if error is not None else detail,
        )
        self.close()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _silent(spare: Spare) -> AceProxyError:
    return AceProxyError(Reason.ENGINE_STALLED, f"no data for {spare.silent_s:.1f} s")


def _delivers(situation: Situation) -> bool:
    """Whether the present source goes on: it is not the swarm that stands still."""
    last_byte_at = situation.source.last_byte_at
    return last_byte_at is not None and situation.now - last_byte_at < FRESH_S
