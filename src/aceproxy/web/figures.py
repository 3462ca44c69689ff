"""The values that several routes answer with, made from snapshots on the event loop. Nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from aceproxy.engine.pool import EnginePool, EngineSnapshot
from aceproxy.store.store import StoreSnapshot
from aceproxy.streams.hub import Hub
from aceproxy.streams.snapshot import utc_text
from aceproxy.streams.views import stream_snapshot, totals
from aceproxy.web.models import EngineExperience, EngineModel, Overview, Stats

SUMS_MAX_AGE_S = 0.2  # of the byte counters
WELL = StoreSnapshot("memory", "", 0, 0)  # of a program that keeps nothing
STREAM_CLIENTS = 5  # of one stream that an overview tells
ALL_CLIENTS = 100  # of all streams together


class Figures:
    """What is known of the whole program now."""

    def __init__(self, hub: Hub, pool: EnginePool, store: Callable[[], StoreSnapshot] = lambda: WELL) -> None:
        """`store` tells how what is kept is; it must not wait."""
        self.hub = hub
        self.pool = pool
        self.store = store
        self._started_at = time.monotonic()
        self._started_utc = datetime.now(UTC)
        self._sums: dict[str, Any] | None = None
        self._sums_at = 0.0
        self._sums_version = -1

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return round(time.monotonic() - self._started_at, 3)

    @property
    def started_text(self) -> str:
        """When the program started, ISO 8601 in UTC."""
        return utc_text(self._started_utc)

    def stats(self) -> Stats:
        """Return the sums over everything: byte counters up to `SUMS_MAX_AGE_S` old, what is there up to date."""
        now = time.monotonic()
        if self._sums is None or now - self._sums_at > SUMS_MAX_AGE_S or self._sums_version != self.hub.version:
            self._sums_at, self._sums_version = now, self.hub.version
            self._sums = asdict(totals(self.hub))  # goes through all clients
        return Stats(**self._sums, started_at=self.started_text, uptime_s=self.uptime_s)

    def engines(self) -> list[EngineModel]:
        """Return the engines as last probed."""
        return [engine_model(engine) for engine in self.pool.snapshot()]

    def overview(self) -> Overview:
        """Return sums, engines and the streams with a few of their clients: what a dashboard shows all the time."""
        streams = self.hub.streams
        most = min(STREAM_CLIENTS, ALL_CLIENTS // max(1, len(streams)))
        return Overview(
            at=utc_text(datetime.now(UTC)),
            stats=self.stats(),
            streams=[stream_snapshot(stream, most_clients=most) for stream in streams],
            engines=self.engines(),
            store_problem=self.store().problem or None,
        )


def engine_model(engine: EngineSnapshot) -> EngineModel:
    """Return an engine as the API shows it."""
    return EngineModel(
        url=engine.url,
        label=engine.label,
        state=engine.state,
        reachable=engine.state == "up",
        version=engine.version or None,
        streams=engine.streams,
        spares=engine.spares,
        capacity=engine.capacity,
        weight=engine.weight,
        draining=engine.draining,
        leaving=engine.leaving,
        at_run_time=engine.at_run_time,
        breaker=engine.breaker,
        breaker_wait_s=round(engine.breaker_wait_s, 2),
        failures=engine.failures,
        experience=EngineExperience(
            starts=engine.starts,
            failures=engine.start_failures,
            failure_rate=round(engine.failure_rate, 3),
            start_s=None if engine.start_s is None else round(engine.start_s, 3),
        ),
        last_ok_age_s=None if engine.last_ok_age_s is None else round(engine.last_ok_age_s, 2),
        last_error=engine.last_error or None,
    )
