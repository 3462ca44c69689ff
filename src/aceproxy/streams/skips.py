"""Entries, and moving a client forward: what it is still sent of its old place, how the stream goes on at the new one.

A client whose block was dropped is given what completes the pictures and the sound it has begun, and then an entry at
the newest join point (`mpegts/skip_entry`), so that its decoder shows nothing damaged. Entries are made by a thread of
their own, once for all who skip to the same join point; meanwhile they wait. Where none can be made, or not in
time, the tables and the bare stream must do. A new client gets an entry as well where the join point is one of H.264
that is no IDR picture: VLC shows damaged what follows it there.

But for `_made_of`, everything here belongs to the pump's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

from aceproxy.mpegts.packets import PACKET_BYTES
from aceproxy.mpegts.skip_entry import EntryMaker
from aceproxy.mpegts.skip_rest import LOOK_BYTES, BegunUnits
from aceproxy.mpegts.whole import begins_open
from aceproxy.streams.block import Block
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.ring import Join, Ring

log = logging.getLogger(__name__)

OWED_BYTES: Final = 8 << 20  # of dropped blocks, that the clients of one ring are still to be sent
OPENING_BYTES: Final = 256 * PACKET_BYTES  # in which the first slice at a join point is looked for
ENTRY_WAIT_S: Final = 1.0  # how long an entry may take to be made
ENTRY_BYTES: Final = 4 << 20  # of the stream behind a join point that an entry is made from
KEPT_S: Final = 5.0  # how long an entry is kept for others
SELDOM_BYTES: Final = (
    11_000 * PACKET_BYTES
)  # of the stream after that, for the counters of service tables and subtitles
EARLIER_BYTES: Final = 16 << 20  # before it, for the same of PIDs of which nothing comes in that
_PART_BACK_BYTES: Final = 4096 * PACKET_BYTES
_READ_BYTES: Final = 512 * PACKET_BYTES
PART_BYTES: Final = 4096 * PACKET_BYTES  # of a block: clients in the same part are looked at together


class _Made(NamedTuple):
    """An entry: for a client that has had something, and for one that has not."""

    again: Join
    fresh: Join


@dataclass(frozen=True, slots=True)
class _Entry:
    """A way in that is being made, or was."""

    join: Join
    asked_at: float
    made: Future[_Made]


class Skips:
    """Does that for the outlets of one pump.

    `on_made(ring)` is called from another thread when an entry for a ring has been made, or cannot be.
    """

    def __init__(self, on_made: Callable[[Ring], None]) -> None:
        self._on_made = on_made
        self._worker: ThreadPoolExecutor | None = None  # most processes never see a slow client
        self._entries: dict[Ring, _Entry] = {}
        self._open: dict[Ring, tuple[Block, int, bool]] = {}  # whether who begins at a place is to have an entry
        self._units: dict[tuple[Block, int], BegunUnits] = {}  # of blocks that somebody has just lost, part by part

    def receive(self, outlet: Outlet) -> None:
        """Take a new outlet's place, if it is to have an entry there; it is given another one by `find_place`."""
        block, position = outlet.block, outlet.position
        if block is None:
            return
        known = self._open.get(outlet.ring)
        if known is None or known[:2] != (block, position):
            stretch = block.read(position, OPENING_BYTES)
            known = self._open[outlet.ring] = block, position, begins_open(outlet.tables, stretch)
        if known[2]:
            outlet.wait_for_entry()

    def let_go(self, outlet: Outlet) -> None:
        """Take an outlet's place, which was dropped; it is still to be sent the rest of what it has begun."""
        block = outlet.block
        if block is None:
            return
        rest = self._rest(outlet.ring, block, outlet.position)
        room = OWED_BYTES - outlet.ring.owed_bytes
        if len(rest) > room:
            rest = rest[: -outlet.position % PACKET_BYTES]
        outlet.lose_place(rest)

    def find_place(self, outlet: Outlet) -> bool:
        """Give an outlet that has lost its place a new one; False: there is none now, ask again."""
        ring = outlet.ring
        join = ring.join()
        if join is None:
            return False
        if not outlet.is_fresh and join.block.start <= outlet.lost_at:
            # right behind what was lost: there must be room for the time stamps of an opening
            join = ring.join(outlet.lost_at + 1) or join
        if join.preamble and ring.finished is None:
            entry = self._entry(ring, join)
            if not entry.made.done():
                if time.monotonic() - entry.asked_at < ENTRY_WAIT_S:
                    return False
            elif entry.made.exception() is None:
                join = entry.made.result().fresh if outlet.is_fresh else entry.made.result().again
        outlet.take_place(join)
        return True

    def delivered(self) -> None:
        """All who have lost their place with a block have been looked at."""
        self._units.clear()

    def tidy(self, now: float) -> None:
        """Let go of what nobody is likely to want any more."""
        self.delivered()
        self._open.clear()
        for ring in [ring for ring, entry in self._entries.items() if now - entry.asked_at > KEPT_S]:
            del self._entries[ring]

    def forget(self, ring: Ring) -> None:
        """Let go of all that is known of a ring."""
        self.delivered()
        self._open.pop(ring, None)
        self._entries.pop(ring, None)

    def close(self) -> None:
        """End the thread; an entry that is being made is waited for, some hundredths of a second at most."""
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)
        self._entries.clear()
        self.delivered()

    def _entry(self, ring: Ring, join: Join) -> _Entry:
        """Return the entry at a join point; that at the one before if it was asked for a moment ago."""
        now = time.monotonic()
        entry = self._entries.get(ring)
        is_same = entry is not None and (entry.join.block, entry.join.position) == (join.block, join.position)
        if entry is None or (not is_same and (now - entry.asked_at > ENTRY_WAIT_S or entry.join.block.dropped)):
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="entries")
            blocks = ring.blocks()
            entry = self._entries[ring] = _Entry(join, now, self._worker.submit(_made_of, join, blocks))
            entry.made.add_done_callback(lambda _: self._on_made(ring))
        return entry

    def _rest(self, ring: Ring, block: Block, position: int) -> bytes:
        """Return what completes that which was begun before `position` in a block that was dropped."""
        first = position - position % PART_BYTES
        units = self._units.get((block, first))
        if units is None:
            units = BegunUnits(block.tables, _read(block, first, ring, PART_BYTES + LOOK_BYTES))
            self._units[block, first] = units
        return units.rest(position - first)


def _read(block: Block, position: int, ring: Ring, count: int) -> bytes:
    """Return up to `count` bytes from a place in a block that was dropped, those of the ring after it included."""
    parts = [block.read(position, count)]
    end = block.end
    for following in ring.blocks():
        missing = count - sum(map(len, parts))
        if missing > 0 and following.start == end:
            parts.append(following.read(0, missing))
            end = following.end
    return b"".join(parts)


def _made_of(join: Join, blocks: tuple[Block, ...]) -> _Made:
    """Return a join point with an entry in the place of its tables, and the place where the stream goes on after it.

    `blocks` are those of its ring.
    """
    try:
        return _entry_at(join, blocks)
    except Exception:
        log.exception("a client is moved forward without an entry: none could be made")
        raise


def _entry_at(join: Join, blocks: tuple[Block, ...]) -> _Made:
    maker, onwards = EntryMaker(join.preamble), _Onwards(join)
    taken, is_all = 0, False
    while not maker.is_ready(is_all=is_all):
        part = onwards.read(_READ_BYTES)
        maker.feed(part)
        taken += len(part)
        is_all = not part or taken >= ENTRY_BYTES
    entry = maker.entry(onwards.read(SELDOM_BYTES), _backwards(join, blocks))
    block, position = join.block, join.position + entry.skipped
    while position >= block.size and block.next is not None:
        block, position = block.next, position - block.size
    return _Made(Join(block, position, entry.marks + entry.packets), Join(block, position, entry.packets))


def _backwards(join: Join, blocks: tuple[Block, ...]) -> Iterator[bytes]:
    """Yield what lies before a join point, the newest part first, as far as anybody may want it."""
    left = EARLIER_BYTES
    for block in reversed(blocks):
        stop = min(block.size, join.block.start + join.position - block.start)
        while stop > 0 and left > 0:
            start = max(0, stop - _PART_BACK_BYTES)
            yield block.read(start, stop - start)
            left -= stop - start
            stop = start


class _Onwards:
    """Reads from a join point on, over the ends of blocks."""

    def __init__(self, join: Join) -> None:
        self._block, self._position = join.block, join.position

    def read(self, count: int) -> bytes:
        """Return the next bytes, as many as there are of so many."""
        parts: list[bytes] = []
        while count > 0:
            following = self._block.next  # read before `size`: see the rules in block.py
            part = self._block.read(self._position, count)
            parts.append(part)
            self._position += len(part)
            count -= len(part)
            if not part and following is None:
                break
            if not part and following is not None:
                self._block, self._position = following, 0
        return b"".join(parts)
