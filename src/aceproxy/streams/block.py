"""A block: a stretch of the broadcast in a file without a name.

Rules of this file:
- A block is append-only. Pages that were handed to a socket are never written again, so `sendfile` needs no copy: who
  wants to do that takes the descriptor by `lend`.
- One thread (the event loop) appends; any thread may read what lies before `size`. `size` grows only after the bytes
  are in the file, and `next` is set only after `size` is final: a reader that saw `next` before it read `size` has
  seen the whole block.
- The file goes away with the last one who holds the block: the ring, or a client that is in the middle of it. If it was
  never lent it is kept as a spare, for a later block of the ring to write over it: that is cheaper by half than pages
  that the system has to find, and to take back.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from dataclasses import dataclass

SPARE_FILES = 1  # of one ring: the one it has just dropped
TRIM_BYTES = 32 << 10  # what is left of another block is cut off if there is more of it


@dataclass(frozen=True, slots=True)
class JoinPoint:
    """Where a client may start: absolute `offset` in the stream, its media time, and the PAT and PMT to send first."""

    offset: int
    media_s: float
    preamble: bytes


def _open_nameless() -> int:
    """Return a descriptor of an empty file that has no name: a memfd, or an unlinked temporary file."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("aceproxy-block", os.MFD_CLOEXEC)
    descriptor, path = tempfile.mkstemp(prefix="aceproxy-block-")  # pragma: no cover - systems without memfd
    os.unlink(path)  # noqa: PTH108  # pragma: no cover
    return descriptor  # pragma: no cover


class Spares:
    """Files of blocks that nobody holds any more.

    Any thread may give one; they are taken and closed on the event loop.
    """

    def __init__(self) -> None:
        self._files: deque[tuple[int, int]] = deque()  # descriptor, length
        self._closed = False

    def take(self) -> tuple[int, int]:
        """Return the descriptor of a file that nobody else has, and how long it is."""
        try:
            return self._files.popleft()
        except IndexError:
            return _open_nameless(), 0

    def give(self, fd: int, length: int) -> bool:
        """Keep a file; False if it is not wanted."""
        if self._closed or len(self._files) >= SPARE_FILES:
            return False
        self._files.append((fd, length))
        return True

    def close(self) -> None:
        """Close the files, and want no more."""
        self._closed = True
        while self._files:
            os.close(self._files.popleft()[0])

    def __del__(self) -> None:
        """Close what was given while it was being closed."""
        self.close()


class Block:
    """One stretch of the stream, from absolute offset `start`; readable up to `size` bytes.

    `media_s` is the media time of its first byte; `points` are the join points in it, oldest first. `dropped` is set
    when the ring let go of it: who still reads it should move on. Blocks of a ring are numbered from 0 on. `tables` are
    the PAT and PMT that belong before its first byte; `is_break`: it does not go on where the block before it ended.
    """

    __slots__ = (
        "__weakref__",
        "_length",
        "_spares",
        "dropped",
        "fd",
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
        tables: bytes = b"",
        is_break: bool = False,
        spares: Spares | None = None,
    ) -> None:
        """Begin an empty block, over an old file of `spares` if there is one. Raises OSError if there can be none."""
        self._spares = spares
        self.fd, self._length = spares.take() if spares is not None else (_open_nameless(), 0)
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

    def append(self, part: memoryview) -> None:
        """Write `part` behind what is there. Raises OSError when memory (or the disk) is full."""
        position = self.size
        while part:
            written = os.pwrite(self.fd, part, position)
            position += written
            part = part[written:]
        self.size = position
        self._length = max(self._length, position)

    def trim(self) -> None:
        """Give back the memory behind the last byte; nothing is appended any more."""
        if self._length - self.size > TRIM_BYTES:
            os.ftruncate(self.fd, self.size)
            self._length = self.size

    def lend(self) -> int:
        """Return the descriptor, for `sendfile`: its pages may wait in a socket long after the block is gone."""
        self._spares = None
        return self.fd

    def read_into(self, room: memoryview, position: int) -> int:
        """Read from `position` within the block what `room` takes; return how many bytes that is."""
        if not room:
            return 0
        if hasattr(os, "preadv"):
            return os.preadv(self.fd, [room], position)
        found = os.pread(self.fd, len(room), position)  # pragma: no cover - other systems than Linux
        room[: len(found)] = found  # pragma: no cover
        return len(found)  # pragma: no cover

    def read(self, position: int, count: int) -> bytes:
        """Return up to `count` bytes from `position` within the block."""
        count = min(count, self.size - position)
        return os.pread(self.fd, count, position) if count > 0 else b""

    def __del__(self) -> None:
        """Close the file, or leave it to a later block: nobody holds this one any more."""
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd >= 0 and (self._spares is None or not self._spares.give(fd, self._length)):
            os.close(fd)
