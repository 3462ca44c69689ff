"""The intake: the way of a stream's bytes from its sources into its ring, and to the pump's notice.

Everything here runs on the event loop and waits for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

from aceproxy.errors import Reason
from aceproxy.logs import StreamLog
from aceproxy.mpegts.packets import keep_alive
from aceproxy.mpegts.splice import Outcome
from aceproxy.streams.catching_up import CatchingUp
from aceproxy.streams.ingest import ROOM_BYTES, Ingest
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import Ring, RingLimits
from aceproxy.streams.timeline import EventKind, Timeline

FAST = 1.5  # media per time, within a second, from which on a source counts as faster than real time
PAUSE_SHARE, RESUME_SHARE = 0.6, 0.5  # of the ring, between the furthest client and the head
KEEP_ALIVE_PACKETS = 7  # at a time; 1316 bytes, as one datagram of other senders
WAIT_NOTED_S = 0.5  # from which on it is told how long a new source took to come to the place
AHEAD_S = (
    30.0  # how much nearer to live a source may be than the one before; more ahead than that its clock is another one
)
LULL_S = 1.0  # of silence after which it is looked whether the source has skipped something
LULL_LOOKS = 5  # at most, each of which copies what was sent last
RESUME_POLL_S = 0.005  # how often a source that is held back is looked at


class Pausable(Protocol):
    """A source, as far as its pace is concerned."""

    paused: bool

    @property
    def has_parts(self) -> bool:
        """Whether it comes in parts, such as the segments of a list, that need not go on with their counters."""

    def pause(self) -> None:
        """Read nothing until `resume`."""

    def resume(self) -> None:
        """Go on reading."""


class Intake:
    """Takes what the present source sends (it is its ByteSink) and measures it.

    `joinable` is set once the ring has a join point, `flowing` once something of the present source is in the ring.
    `inbound_bps` is measured over the last second, `bitrate_bps` over what the ring holds, None while that is too
    little.
    """

    def __init__(
        self, limits: RingLimits, pump: Pump, splice_wait_s: float, log: StreamLog, timeline: Timeline
    ) -> None:
        self.ring = Ring(limits)
        self.ingest = Ingest(self.ring, time.monotonic)
        self.joinable = asyncio.Event()
        self.flowing = asyncio.Event()
        self.goes_over_old = False  # the present source only repeats what was sent before it
        self.inbound_bps = 0.0
        self.bitrate_bps: float | None = None
        self._pump = pump
        self._source: Pausable | None = None
        self._closed = False
        self._splice_wait_s = splice_wait_s
        self._splicing = False  # the present source is not the first and has not been joined yet
        self._catching_up: CatchingUp | None = None  # from its first bytes on
        self._source_at = 0.0  # monotonic: when those came
        self._only_new = False  # it is not begun with what was sent before
        self._has_past = False  # it is being given what it sent before
        self._log = log
        self._timeline = timeline
        self._is_skewed = False  # the source was paused or begun since the last sample, which hides how fast it is
        self._rate_bytes = 0
        self._edge_s = 0.0
        self._appended_at = self._filled_at = time.monotonic()
        self._looks_left = 0  # at whether the present source, silent until now, has skipped something

    @property
    def media_s(self) -> float:
        """Media time that has come in."""
        return self.ring.edge_s

    @property
    def quiet_s(self) -> float:
        """How long clients have got nothing new for lack of it; 0 while the source is held back for their sake."""
        is_held_back = self._source is not None and self._source.paused
        return 0.0 if is_held_back else time.monotonic() - self._appended_at

    @property
    def repeating_s(self) -> float | None:
        """For how long the source has sent what was sent before; None if it does not. Clients get nothing of that."""
        since_at = self.ingest.guard.repeating_at
        return None if since_at is None else time.monotonic() - since_at

    def let_repeat(self) -> None:
        """Let the present source repeat: give out what was held back."""
        with contextlib.suppress(OSError):  # no memory now: a part of it is lost, as when the ring is full
            self.ingest.let_repeat()
        self._pump.appended(self.ring)

    def begin_source(self, source: Pausable, *, with_past: bool = False, only_new: bool = False) -> None:
        """Expect the bytes of another source; what the last one left unfinished is dropped.

        `with_past`: it has run for a while, and begins with what was kept of it; `past_given` says when that is over.
        `only_new`: its engine has looped; what was sent before is not sent again, however far behind the source is.
        """
        self._source = source
        self.flowing.clear()
        self._has_past = with_past
        self._only_new = only_new
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Look for the place in what comes next."""
        self._is_skewed = True
        self.goes_over_old = False
        self.ingest.begin_source(only_new=self._only_new)
        self._splicing = self.ingest.splice is not None
        self._catching_up = None
        self._filled_at, self._looks_left = time.monotonic(), 0

    def past_given(self) -> None:
        """What comes from now on is live: what the source is behind by, it stays behind by. Raises OSError."""
        if not self._has_past:
            return
        self._has_past = False
        if self._splicing:
            appended = self.ingest.appended_bytes
            if self._catching_up is None:
                self._source_at = time.monotonic()
            self._catching_up = CatchingUp(time.monotonic(), self._splice_wait_s, at_pace=True)
            self._follow_splice()
            self._note_progress(appended)
            self._pump.appended(self.ring)

    def keep_alive(self) -> None:
        """Give the clients some null packets, so that none of them takes the connection for dead.

        Nothing follows the end: who is not there yet has enough to take, and the last block is an HLS segment by then.
        """
        if self._closed or not self.ring.head or self.ring.finished is not None:
            return
        with contextlib.suppress(OSError):  # no memory now: the next time will do
            self.ring.append(memoryview(keep_alive(KEEP_ALIVE_PACKETS)), self.ring.edge_s)
            self._pump.appended(self.ring)

    def finish(self, reason: Reason) -> None:
        """Nothing will follow: give the clients the last packets, and let them read to the end."""
        with contextlib.suppress(OSError):  # without memory for them the end comes a little earlier
            self.ingest.finish()
        self.ring.finish(reason)
        self._pump.appended(self.ring)

    def close(self) -> None:
        """Take nothing any more and let go of the ring's memory."""
        self._closed = True
        self._source = None
        self.ingest.close()
        self.ring.clear()

    def room(self) -> memoryview:
        """See ByteSink; what comes after the end is not looked at."""
        return memoryview(bytearray(ROOM_BYTES)) if self._closed else self.ingest.room()

    def filled(self, count: int) -> None:
        """See ByteSink."""
        if self._closed:
            return
        self._look_after_lull(count)
        appended = self.ingest.appended_bytes
        self.ingest.filled(count)
        if self._splicing:
            self._follow_splice()
        self._note_progress(appended)
        if not self.joinable.is_set() and self.ring.has_points:
            self.joinable.set()
        self._pump.appended(self.ring, drained=count < ROOM_BYTES)
        if self.ring.watch_front and not self._splicing:  # of one that finds its place nothing is in the ring yet
            self._hold_back()

    def _look_after_lull(self, count: int) -> None:
        """Treat a source that was silent and has skipped something as another one: no torn picture, no jump."""
        now = time.monotonic()
        if now - self._filled_at >= LULL_S:
            self._looks_left = LULL_LOOKS
        self._filled_at = now
        if self._splicing:
            self._looks_left = 0  # nothing was sent of it: that it was slow to begin says nothing of what it skips
        if not self._looks_left or self._source is None or self._source.has_parts:
            return
        skips = self.ingest.skips(count)
        self._looks_left = self._looks_left - 1 if skips is None else 0
        if skips:
            fresh = bytes(self.ingest.room()[:count])
            self._begin_anew()
            self.ingest.room()[:count] = fresh

    def _note_progress(self, appended: int) -> None:
        """See what has come of the present source since `appended` bytes were in the ring."""
        if self.ingest.appended_bytes > appended:
            self._appended_at = time.monotonic()
            self.flowing.set()
        elif self.ingest.goes_over_old:
            self._over_old()

    def _over_old(self) -> None:
        """Nothing new is to be had of the present source."""
        self.goes_over_old = True
        self.flowing.set()

    def _follow_splice(self) -> None:
        """Wait for the splicer to find the place in the new source, but not in vain; tell what came of it."""
        now = time.monotonic()
        if self._catching_up is None:
            self._catching_up = CatchingUp(now, self._splice_wait_s)
            self._source_at = now
        splice, behind_s = self.ingest.splice, None
        if splice is not None and splice.outcome is Outcome.PENDING and not self._has_past:
            behind_s = self.ingest.behind_s
            if self._catching_up.is_in_vain(now, behind_s):
                self._log.info("the new source does not come to the place in time: behind %s s", behind_s)
                if self._only_new:
                    self._over_old()
                    return
                self.ingest.give_up_splice()
                splice = self.ingest.splice
        if splice is None or splice.outcome is not Outcome.PENDING:
            self._splicing = False
            if splice is not None:
                waited_s = now - self._source_at
                outcome, gap_s = splice.outcome, splice.gap_s
                if outcome is Outcome.CLOSED_GAP and gap_s > now - self._appended_at + AHEAD_S:
                    outcome, gap_s = Outcome.OTHER_CLOCK, 0.0  # so much cannot have been broadcast meanwhile
                self._timeline.note(
                    EventKind.SPLICED,
                    outcome=outcome.value,
                    overlap_s=splice.overlap_s,
                    skipped_bytes=splice.skipped_bytes,
                    gap_s=gap_s,
                    behind_s=behind_s,
                    waited_s=waited_s if waited_s >= WAIT_NOTED_S else None,
                )

    def sample(self, elapsed_s: float) -> None:
        """Measure rates since the last sample, `elapsed_s` ago."""
        received = self.ingest.received_bytes
        self.inbound_bps = (received - self._rate_bytes) * 8 / elapsed_s
        self._rate_bytes = received
        if self._source is not None and not self._is_skewed:
            self.ring.watch_front = self.ring.edge_s - self._edge_s > FAST * elapsed_s
        self._is_skewed = self._source is not None and self._source.paused
        self._edge_s = self.ring.edge_s
        held_s = self.ring.held_s
        self.bitrate_bps = self.ring.held_bytes * 8 / held_s if held_s >= 1 else None

    def _hold_back(self) -> None:
        """Pause a source that sends faster than real time while even the furthest client is far behind it.

        Start bursts and recordings come faster than players read. A live source is never faster for long, so no client
        can hold it up.
        """
        source = self._source
        if source is None or source.paused or not self._is_far_ahead(PAUSE_SHARE):
            return
        source.pause()
        self._is_skewed = True
        asyncio.get_running_loop().call_later(RESUME_POLL_S, self._let_go, source)

    def _let_go(self, source: Pausable) -> None:
        """Go on reading once the furthest client has come closer."""
        if source is not self._source:
            return
        if self._is_far_ahead(RESUME_SHARE):
            asyncio.get_running_loop().call_later(RESUME_POLL_S, self._let_go, source)
        else:
            source.resume()

    def _is_far_ahead(self, share: float) -> bool:
        """Whether the furthest client has more than this share of the ring before it."""
        return self.ring.head - max(self.ring.front, self.ring.fetched) > share * self.ring.capacity_bytes
