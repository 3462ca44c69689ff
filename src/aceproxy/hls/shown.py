"""A stream as it is shown in lists: its window, and when that is ready for a first list."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from aceproxy.hls.variant import Variant, variant_of
from aceproxy.hls.window import Window
from aceproxy.streams.block import Block
from aceproxy.streams.stream import Stream

BURST_LOOK_S: Final = 0.15  # without a further segment the start burst is over
BURST_LOOKS: Final = 6


@dataclass(eq=False, slots=True)
class Shown:
    """A stream as HLS: its window, and the secret part of its segments' addresses."""

    stream: Stream
    window: Window
    generation: str
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    cuts: int = 0
    closed_at: float | None = None
    _variant: Variant | None = None
    _looked_at: int = -1  # breaks that had been when `_variant` was looked for

    async def variant(self) -> Variant:
        """What the stream is made of, as of the newest break. Cancel-safe."""
        breaks = self.window.continuation[1]
        newest = self.window.newest
        if newest is not None and (self._variant is None or self._looked_at != breaks):
            self._variant, self._looked_at = await asyncio.to_thread(variant_of, newest), breaks
        return self._variant or Variant()

    def note_cut(self, _block: Block) -> None:
        """Hear that the window has been given a block."""
        self.cuts += 1
        if self.window.is_ready:
            self.ready.set()

    def let_go(self) -> None:
        """Hold nothing of the stream any more. Window, ring and this know each other: else its blocks would stay until
        cycles are collected, which is when the next stream has closed.
        """
        self.window.clear()
        if self.note_cut in self.stream.ring.on_cut:
            self.stream.ring.on_cut.remove(self.note_cut)


async def let_burst_in(shown: Shown) -> None:
    """Wait while segments come in quick succession, as engines send what they have at the start: with the whole of it
    in its first list a player begins farther from the edge, and does not run dry at once.
    """
    for _ in range(BURST_LOOKS):
        cuts = shown.cuts
        if shown.window.is_full:
            return
        await asyncio.sleep(BURST_LOOK_S)
        if shown.cuts == cuts:
            return
