"""After a loss: which ways lead back, by what was lost of late, what is known of links and engines, and what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aceproxy.errors import AceProxyError
from aceproxy.streams.losses import LEFT_AFTER, WITHIN_S, Losses
from aceproxy.streams.present import Present
from aceproxy.streams.reserve import Reserve
from aceproxy.streams.source import Upstream
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.tried import Tried
from aceproxy.streams.ways import DISTRUST, Way, ways_back


@dataclass(frozen=True, slots=True)
class Lost:
    """The source that was lost last: of link number `at`, on `engine`; whether it had been a good one; why."""

    at: int
    engine: str | None
    was_settled: bool
    error: AceProxyError


class Choosing:
    """Chooses the ways back for one stream, and remembers what it has lost. Belongs to the event loop."""

    def __init__(self, present: Present, reserve: Reserve, upstream: Upstream, timeline: Timeline) -> None:
        self._present = present
        self._reserve = reserve
        self._upstream = upstream
        self._timeline = timeline
        self._losses = Losses()
        self._failed = Tried()  # since the loss

    def lost(self, lost: Lost, media_s: float) -> None:
        """Take note of a loss; `media_s`: of media that went to clients so far.

        A link that is lost again and again is left, if there is another one, and so is a second source of it.
        """
        self._failed.clear()
        self._losses.add(lost.at, lost.engine, media_s)
        link, count = self._present.links[lost.at], self._losses.count(lost.at)
        if count >= LEFT_AFTER:
            self._upstream.left.note(link, asyncio.get_running_loop().time())
        if self._better_links(lost):
            detail = f"lost {count} times within {WITHIN_S:.0f} s of picture"
            self._timeline.note(EventKind.LINK_LEFT, reason=lost.error.reason, link=link.label, detail=detail)
            self._reserve.leave_link(lost.at)

    def next_links(self, at: int, media_s: float) -> tuple[int, ...]:
        """Return the links for which link number `at`, which plays, is left when it is lost once more, best first.

        Empty while it was not lost again and again. `media_s` as for `lost`.
        """
        self._losses.forget(media_s)
        if self._losses.count(at) + 1 < LEFT_AFTER or len(self._present.links) < 2:
            return ()
        return tuple(self._losses.better_links(at, self._other_links(at), more=1))

    def ways(self, lost: Lost) -> list[Way]:
        """Return the ways to try, the best first."""
        better = self._better_links(lost)
        fit = self._upstream.pool.fit_for_spares()
        worse = self._reserve.lags.worse(fit - {lost.engine})
        return ways_back(
            lost.at,
            lost.engine,
            frozenset(self._upstream.pool.urls),
            better=better,
            fallbacks=[other for other in self._other_links(lost.at) if other not in better],
            losses=self._losses.by_engine(lost.at),
            others_first=lost.error.reason in DISTRUST or not lost.was_settled,
            ahead=fit - worse if worse else frozenset(),
        )

    def is_new(self, ways: Sequence[Way]) -> bool:
        """Say whether the first of these ways leads to nothing that was lost of late."""
        engines = frozenset(self._upstream.pool.urls)
        return any(not self._losses.by_engine(way.at).keys() & (engines - way.exclude) for way in ways[:1])

    def failed(self) -> None:
        """What was opened last brought nothing: its engine comes after others that may."""
        self._failed.add(self._present.at, self._present.engine_url)

    def apart(self, way: Way) -> Way | None:
        """Return a way that leaves alone the engine on which the spare starts, which may be of the same broadcast.

        So it does with engines that have failed since the loss, while there is another one. None where there is no
        engine but that of the spare: it is this way.
        """
        way = self._failed.others(way, self._upstream.pool.fit_for_spares()) or way
        spare = self._reserve.spare
        if spare is None or spare.engine_url is None or spare.engine_url in way.exclude:
            return way
        exclude = way.exclude | {spare.engine_url}
        if frozenset(self._upstream.pool.urls) - exclude:
            return replace(way, exclude=exclude)
        return way if spare.at != way.at else None

    def _other_links(self, at: int) -> list[int]:
        """Return the numbers of the other links, the most promising first."""
        links, now = self._present.links, asyncio.get_running_loop().time()
        others = self._upstream.links.order([link for number, link in enumerate(links) if number != at])
        return [links.index(link) for link in self._upstream.left.order(others, now)]

    def _better_links(self, lost: Lost) -> list[int]:
        """Return the numbers of the links that come before the one that was lost."""
        is_alone = not frozenset(self._upstream.pool.urls) - {lost.engine}
        soon = is_alone and not lost.was_settled
        return self._losses.better_links(lost.at, self._other_links(lost.at), soon=soon)
