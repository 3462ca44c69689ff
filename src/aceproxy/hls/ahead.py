"""Viewers who come back with the address that they have, and find themselves at another window.

Their stream has ended, and what they ask for plays as another stream by now (as a fallback of its link, or under
another name of the same broadcast). That stream's window has numbers of its own, which other viewers know; but in the
list at one address numbers must not fall, nor stand for another segment (RFC 8216 §6.2.1, §6.2.2). So such a viewer's
list is told with numbers that are ahead of the window's. Addresses of segments are the window's. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from aceproxy.hls.playlist import MediaList

MANY_LEFT: Final = 1000  # viewers that are gone and whose numbers are remembered


@dataclass(frozen=True, slots=True)
class Ahead:
    """By how much a list's numbers of segments, and its count of breaks, are ahead of the window's. Never negative."""

    numbers: int = 0
    breaks: int = 0

    def shown(self, playlist: MediaList) -> MediaList:
        """Return the window's list as this viewer gets it."""
        return replace(playlist, numbers_ahead=self.numbers, breaks_before=playlist.breaks_before + self.breaks)


@dataclass(frozen=True, slots=True)
class _Left:
    generation: str
    ahead: Ahead
    next_number: int
    next_break: int


class LeftViewers:
    """Where the lists of viewers ended that are gone, by their tokens; the longest gone are forgotten first."""

    def __init__(self) -> None:
        self._left: dict[str, _Left] = {}

    def note(self, token: str, generation: str, ahead: Ahead, continuation: tuple[int, int]) -> None:
        """A viewer is gone; `continuation`: that of the window it had, see `Window.continuation`."""
        number, breaks = continuation
        self._left.pop(token, None)
        self._left[token] = _Left(generation, ahead, number + ahead.numbers, breaks + ahead.breaks)
        while len(self._left) > MANY_LEFT:
            del self._left[next(iter(self._left))]

    def resume(self, token: str, generation: str, first_number: int, breaks_before: int) -> Ahead:
        """A viewer is here: return what its list needs at the window `generation`, which begins with these numbers."""
        left = self._left.pop(token, None)
        if left is None:
            return Ahead()
        if left.generation == generation:
            return left.ahead
        return Ahead(max(0, left.next_number - first_number), max(0, left.next_break - breaks_before))
