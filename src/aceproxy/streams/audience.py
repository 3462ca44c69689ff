"""The audience of one ring: its outlets at the live edge, and those that are behind.

All clients at the live edge are at the same place, the *cohort*, and are sent the same piece by one tight loop. A
client whose socket does not take everything is *behind*: it has a place of its own, gets turns as its socket becomes
writable, never holds up another one, and comes back to the cohort when it has caught up with it.

Everything here belongs to the pump's thread.
"""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable
from typing import NamedTuple

from aceproxy.errors import Reason
from aceproxy.streams.block import Block
from aceproxy.streams.outlet import BEHIND, GONE, LOST, REACHED, Cohort, Outlet
from aceproxy.streams.ring import Ring
from aceproxy.streams.sending import LEFT, Sending
from aceproxy.streams.skips import Skips

log = logging.getLogger(__name__)

TURN_BYTES = 1 << 20  # what one client may send in one turn before the next one has its turn
PIECE_BYTES = 256 << 10  # what the cohort is sent at once
SWEEP_S = 1.0  # how often stalled clients are looked for

_Span = tuple[Block, int, int]  # so many bytes of a block from a position on


class Piece(NamedTuple):
    """What all outlets at the live edge, `descriptors`, are sent next: `content`, which lies in `spans`."""

    descriptors: list[int]
    content: memoryview
    spans: list[_Span]


class Stage:
    """What the audiences of one pump share. `piece` is what a cohort is sent now, `ends` those that are to be told."""

    def __init__(self, skips: Skips, sending: Sending) -> None:
        self.sending = sending
        self.selector = selectors.DefaultSelector()
        self.skips = skips
        self.piece = memoryview(bytearray(PIECE_BYTES))
        self.ends: list[tuple[Outlet, Reason]] = []

    def watch(self, outlet: Outlet) -> None:
        """Hear when an outlet can take more."""
        if not outlet.watched:
            self.selector.register(outlet.fd, selectors.EVENT_WRITE, outlet)
            outlet.watched = True

    def unwatch(self, outlet: Outlet) -> None:
        """Hear of it no more."""
        if outlet.watched:
            # Before the descriptor is closed: the kernel would go on watching a connection that has another one.
            self.selector.unregister(outlet.fd)
            outlet.watched = False

    def end(self, outlet: Outlet, reason: Reason) -> bool:
        """End an outlet; False: it had ended before."""
        if outlet.ended is not None:
            return False
        outlet.ended = reason
        self.unwatch(outlet)
        outlet.close()
        self.ends.append((outlet, reason))
        return True


class Audience:
    """The outlets of one ring: `live` at the live edge (by descriptor), and those that are `behind`.

    `on_empty(ring)` is called when the last one has ended.
    """

    def __init__(self, ring: Ring, stage: Stage, on_empty: Callable[[Ring], None]) -> None:
        self.ring = ring
        self.cohort = Cohort()
        self.live: dict[int, Outlet] = {}
        self.behind: set[Outlet] = set()
        self._stage = stage
        self._on_empty = on_empty
        self._finished: Reason | None = None  # the ring, when the delivery began

    def add(self, outlet: Outlet) -> None:
        """Take an outlet that has a place in the ring."""
        self.behind.add(outlet)
        self._stage.skips.receive(outlet)
        self.serve(outlet)

    def end(self, outlet: Outlet, reason: Reason) -> None:
        """End an outlet, unless it has ended before."""
        descriptor = outlet.fd
        if self._stage.end(outlet, reason):
            self.behind.discard(outlet)
            self.live.pop(descriptor, None)
            if not self.live and not self.behind:
                self._on_empty(self.ring)

    def end_all(self, reason: Reason) -> None:
        """End all outlets."""
        for outlet in [*self.live.values(), *self.behind]:
            self.end(outlet, reason)

    def deliver(self) -> None:
        """Bring the cohort to the head, and give those that cannot read a chance to let go of old blocks."""
        self.begin()
        self.conclude()

    def begin(self) -> Piece | None:
        """Begin a delivery; return what may be sent together with other audiences' pieces: then `sent` has to follow.

        `conclude` does what is left, and must follow in any case.
        """
        ring, cohort = self.ring, self.cohort
        self._finished = ring.finished  # read before the head: what was appended before the end is sent before it
        ring.delivered = ring.head
        block = cohort.block
        if not self.live or block is None or block.dropped or not cohort.offset < ring.delivered:
            return None
        spans = _spans(block, cohort.position, min(ring.delivered - cohort.offset, PIECE_BYTES))
        return Piece(list(self.live), self._read(spans), spans) if len(spans) == 1 and spans[0][2] else None

    def conclude(self) -> None:
        """Send the cohort what is left before the head as it was when this began, and do what is due then."""
        ring, cohort, finished = self.ring, self.cohort, self._finished
        self._advance(ring.delivered)
        if not self.live:
            cohort.block = None  # nobody is there any more: it must not keep a block
        for outlet in list(self.behind):
            if outlet.block is not None and outlet.block.dropped:  # who does not read must not keep it
                self._stage.skips.let_go(outlet)
            if not outlet.watched:  # it found the ring empty, or waits for an entry
                self.serve(outlet)
        self._stage.skips.delivered()
        if finished is not None:
            for outlet in list(self.live.values()):
                self.end(outlet, finished)
        if ring.watch_front:
            behind = max((outlet.offset for outlet in self.behind), default=0)
            ring.front = max(behind, cohort.offset if self.live else 0)

    def sweep(self, now: float, stall_s: float) -> None:
        """End the clients that have taken nothing for too long although there was something for them.

        Who is about to be judged is given a turn first. The selector tells of room only when a third of the socket's
        buffer is free, which may be more than a megabyte: a client that reads slowly would seem to take nothing.
        """
        for outlet in list(self.behind):
            if _blocked_s(outlet, now) >= min(SWEEP_S, stall_s):
                self.serve(outlet)
            if _blocked_s(outlet, now) >= stall_s:
                self.end(outlet, Reason.STALLED_CLIENT)

    def _advance(self, limit: int) -> None:
        """Send all outlets at the live edge what lies before offset `limit`.

        Not whatever there is: while the last outlets are being served more comes, and would go out in small pieces.
        """
        cohort = self.cohort
        while self.live and (block := cohort.block) is not None:
            if block.dropped:  # the thread did not run for longer than the ring lasts
                for outlet in list(self.live.values()):
                    self._fall_behind(outlet, 0, [(block, cohort.position, 0)])
                return
            spans = _spans(block, cohort.position, min(limit - cohort.offset, PIECE_BYTES))
            content = self._read(spans)
            if not content:
                return
            piece = Piece(list(self.live), content, spans)
            self.sent(piece, *self._stage.sending.send([(piece.descriptors, content)]))
            if cohort.offset >= limit:
                return

    def sent(self, piece: Piece, taken: list[int]) -> None:
        """Take note of what each of the cohort has taken of a piece; who did not take all of it falls behind."""
        cohort, count = self.cohort, len(piece.content)
        if taken.count(count) < len(taken):
            for fd, bytes_taken in zip(piece.descriptors, taken, strict=True):
                if bytes_taken == LEFT:
                    self.end(self.live[fd], Reason.CLIENT_LEFT)
                elif bytes_taken < count:
                    self._fall_behind(self.live[fd], bytes_taken, piece.spans)
        block, position, last = piece.spans[-1]
        cohort.block, cohort.position = block, position + last
        cohort.offset += count

    def _read(self, spans: list[_Span]) -> memoryview:
        """Return what lies in `spans`, where it lies or, if that is more than one block, in one piece.

        It is good until the next call, and while the blocks are held.
        """
        if len(spans) == 1:
            block, position, count = spans[0]
            return block.view(position, count)
        end = 0
        for block, position, count in spans:
            self._stage.piece[end : end + count] = block.view(position, count)
            end += count
        return self._stage.piece[:end]

    def _fall_behind(self, outlet: Outlet, taken: int, spans: list[_Span]) -> None:
        """Give an outlet a place of its own: it took only `taken` bytes of what lies in `spans`."""
        del self.live[outlet.fd]
        rest = taken
        for block, position, count in spans:
            if rest < count or block is spans[-1][0]:
                outlet.leave(taken, block, position + rest)
                break
            rest -= count
        self.behind.add(outlet)
        outlet.blocked_at = time.monotonic()
        try:
            self._stage.watch(outlet)
        except OSError:  # the system watches no more sockets; the others go on
            log.exception("a client cannot be waited for")
            self.end(outlet, Reason.INTERNAL)

    def serve(self, outlet: Outlet) -> None:
        """Give an outlet that is behind a turn; a mistake of ours costs this one client, never the thread."""
        if outlet.ended is not None:
            return
        try:
            self._serve_one(outlet)
        except Exception:
            log.exception("sending to a client failed")
            self.end(outlet, Reason.INTERNAL)

    def _serve_one(self, outlet: Outlet) -> None:
        before = outlet.sent_bytes
        progress = self._turn(outlet)
        if outlet.sent_bytes != before:
            outlet.blocked_at = None
            if self.ring.watch_front:
                self.ring.front = max(self.ring.front, outlet.offset)
        self._settle(outlet, progress)

    def _turn(self, outlet: Outlet) -> int:
        while True:
            if self.live and outlet.offset > self.cohort.offset:
                self._advance(outlet.offset)
            limit = self.cohort.offset if self.live else self.ring.head
            progress = outlet.turn(TURN_BYTES, limit)
            if progress != LOST:
                return progress
            if outlet.block is not None:
                self._stage.skips.let_go(outlet)
            elif not self._stage.skips.find_place(outlet):
                return REACHED

    def _settle(self, outlet: Outlet, progress: int) -> None:
        """Put an outlet where its progress says: into the cohort, behind, or out."""
        if progress == GONE:
            self.end(outlet, Reason.CLIENT_LEFT)
        elif progress == BEHIND:
            if outlet.blocked_at is None:
                outlet.blocked_at = time.monotonic()
            self._stage.watch(outlet)
        elif self.ring.finished is not None and outlet.offset >= self.ring.head:
            self.end(outlet, self.ring.finished)
        elif outlet.block is None:  # the ring is empty, or an entry is being made: the next delivery finds a place
            self._stage.unwatch(outlet)
            outlet.blocked_at = None
        else:
            self._enter(outlet, outlet.block)

    def _enter(self, outlet: Outlet, block: Block) -> None:
        """Take an outlet that has caught up into the cohort."""
        cohort = self.cohort
        if self.live and outlet.offset > cohort.offset:  # it has just skipped to a place before the cohort
            self._advance(outlet.offset)
        if not self.live:
            cohort.block, cohort.position, cohort.offset = block, outlet.position, outlet.offset
        elif outlet.offset != cohort.offset:
            self._stage.watch(outlet)
            return
        self._stage.unwatch(outlet)
        outlet.blocked_at = None
        self.behind.discard(outlet)
        outlet.enter(cohort)
        self.live[outlet.fd] = outlet


def _blocked_s(outlet: Outlet, now: float) -> float:
    """Return for how long an outlet's socket has taken nothing; negative where it has taken something."""
    return -1.0 if outlet.blocked_at is None else now - outlet.blocked_at


def _spans(block: Block, position: int, left: int) -> list[_Span]:
    """Return where the next `left` bytes are, as far as they are there, from a position on; at least one span."""
    spans: list[_Span] = []
    while True:
        following = block.next  # read before `size`: see the rules in block.py
        count = max(0, min(block.size - position, left))
        spans.append((block, position, count))
        left -= count
        if left <= 0 or following is None:
            return spans
        block, position = following, 0
