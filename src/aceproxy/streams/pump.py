"""The pump: one thread that sends the rings to the clients.

The kernel copies (`sendfile` releases the interpreter lock), Python steers. The pump wakes when enough has arrived, or
a tick after; it gives every client that is at the live edge one turn. A client whose socket does not take everything
is *behind*: it gets further turns as its socket becomes writable and never holds up another one.

Who may touch what: the event loop calls the public methods, which only put commands into a queue and wake the thread.
All outlets and sets belong to the thread. Ends are reported to the loop with `call_soon_threadsafe`, many at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aceproxy.errors import Reason
from aceproxy.streams.outlet import BEHIND, FAILED, GONE, LIVE_EDGE, Outlet
from aceproxy.streams.ring import Ring

log = logging.getLogger(__name__)

TURN_BYTES = 1 << 20  # what one client may send in one turn before the next one has its turn
SWEEP_S = 1.0  # how often stalled clients are looked for


@dataclass(frozen=True, slots=True)
class PumpLimits:
    """`tick_s`: longest wait of arrived bytes; `batch_bytes`: sent at once; `stall_s`: see client_stall_s."""

    tick_s: float
    batch_bytes: int
    stall_s: float


class _Audience:
    """The outlets of one ring: those at the live edge, and those whose sockets are full."""

    __slots__ = ("behind", "live")

    def __init__(self) -> None:
        self.live: dict[Outlet, None] = {}  # in the order in which they came, and quick to leave
        self.behind: set[Outlet] = set()


class Pump:
    """The thread and its hand-over. `start` and `close` belong to the event loop that it reports to."""

    def __init__(self, limits: PumpLimits) -> None:
        self._limits = limits
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._commands: deque[Callable[[], None]] = deque()
        self._awake = False  # a wake-up is on its way; spares a system call per command
        self._stopping = False
        self._audiences: dict[Ring, _Audience] = {}
        self._ends: list[tuple[Outlet, Reason]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)

    # --- event loop ---

    def start(self) -> None:
        """Begin. The running event loop hears of the ends."""
        self._loop = asyncio.get_running_loop()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """End all outlets as SHUTDOWN and the thread with them; waits for the thread, which waits for nobody."""
        if not self._thread.is_alive():
            return
        self._commands.append(self._stop)
        self._wake()
        self._thread.join(timeout_s)
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    def add(self, outlet: Outlet) -> None:
        """Take over an outlet. From now on it is ended by the pump alone."""
        self._commands.append(lambda: self._add(outlet))
        self._wake()

    def end(self, outlet: Outlet, reason: Reason) -> None:
        """Ask for the end of an outlet; its `on_end` follows, with the first reason if several compete."""
        self._commands.append(lambda: self._end(outlet, reason))
        self._wake()

    def appended(self, ring: Ring) -> None:
        """Hear that `ring` has grown: wakes the thread if enough has come together or the ring is finished."""
        waiting = ring.head - max(ring.delivered, ring.announced)
        if waiting >= self._limits.batch_bytes or ring.finished is not None:
            ring.announced = ring.head
            self._commands.append(lambda: self._deliver(ring))
            self._wake()

    def forget(self, ring: Ring, reason: Reason) -> None:
        """End all outlets of a ring."""
        self._commands.append(lambda: self._forget(ring, reason))
        self._wake()

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
                self._wake_write.send(b"\0")

    # --- pump thread ---

    def _run(self) -> None:
        tick_s = self._limits.tick_s
        now = time.monotonic()
        tick_at, sweep_at = now + tick_s, now + SWEEP_S
        while not self._stopping:
            wait_s = max(0.0, tick_at - now) if self._audiences else None
            for key, _ in self._selector.select(wait_s):
                if key.data is None:
                    self._obey()
                else:
                    self._serve(key.data)
            now = time.monotonic()
            if now >= tick_at:
                tick_at = now + tick_s
                for ring in list(self._audiences):
                    self._deliver(ring)
            if now >= sweep_at:
                sweep_at = now + SWEEP_S
                self._sweep(now)
            self._report_ends()

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)
        self._awake = False  # before the queue is read: what comes later wakes again
        while self._commands:
            command = self._commands.popleft()
            try:
                command()
            except Exception:
                log.exception("a command of the pump failed")

    def _stop(self) -> None:
        for ring in list(self._audiences):
            self._forget(ring, Reason.SHUTDOWN)
        self._report_ends()
        self._stopping = True

    def _add(self, outlet: Outlet) -> None:
        if outlet.ended is not None:
            return
        audience = self._audiences.setdefault(outlet.ring, _Audience())
        audience.behind.add(outlet)
        self._serve(outlet)

    def _deliver(self, ring: Ring) -> None:
        """Give every outlet at the live edge a turn, and those that cannot read a chance to let go of old blocks."""
        audience = self._audiences.get(ring)
        if audience is None:
            return
        ring.delivered = ring.head
        for outlet in audience.behind:
            outlet.release_dropped()
        finished = ring.finished
        fallen: list[tuple[Outlet, int]] = []
        for outlet in audience.live:
            progress = self._turn(outlet)
            if progress != LIVE_EDGE or finished is not None:
                fallen.append((outlet, progress))
        for outlet, progress in fallen:
            self._settle(outlet, audience, progress)
        if ring.watch_front:
            ring.front = max((outlet.offset for outlet in (*audience.live, *audience.behind)), default=0)

    def _serve(self, outlet: Outlet) -> None:
        """Give an outlet that is behind a turn."""
        audience = self._audiences.get(outlet.ring)
        if audience is None or outlet.ended is not None:
            return
        before = outlet.sent_bytes
        progress = self._turn(outlet)
        if outlet.sent_bytes != before:
            outlet.blocked_at = None
            if outlet.ring.watch_front:
                outlet.ring.front = max(outlet.ring.front, outlet.offset)
        self._settle(outlet, audience, progress)

    def _turn(self, outlet: Outlet) -> int:
        """One turn; a mistake of ours costs this one client, never the thread that serves all others."""
        try:
            return outlet.turn(TURN_BYTES)
        except Exception:
            log.exception("sending to a client failed")
            return FAILED

    def _settle(self, outlet: Outlet, audience: _Audience, progress: int) -> None:
        """Put an outlet where its progress says: at the live edge, behind, or out."""
        if progress == GONE:
            self._end(outlet, Reason.CLIENT_LEFT)
        elif progress == FAILED:
            self._end(outlet, Reason.INTERNAL)
        elif progress == BEHIND:
            if outlet.blocked_at is None:
                outlet.blocked_at = time.monotonic()
            if outlet not in audience.behind:
                audience.live.pop(outlet, None)
                audience.behind.add(outlet)
            if not outlet.watched:
                self._selector.register(outlet.fd, selectors.EVENT_WRITE, outlet)
                outlet.watched = True
        else:
            outlet.blocked_at = None
            if outlet.ring.finished is not None:
                self._end(outlet, outlet.ring.finished)
                return
            if outlet in audience.behind:
                audience.behind.discard(outlet)
                audience.live[outlet] = None
            self._unwatch(outlet)

    def _sweep(self, now: float) -> None:
        """End the clients that have taken nothing for too long although there was something for them."""
        for audience in list(self._audiences.values()):
            stalled = [
                outlet
                for outlet in audience.behind
                if outlet.blocked_at is not None and now - outlet.blocked_at >= self._limits.stall_s
            ]
            for outlet in stalled:
                self._end(outlet, Reason.STALLED_CLIENT)

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
        outlet.close()
        audience = self._audiences.get(outlet.ring)
        if audience is not None:
            audience.behind.discard(outlet)
            audience.live.pop(outlet, None)
            if not audience.live and not audience.behind:
                del self._audiences[outlet.ring]
        self._ends.append((outlet, reason))

    def _forget(self, ring: Ring, reason: Reason) -> None:
        audience = self._audiences.get(ring)
        if audience is not None:
            for outlet in [*audience.live, *audience.behind]:
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
