"""What a stream has lost of late: how often which link, on which engine. Pure: no clock.

A source that plays for some seconds and is lost again, whatever for, is no better than one that cannot be opened: its
viewers stand still a great part of the time. One loss says nothing, so they are counted. They are forgotten by the
media that has come since, not by the time: how long the starts in between take must not make a bad link a good one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LEFT_AFTER: Final = 3  # losses more than another link has had: then that comes first
LEFT_SOON_AFTER: Final = 2  # the same, where it ended after a moment and no other engine could do better
ENGINE_LEFT_AFTER: Final = 2  # losses of a link on one engine, after which others come before that
WITHIN_S: Final = 60.0  # of media that went to viewers, in which losses count
KEPT: Final = 64  # losses, of all links and engines of one stream


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of link number `at` on `engine`; `media_s`: how much media had gone to viewers by then."""

    at: int
    engine: str | None
    media_s: float


class Losses:
    """The losses of one stream within the last WITHIN_S of its media. Bounded."""

    def __init__(self) -> None:
        self._losses: deque[Loss] = deque(maxlen=KEPT)

    def add(self, at: int, engine: str | None, media_s: float) -> None:
        """Note a loss; `media_s` never falls from one to the next."""
        self._losses.append(Loss(at, engine, media_s))
        self.forget(media_s)

    def forget(self, media_s: float) -> None:
        """Forget what has been made good for by the media that has come since."""
        while self._losses and self._losses[0].media_s < media_s - WITHIN_S:
            self._losses.popleft()

    def count(self, at: int) -> int:
        """Return how often a link was lost, on all engines together."""
        return sum(loss.at == at for loss in self._losses)

    def by_engine(self, at: int) -> Counter[str]:
        """Return how often a link was lost on each engine."""
        return Counter(loss.engine for loss in self._losses if loss.at == at and loss.engine is not None)

    def better_links(self, at: int, others: Sequence[int], *, soon: bool = False, more: int = 0) -> list[int]:
        """Return those of the `others` that come before link `at` once it has been lost `more` times, in their order.

        A link that is as bad itself does not: viewers would be sent to and fro. `soon`: after LEFT_SOON_AFTER.
        """
        limit = self.count(at) + more - (LEFT_SOON_AFTER if soon else LEFT_AFTER)
        return [other for other in others if self.count(other) <= limit]
