"""A block: a stretch of the broadcast in memory of its own.

Rules of this file:
- A block is append-only: what lies before `size` is never written again while anybody holds the block.
- One thread (the event loop) appends; any thread may read what lies before `size`. `size` grows only after the bytes
  are there, and `next` is set only after `size` is final: a reader that saw `next` before it read `size` has seen the
  whole block.
- A source is received right behind `size`, so that appending it moves no byte; see `ingest`.
- The memory goes away with the last one who holds the block: the ring, or a client that is in the middle of it. The
  ring keeps that of the block it has just dropped, for a later block to write over it: that is cheaper by half than
  pages that the system has to find, and to take back. So a `view` must not outlive its block.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import deque
from dataclasses import dataclass
from typing import Final

SPARES: Final = 1  # of one ring: what the block had that it has just dropped
TRIM_BYTES: Final = 32 << 10  # what is left of another block behind the end is given back if there is more of it
SLACK_BYTES: Final = 768 << 10  # behind the largest size: for what was received and is not appended yet

_ADVICE: Final = ("MADV_DONTFORK", "MADV_DONTDUMP")  # no child and no dump of memory has any use for broadcasts


@dataclass(frozen=True, slots=True)
class JoinPoint:
    """Where a client may start: absolute `offset` in the stream, its media time, and the PAT and PMT to send first."""

    offset: int
    media_s: float
    preamble: bytes


def _new_memory(length: int) -> mmap.mmap:
    """Return `length` bytes of memory, of which only those count that are written to. Raises OSError."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):  # pragma: no cover - other systems than Linux
        return mmap.mmap(-1, length)
    memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
    for advice in _ADVICE:
        if hasattr(mmap, advice):
            with contextlib.suppress(OSError):
                memory.madvise(getattr(mmap, advice))
    return memory


class Spares:
    """Memory of blocks that nobody holds any more, to be written over.

    Any thread may give some; it is taken on the event loop.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[mmap.mmap, int]] = deque()  # and how much of it was written to
        self._closed = False

    def take(self, length: int) -> tuple[mmap.mmap, int]:
        """Return at least `length` bytes of memory that nobody else has, and how many of them were written to."""
        try:
            memory, written = self._kept.popleft()
        except IndexError:
            return _new_memory(length), 0
        return (memory, written) if len(memory) >= length else (_new_memory(length), 0)

    def give(self, memory: mmap.mmap, written: int) -> None:
        """Keep some memory, if it is wanted."""
        if not self._closed and len(self._kept) < SPARES:
            self._kept.append((memory, written))

    def close(self) -> None:
        """Let go of it, and want no more."""
        self._closed = True
        self._kept.clear()


class Block:
    """One stretch of the stream, from absolute offset `start`; readable up to `size` bytes.

    `media_s` is the media time of its first byte; `points` are the join points in it, oldest first. `dropped` is set
    when the ring let go of it: who still reads it should move on. Blocks of a ring are numbered from 0 on. `tables` are
    the PAT and PMT that belong before its first byte; `is_break`: it does not go on where the block before it ended.
    """

    __slots__ = (
        "__weakref__",
        "_is_complete",
        "_memory",
        "_receives",
        "_spares",
        "_written",
        "dropped",
        "is_break",
        "media_s",
        "next",
        "number",
        "points",
        "size",
        "start",
        "tables",
    )

    def __init__(
        self,
        start: int,
        media_s: float,
        number: int = 0,
        *,
        capacity: int,
        tables: bytes = b"",
        is_break: bool = False,
        spares: Spares | None = None,
    ) -> None:
        """Begin an empty block for `capacity` bytes and SLACK_BYTES more, in old memory of `spares` if there is some.

        Raises OSError where there is no memory.
        """
        length = capacity + SLACK_BYTES
        self._memory, self._written = spares.take(length) if spares is not None else (_new_memory(length), 0)
        self._spares = spares  # last: where there is no memory, there is none to be left to others
        self._receives = self._is_complete = False
        self.number = number
        self.tables = tables
        self.is_break = is_break
        self.start = start
        self.size = 0
        self.media_s = media_s
        self.points: list[JoinPoint] = []
        self.next: Block | None = None
        self.dropped = False

    @property
    def end(self) -> int:
        """Absolute offset of the first byte after the block's last one."""
        return self.start + self.size

    @property
    def length(self) -> int:
        """How many bytes there is memory for."""
        return len(self._memory)

    def is_own(self, part: memoryview) -> bool:
        """Tell whether `part` is of the block's own memory."""
        return part.obj is self._memory

    def memory(self) -> memoryview:
        """Return all of its memory, for the one who appends: until `received` he may write behind `size`."""
        self._receives = True
        return memoryview(self._memory)

    def received(self, written: int) -> None:
        """Nothing is written behind `size` any more; up to there `written` bytes were."""
        self._receives = False
        self._written = max(self._written, written)
        if self._is_complete:
            self.trim()

    def append(self, part: memoryview) -> None:
        """Put `part` behind what is there. Where it is of the block's own memory it lies right there already."""
        end = self.size + len(part)
        if not self.is_own(part):
            with memoryview(self._memory) as memory:
                memory[self.size : end] = part
            self._written = max(self._written, end)
        self.size = end

    def trim(self) -> None:
        """Nothing is appended any more: give back the memory behind the last byte, once nothing is received there."""
        self._is_complete = True
        if self._receives or self._written - self.size <= TRIM_BYTES or not hasattr(mmap, "MADV_DONTNEED"):
            return
        first = (self.size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        with contextlib.suppress(OSError):
            self._memory.madvise(mmap.MADV_DONTNEED, first, len(self._memory) - first)
            self._written = self.size

    def view(self, position: int, count: int) -> memoryview:
        """Return up to `count` bytes from `position` within the block, where they lie; good while the block is held."""
        return memoryview(self._memory)[position : min(position + count, self.size)]

    def read(self, position: int, count: int) -> bytes:
        """Return a copy of up to `count` bytes from `position` within the block."""
        with self.view(position, count) as view:
            return bytes(view)

    def __del__(self) -> None:
        """Leave the memory to a later block: nobody holds this one any more."""
        spares = getattr(self, "_spares", None)
        if spares is not None:
            spares.give(self._memory, self._written)
