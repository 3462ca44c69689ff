"""Rests between reads of one connection: what arrives meanwhile waits in the kernel and costs no wake-up.

Engines send in small pieces. A connection that rests is read again at a multiple of the rest, so that one wake-up of
the event loop serves all of them; and it is read then and there, without being registered with the selector for that.
What a read costs hardly depends on how much it finds, and is less for those that follow another one at once. So where
there are many connections all are read at every second beat only; very many would keep the event loop busy for too long
at once, so one half of them is read at the odd beats then, the other half at the even ones.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable

log = logging.getLogger(__name__)

MANY = 10  # connections from which on each rests for two beats
VERY_MANY = 32  # from which on one half of them is read at a time


class Beats:
    """Who rests: all connections of one event loop share the beats. `resting` counts them."""

    def __init__(self) -> None:
        self.resting = 0
        self._odd = 0  # of them, those that are read at odd beats where there are very many
        self._due: dict[float, dict[Rests, None]] = {}  # whom a beat wakes, by its time

    @property
    def step(self) -> int:
        """For how many beats each rests."""
        return 1 if self.resting < MANY else 2

    def enter(self) -> int:
        """Count a connection; return 0 or 1, which of two beats is its own."""
        parity = int(2 * self._odd < self.resting)
        self.resting += 1
        self._odd += parity
        return parity

    def leave(self, parity: int) -> None:
        """Count a connection no more."""
        self.resting -= 1
        self._odd -= parity

    def next_at(self, now_s: float, rest_s: float, parity: int) -> float:
        """Return the time of a connection's next beat, in seconds of the clock that `now_s` is of."""
        beat = math.floor(now_s / rest_s) + 1
        own = parity if self.resting >= VERY_MANY else 0
        if self.step > 1 and (beat + own) % 2:
            beat += 1
        return beat * rest_s

    def wait(self, rests: Rests, due_at: float) -> None:
        """Have a connection read at a beat."""
        waiting = self._due.get(due_at)
        if waiting is None:
            waiting = self._due[due_at] = {}
            asyncio.get_running_loop().call_at(due_at, self._beat, due_at)
        waiting[rests] = None

    def wait_no_more(self, rests: Rests, due_at: float) -> None:
        """Do not have it read then."""
        self._due.get(due_at, {}).pop(rests, None)

    def _beat(self, due_at: float) -> None:
        waiting = self._due.pop(due_at)
        while waiting:  # one may end the rest of another one
            rests = next(iter(waiting))
            del waiting[rests]
            rests.read()


class Rests:
    """Makes a connection's reads rest until it is closed. Belongs to the event loop.

    `protocol` is the connection's own. `resume` lets the transport go on reading where its owner wants that; `reset`
    hears that the connection failed.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.BufferedProtocol,
        rest_s: float,
        beats: Beats,
        resume: Callable[[], None],
        reset: Callable[[OSError], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._protocol = protocol
        self._rest_s = rest_s
        self._beats = beats
        self._parity = beats.enter()
        self._is_closed = False
        self._resume = resume
        self._reset = reset
        self._due_at: float | None = None
        socket = transport.get_extra_info("socket")
        is_plain = socket is not None and transport.get_extra_info("sslcontext") is None
        self._descriptor = socket.fileno() if is_plain else -1

    @property
    def step(self) -> int:
        """For how many beats each connection rests now."""
        return self._beats.step

    def begin(self) -> None:
        """Read nothing until the next beat, then read once."""
        self._transport.pause_reading()
        self._due_at = self._beats.next_at(self._loop.time(), self._rest_s, self._parity)
        self._beats.wait(self, self._due_at)

    def close(self) -> None:
        """Rest no longer, and never again. May be called again."""
        self.end()
        if not self._is_closed:
            self._is_closed = True
            self._beats.leave(self._parity)

    def end(self) -> None:
        """Rest no longer; who ends it sees to it that reading goes on."""
        if self._due_at is not None:
            self._beats.wait_no_more(self, self._due_at)
            self._due_at = None

    def read(self) -> None:
        """Read what has come: the beat is there. Never raises, for the others are to be read as well."""
        self._due_at = None
        try:
            self._read()
        except Exception:
            log.exception("reading a source failed")
            self._transport.abort()

    def _read(self) -> None:
        """Read once. The transport goes on where nothing has come, or so much that more may be there at once."""
        if self._transport.is_closing():
            return
        count = 0
        try:
            if self._descriptor >= 0:
                count = os.readv(self._descriptor, [self._protocol.get_buffer(-1)])
            if count:
                self._protocol.buffer_updated(count)
        except (BlockingIOError, InterruptedError):
            pass  # a source that is silent is not asked again and again
        except OSError as error:
            self._reset(error)
            return
        if self._due_at is None:
            self._resume()  # at the end of the connection as well: the transport deals with that
