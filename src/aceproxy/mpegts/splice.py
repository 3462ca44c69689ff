"""Splicing: one continuous transport stream out of the packets of one source after the other.

A source that was lost is opened anew, from the same engine, another one, or another link. Clients stay connected and
have had everything up to some packet. Three rules, in this order:

1. **Same bytes**: the place up to which everything was sent is found in the new source by its content; the next packet
   follows. What clients get is what an unbroken broadcast would have been (see `splice_match` and `splice_overlap`).
2. **Same clock**: the broadcast is the same but its packets are not; every stream goes on by its own time stamps.
3. **Other clock**: a random-access point, its clocks shifted to go on from the last ones (for 2 and 3 see
   `splice_plan`).

By 2 and 3 continuity counters go on for each PID, PIDs stay those that were sent for streams of the same codec, and
tables are sent with a new version where they differ; that goes on for the life of the source (see `splice_rewrite`).
The first source, and one joined by rule 1 to such a source, goes through untouched.

Nothing raises on hostile input. Memory is bounded by `SpliceLimits`: what is held, the tail, and some 100 KiB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.packets import PACKET_BYTES, Buffer, Heads, heads_of
from aceproxy.mpegts.psi import PsiTracker
from aceproxy.mpegts.splice_counters import Counters
from aceproxy.mpegts.splice_join import packets_with
from aceproxy.mpegts.splice_match import Matcher
from aceproxy.mpegts.splice_overlap import Overlap
from aceproxy.mpegts.splice_plan import LastSent, Outcome, Plan
from aceproxy.mpegts.splice_result import Splice
from aceproxy.mpegts.splice_rewrite import Rewriter, steps_of
from aceproxy.mpegts.splice_search import Search, SpliceLimits
from aceproxy.mpegts.splice_sent import PidEnd, TableWatch, Tail, ends_of
from aceproxy.mpegts.splice_stamps import Stamp, read_stamp
from aceproxy.mpegts.splice_tables import Tables, TableWriter, tables_of

__all__ = ["Outcome", "Splice", "SpliceLimits", "Splicer"]


class _Join(NamedTuple):
    """How things stood before a source was joined that is rewritten."""

    head_bytes: int
    """Sent before the first packet of the source."""
    counters: Counters
    ends: dict[int, PidEnd]
    last: LastSent
    has_tables: bool
    """Own tables were sent with it."""


class _Mark(NamedTuple):
    """How things stood before the newest packets, should they be taken back."""

    kept: bytes
    """What was sent last then, as the source sent it."""
    counters: Counters
    steps: dict[int, int]
    """By PID of the source, what was added to its counters then."""


class Splicer:
    """Joins sources. What `feed` and `give_up` return, one after the other, is one transport stream.

    The result does not depend on how the input is cut.
    """

    def __init__(
        self,
        limits: SpliceLimits | None = None,
        *,
        psi: PsiTracker | None = None,
        recent: Callable[[int], bytes] | None = None,
    ) -> None:
        """Begin with nothing sent. A caller that has what came out anyway spares the splicer to keep it as well.

        `psi`: follows the tables in all that comes out. `recent`: returns the newest bytes that were fed, at most so
        many, as long as they went through untouched; fewer where the rest is gone.
        """
        self._limits = limits or SpliceLimits()
        self._tail = Tail(self._limits.tail_bytes)
        self._recent = recent
        self._unkept = 0  # bytes sent last that are not in the tail yet, for `recent` has them
        self._counters = Counters(self._limits.tail_bytes // PACKET_BYTES)
        self._sent_psi = psi
        self._watch = None if psi is not None else TableWatch()  # of the source, as it sends them
        self._tables: Tables | None = None  # sent last, by the sources before
        self._ends: dict[int, PidEnd] = {}
        self._clock: int | None = None
        self._has_pcr = False
        self._last: LastSent | None = None
        self._search: Search | None = None
        self._rewriter: Rewriter | None = None
        self._overlap: Overlap | None = None  # right after a splice: packets that were sent already may follow
        self._splice: Splice | None = None
        self._sent_any = False
        self._mark: _Mark | None = None
        self._join: _Join | None = None  # of the present source, as long as all of it could be taken back
        self._is_join_marked = False
        self._before_join: LastSent | None = None  # of a source of which all was taken back, tables included
        self._whole_pid: int | None = None  # of which nothing is cut off, since what was begun was taken back
        self._even_bytes = 0  # sent last, packet for packet as they came

    @property
    def splice(self) -> Splice | None:
        """Return how the present source was joined; None for the first source."""
        if self._search is not None:
            return Splice(Outcome.PENDING)
        return self._splice

    @property
    def is_pending(self) -> bool:
        """Tell whether the place in the new source is still being looked for: `feed` returns nothing."""
        return self._search is not None

    @property
    def is_untouched(self) -> bool:
        """Tell whether packets go through as they are."""
        return self._search is None and self._rewriter is None and self._overlap is None

    @property
    def skipped_bytes(self) -> int:
        """Return how many bytes of the present source were not sent so far."""
        return self._splice.skipped_bytes if self._splice else 0

    @property
    def goes_over_old(self) -> bool:
        """Tell whether the new source, still behind what was sent, has jumped back: it sends old packets in a loop."""
        return self._search is not None and self._search.went_back

    @property
    def behind_s(self) -> float | None:
        """Return how far a source that has not come to its place is behind it; None where that is not known.

        Known only once `give_up` could begin it at a random-access point.
        """
        behind = self._search.behind if self._search is not None else None
        return None if behind is None else max(0.0, behind / CLOCK_HZ)

    def newest(self, limit_bytes: int | None = None) -> bytes:
        """Return the newest packets of the present source, as it sent them; at most `tail_bytes`, and `limit_bytes`."""
        if limit_bytes is None:
            return self._content()
        count = limit_bytes // PACKET_BYTES * PACKET_BYTES
        if self._recent is not None and count <= min(self._unkept, self._tail.size):
            newest = self._recent(count)
            if len(newest) == count:
                return newest
        content = self._content()
        return content[max(0, len(content) - count) :]

    def _content(self) -> bytes:
        """Return the newest packets, after putting those into the tail that are not there yet."""
        if self._unkept and self._recent is not None:
            newest = self._recent(min(self._unkept, self._tail.size))
            if len(newest) < self._unkept:
                self._tail.clear()  # what is there was sent before something that is gone
            self._tail.append(newest)
            self._unkept = 0
            self._even_bytes = min(self._even_bytes, self._tail.held)
        return self._tail.content()

    def mark(self, back_bytes: int) -> bool:
        """Remember how things stood before the last `back_bytes` that came out, for `roll_back`.

        Returns False, and remembers nothing, where that is farther back than the tail reaches. What was sent at a join
        and is not the source's can be taken back only with all of it.
        """
        self._mark, self._is_join_marked = None, False
        tail = self._content()
        if self._join is not None and back_bytes == self._join.head_bytes + self._even_bytes:
            self._mark, self._is_join_marked = _Mark(b"", self._join.counters, {}), True
            return True
        if back_bytes > self._even_bytes:
            return False
        counters = self._counters.before(back_bytes // PACKET_BYTES)
        kept = tail[: max(0, len(tail) - back_bytes)]
        even = kept[len(kept) - max(0, self._even_bytes - back_bytes) :]
        self._mark = _Mark(kept, counters, steps_of(even, counters.newest()) if self._rewriter else {})
        return True

    def roll_back(self, whole_pid: int | None = None) -> None:
        """Take back what came out since `mark`: it was not sent after all. To be followed by `begin_source`.

        `whole_pid` is a PID, as sent, of which what is taken back begins with a PES packet: the one before is whole.
        """
        if self._mark is None:
            return
        self._whole_pid = whole_pid
        kept, self._counters, steps = self._mark
        self._mark = None
        self._tail.clear()
        self._unkept = 0
        self._tail.append(kept)
        self._even_bytes = len(kept)
        if self._is_join_marked and self._join is not None:
            self._ends, self._whole_pid = self._join.ends, None
            if self._join.has_tables:
                self._before_join = replace(self._join.last, tables_again=True)
        if self._rewriter:
            self._rewriter.set_back(self._counters.all(), steps)

    def begin_source(self) -> None:
        """The next packets come from a new source. What was held of one that found no place is dropped."""
        self._overlap = self._join = None
        if not self._sent_any:
            return
        tail = self._content()
        if self._before_join is not None:
            self._last, self._before_join = self._before_join, None
        elif self._search is None:
            self._take_stock(tail)
        assert self._last is not None
        own = self._last.own_tables
        matcher = Matcher(tail, self._own_psi.pids, own.program.pcr_pid if own else None)
        self._search = Search(self._last, matcher, self._limits)

    def feed(self, packets: Buffer, heads: Heads | None = None) -> Buffer:
        """Take the next packets of the present source, whole and synced; return what is to be sent now.

        For the first source that is `packets` itself. `heads` are theirs, if the caller has them. Raises ValueError
        where the length is not a multiple of 188.
        """
        if len(packets) % PACKET_BYTES:
            raise ValueError("not a whole number of transport packets")
        if not len(packets):
            return b""
        if self.is_untouched:
            with memoryview(packets) as view:
                self._note_both(view, heads or heads_of(packets))
                self._keep(view)
            return packets
        with memoryview(packets) as view:
            if self._search is None:
                return self._pass_on(view)
            plan = self._search.feed(view)
            return b"" if plan is None else self._follow(self._search, plan)

    def give_up(self) -> bytes:
        """Look no further: go on with what has come of the new source, as well as that can be done.

        For callers with a clock, when the source has been too slow to come to the place. Does nothing where no source
        is pending or nothing has come of it.
        """
        plan = self._search.force() if self._search else None
        return b"" if self._search is None or plan is None else bytes(self._follow(self._search, plan))

    def _note_both(self, view: memoryview, heads: Heads) -> None:
        """Keep up what was sent, where that is what came."""
        self._sent_any = True
        self._counters.note(heads)
        if self._watch is not None:
            self._watch.note(view, heads)
        self._even_bytes = min(self._even_bytes + len(view), self._limits.tail_bytes)

    def _keep(self, view: memoryview) -> None:
        """Keep what goes through as it came, or leave that to the caller."""
        if self._recent is None:
            self._tail.append(view)
            return
        self._unkept += len(view)
        if self._tail.held and self._unkept >= self._tail.size:
            self._tail.clear()  # all of it is older than what would be asked for

    @property
    def _own_psi(self) -> PsiTracker:
        """The tables of the source, as it sends them."""
        if self._watch is not None:
            return self._watch.psi
        assert self._sent_psi is not None
        return self._sent_psi

    def _note(self, out: Buffer, own: memoryview) -> None:
        """Keep up what was sent: `out` as sent, `own` as the source sent it."""
        self._sent_any = True
        self._counters.note(heads_of(out))
        if self._watch is not None:
            self._watch.note(own, heads_of(own))
        self._tail.append(own)
        self._even_bytes = min(self._even_bytes + len(own), self._limits.tail_bytes) if len(out) == len(own) else 0
        if len(out) != len(own) or self._even_bytes == self._limits.tail_bytes:
            self._join = None

    def _take_stock(self, tail: bytes) -> None:
        """See where the last source ended."""
        rewriter = self._rewriter
        own = tables_of(self._own_psi)
        writer = rewriter.writer if rewriter else None
        self._tables = (writer.sent if writer else own) or self._tables
        pid_map = rewriter.pid_map if rewriter else {}
        shift = rewriter.shift if rewriter else 0
        ends, clocks = ends_of(tail, pid_map, shift)
        if rewriter:
            own_pids = {sent: pid for pid, sent in pid_map.items()}
            ends = {pid: rewriter.clocks.delayed(own_pids.get(pid, pid), end) for pid, end in ends.items()}
        whole_pid, self._whole_pid = self._whole_pid, None
        if whole_pid in ends:
            ends[whole_pid] = replace(ends[whole_pid], is_whole=True)
        for pid, end in ends.items():
            before = self._ends.get(pid, end)
            gaps = end if end.gap else before
            self._ends[pid] = replace(end, gap=gaps.gap, unit_gap=gaps.unit_gap)
        sent_pcr_pid = self._tables.program.pcr_pid if self._tables else None
        clock = clocks.get(sent_pcr_pid) if sent_pcr_pid is not None else None
        if clock is not None or clocks:
            self._clock = clock if clock is not None else next(iter(clocks.values()))
            self._has_pcr = True
        elif ends and not self._has_pcr:
            self._clock = next(iter(ends.values())).dts
        self._last = LastSent(self._ends, self._clock, not self._has_pcr, own, self._tables, shift, self._is_used)

    def _sent_counters(self) -> dict[int, int]:
        """Return the last continuity counter of every PID sent."""
        return self._counters.all()

    def _is_used(self, pid: int) -> bool:
        """Tell whether a PID was ever sent."""
        return self._counters.seen(pid)

    def _follow(self, search: Search, plan: Plan) -> Buffer:
        """Go on with the source as planned."""
        source, self._search = search.source, None
        head = b""
        if plan.outcome is Outcome.SAME_BYTES:
            if self._rewriter:
                self._rewriter.resume()
            self._overlap = Overlap(plan.trailing, plan.before, self._own_psi.pids)
            if plan.old_pids:
                self._renumber(plan.old_pids)
        else:
            head = self._begin_rewriting(search, plan)
        is_known = not plan.outcome.is_shifted
        writer = self._rewriter.writer if self._rewriter else None
        self._splice = Splice(
            plan.outcome,
            plan.start,
            search.overlap / CLOCK_HZ if is_known else 0.0,
            plan.gap / CLOCK_HZ,
            plan.at_access_point,
            writer is not None,
        )
        with memoryview(bytes(source.held[plan.start - source.base :])) as rest:
            return head + bytes(self._pass_on(rest))

    def _begin_rewriting(self, search: Search, plan: Plan) -> bytes:
        """Make the rewriter; return what is sent before the first packet of the source."""
        assert self._last is not None
        before = self._counters.before(0), dict(self._ends), self._last
        counters = self._counters.all()
        psi = search.source.psi
        head = b"".join(packets_with(rest, counters) for rest in plan.rests)
        writer = TableWriter(self._tables, psi, self._is_used, counters) if plan.is_mapped else None
        if writer:
            head += writer.packets()
        opened = [packets_with(picture, counters) for picture in plan.openings]
        head += b"".join(opened)
        self._rewriter = Rewriter(
            plan.start,
            counters,
            shift=plan.shift,
            writer=writer,
            gates=plan.gates,
            floor=self._clock,
            sent=self._sent_counters,
            recovery=plan.recovery,
        )
        self._tail.clear()
        self._even_bytes = 0
        carried = {rest.pid for rest in plan.rests}
        self._ends = {pid: end.settled(is_whole=end.is_whole or pid in carried) for pid, end in self._ends.items()}
        if opened:
            self._note_opening(read_stamp(opened[-1][:PACKET_BYTES]))
        self._watch = TableWatch()
        with memoryview(psi.preamble()) as tables:
            self._watch.note(tables, heads_of(tables))
        self._counters.note(heads_of(head))
        self._join = _Join(len(head), *before, has_tables=writer is not None)
        return head

    def _note_opening(self, stamp: Stamp) -> None:
        """The last picture of an opening was sent, which is not one of the source: it is the end, until more comes."""
        end = self._ends.get(stamp.pid)
        if end is not None and stamp.dts is not None and stamp.pts is not None:
            end = replace(end, dts=stamp.dts, pts=stamp.pts, own_pts=stamp.pts, unstamped=0)
            self._ends[stamp.pid] = end.settled(is_whole=False)  # what follows it may be a leading picture

    def _pass_on(self, view: memoryview) -> Buffer:
        """Send packets of a source that has been joined."""
        if self._overlap is None:
            return self._send(view)
        packets = self._overlap.feed(view)
        if packets is None:
            return b""
        self._skip(self._overlap.skipped_bytes)
        strayed, self._overlap = self._overlap.strayed_pids(), None
        if strayed:
            self._renumber(strayed)
        with memoryview(packets) as rest:
            return self._send(rest)

    def _renumber(self, pids: frozenset[int]) -> None:
        """Have the counters of PIDs of the source go on from those sent: it is not where they were."""
        if self._rewriter is None:
            self._rewriter = Rewriter(0, {}, sent=self._sent_counters, as_it_comes=True)
        self._rewriter.renumber(pids)

    def _send(self, view: memoryview) -> Buffer:
        """Send packets, rewritten where the source must be."""
        if self._rewriter is None:
            self._note_both(view, heads_of(view))
            self._tail.append(view)
            return bytes(view)
        dropped = self._rewriter.dropped_bytes
        out, own = self._rewriter.feed(view)
        self._skip(self._rewriter.dropped_bytes - dropped)
        with memoryview(own) as kept:
            self._note(out, kept)
        return out

    def _skip(self, count: int) -> None:
        """Count bytes of the source that are not sent."""
        if count and self._splice:
            self._splice = replace(self._splice, skipped_bytes=self._splice.skipped_bytes + count)
