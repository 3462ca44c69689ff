"""The pump: one thread that sends the rings to the clients.

The kernel copies, Python steers: system calls release the interpreter lock. The pump wakes when something was appended
(the reader of a source sees to it that this is not often). All clients at the live edge are at the same place, the
*cohort*, and are sent the same piece by one tight loop. A client whose socket does not take everything is *behind*: it
has a place of its own, gets turns as its socket becomes writable, never holds up another one, and comes back to the
cohort when it has caught up with it.

Who may touch what: the event loop calls the public methods, which only put commands into a queue and wake the thread.
All outlets and sets belong to the thread. Ends are reported to the loop with `call_soon_threadsafe`, many at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aceproxy.errors import Reason
from aceproxy.streams.bell import Bell
from aceproxy.streams.block import Block
from aceproxy.streams.outlet import BEHIND, GONE, LOST, REACHED, Cohort, Outlet
from aceproxy.streams.ring import Ring
from aceproxy.streams.skips import Skips

log = logging.getLogger(__name__)

TURN_BYTES = 1 << 20  # what one client may send in one turn before the next one has its turn
PIECE_BYTES = 256 << 10  # what the cohort is sent at once
SWEEP_S = 1.0  # how often stalled clients are looked for


@dataclass(frozen=True, slots=True)
class PumpLimits:
    """The settings batch_bytes and client_stall_s."""

    batch_bytes: int
    stall_s: float


_Span = tuple[Block, int, int]  # so many bytes of a block from a position on


class _Audience:
    """The outlets of one ring: those at the live edge (by descriptor), and those that are behind."""

    __slots__ = ("behind", "cohort", "live")

    def __init__(self) -> None:
        self.cohort = Cohort()
        self.live: dict[int, Outlet] = {}
        self.behind: set[Outlet] = set()


class Pump:
    """The thread and its hand-over. `start` and `close` belong to the event loop that it reports to."""

    def __init__(self, limits: PumpLimits) -> None:
        self._limits = limits
        self._selector = selectors.DefaultSelector()
        self._bell = Bell()
        self._piece = memoryview(bytearray(PIECE_BYTES))  # what the cohort is sent now
        self._commands: deque[Callable[[], None]] = deque()
        self._awake = False  # a wake-up is on its way; spares a system call per command
        self._stopping = False
        self._audiences: dict[Ring, _Audience] = {}
        self._ends: list[tuple[Outlet, Reason]] = []
        self._skips = Skips(self._call_again)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)

    # --- event loop ---

    def set_limits(self, limits: PumpLimits) -> None:
        """Use other limits from now on; the thread takes one reference or the other."""
        self._limits = limits

    def start(self) -> None:
        """Begin. The running event loop hears of the ends."""
        self._loop = asyncio.get_running_loop()
        self._selector.register(self._bell.descriptor, selectors.EVENT_READ)
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """End all outlets as SHUTDOWN and the thread with them; waits for the thread, which waits for nobody."""
        if not self._thread.is_alive():
            return
        self._commands.append(self._stop)
        self._awake = True
        self._bell.ring()
        self._thread.join(timeout_s)
        self._selector.close()
        self._bell.close()

    def add(self, outlet: Outlet) -> None:
        """Take over an outlet. From now on it is ended by the pump alone."""
        self._commands.append(lambda: self._add(outlet))
        self._wake()

    def end(self, outlet: Outlet, reason: Reason) -> None:
        """Ask for the end of an outlet; its `on_end` follows, with the first reason if several compete."""
        self._commands.append(lambda: self._end(outlet, reason))
        self._wake()

    def appended(self, ring: Ring, *, drained: bool = True) -> None:
        """Hear that `ring` has grown. Wakes the thread if enough has come together, or no more is to come at once:
        the source was `drained`, or the ring is finished.
        """
        if ring not in self._audiences:
            return
        waiting = ring.head - max(ring.delivered, ring.announced)
        if drained or waiting >= self._limits.batch_bytes or ring.finished is not None:
            ring.announced = ring.head
            self._commands.append(lambda: self._deliver(ring))
            self._wake()

    def forget(self, ring: Ring, reason: Reason) -> None:
        """End all outlets of a ring."""
        self._commands.append(lambda: self._forget(ring, reason))
        self._wake()

    def _wake(self) -> None:
        """Wake the thread once, however many sources are read in this pass of the event loop: where there may be more
        than one, at its end.
        """
        if self._awake or self._loop is None:
            return
        self._awake = True
        if len(self._audiences) > 1:
            self._loop.call_soon(self._bell.ring)
        else:
            self._bell.ring()

    # --- pump thread ---

    def _run(self) -> None:
        now = time.monotonic()
        sweep_at = now + SWEEP_S
        while not self._stopping:
            self._attend(max(0.0, sweep_at - now) if self._audiences else None)
            now = time.monotonic()
            if now >= sweep_at:
                sweep_at = now + SWEEP_S
                try:
                    self._sweep(now)
                except Exception:
                    log.exception("looking for stalled clients failed")
            self._report_ends()

    def _attend(self, wait_s: float | None) -> None:
        """Wait, and serve who can take more. A method of its own, or the thread would hold what it named last."""
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self._obey()
            else:
                self._serve(key.data)

    def _obey(self) -> None:
        self._bell.hear()
        self._awake = False  # before the queue is read: what comes later wakes again
        while self._commands:
            command = self._commands.popleft()
            try:
                command()
            except Exception:
                log.exception("a command of the pump failed")

    def _call_again(self, ring: Ring) -> None:
        """From any thread: somebody who waits can go on, although nothing was appended."""
        self._commands.append(lambda: self._deliver(ring))
        self._bell.ring()

    def _stop(self) -> None:
        for ring in list(self._audiences):
            self._forget(ring, Reason.SHUTDOWN)
        self._skips.close()
        self._report_ends()
        self._stopping = True

    def _add(self, outlet: Outlet) -> None:
        if outlet.ended is not None:
            return
        audience = self._audiences.setdefault(outlet.ring, _Audience())
        audience.behind.add(outlet)
        self._skips.receive(outlet)
        self._serve(outlet)

    def _deliver(self, ring: Ring) -> None:
        """Bring the cohort to the head, and give those that cannot read a chance to let go of old blocks."""
        audience = self._audiences.get(ring)
        if audience is None:
            return
        finished = ring.finished  # read before the head: what was appended before the end is sent before it
        ring.delivered = ring.head
        self._advance(audience, ring.delivered)
        for outlet in list(audience.behind):
            if outlet.block is not None and outlet.block.dropped:  # who does not read must not keep it
                self._skips.let_go(outlet)
            if not outlet.watched:  # it found the ring empty, or waits for an entry
                self._serve(outlet)
        self._skips.delivered()
        if finished is not None:
            for outlet in list(audience.live.values()):
                self._end(outlet, finished)
        if ring.watch_front:
            behind = max((outlet.offset for outlet in audience.behind), default=0)
            ring.front = max(behind, audience.cohort.offset if audience.live else 0)

    def _advance(self, audience: _Audience, limit: int) -> None:
        """Send all outlets at the live edge what lies before offset `limit`.

        Not whatever there is: while the last outlets are being served more comes, and would go out in small pieces.
        """
        cohort = audience.cohort
        while audience.live and (block := cohort.block) is not None:
            if block.dropped:  # the thread did not run for longer than the ring lasts
                for outlet in list(audience.live.values()):
                    self._fall_behind(audience, outlet, 0, [(block, cohort.position, 0)])
                return
            spans = _spans(block, cohort.position, min(limit - cohort.offset, PIECE_BYTES))
            piece = self._read(spans)
            self._send_piece(audience, piece, spans)
            cohort.block, cohort.position = spans[-1][0], spans[-1][1] + spans[-1][2]
            cohort.offset += len(piece)
            if not piece or cohort.offset >= limit:
                return

    def _read(self, spans: list[_Span]) -> memoryview:
        """Read what lies in `spans`; it is good until the next call.

        Always into the same memory: new memory of this size is often new to the process, and costs more than reading.
        """
        end = 0
        for block, position, count in spans:
            end += block.read_into(self._piece[end : end + count], position)
        return self._piece[:end]

    def _send_piece(self, audience: _Audience, piece: memoryview, spans: list[_Span]) -> None:
        """Send a piece to each outlet of the cohort; who does not take all of it falls behind.

        All are sent the same bytes, from the processor's cache. Only who is behind is served by `sendfile`: pages that
        it hands to a socket cannot be written over when their block is dropped.
        """
        fallen: list[tuple[Outlet, int]] = []
        write, count = os.write, len(piece)
        for fd, outlet in audience.live.items() if count else ():
            try:
                taken = write(fd, piece)
            except BlockingIOError:
                taken = 0
            except OSError:
                taken = -1
            if taken != count:
                fallen.append((outlet, taken))
        for outlet, taken in fallen:
            if taken < 0:
                self._end(outlet, Reason.CLIENT_LEFT)
            else:
                self._fall_behind(audience, outlet, taken, spans)

    def _fall_behind(self, audience: _Audience, outlet: Outlet, taken: int, spans: list[_Span]) -> None:
        """Give an outlet a place of its own: it took only `taken` bytes of what lies in `spans`."""
        del audience.live[outlet.fd]
        rest = taken
        for block, position, count in spans:
            if rest < count or block is spans[-1][0]:
                outlet.leave(taken, block, position + rest)
                break
            rest -= count
        audience.behind.add(outlet)
        outlet.blocked_at = time.monotonic()
        self._watch(outlet)

    def _serve(self, outlet: Outlet) -> None:
        """Give an outlet that is behind a turn; a mistake of ours costs this one client, never the thread."""
        audience = self._audiences.get(outlet.ring)
        if audience is None or outlet.ended is not None:
            return
        try:
            self._serve_one(audience, outlet)
        except Exception:
            log.exception("sending to a client failed")
            self._end(outlet, Reason.INTERNAL)

    def _serve_one(self, audience: _Audience, outlet: Outlet) -> None:
        before = outlet.sent_bytes
        progress = self._turn(audience, outlet)
        if outlet.sent_bytes != before:
            outlet.blocked_at = None
            if outlet.ring.watch_front:
                outlet.ring.front = max(outlet.ring.front, outlet.offset)
        self._settle(audience, outlet, progress)

    def _turn(self, audience: _Audience, outlet: Outlet) -> int:
        while True:
            if audience.live and outlet.offset > audience.cohort.offset:
                self._advance(audience, outlet.offset)
            limit = audience.cohort.offset if audience.live else outlet.ring.head
            progress = outlet.turn(TURN_BYTES, limit)
            if progress != LOST:
                return progress
            if outlet.block is not None:
                self._skips.let_go(outlet)
            elif not self._skips.find_place(outlet):
                return REACHED

    def _settle(self, audience: _Audience, outlet: Outlet, progress: int) -> None:
        """Put an outlet where its progress says: into the cohort, behind, or out."""
        if progress == GONE:
            self._end(outlet, Reason.CLIENT_LEFT)
        elif progress == BEHIND:
            if outlet.blocked_at is None:
                outlet.blocked_at = time.monotonic()
            self._watch(outlet)
        elif outlet.ring.finished is not None and outlet.offset >= outlet.ring.head:
            self._end(outlet, outlet.ring.finished)
        elif outlet.block is None:  # the ring is empty, or an entry is being made: the next delivery finds a place
            self._unwatch(outlet)
            outlet.blocked_at = None
        else:
            self._enter(audience, outlet, outlet.block)

    def _enter(self, audience: _Audience, outlet: Outlet, block: Block) -> None:
        """Take an outlet that has caught up into the cohort."""
        cohort = audience.cohort
        if audience.live and outlet.offset > cohort.offset:  # it has just skipped to a place before the cohort
            self._advance(audience, outlet.offset)
        if not audience.live:
            cohort.block, cohort.position, cohort.offset = block, outlet.position, outlet.offset
        elif outlet.offset != cohort.offset:
            self._watch(outlet)
            return
        self._unwatch(outlet)
        outlet.blocked_at = None
        audience.behind.discard(outlet)
        outlet.enter(cohort)
        audience.live[outlet.fd] = outlet

    def _sweep(self, now: float) -> None:
        """End the clients that have taken nothing for too long although there was something for them.

        Who is about to be judged is given a turn first. The selector tells of room only when a third of the socket's
        buffer is free, which may be more than a megabyte: a client that reads slowly would seem to take nothing.
        """
        self._skips.tidy(now)
        stall_s = self._limits.stall_s
        for audience in list(self._audiences.values()):
            for outlet in list(audience.behind):
                if _blocked_s(outlet, now) >= min(SWEEP_S, stall_s):
                    self._serve(outlet)
                if _blocked_s(outlet, now) >= stall_s:
                    self._end(outlet, Reason.STALLED_CLIENT)

    def _watch(self, outlet: Outlet) -> None:
        if not outlet.watched:
            self._selector.register(outlet.fd, selectors.EVENT_WRITE, outlet)
            outlet.watched = True

    def _unwatch(self, outlet: Outlet) -> None:
        if outlet.watched:
            # Before the descriptor is closed: the kernel would go on watching a connection that has another one.
            self._selector.unregister(outlet.fd)
            outlet.watched = False

    def _end(self, outlet: Outlet, reason: Reason) -> None:
        if outlet.ended is not None:
            return
        outlet.ended = reason
        self._unwatch(outlet)
        audience = self._audiences.get(outlet.ring)
        if audience is not None:
            audience.behind.discard(outlet)
            audience.live.pop(outlet.fd, None)
            if not audience.live and not audience.behind:
                del self._audiences[outlet.ring]
                self._skips.forget(outlet.ring)
        outlet.close()
        self._ends.append((outlet, reason))

    def _forget(self, ring: Ring, reason: Reason) -> None:
        audience = self._audiences.get(ring)
        if audience is not None:
            for outlet in [*audience.live.values(), *audience.behind]:
                self._end(outlet, reason)

    def _report_ends(self) -> None:
        if not self._ends or self._loop is None:
            return
        ends, self._ends = self._ends, []
        try:
            self._loop.call_soon_threadsafe(_tell, ends)
        except RuntimeError:
            log.warning("%d clients ended after the event loop had", len(ends))


def _tell(ends: list[tuple[Outlet, Reason]]) -> None:
    for outlet, reason in ends:
        outlet.on_end(reason)


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
