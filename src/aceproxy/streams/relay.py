"""A relay: what the engine sends of a file, handed on as fast as one viewer takes it and no faster.

It takes what arrives into memory of its own, at most `HELD_BYTES` and one read more; then the engine is not read until
the viewer has taken half of it, and TCP holds the engine up.
"""

from __future__ import annotations

import asyncio
from collections import deque

from aceproxy.engine.media import MediaEnd, MediaReader

HELD_BYTES = 512 << 10
ROOM_BYTES = 64 << 10  # offered for one read
SLAB_BYTES = 256 << 10  # memory is taken in pieces of this size


class Relay:
    """The sink of one body. `next` is for one taker."""

    def __init__(self) -> None:
        self._slab = memoryview(bytearray(SLAB_BYTES))
        self._chunks: deque[memoryview] = deque()
        self._held_bytes = 0
        self._news = asyncio.Event()
        self._reader: MediaReader | None = None
        self._ended: asyncio.Future[MediaEnd] | None = None
        self._paused = False

    def room(self) -> memoryview:
        """See ByteSink."""
        if len(self._slab) < ROOM_BYTES:
            self._slab = memoryview(bytearray(SLAB_BYTES))
        return self._slab[:ROOM_BYTES]

    def filled(self, n: int) -> None:
        """See ByteSink."""
        self._chunks.append(self._slab[:n])
        self._slab = self._slab[n:]
        self._held_bytes += n
        self._news.set()
        self._hold_back()

    def attach(self, reader: MediaReader) -> None:
        """Take the body's reader, once it is open. The relay closes it."""
        self._reader = reader
        self._ended = asyncio.ensure_future(reader.wait_ended())
        self._ended.add_done_callback(lambda _: self._news.set())
        self._hold_back()

    async def next(self, silence_s: float) -> memoryview | None:
        """Return the next bytes, or None when no more will come: the body ended, or was silent for `silence_s`.

        Cancel-safe.
        """
        while not self._chunks:
            if self._ended is None or self._ended.done():
                return None
            self._news.clear()
            try:
                async with asyncio.timeout(silence_s):
                    await self._news.wait()
            except TimeoutError:
                return None
        chunk = self._chunks.popleft()
        self._held_bytes -= len(chunk)
        if self._paused and self._held_bytes <= HELD_BYTES // 2 and self._reader is not None:
            self._paused = False
            self._reader.resume()
        return chunk

    @property
    def end(self) -> MediaEnd | None:
        """How the body ended; None while it has not."""
        return self._ended.result() if self._ended is not None and self._ended.done() else None

    def cut(self) -> None:
        """Read no more; what is held can still be taken."""
        if self._reader is not None:
            self._reader.close()

    def close(self) -> None:
        """Let go of the engine's connection and of what is held. May be called again.

        The reader knows the relay and the relay the reader: unless one forgets the other, the memory stays until
        somebody looks for cycles.
        """
        self.cut()
        self._reader = None
        self._slab = memoryview(bytearray())
        self._chunks.clear()
        self._held_bytes = 0

    def _hold_back(self) -> None:
        if self._held_bytes >= HELD_BYTES and self._reader is not None and not self._paused:
            self._paused = True
            self._reader.pause()
