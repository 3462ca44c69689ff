"""The trail: what an ingest gave to its ring, one part after the other, so that it can be read back.

Others append to the ring as well (null packets while a source is silent), and what is held back comes later or never.
The trail begins anew there, so that what is read from it lay next to each other in the source's stream too.
"""

from __future__ import annotations

from aceproxy.streams.block import JoinPoint
from aceproxy.streams.ring import Ring


class Trail:
    """Appends to one ring. Belongs to the event loop."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._from = 0
        self._to = 0

    @property
    def held_bytes(self) -> int:
        """How many bytes can be read back."""
        return max(0, self._to - max(self._from, self._ring.tail))

    def append(self, part: memoryview, media_s: float, point: JoinPoint | None) -> None:
        """Append a part that follows the last one; see `Ring.append`. Raises OSError as that does."""
        if self._ring.head != self._to:
            self._from = self._ring.head
        self._ring.append(part, media_s, point)
        self._to = self._ring.head

    def break_off(self) -> None:
        """Say that the next part does not follow the last one."""
        self._from = self._to = 0

    def newest(self, count: int) -> bytes:
        """Return the newest `count` bytes, or as many as there are."""
        return self._ring.read(self._to - min(count, self.held_bytes), self._to)
