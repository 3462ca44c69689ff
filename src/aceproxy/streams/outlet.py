"""An outlet: the pump's side of one client, from a place in the ring to a socket.

Only the pump's thread touches an outlet after it was handed over, but for the counters, which any thread may read.

An outlet is either at the live edge, together with all others there (then its place is that of the `Cohort`), or it is
behind, with a place of its own.

The outlet owns a descriptor of its own (a duplicate). Were it the event loop's, the loop could close it and the system
could give the same number to another connection while the pump is about to write to it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

from aceproxy.errors import Reason
from aceproxy.streams.block import Block
from aceproxy.streams.ring import Join, Ring

UNSENT_BYTES = 512 << 10  # that the system may hold of a client beyond what is on its way: half a second at 8 Mbit/s
REACHED = 0  # progress: everything before the limit was sent
BEHIND = 1  # progress: the socket took what it could, there is more
GONE = 2  # progress: the connection is broken
LOST = 3  # progress: the place fell off the ring, see `skips`


class Cohort:
    """The one place of all outlets at the live edge: `position` in `block`, at `offset` in the stream."""

    __slots__ = ("block", "offset", "position")

    def __init__(self) -> None:
        self.block: Block | None = None
        self.position = 0
        self.offset = 0


class Outlet:
    """Sends one ring to one socket.

    `on_end(reason)` is called on the event loop, once, after the outlet has let go of its descriptor.
    """

    __slots__ = (
        "_cohort",
        "_owed_bytes",
        "_pending",
        "_sent_bytes",
        "block",
        "blocked_at",
        "ended",
        "fd",
        "is_fresh",
        "lost_at",
        "on_end",
        "position",
        "ring",
        "skips",
        "watched",
    )

    def __init__(self, ring: Ring, join: Join, connection: socket.socket, on_end: Callable[[Reason], None]) -> None:
        """Take a place in `ring`. The join's preamble is sent first. Raises OSError when descriptors are out."""
        self.fd = os.dup(connection.fileno())
        _hold_little(connection)
        self.ring = ring
        self.block: Block | None = join.block
        self.position = join.position
        self.on_end = on_end
        self.skips = 0
        self.is_fresh = True  # nothing was sent yet
        self.lost_at = 0  # where the block ended in which the last place was lost
        self.blocked_at: float | None = None  # since when the socket has taken nothing although there was something
        self.watched = False  # registered with the pump's selector
        self.ended: Reason | None = None
        self._sent_bytes = 0
        self._cohort: tuple[Cohort, int] | None = None  # while at the live edge; bytes sent are offset + number
        self._pending = [memoryview(join.preamble)] if join.preamble else []
        self._owed_bytes = 0  # of `_pending`, what is left of a block that was dropped

    @property
    def sent_bytes(self) -> int:
        """Bytes of the stream that the socket took."""
        cohort = self._cohort
        return self._sent_bytes if cohort is None else cohort[0].offset + cohort[1]

    @property
    def is_at_edge(self) -> bool:
        """Tell whether it is at the live edge, together with all others there."""
        return self._cohort is not None

    @property
    def tables(self) -> bytes:
        """Return the PAT and PMT that are still to be sent before the place of a new outlet."""
        return b"".join(self._pending)

    @property
    def offset(self) -> int:
        """Absolute offset of the next byte to be sent; the head while the outlet has lost its place."""
        cohort, block = self._cohort, self.block
        if cohort is not None:
            return cohort[0].offset
        return self.ring.head if block is None else block.start + self.position

    @property
    def lag_bytes(self) -> int:
        """Bytes between the live edge and the next byte to be sent."""
        return max(0, self.ring.head - self.offset)

    def enter(self, cohort: Cohort) -> None:
        """Come to the live edge: from now on the cohort's place is this outlet's."""
        self._cohort = (cohort, self._sent_bytes - cohort.offset)
        self.block = None

    def leave(self, taken: int, block: Block, position: int) -> None:
        """Fall behind the cohort: of what it is about to send the socket took only `taken` bytes, up to `position` in
        `block`.
        """
        assert self._cohort is not None
        cohort, base = self._cohort
        self.block, self.position = block, position
        self._sent_bytes = cohort.offset + base + taken
        self._cohort = None

    def turn(self, turn_bytes: int, limit: int) -> int:
        """Send what there is before absolute offset `limit`, at most about `turn_bytes`. Never waits.

        Returns REACHED, BEHIND, GONE or, with everything sent that is left of a lost place, LOST.
        """
        budget = turn_bytes
        try:
            while budget > 0:
                if self._pending:
                    self._send_pending()
                block = self.block
                if block is None or block.dropped:
                    return LOST
                following = block.next  # read before `size`: see the rules in block.py
                count = min(block.size, limit - block.start) - self.position
                if count <= 0:
                    if following is None or following.start > limit:
                        return REACHED
                    self.block, self.position = following, 0
                    continue
                taken = os.write(self.fd, block.view(self.position, count))
                self.position += taken
                self._sent_bytes += taken
                budget -= taken
                if taken < count:
                    return BEHIND
        except BlockingIOError:
            return BEHIND
        except OSError:
            return GONE
        return BEHIND

    def lose_place(self, rest: bytes) -> None:
        """Let go of a place that fell off the ring. What is pending is still sent, and the `rest` after it."""
        if rest:
            self._pending.append(memoryview(rest))
            self._owed_bytes += len(rest)
            self.ring.owed_bytes += len(rest)
        self.lost_at = self.block.end if self.block is not None else 0
        self.block = None
        self.is_fresh = False
        self.skips += 1

    def wait_for_entry(self) -> None:
        """Let go of the first place, before anything was sent: another one is coming."""
        self.block = None
        self._pending = []

    def take_place(self, join: Join) -> None:
        """Go on at a new place."""
        self.is_fresh = False
        self.block, self.position = join.block, join.position
        if join.preamble:
            self._pending.append(memoryview(join.preamble))

    def close(self) -> None:
        """Give back the descriptor. The connection itself is closed by the event loop."""
        self._sent_bytes = self.sent_bytes
        self._cohort = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.block = None
        self._pending = []
        self._settle_debt()

    def _send_pending(self) -> None:
        """Send what comes before the block's bytes."""
        while self._pending:
            part = self._pending[0]
            taken = os.write(self.fd, part)
            self._sent_bytes += taken
            if taken < len(part):
                self._pending[0] = part[taken:]
            else:
                del self._pending[0]
        self._settle_debt()

    def _settle_debt(self) -> None:
        """Nothing of a dropped block is pending any more."""
        if self._owed_bytes:
            self.ring.owed_bytes -= self._owed_bytes
            self._owed_bytes = 0


def _hold_little(connection: socket.socket) -> None:
    """Have the socket take no more than UNSENT_BYTES beyond what it has sent, where the system can do that.

    Else it takes up to four megabytes for a client that reads slowly: half a minute of a small broadcast, by which the
    client lags and is not seen to, and which nobody counts.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        with contextlib.suppress(OSError):  # no TCP connection
            connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)
