"""Ingest: from the engine's bytes to whole packets in the ring, with the places where a decoder may start.

The source's reader writes into `room()` and says how much with `filled()`. A packet goes to the ring as soon as its
picture is complete and it is known whether a decoder may start there; until then it waits in the buffer, at most
HELD_BYTES and as long as `PictureWait` says. So what clients have ends with a whole picture whenever a source is lost,
and the next source begins with one. The buffer holds, in this order: bytes given to the ring, bytes the analyzer has
seen, bytes it has not. As a rule it is the memory of the ring's newest block, so that giving moves no byte; where what
is given is not what comes next in the buffer (a source finds its place, bytes are held back, others append), it is one
of its own, filled from the front to the end and then from the front again. The newest bytes given to the ring are still
in it, and older ones are in the ring: the splicer finds its place by them when a source is lost. What a later source
sends goes through the splicer first, so that all of it is one continuous stream.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from mmap import mmap
from typing import cast

from aceproxy.mpegts.access import AccessPoint, Analyzer, StepBack
from aceproxy.mpegts.clock import MediaClock
from aceproxy.mpegts.following import follows, goes_back
from aceproxy.mpegts.packets import PACKET_BYTES, SYNC_BYTE, Aligner, Buffer, Heads, heads_of, synced_prefix
from aceproxy.mpegts.points import points_in
from aceproxy.mpegts.splice import Splice, SpliceLimits, Splicer
from aceproxy.streams.block import Block, JoinPoint
from aceproxy.streams.picture_wait import PictureWait
from aceproxy.streams.repeat_guard import Action, Held, RepeatGuard
from aceproxy.streams.ring import Ring
from aceproxy.streams.tracks import Tracks
from aceproxy.streams.trail import Trail

ROOM_BYTES = 256 << 10  # one read at most; small enough to stay in a processor's cache
HELD_BYTES = 384 << 10  # of a picture that is not complete; larger ones are given out as they come
PIECE_BYTES = ROOM_BYTES // PACKET_BYTES * PACKET_BYTES
TAIL_BYTES = 768 << 10  # of what was sent, to find the place in a reopened source by
FOLLOWED_BYTES = 1400 * PACKET_BYTES  # of what was sent, to see whether the source goes on after it
NEEDED_BYTES = ROOM_BYTES + (64 << 10)  # behind what the buffer holds, before anything is put in
KEPT_BYTES = 256 << 10  # of what was given to the ring, in the buffer, at least
BUFFER_BYTES = max(KEPT_BYTES, HELD_BYTES) + NEEDED_BYTES
LEAST_POINT_GAP_S = 0.2  # audio-only streams could be joined at every frame; that many points help nobody


class Ingest:
    """Takes the bytes of one source after the other into one ring, as one stream. Used on the event loop only.

    `now` is a monotonic clock in seconds; it stands in for media time where the stream carries none.
    """

    def __init__(self, ring: Ring, now: Callable[[], float]) -> None:
        self.received_bytes = 0
        self.dropped_bytes = 0  # not part of any packet
        self.breaks = 0  # how often something else than the next packet came
        self.analyzer = Analyzer()
        self.source_packets_bytes = 0  # of the present source, in whole packets
        self.packet_bytes = 0  # of all sources, in whole packets
        self.appended_bytes = 0  # given to the ring
        self.points = 0  # random-access points found
        self.guard = RepeatGuard()
        self._ring = ring
        self._trail = Trail(ring)
        ring.tables = self.analyzer.psi.preamble
        self._now = now
        self._block: Block | None = None  # whose memory the buffer is
        self._buffer: bytearray | mmap = bytearray(BUFFER_BYTES)  # a step through it is quicker than through a view
        self._view = memoryview(self._buffer)
        self._given = 0
        self._fed = 0
        self._used = 0
        self._base = 0  # offset, in the analyzer's count, of the buffer's first byte
        self._to_come = 0  # bytes that have come out of the splicer and are not in the buffer yet
        self._spliced = 0  # up to where the splicer has seen the buffer
        self._floor = 0  # from where on the buffer holds what the splicer has seen
        self._highest = 0  # up to where the buffer was written to since it was last begun from the front
        self._last_end = 0  # up to where it had been given to the ring then
        self._splicer = self._new_splicer()
        self._clock: MediaClock | None = None  # None until any time stamp has come
        self._began_at: float | None = None
        self._point: AccessPoint | None = None  # of the packet that is appended next
        self._wait = PictureWait()
        self._tracks = Tracks()
        self._last_point_s = -LEAST_POINT_GAP_S
        self._aligner: Aligner | None = None  # only while the source is out of step

    @property
    def splice(self) -> Splice | None:
        """How the present source was joined to the one before; None for the first one."""
        return self._splicer.splice

    def begin_source(self, *, only_new: bool = False) -> None:
        """Prepare for another source: the incomplete end of the last one is dropped, the stream goes on.

        `only_new`: where its clock jumps back it repeats, until somebody says that it may.
        """
        self._leave_block()
        with contextlib.suppress(OSError):  # no memory: this end of the last source is lost, the stream is not
            self._append_until(self._whole_until(self._fed))
            self._settle_held()
        self._drop_incomplete()
        self.guard.begin_source(strict=only_new)
        self._wait.begin_source()
        self._point = None
        self.dropped_bytes += self._used - self._fed
        self._given = self._used = self._fed
        self._base = self.analyzer.offset - self._fed
        self._aligner = None
        self._splicer.begin_source()
        self.source_packets_bytes = 0
        if len(self._view) - self._used < NEEDED_BYTES:  # of a source that was lost for want of memory much may be left
            self._begin_from_front()

    def finish(self) -> None:
        """Append what is still waiting for a decision. Raises OSError when there is no memory for it."""
        self.give_up_splice()
        self._leave_block()
        self._append_until(self._fed)
        self._settle_held()
        self._compact()

    def close(self) -> None:
        """Let go of the memory; nothing is taken in any more. What was counted stays."""
        self._given = self._fed = self._used = self._spliced = 0
        self._change_buffer(None, memoryview(bytearray()), 0)
        self._splicer = self._new_splicer()
        self.guard = RepeatGuard()

    def _new_splicer(self) -> Splicer:
        return Splicer(SpliceLimits(tail_bytes=TAIL_BYTES), psi=self.analyzer.psi, recent=self._recent)

    def give_up_splice(self) -> None:
        """Go on with the present source although its place was not found."""
        was_pending = self._splicer.is_pending
        packets = self._splicer.give_up()
        self._note_break(was_pending)
        self._replace(0, packets)

    @property
    def behind_s(self) -> float | None:
        """How far the present source is behind its place, see `Splicer.behind_s`."""
        return self._splicer.behind_s

    def newest(self, limit_bytes: int = TAIL_BYTES) -> bytes:
        """Return the newest packets of the present source, as it sent them: so many bytes, or as many as are kept."""
        return self._splicer.newest(limit_bytes)

    def skips(self, count: int) -> bool | None:
        """Say whether something is missing before `count` bytes that were written to `room()`; None: not to be told.

        A source that goes back is said to skip nothing: that is the guard's business.
        """
        newest = b"" if self._aligner is not None or self._splicer.is_pending else self._splicer.newest()
        if not newest:
            return None
        newest, fresh = newest[-FOLLOWED_BYTES:], bytes(self._view[self._fed : self._used + count])
        continues = follows(newest, fresh)
        if continues is not False:
            return None if continues is None else False
        is_back = goes_back(newest, fresh)
        return None if is_back is None else not is_back

    def has_new(self, packets: bytes) -> bool:
        """Say whether there is a random-access point in `packets`, of another source, that has not gone by here."""
        return any(not self.guard.knows_point(point.pts, first) for point, first in points_in(packets))

    @property
    def goes_over_old(self) -> bool:
        """Whether the present source has not come to anything new and began from the front again."""
        return self._splicer.goes_over_old

    def let_repeat(self) -> None:
        """Give out what was held back: the broadcast itself repeats. Raises OSError when there is no memory for it."""
        self.guard.tolerate()
        self._release()

    def room(self) -> memoryview:
        """Return where the next bytes of the source go; never empty."""
        return self._view[self._used : self._used + ROOM_BYTES]

    def filled(self, count: int) -> None:
        """Take in `count` bytes that were written to `room()`. Raises OSError when there is no memory for the ring."""
        self.received_bytes += count
        self._highest = max(self._highest, self._used + count)
        if self._began_at is None:
            self._began_at = self._now()
        if self._aligner is None:
            self._used += count
            self._take_in_step()
        else:
            self._take_out_of_step(bytes(self._view[self._used : self._used + count]))

    def _take_in_step(self) -> None:
        """Splice and analyse what is new in the buffer, or change to the slow path where it is out of step."""
        whole = synced_prefix(self._buffer, self._fed, self._used)
        rest = self._used - self._fed - whole
        is_in_step = rest == 0 or (rest < PACKET_BYTES and self._buffer[self._fed + whole] == SYNC_BYTE)
        if whole:
            self._take(whole)
        if not is_in_step:
            junk = bytes(self._view[self._fed : self._used])
            self._used = self._fed
            self._aligner = Aligner()
            self.breaks += 1
            self._take_out_of_step(junk)

    def _take_out_of_step(self, part: bytes) -> None:
        """Let the aligner find the packets in `part`; leave the slow path once it is not needed any more."""
        aligner = self._aligner
        assert aligner is not None
        dropped, resyncs = aligner.dropped_bytes, aligner.resyncs
        packets = aligner.feed(part)
        self.dropped_bytes += aligner.dropped_bytes - dropped
        self.breaks += aligner.resyncs - resyncs
        self._view[self._used : self._used + len(packets)] = packets
        self._used += len(packets)
        self._highest = max(self._highest, self._used)
        if packets:
            self._take(len(packets))
            if not aligner.is_needed:
                self._aligner = None

    def _take(self, count: int) -> None:
        """Pass `count` new bytes of whole packets through the splicer, and on."""
        self.source_packets_bytes += count
        self.packet_bytes += count
        fresh = self._view[self._fed : self._fed + count]
        was_pending = self._splicer.is_pending
        heads = heads_of(self._buffer, self._fed, self._fed + count)
        self._spliced = self._fed + count
        spliced = self._splicer.feed(fresh, heads)
        if spliced is fresh:
            self._analyse(count, heads)
        else:
            self._note_break(was_pending)
            self._replace(count, spliced)

    def _note_break(self, was_pending: bool) -> None:
        """Mark the place in the ring if the present source has just been joined, and not without a seam."""
        splice = self._splicer.splice
        is_joined = was_pending and not self._splicer.is_pending
        if is_joined and splice is not None and (splice.outcome.is_shifted or splice.at_access_point):
            self._ring.mark_break()

    def _replace(self, count: int, packets: Buffer) -> None:
        """Go on with `packets` instead of the next `count` bytes in the buffer."""
        tail = bytes(self._view[self._fed + count : self._used])
        self._used = self._fed
        for start in range(0, len(packets), PIECE_BYTES):
            piece = packets[start : start + PIECE_BYTES]
            self._view[self._used : self._used + len(piece)] = piece
            self._used += len(piece)
            self._to_come = len(packets) - start - len(piece)
            self._analyse(len(piece))
        self._view[self._used : self._used + len(tail)] = tail
        self._used += len(tail)

    def _analyse(self, count: int, heads: Heads | None = None) -> None:
        """Show `count` new bytes to the analyzer, append what it has decided, and keep the rest bounded."""
        scan = self.analyzer.feed(self._view[self._fed : self._fed + count], heads)
        self._fed += count
        if not scan.steps_back:
            self._note_clock(scan.last_pts)
        self._tracks.note(scan.tables_at, self.analyzer.psi.program)
        events: list[AccessPoint | StepBack] = [*scan.points, *scan.steps_back]
        for event in sorted(events, key=_place_of):
            if isinstance(event, AccessPoint):
                self._note_point(event)
            else:
                self._note_step(event)
        now = self._now()
        self._wait.note(scan, now)
        self._append_until(self._whole_until(scan.decided - self._base))
        if not self.guard.holding:
            self._ring.advance_edge(self._media_s(scan.last_pts))
        held = self._view[self._given : self._fed]
        if len(held) > HELD_BYTES or self._wait.is_over(held if self._holds_picture() else None, now):
            self._append_until(self._fed)  # undecided or incomplete for too long: given out as it is
        self._compact()

    def _whole_until(self, position: int) -> int:
        """Return up to where before `position` in the buffer pictures are complete."""
        unit_at = self._wait.unit_at
        if unit_at is None or not self._holds_picture():
            return position
        return min(position, unit_at - self._base)

    def _holds_picture(self) -> bool:
        """Tell whether the newest picture waits until it is complete.

        One that was begun to be given out is not held any more: its rest goes out as it comes. The very first one is
        not held: somebody may wait for it, and of a short or stalled source there may be no other.
        """
        unit_at = self._wait.unit_at
        if unit_at is None or unit_at - self._base < self._given:
            return False
        return self._ring.was_joinable or (self._point is not None and unit_at > self._point.offset)

    def _note_clock(self, pts: int | None, *, steps_back: bool = False) -> None:
        """Take a time stamp; hold everything that has not been given out if the clock has jumped back."""
        waits = self._point is not None
        if self.guard.note_clock(pts, self._now(), steps_back=steps_back, point_waits=waits):
            self._splicer.mark(self._fed - self._given + self._to_come)

    def _note_step(self, step: StepBack) -> None:
        """The clock steps back: the picture before that may have lost its end, and others have come in its place."""
        self._append_until(step.after - self._base)
        self._note_clock(step.pts_before)
        self._note_clock(step.pts, steps_back=True)

    def _note_point(self, point: AccessPoint) -> None:
        self._append_until(point.offset - self._base)
        at = point.offset - self._base
        if self._tracks.is_changed(point.offset):
            self._ring.mark_break()
        if at != self._given:
            return  # it lies in what was already given out
        self.points += 1
        action = self.guard.note_point(point.pts, bytes(self._view[at : at + PACKET_BYTES]), self._now())
        if action is Action.HOLD:
            self._splicer.mark(self._fed - at + self._to_come)
        elif action is Action.RELEASE:
            self._release()
        self._point = point

    def _media_s(self, pts: int | None) -> float:
        """Media time of a time stamp (90 kHz), or of this moment where the stream has none at all."""
        if pts is not None:
            if self._clock is None:
                self._clock = MediaClock()
            return self._clock.seconds(pts)
        if self._clock is not None or self._began_at is None:
            return self._ring.edge_s
        return self._now() - self._began_at

    def _append_until(self, position: int) -> None:
        """Give the ring what lies before `position` in the buffer; or hold it back."""
        if position <= self._given:
            return
        point, self._point = self._point, None
        if self.guard.holding:
            self._trail.break_off()
        end = self._base + position  # the buffer may become another one meanwhile
        while (start := self._given) < (stop := end - self._base):
            part = self._view[start : min(start + PIECE_BYTES, stop)]
            pts, preamble = (point.pts, point.preamble) if point is not None else (None, None)
            if not self.guard.holding:
                try:
                    self._append(part, pts, preamble)
                except OSError:
                    self._point = point  # nobody has had it
                    raise
                self._given = start + len(part)
            else:
                is_over = self.guard.hold(Held(bytes(part), pts, preamble), self._now())
                self._given = start + len(part)
                if is_over:
                    self._release()
            point = None

    def _append(self, part: memoryview, pts: int | None, preamble: bytes | None) -> None:
        """Give the ring a part; a `preamble` says that it begins with a random-access point."""
        media_s = self._ring.edge_s
        join = None
        if preamble is not None:
            media_s = self._media_s(pts)
            if media_s - self._last_point_s >= LEAST_POINT_GAP_S or self.analyzer.has_video:
                self._last_point_s = media_s
                join = JoinPoint(self._ring.head, media_s, preamble)
        self._trail.append(part, media_s, join)
        self.appended_bytes += len(part)

    def _release(self) -> None:
        """Give out what was held back."""
        self._leave_block()
        if self.guard.left_out_bytes:
            self.dropped_bytes += self.guard.left_out_bytes
            self._ring.mark_break()
        held_back = self.guard.take()
        for held in held_back:
            self._append(memoryview(held.packets), held.pts, held.preamble)
        if held_back:
            self._trail.break_off()  # it may not have been all

    def _settle_held(self) -> None:
        """Nothing follows what is held: old data is forgotten as if it had never come, the rest goes on."""
        if self.guard.repeating_at is None:
            self._release()
            return
        self.dropped_bytes += self.guard.drop()
        self._given = self._fed  # what is left of it in the buffer is old as well
        self._splicer.roll_back()
        self.analyzer.forget_newest()

    def _drop_incomplete(self) -> None:
        """Forget the picture that the last source has not completed: the next one goes on before it."""
        incomplete = self._fed - self._given
        if incomplete and self._splicer.mark(incomplete):
            self.dropped_bytes += incomplete
            unit_at = self._wait.unit_at
            is_unit = unit_at is not None and unit_at - self._base == self._given
            self._splicer.roll_back(self.analyzer.reference_pid if is_unit else None)
            self.analyzer.forget_newest()
            if self._point is not None:
                self.guard.forget_newest_point()
        else:
            with contextlib.suppress(OSError):
                self._append_until(self._fed)

    def _compact(self) -> None:
        """See that the buffer is the right one, and that there is room in it."""
        block, newest = self._block, self._ring.newest
        if block is not None and block is newest and self._is_in_place(block):
            return
        if newest is not block and newest is not None and self._may_receive_into(newest):
            self._change_buffer(newest, newest.memory(), newest.size)
        elif block is not None:
            self._leave_block()
        elif len(self._view) - self._used < NEEDED_BYTES:
            self._begin_from_front()

    def _is_in_place(self, block: Block) -> bool:
        """Whether what is given next lies right behind what a block has, and there is room."""
        is_next = self._given == block.size and not self.guard.holding
        return is_next and len(self._view) - self._used >= NEEDED_BYTES

    def _may_receive_into(self, block: Block) -> bool:
        """Whether what comes next is given as it comes, as far as can be told, and there is room for it."""
        is_plain = self._aligner is None and not self._to_come and not self.guard.holding
        if not is_plain or self._splicer.is_pending or self._ring.finished is not None:
            return False
        return block.length - block.size >= self._used - self._given + NEEDED_BYTES

    def _leave_block(self) -> None:
        """Go on in a buffer of our own: somebody else appends, or other bytes than those that come next."""
        if self._block is not None:
            self._change_buffer(None, memoryview(bytearray(BUFFER_BYTES)), 0)

    def _change_buffer(self, block: Block | None, view: memoryview, at: int) -> None:
        """Go on in other memory, that of `block` if it is one's, with what is still needed from `at` on."""
        rest = self._used - self._given
        view[at : at + rest] = self._view[self._given : self._used]
        if self._block is not None:
            self._block.received(self._highest)
        shift = at - self._given
        self._base -= shift
        self._fed += shift
        self._spliced += shift
        self._given = self._floor = at
        self._used = self._highest = at + rest
        self._last_end = 0
        self._block = block
        self._view = view
        self._buffer = cast("bytearray | mmap", view.obj)
        self._ring.receive_into(block, self._leave_block)

    def _begin_from_front(self) -> None:
        """Begin from the front of the buffer, with what is still needed."""
        given = self._given
        rest = self._used - given
        self._view[:rest] = self._view[given : self._used]
        self._base += given
        self._fed -= given
        self._spliced -= given
        self._used = self._highest = rest
        self._last_end = given
        self._given = 0

    def _recent(self, count: int) -> bytes:
        """Return the newest `count` bytes that went through the splicer, as far as buffer or ring still hold them.

        To be asked only for what went through untouched.
        """
        newest = bytes(self._view[max(self._floor, self._spliced - count) : self._spliced])
        before = max(self._highest, self._last_end - (count - len(newest)))
        newest = bytes(self._view[before : self._last_end]) + newest
        newest = newest[len(newest) % PACKET_BYTES :]
        waiting = self._spliced - self._given
        if len(newest) >= min(count, self._trail.held_bytes + waiting):
            return newest
        return self._trail.newest(count - waiting) + bytes(self._view[self._given : self._spliced])


def _place_of(event: AccessPoint | StepBack) -> tuple[int, bool]:
    """Return what events are sorted by: where both are, the clock steps back first."""
    return event.offset, isinstance(event, AccessPoint)
