"""Playbacks that were begun for a broadcast and turned out to be of a recording, until their viewer takes them.

That a link is a recording is only known once an engine has started it. Its first viewer goes on with that playback, so
that the engine is not asked for a second one. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio

from aceproxy.engine.links import Link
from aceproxy.engine.opened import KeptPlayback
from aceproxy.engine.stopper import PlaybackStopper

CLAIM_S = 5.0  # after which nobody wanted it; a player that was told to ask elsewhere has asked by then


def drop(kept: KeptPlayback, stopper: PlaybackStopper) -> None:
    """Stop a playback that nobody takes, in the background, and give its slot back."""
    stopper.stop_nowait(kept.playback)
    if kept.slot is not None:
        kept.slot.release()


class BegunPlaybacks:
    """Keeps one playback per link, for a moment."""

    def __init__(self, stopper: PlaybackStopper) -> None:
        """`stopper` stops what nobody takes."""
        self._stopper = stopper
        self._kept: dict[str, tuple[KeptPlayback, asyncio.TimerHandle]] = {}

    def keep(self, link: Link, kept: KeptPlayback) -> None:
        """Keep what was begun for `link`, CLAIM_S at most."""
        self._drop(link.key)
        timer = asyncio.get_running_loop().call_later(CLAIM_S, self._drop, link.key)
        self._kept[link.key] = (kept, timer)

    def take(self, link: Link) -> KeptPlayback | None:
        """Return what was begun for `link`, which is the caller's from now on; None if there is nothing."""
        kept, timer = self._kept.pop(link.key, (None, None))
        if timer is not None:
            timer.cancel()
        return kept

    def make_way(self) -> bool:
        """Drop the oldest; False if there is none."""
        if not self._kept:
            return False
        self._drop(next(iter(self._kept)))
        return True

    def close(self) -> None:
        """Drop all."""
        while self.make_way():
            pass

    def _drop(self, key: str) -> None:
        kept, timer = self._kept.pop(key, (None, None))
        if kept is not None and timer is not None:
            timer.cancel()
            drop(kept, self._stopper)
