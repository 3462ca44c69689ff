"""Answers about the engines."""

from __future__ import annotations

from aceproxy.web.models.base import Model


class EngineExperience(Model):
    """What real starts have shown. `starts`, `failures`: ever; the others count what is old less and less."""

    starts: int = 0
    failures: int = 0
    failure_rate: float = 0.0
    start_s: float | None = None


class EngineModel(Model):
    """One engine: what it is set to be, how it was last probed, and what starts on it have shown."""

    url: str
    label: str = ""
    state: str  # unknown, up, down, hung
    reachable: bool
    version: str | None
    streams: int
    spares: int = 0
    capacity: int
    weight: float = 1.0
    draining: bool = False
    leaving: bool = False
    at_run_time: bool = False
    breaker: str = "closed"  # closed, open, half_open
    breaker_wait_s: float = 0.0
    failures: int = 0
    experience: EngineExperience = EngineExperience()
    last_ok_age_s: float | None
    last_error: str | None


class Engines(Model):
    """`GET /api/aceproxy/engines`. `kept`: changes outlast a restart."""

    engines: list[EngineModel]
    kept: bool


class EngineAnswer(Model):
    """One engine, after it was added, drained or undrained."""

    engine: EngineModel


class EngineRemoved(Model):
    """What a DELETE of an engine did. It is not `gone` before its last stream has moved away or ended."""

    removed: bool
    label: str
    gone: bool
    streams: int
