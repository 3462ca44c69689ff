"""Answers about what was: past streams, and how well links have played."""

from __future__ import annotations

from aceproxy.store.history import PastStream
from aceproxy.streams.snapshot import TimelineEvent
from aceproxy.web.models.base import Model


class StoreModel(Model):
    """Where history is kept: `disk` or `memory`. `problem`: what keeps it from the disk; `unsaved`: changes waiting."""

    place: str
    problem: str | None
    unsaved: int
    dropped: int


class HistoryAnswer(Model):
    """`GET /api/aceproxy/history`. `next_before`: the value of `before` for the next page, null on the last one."""

    streams: list[PastStream]
    next_before: int | None
    store: StoreModel


class HistoryDetail(Model):
    """`GET /api/aceproxy/history/{id}`."""

    stream: PastStream
    events: list[TimelineEvent]


class Forgotten(Model):
    """What a DELETE of a past stream did."""

    forgotten: bool
    id: int


class LinkFigures(Model):
    """How well a link has played. Sums fade with `quality_half_life_days`."""

    score: float
    starts: float
    failures: float
    start_s: float | None
    watched_s: float
    stalls: float
    stalled_s: float
    losses: float
    speed_ratio: float | None
    peers: float | None


class LinkEngine(LinkFigures):
    """How well a link has played on one engine."""

    engine: str
    last_reason: str | None
    seen_at: str


class LinkQuality(LinkFigures):
    """How well a link has played, on all engines together and on each."""

    key: str
    title: str | None
    last_reason: str | None
    seen_at: str
    engines: list[LinkEngine]


class Links(Model):
    """`GET /api/aceproxy/links`. `total`: links of which something is known."""

    total: int
    links: list[LinkQuality]
