"""Answers about the program as a whole: its health, its figures, its log."""

from __future__ import annotations

from dataclasses import dataclass

from aceproxy.logs import LogLine
from aceproxy.streams.snapshot import Totals
from aceproxy.web.models.base import Model
from aceproxy.web.models.engines import EngineModel


class Health(Model):
    """`GET /api/health`. healthy: every engine up; degraded: some; unhealthy: none."""

    status: str
    version: str
    uptime_s: float
    started_at: str
    engines: list[EngineModel]
    message: str


class Ready(Model):
    """`GET /livez` and `GET /readyz`; what is not ready is answered with an error."""

    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats(Totals):
    """`GET /api/aceproxy/stats`. Totals count since the start, of streams that are gone as well."""

    started_at: str
    uptime_s: float


class StatusAll(Model):
    """`GET /ace/status` without an id."""

    streams: int


class StatusOne(Model):
    """`GET /ace/status` with an id."""

    clients: int
    stream_id: str
    state: str


class LogTail(Model):
    """`GET /api/logs/tail`. `total_lines` is how many are held in memory; `newest` and `oldest` are places to go on."""

    lines: list[LogLine]
    total_lines: int
    returned_lines: int
    newest: int = 0
    oldest: int | None = None
    is_complete: bool = True
