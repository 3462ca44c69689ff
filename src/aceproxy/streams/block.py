"""A block: a stretch of the broadcast in a file without a name.

Rules of this file:
- A block is append-only. Pages already handed to a socket are never written again, so `sendfile` needs no copy.
- One thread (the event loop) appends; any thread may read what lies before `size`. `size` grows only after the bytes
  are in the file, and `next` is set only after `size` is final: a reader that saw `next` before it read `size` has
  seen the whole block.
- The file goes away with the last one who holds the block: the ring, or a client that is in the middle of it.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass


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


class Block:
    """One stretch of the stream, from absolute offset `start`; readable up to `size` bytes.

    `media_s` is the media time of its first byte; `points` are the join points in it, oldest first. `dropped` is set
    when the ring let go of it: who still reads it should move on. Blocks of a ring are numbered from 0 on. `tables` are
    the PAT and PMT that belong before its first byte; `is_break`: it does not go on where the block before it ended.
    """

    __slots__ = (
        "__weakref__",
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
        self, start: int, media_s: float, number: int = 0, *, tables: bytes = b"", is_break: bool = False
    ) -> None:
        self.fd = _open_nameless()
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

    def read(self, position: int, count: int) -> bytes:
        """Return up to `count` bytes from `position` within the block."""
        return os.pread(self.fd, max(0, min(count, self.size - position)), position)

    def __del__(self) -> None:
        """Close the file: nobody holds the block any more."""
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd >= 0:
            os.close(fd)
