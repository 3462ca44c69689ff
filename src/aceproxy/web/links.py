"""The route of links: how well each has played, learnt from real viewing."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from aceproxy.errors import AceProxyError, Reason
from aceproxy.store.links import LinkBook
from aceproxy.streams.quality import Quality
from aceproxy.streams.snapshot import utc_text
from aceproxy.web.answers import json_answer
from aceproxy.web.models import LinkEngine, LinkQuality, Links
from aceproxy.web.models.past import LinkFigures

LINKS_DEFAULT = 100
LINKS_LIMIT = 500


class LinkRoutes:
    """`GET /api/aceproxy/links`."""

    def __init__(self, book: LinkBook) -> None:
        self._book = book

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/aceproxy/links", self.links)

    async def links(self, request: web.Request) -> web.Response:
        """Links of which something is known, the one that played last first."""
        text = request.query.get("limit", str(LINKS_DEFAULT))
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise AceProxyError(Reason.BAD_PARAMETER, "limit is a whole number")
        keys = self._book.keys
        wanted = request.query.get("key")
        if wanted is not None:
            keys = [key for key in keys if key == wanted]
        listed = [self._link(key) for key in keys[: min(int(text), LINKS_LIMIT)]]
        return json_answer(Links(total=len(keys), links=listed))

    def _link(self, key: str) -> LinkQuality:
        pages = sorted(self._book.pages(key), key=lambda page: page.updated_utc, reverse=True)
        engines = [
            LinkEngine(
                engine=page.engine,
                **_figures(self._book.quality(key, page.engine)),
                last_reason=page.last_reason,
                seen_at=utc_text(page.updated_utc),
            )
            for page in pages
        ]
        return LinkQuality(
            key=key,
            title=next((page.title for page in pages if page.title), None),
            **_figures(self._book.quality(key)),
            last_reason=engines[0].last_reason,
            seen_at=engines[0].seen_at,
            engines=engines,
        )


def _figures(quality: Quality) -> dict[str, Any]:
    figures = LinkFigures(
        score=round(quality.score, 3),
        starts=round(quality.starts, 2),
        failures=round(quality.failures, 2),
        start_s=_rounded(quality.mean_start_s),
        watched_s=round(quality.watched_s, 1),
        stalls=round(quality.stalls, 2),
        stalled_s=round(quality.stalled_s, 1),
        losses=round(quality.losses, 2),
        speed_ratio=_rounded(quality.mean_speed_ratio),
        peers=_rounded(quality.mean_peers),
    )
    return figures.model_dump()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
