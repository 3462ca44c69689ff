"""The ring: the newest stretch of a stream as a chain of blocks.

The event loop appends. Any thread may call `join` and `blocks` and read `head` and the blocks' own fields, without a
lock (see `block`); everything else belongs to the event loop. Old blocks are dropped whole. Memory is bounded by
`ring_bytes` plus the block being written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aceproxy.errors import Reason
from aceproxy.settings import Settings
from aceproxy.streams.block import Block, JoinPoint, Spares

OVERDUE = 5  # times block_s after which a block is cut although no join point came
ROUNDING_S = 0.01  # keyframes each two seconds are a trifle less apart now and then


@dataclass(frozen=True, slots=True)
class RingLimits:
    """How much a ring holds and where it cuts; units as in the settings of the same names."""

    block_s: float
    block_bytes: int
    ring_s: float
    ring_bytes: int
    burst_s: float

    @classmethod
    def from_settings(cls, settings: Settings) -> RingLimits:
        """Take the limits from the settings."""
        return cls(
            settings.block_s,
            min(settings.block_bytes, settings.ring_bytes),
            settings.ring_s,
            settings.ring_bytes,
            settings.burst_s,
        )


@dataclass(frozen=True, slots=True)
class Join:
    """Where a new client begins: `preamble` first, then the bytes of `block` from `position` on."""

    block: Block
    position: int
    preamble: bytes


class Ring:
    """A stream's recent bytes.

    `head` is the absolute offset after the newest byte, `edge_s` the media time there. `finished` is set when nothing
    will follow: clients that have read everything are then ended with that reason.
    """

    def __init__(self, limits: RingLimits) -> None:
        self.head = 0
        self.edge_s = 0.0
        self.finished: Reason | None = None
        self.delivered = 0  # head up to which the pump has gone at least once; written by the pump
        self.announced = 0  # head at which the pump was last woken; written by the event loop
        self.watch_front = True  # the source sends faster than real time (as at its start): `front` is wanted
        self.front = 0  # offset of the client that is furthest, while wanted; written by the pump
        self.owed_bytes = 0  # of dropped blocks, what clients are still to be sent; written by the pump
        self.fetched = 0  # offset up to which anybody has taken segments; written by the event loop
        self.longest_s = limits.block_s * OVERDUE  # media time after which a block is cut anywhere
        self.on_cut: list[Callable[[Block], None]] = []  # called with each block that is complete, in order
        self.tables: Callable[[], bytes] = bytes  # the PAT and PMT as they stand now
        self._break_at: int | None = None  # head at which a break was marked that no block has taken yet
        self._is_unjoined = True  # no join point has come yet
        self._cuts = 0
        self._limits = limits
        self._blocks: deque[Block] = deque()
        self._spares = Spares()
        self._receiving: Block | None = None  # into whose memory a source is received
        self._make_way: Callable[[], None] | None = None
        self._bytes = 0

    @property
    def newest(self) -> Block | None:
        """The block that is being written."""
        return self._blocks[-1] if self._blocks else None

    @property
    def tail(self) -> int:
        """Absolute offset of the oldest byte held."""
        return self._blocks[0].start if self._blocks else self.head

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    @property
    def held_s(self) -> float:
        """Media time held now, in seconds."""
        return max(0.0, self.edge_s - self._blocks[0].media_s) if self._blocks else 0.0

    @property
    def capacity_bytes(self) -> int:
        """About how many bytes fit before old ones are dropped, by size or by media time at the present bitrate."""
        held_s = self.held_s
        by_time = self._bytes * self._limits.ring_s / held_s if held_s > 1 else self._limits.ring_bytes
        return min(self._limits.ring_bytes, int(by_time))

    @property
    def has_points(self) -> bool:
        """Whether any join point is held."""
        return any(block.points for block in self._blocks)

    @property
    def was_joinable(self) -> bool:
        """Whether a join point has ever come."""
        return not self._is_unjoined

    @property
    def points(self) -> list[JoinPoint]:
        """All join points held, oldest first."""
        return [point for block in self._blocks for point in block.points]

    def blocks(self) -> tuple[Block, ...]:
        """The blocks held now, oldest first; the last one is still being written. One step, for any thread."""
        return tuple(self._blocks)

    def read(self, start: int, stop: int) -> bytes:
        """Return what is held between two offsets."""
        found = [block for block in self._blocks if block.start < stop and block.end > start]
        parts = [block.read(max(0, start - block.start), stop - max(start, block.start)) for block in found]
        return b"".join(parts)

    def append(self, part: memoryview, media_s: float, point: JoinPoint | None = None) -> None:
        """Append whole packets; `point` says that a decoder may start at the first of them.

        They are copied, unless they are of the newest block's own memory; then they must lie right behind its bytes.
        Who receives there (see `receive_into`) is told before somebody else appends.

        `media_s` is the media time at the start of `part`. A block is cut before a join point once it is long enough,
        and anywhere once it is too large. Where there is no memory for another one the oldest are dropped; raises
        OSError when that does not help.
        """
        self.edge_s = max(self.edge_s, media_s)
        self._drop_old()  # first: a block that begins now takes over the memory
        newest, complete = self.newest, None
        if newest is None or self._is_due(newest, len(part), media_s, point):
            complete, newest = newest, self._begin_block(media_s, point, len(part))
        if point is not None:
            newest.points.append(point)
            self._is_unjoined = False
        if complete is not None:
            complete.trim()
            for hear in self.on_cut:
                hear(complete)
        if newest is self._receiving and self._make_way is not None and not newest.is_own(part):
            self._make_way()
        newest.append(part)
        self.head += len(part)
        self._bytes += len(part)
        self._drop_old()

    def receive_into(self, block: Block | None, make_way: Callable[[], None]) -> None:
        """Hear that somebody writes behind the bytes of `block`, its newest, from now on, or (None) not any more.

        `make_way` is called before others append to it; it has to end that.
        """
        self._receiving = block
        self._make_way = make_way if block is not None else None

    def advance_edge(self, media_s: float) -> None:
        """Tell the media time at the head, as far as it is known."""
        self.edge_s = max(self.edge_s, media_s)

    def join(self, after: int = 0) -> Join | None:
        """Return where a client begins: the newest join point with `burst_s` behind it, else the oldest one.

        A stream without any join point is entered at a block. None while the ring is empty. With `after` only points
        from that offset on count; None where there is none.
        """
        blocks = self.blocks()
        oldest: tuple[Block, JoinPoint] | None = None
        for block in reversed(blocks):
            for point in reversed(block.points):
                if point.offset < after:
                    break
                oldest = (block, point)
                if self.edge_s - point.media_s >= self._limits.burst_s:
                    return Join(block, point.offset - block.start, point.preamble)
        if oldest is not None:
            block, point = oldest
            return Join(block, point.offset - block.start, point.preamble)
        if after:
            return None
        for block in reversed(blocks):
            if self.edge_s - block.media_s >= self._limits.burst_s:
                return Join(block, 0, b"")
        return Join(blocks[0], 0, b"") if blocks else None

    def finish(self, reason: Reason) -> None:
        """Say that nothing will follow: the block that was being written is complete as it is."""
        if self.finished is None:
            self.finished = reason
            newest = self.newest
            if newest is not None and newest.size:
                newest.trim()
                for hear in self.on_cut:
                    hear(newest)

    def mark_break(self) -> None:
        """Say that what is appended from now on does not go on where the last bytes ended (another encoding, another
        broadcast): the next join point begins a block, which is marked.

        One that is cut before that point, being too large, leaves it to the point's; but no more than one.
        """
        if self.head and self._break_at is None:
            self._break_at = self.head

    def clear(self) -> None:
        """Let go of everything; clients in the middle of a block are told by its `dropped`."""
        for block in self._blocks:
            block.dropped = True
        self._blocks.clear()
        self._spares.close()
        self._bytes = 0

    def _is_due(self, newest: Block, count: int, media_s: float, point: JoinPoint | None) -> bool:
        if newest.size and newest.size + count > self._limits.block_bytes:
            return True
        if not newest.size:
            return False
        age_s = media_s - newest.media_s
        if point is not None:  # the first point of all: what is before it is of no use to a decoder
            return self._break_at is not None or self._is_unjoined or age_s >= self._limits.block_s - ROUNDING_S
        return age_s + age_s * count / newest.size > self.longest_s  # with this part it would be too long

    def _begin_block(self, media_s: float, point: JoinPoint | None, count: int) -> Block:
        """Begin a block with a part of `count` bytes."""
        is_break = self._break_at is not None and (point is not None or self._has_none_since(self._break_at))
        block = self._new_block(media_s, point, count, is_break=is_break)
        if is_break:
            self._break_at = None
        self._cuts += 1
        if self._blocks:
            self._blocks[-1].next = block
        self._blocks.append(block)
        return block

    def _new_block(self, media_s: float, point: JoinPoint | None, count: int, *, is_break: bool) -> Block:
        tables = point.preamble if point is not None else self.tables()
        capacity, spares = max(self._limits.block_bytes, count), self._spares
        while True:
            try:
                return Block(
                    self.head, media_s, self._cuts, capacity=capacity, tables=tables, is_break=is_break, spares=spares
                )
            except OSError:
                if len(self._blocks) < 2:
                    raise
                self._drop_oldest()  # rather a shorter ring than a source that cannot be received

    def _has_none_since(self, offset: int) -> bool:
        """Whether the newest block, complete now and without a join point behind `offset`, began there or later."""
        return not self._blocks or self._blocks[-1].start >= offset

    def _drop_old(self) -> None:
        while len(self._blocks) > 1 and (
            self._bytes > self._limits.ring_bytes or self.edge_s - self._blocks[1].media_s >= self._limits.ring_s
        ):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._blocks.popleft()
        oldest.dropped = True
        oldest.next = None  # who still holds it must not hold all that follows as well
        self._bytes -= oldest.size
