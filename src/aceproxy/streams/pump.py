"""The pump: one thread that sends the rings to the clients.

The kernel copies, Python steers: system calls release the interpreter lock. The pump wakes when something was appended
(the reader of a source sees to it that this is not often), or when a socket that was full takes more; what it sends to
whom is the affair of `audience`.

Who may touch what: the event loop calls the public methods, which only put commands into a queue and wake the thread.
All outlets and sets belong to the thread. Ends are reported to the loop with `call_soon_threadsafe`, many at once.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from aceproxy.errors import Reason
from aceproxy.streams.audience import SWEEP_S, Audience, Piece, Stage
from aceproxy.streams.bell import Bell
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.ring import Ring
from aceproxy.streams.sending import Sending
from aceproxy.streams.skips import Skips

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PumpLimits:
    """The settings batch_bytes and client_stall_s."""

    batch_bytes: int
    stall_s: float


class Pump:
    """The thread and its hand-over. `start` and `close` belong to the event loop that it reports to."""

    def __init__(self, limits: PumpLimits, sending: Sending) -> None:
        self._limits = limits
        self._bell = Bell()
        self._commands: deque[Callable[[], None] | Ring] = deque()  # a ring: it has grown
        self._awake = False  # a wake-up is on its way; spares a system call per command
        self._stopping = False
        self._audiences: dict[Ring, Audience] = {}
        self._skips = Skips(self._call_again)
        self._stage = Stage(self._skips, sending)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)

    # --- event loop ---

    def set_limits(self, limits: PumpLimits) -> None:
        """Use other limits from now on; the thread takes one reference or the other."""
        self._limits = limits

    def start(self) -> None:
        """Begin. The running event loop hears of the ends."""
        self._loop = asyncio.get_running_loop()
        self._stage.selector.register(self._bell.descriptor, selectors.EVENT_READ)
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """End all outlets as SHUTDOWN and the thread with them; waits for the thread, which waits for nobody."""
        if not self._thread.is_alive():
            return
        self._commands.append(self._stop)
        self._awake = True
        self._bell.ring()
        self._thread.join(timeout_s)
        self._stage.selector.close()
        self._stage.sending.close()
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
            self._commands.append(ring)
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
        for key, _ in self._stage.selector.select(wait_s):
            if key.data is None:
                self._obey()
            else:
                self._serve(key.data)

    def _obey(self) -> None:
        self._bell.hear()
        self._awake = False  # before the queue is read: what comes later wakes again
        grown: list[Ring] = []  # those that follow one another are delivered together
        while self._commands:
            command = self._commands.popleft()
            if isinstance(command, Ring):
                grown.append(command)
                continue
            self._deliver(grown)
            grown = []
            self._safely(command)
        self._deliver(grown)

    def _safely(self, step: Callable[[], None]) -> bool:
        """Do a step; return whether it went well. A mistake of ours costs what it was for, never the thread."""
        try:
            step()
        except Exception:
            log.exception("a command of the pump failed")
            return False
        return True

    def _call_again(self, ring: Ring) -> None:
        """From any thread: somebody who waits can go on, although nothing was appended."""
        self._commands.append(ring)
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
        audience = self._audiences.get(outlet.ring)
        if audience is None:
            audience = self._audiences[outlet.ring] = Audience(outlet.ring, self._stage, self._emptied)
        audience.add(outlet)

    def _deliver(self, rings: Sequence[Ring]) -> None:
        """Bring all that rings have got to their clients: the next piece of each to all of them at once."""
        audiences = [one for ring in dict.fromkeys(rings) if (one := self._audiences.get(ring)) is not None]
        begun = [(audience, self._begin(audience)) for audience in audiences]
        offered = [(audience, piece) for audience, piece in begun if piece is not None]
        taken = self._stage.sending.send([(piece.descriptors, piece.content) for _, piece in offered])
        for (audience, piece), its in zip(offered, taken, strict=True):
            self._safely(partial(audience.sent, piece, its))
        for audience in audiences:
            self._safely(audience.conclude)

    def _begin(self, audience: Audience) -> Piece | None:
        try:
            return audience.begin()
        except Exception:
            log.exception("a delivery could not begin")
            return None

    def _serve(self, outlet: Outlet) -> None:
        audience = self._audiences.get(outlet.ring)
        if audience is not None:
            audience.serve(outlet)

    def _sweep(self, now: float) -> None:
        self._skips.tidy(now)
        for audience in list(self._audiences.values()):
            audience.sweep(now, self._limits.stall_s)

    def _end(self, outlet: Outlet, reason: Reason) -> None:
        audience = self._audiences.get(outlet.ring)
        if audience is not None:
            audience.end(outlet, reason)
        else:
            self._stage.end(outlet, reason)

    def _forget(self, ring: Ring, reason: Reason) -> None:
        audience = self._audiences.get(ring)
        if audience is not None:
            audience.end_all(reason)

    def _emptied(self, ring: Ring) -> None:
        del self._audiences[ring]
        self._skips.forget(ring)
        if not self._audiences:
            self._stage.sending.rest()

    def _report_ends(self) -> None:
        if not self._stage.ends or self._loop is None:
            return
        ends, self._stage.ends = self._stage.ends, []
        try:
            self._loop.call_soon_threadsafe(_tell, ends)
        except RuntimeError:
            log.warning("%d clients ended after the event loop had", len(ends))


def _tell(ends: list[tuple[Outlet, Reason]]) -> None:
    for outlet, reason in ends:
        outlet.on_end(reason)
