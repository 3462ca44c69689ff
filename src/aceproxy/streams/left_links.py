"""Which links were left of late because they were lost again and again, by any stream.

Whoever asks for such a link together with others a minute later need not go through the same losses. It is only put
last: it may be well again, and where it is the only one it is played. What is known of a link over weeks
(`quality`) cannot say that, for a few losses weigh little against a hundred good hours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import inf
from typing import Final

from aceproxy.engine.links import Link

SHUNNED_S: Final = 300.0  # from its last loss of that kind on
KNOWN_LINKS: Final = 2000  # the one that was left first is forgotten


class LeftLinks:
    """The links that were left, for a while; bounded. Times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._left_at: OrderedDict[str, float] = OrderedDict()  # by link key

    def note(self, link: Link, now: float) -> None:
        """A link was lost again and again."""
        self._left_at[link.key] = now
        self._left_at.move_to_end(link.key)
        while len(self._left_at) > KNOWN_LINKS:
            self._left_at.popitem(last=False)

    def order(self, links: Sequence[Link], now: float) -> list[Link]:
        """Return links with those that were left of late last; they stay as they are otherwise."""
        return sorted(links, key=lambda link: self._left_at.get(link.key, -inf) > now - SHUNNED_S)
