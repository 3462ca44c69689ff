"""Looking for the place in a new source at which it goes on: the rules one after the other, with bounded waiting."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.packets import PACKET_BYTES
from aceproxy.mpegts.splice_match import NEAR, Matcher
from aceproxy.mpegts.splice_plan import LastSent, Outcome, Plan, anywhere, is_next, other_clock, same_clock
from aceproxy.mpegts.splice_source import NewSource
from aceproxy.mpegts.splice_stamps import Stamp, later, read_stamp, stamped

_WINDOW_PACKETS: Final = 512
_BEAT_PACKETS: Final = 1024  # a decision is due at least every so many packets, clocks or not
_BEAT_BYTES: Final = _BEAT_PACKETS * PACKET_BYTES
_EVENT: Final = re.compile(rb"[^\x00]", re.DOTALL)
_BEGINNING_BYTES: Final = 2112 * PACKET_BYTES
_COMPARED_BYTES: Final = 4096 * PACKET_BYTES
_TRIM_BYTES: Final = 256 << 10
_STILL_BEHIND: Final = 3 * CLOCK_HZ // 2  # a source so far behind needs nothing kept but a way in
_ADJACENT: Final = 3 * CLOCK_HZ // 10
_LEAP: Final = CLOCK_HZ // 2  # no two clocks of a source that leaves out nothing are so far apart


@dataclass(frozen=True, slots=True)
class SpliceLimits:
    """How long and how much a splice may wait, and what it keeps."""

    tail_bytes: int = 2 << 20
    """Of what was sent, to find the place by; more than one picture."""
    max_wait_bytes: int = 64 << 20
    """Of a source that has not come to the place; then it goes on at a random-access point."""
    max_hold_bytes: int = 8 << 20
    """Held at most while waiting."""
    max_behind_s: float = 60.0
    """A source that begins further back is one with another clock."""
    max_jump_s: float = 3.0
    """A longer gap of the same clock is closed like one with another clock."""
    max_access_wait_s: float = 12.0
    """Media time in which a random-access point must come."""


class Search:
    """Decides for one new source. `feed` until it returns a plan; `source` has what is to go on with then."""

    def __init__(self, last: LastSent, matcher: Matcher, limits: SpliceLimits) -> None:
        self.source = NewSource()
        self.first_clock: int | None = None
        """The source's first clock, as it would be sent by the last source's clock."""
        self.went_back = False
        """The clock of the source jumped back while it was still behind what was sent."""
        self._last = last
        self._matcher = matcher
        self._limits = limits
        self._clock_pid: int | None = None
        self._ahead: int | None = None
        self._elsewhere = False
        self._past_events = 0
        self._next_try = 0

    def feed(self, packets: memoryview) -> Plan | None:
        """Take the next whole packets; return the plan once there is one. All packets are in `source.held` then."""
        plan: Plan | None = None
        at = 0
        while at < len(packets):
            # windows begin at fixed offsets of the source, so that nothing depends on how the input is cut
            size = min(_WINDOW_PACKETS * PACKET_BYTES, _BEAT_BYTES - (self.source.end % _BEAT_BYTES), len(packets) - at)
            with packets[at : at + size] as window:
                done, plan = self._window(window)
            at += done
            if plan is not None:
                break
        if at < len(packets):
            self.source.held += packets[at:]
        return plan

    def force(self) -> Plan | None:
        """Return the best plan with what is there, None where nothing is."""
        if not self.source.held:
            return None
        is_behind = self._ahead is not None and self._ahead < -NEAR  # then what is known is old, and no place
        place = None if is_behind else self._matcher.passed()
        if place is not None and self._is_place(place):
            return self._same_bytes(place)
        if not self._elsewhere and self._ahead is not None and self._ahead > 0 and self._same_layout():
            plan = same_clock(self.source, self._last, max_jump=self._max_jump, is_last_resort=True)
            if isinstance(plan, Plan):
                return plan
        point = self.source.point_start(-1)
        forced = other_clock(self.source, self._last, point, is_last_resort=True) if point else None
        return forced or anywhere(self.source, self._last)

    @property
    def overlap(self) -> int:
        """Return how far before the last clock sent the source began, 90 kHz, 0 where that is not known."""
        if self.first_clock is None or self._last.clock is None:
            return 0
        return max(0, later(self._last.clock, self.first_clock))

    @property
    def behind(self) -> int | None:
        """Return how far the source is behind the last clock sent, 90 kHz, None where that cannot be known.

        That is also where it could not be begun at once, since no random-access point has come.
        """
        if self._ahead is None or self._elsewhere or not self.source.points:
            return None
        return -self._ahead

    def _begins_near(self) -> bool:
        """Tell whether the source's first clock comes right after the last one sent."""
        if self.first_clock is None or self._last.clock is None:
            return False
        return abs(later(self.first_clock, self._last.clock)) < _ADJACENT

    @property
    def _max_jump(self) -> int:
        return round(self._limits.max_jump_s * CLOCK_HZ)

    def _window(self, view: memoryview) -> tuple[int, Plan | None]:
        """Take packets up to a decision; return how many bytes were taken, and the decision."""
        first = self.source.end // PACKET_BYTES
        hits = dict(self._matcher.hits(view))
        events = {found.start() for found in _EVENT.finditer(stamped(view))}
        beat = {len(view) // PACKET_BYTES - 1} if (self.source.end + len(view)) % _BEAT_BYTES == 0 else set()
        taken = 0
        for index in sorted(events | beat | hits.keys()):
            stop = (index + 1) * PACKET_BYTES
            if index in events or index in beat:
                packet = bytes(view[stop - PACKET_BYTES : stop])
                stamp = read_stamp(packet) if index in events else None
                self.source.take(view[taken:stop], stamp)
                taken = stop
                if stamp is not None:
                    self._note_clock(stamp)
            if index in hits:
                self._matcher.note(hits[index], first + index, self._raw_clock())
            plan = self._decide(only_found=index not in events and index not in beat)
            if plan is not None:
                self.source.take(view[taken:stop], None)
                return stop, plan
        self.source.take(view[taken:], None)
        return len(view), None

    def _raw_clock(self) -> int | None:
        return self.source.clocks.get(self._clock_pid) if self._clock_pid is not None else None

    def _note_clock(self, stamp: Stamp) -> None:
        """Keep up how far the source is ahead of what was sent, by its PCR, or by its DTS where there is none."""
        own, new = self._last.own_tables, self.source.tables
        for pid in (own.program.pcr_pid if own else None, new.program.pcr_pid if new else None):
            if self._clock_pid is None and pid is not None and pid in self.source.clocks:
                self._clock_pid = pid
        if self._last.clock is None:
            return
        if self._last.clock_is_dts:
            known = self._ahead_by_dts(stamp)
        elif stamp.pid == self._clock_pid and stamp.pcr is not None:
            self._matcher.verify(stamp.pcr)
            known = stamp.pcr, later(stamp.pcr + self._last.shift, self._last.clock)
        else:
            return
        if known is None:
            return
        clock, ahead = known
        if self._ahead is not None and ahead < self._ahead - CLOCK_HZ and not self._elsewhere:
            self.went_back = True
        if self._ahead is not None and self._ahead <= NEAR < ahead and ahead - self._ahead > _LEAP:
            self._leave_behind()
        self._ahead = ahead
        if self.first_clock is None:
            self.first_clock = clock + self._last.shift
            behind = self._limits.max_behind_s * CLOCK_HZ
            self._elsewhere = not -behind <= self._ahead <= self._max_jump

    def _leave_behind(self) -> None:
        """The source has left out the place: what it had before that is old, and tells nothing of what comes."""
        self._matcher.give_up()
        end = self._last.ends.get(self.source.reference_pid or 0)
        fresh = (
            start.offset
            for start in self.source.reference_starts()
            if end is not None and start.dts is not None and later(start.dts + self._last.shift, end.dts) > 0
        )
        self.source.trim(next(fresh, self.source.end - PACKET_BYTES))

    def _ahead_by_dts(self, stamp: Stamp) -> tuple[int, int] | None:
        """Return clock and lead by the reference PID's DTS; None where that is not known."""
        end = self._last.ends.get(stamp.pid)
        if stamp.pid != self.source.reference_pid or stamp.dts is None or end is None:
            return None
        return stamp.dts, later(stamp.dts + self._last.shift, end.dts)

    def _decide(self, *, only_found: bool) -> Plan | None:
        """Return the plan if it can be made now."""
        if self._matcher.found is not None and self._is_place(self._matcher.found):
            came = bytes(self.source.held[-_COMPARED_BYTES:])
            return self._same_bytes(self._matcher.found) if self._matcher.is_proven(came) else None
        if only_found:
            return None
        if self._last.clock is None or self._elsewhere or not self._may_be_same():
            return self._by_point() or self._at_limit()
        if self._ahead is not None and self._ahead > NEAR:
            return self._past() or self._at_limit()
        self._trim()
        if self.source.end >= self._limits.max_wait_bytes:
            return self.force()
        return self._at_limit() if self._ahead is None else None

    def _past(self) -> Plan | None:
        """Return the plan for a source that has gone past the last clock sent."""
        place = self._matcher.passed()
        if place is not None and self._is_place(place):
            return self._same_bytes(place)
        if self._begins_near() and self.source.base == 0:
            place = self._matcher.adjacent(bytes(self.source.held[:_BEGINNING_BYTES]))
            if place is not None and is_next(self.source, self._last, place * PACKET_BYTES):
                return self._same_bytes(place, trailing=False)
        if not self._same_layout():
            return self._by_point()
        self._past_events += 1
        if self._past_events < self._next_try:
            return None  # each try looks at all that is held: their number is kept to the logarithm of that
        self._next_try = self._past_events * 9 // 8 + 1
        plan = same_clock(self.source, self._last, max_jump=self._max_jump)
        if isinstance(plan, Plan):
            return plan
        return None if plan else self._by_point()

    def _same_layout(self) -> bool:
        """Tell whether program, PIDs and codecs are those of the last source; so long as nothing is known they are."""
        if self.source.tables is None:
            return True
        return self._last.own_tables is not None and self.source.tables.layout == self._last.own_tables.layout

    def _may_be_same(self) -> bool:
        """Tell whether the source can be the same broadcast: its main stream is; others come and go."""
        new, own = self.source.tables, self._last.own_tables
        if new is None or own is None:
            return True
        for kind in ("video", "audio"):
            one, other = new.program.first(kind), own.program.first(kind)
            if one is not None or other is not None:
                return one is not None and other is not None and (one.pid, one.codec) == (other.pid, other.codec)
        return True

    def _by_point(self) -> Plan | None:
        """Return the plan to begin at the first random-access point."""
        point = self.source.point_start(0)
        return other_clock(self.source, self._last, point) if point else None

    def _is_place(self, place: int) -> bool:
        """Tell whether the place that was found is none by chance; if it is, no place is known any more."""
        stop = max(0, place * PACKET_BYTES - self.source.base)
        before = bytes(self.source.held[max(0, stop - _COMPARED_BYTES) : stop])
        after = bytes(self.source.held[stop : stop + _COMPARED_BYTES])
        if self._same_layout() and not self._matcher.is_contradicted(before, after):
            return True
        self._matcher.give_up()
        return False

    def _same_bytes(self, place: int, *, trailing: bool = True) -> Plan:
        before, after = self._matcher.sent if trailing else (b"", b"")
        start, old_pids = max(place * PACKET_BYTES, self.source.base), self._matcher.old_pids
        return Plan(Outcome.SAME_BYTES, start, trailing=after, before=before, old_pids=old_pids)

    def _at_limit(self) -> Plan | None:
        """Return a plan once too much has been held, or no random-access point has come for too long."""
        waited = self.source.media_held() > self._limits.max_access_wait_s * CLOCK_HZ
        return self.force() if waited or len(self.source.held) >= self._limits.max_hold_bytes else None

    def _trim(self) -> None:
        """Let go of what a source that is still behind will not need: all before its newest random-access point."""
        source = self.source
        if len(source.held) < _TRIM_BYTES:
            return
        if self._is_far_behind() and source.points:
            source.trim(source.points[-1])
        if len(source.held) > self._limits.max_hold_bytes:
            source.trim(source.end - self._limits.max_hold_bytes // 2 // PACKET_BYTES * PACKET_BYTES)

    def _is_far_behind(self) -> bool:
        """Tell whether PCR and DTS are both well before the last ones sent."""
        if self._ahead is None or self._ahead > -_STILL_BEHIND:
            return False
        starts = self.source.reference_starts()
        end = self._last.ends.get(self.source.reference_pid or 0)
        if not starts or starts[-1].dts is None or end is None:
            return True
        return later(starts[-1].dts + self._last.shift, end.dts) < -_STILL_BEHIND
