"""`GET /metrics`: the figures of the program for Prometheus, made from snapshots; `GET /livez`, `GET /readyz`.

Snapshots are taken on the event loop, in one go; the text is made in a thread, and no more often than `MAX_AGE_S`,
however many ask. Who asks soon after another gets what that one got, and does not wait for the next text.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from aiohttp import web

from aceproxy import __version__
from aceproxy.errors import REASONS, AceProxyError, Reason
from aceproxy.logs import LEVELS, Logs
from aceproxy.settings import Settings
from aceproxy.streams.states import State
from aceproxy.streams.views import stream_snapshot, totals
from aceproxy.web.answers import json_answer
from aceproxy.web.figures import Figures
from aceproxy.web.loop_delay import LoopDelay
from aceproxy.web.metric_table import METRICS
from aceproxy.web.models import Ready
from aceproxy.web.sse import Seats

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

log = logging.getLogger(__name__)

MAX_AGE_S = 0.5
SOON_S = 1.0  # a text that is no older is given out while the next one is made
LABEL_LIMIT = 100  # characters of a label's value


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a metric of the table; `labels` in the order of the table."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Text:
    """The metrics as they were at a time (monotonic)."""

    made_at: float
    body: bytes
    content_type: str


class MetricRoutes:
    """The routes for programs that watch this one."""

    def __init__(self, figures: Figures, logs: Logs, seats: Seats, delay: LoopDelay, settings: Settings) -> None:
        self._figures = figures
        self._logs = logs
        self._seats = seats
        self._delay = delay
        self._settings = settings
        self._newest: dict[str, _Text] = {}  # by whether OpenMetrics is wanted
        self._making: dict[str, asyncio.Task[_Text]] = {}

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/livez", self.live)
        app.router.add_get("/readyz", self.ready)

    async def live(self, _request: web.Request) -> web.Response:
        """Whether the program runs: if this is not answered, it has to be started anew."""
        return json_answer(Ready(ready=True))

    async def ready(self, _request: web.Request) -> web.Response:
        """Whether a player sent here can be served: an engine answers."""
        if not any(engine.reachable and not engine.draining for engine in self._figures.engines()):
            raise AceProxyError(Reason.ENGINE_UNREACHABLE)
        return json_answer(Ready(ready=True))

    async def metrics(self, request: web.Request) -> web.Response:
        """The metrics, as text for Prometheus or, where it is asked for, as OpenMetrics."""
        accept = request.headers.get("Accept", "")
        wanted = "open" if "application/openmetrics-text" in accept else "plain"
        text = self._newest.get(wanted)
        age_s = time.monotonic() - text.made_at if text is not None else inf
        making = self._making.get(wanted)
        if making is None and age_s > MAX_AGE_S:
            making = self._making[wanted] = asyncio.create_task(self._make(wanted, accept), name="metrics")
            making.add_done_callback(_heed)
        if making is not None and (text is None or age_s > SOON_S):
            text = await asyncio.shield(making)  # others may wait for it
        assert text is not None
        return web.Response(body=text.body, headers={"Content-Type": text.content_type, "Cache-Control": "no-store"})

    def close(self) -> None:
        """Make no text any more; who waits for one is cancelled."""
        for task in self._making.values():
            task.cancel()

    async def _make(self, wanted: str, accept: str) -> _Text:
        """Make the text; if that goes wrong those who wait for it hear of it, and the next one tries again."""
        made_at = time.monotonic()
        try:
            samples = list(self._samples())
            text = self._newest[wanted] = _Text(made_at, *await asyncio.to_thread(self._text, samples, accept))
            return text
        finally:
            del self._making[wanted]

    def _samples(self) -> Iterator[Sample]:
        yield from self._of_program()
        yield from self._of_sums()
        yield from self._of_engines()
        yield from self._of_streams()

    def _of_program(self) -> Iterator[Sample]:
        yield Sample("aceproxy_build_info", 1, (__version__,))
        yield Sample("aceproxy_start_time_seconds", time.time() - self._figures.uptime_s)
        yield Sample("aceproxy_listeners", len(self._seats))
        for level in LEVELS:
            yield Sample("aceproxy_log_records_total", self._logs.ring.by_level[level], (level,))
        yield Sample("aceproxy_log_dropped_total", self._logs.dropped)
        store = self._figures.store()
        yield Sample("aceproxy_store_up", not store.problem)
        yield Sample("aceproxy_store_unsaved", store.unsaved)
        yield Sample("aceproxy_store_dropped_total", store.dropped)

    def _of_sums(self) -> Iterator[Sample]:
        sums = totals(self._figures.hub)
        for state in State:
            if state is not State.CLOSED:
                yield Sample("aceproxy_streams", sums.streams_by_state.get(state, 0), (state,))
        yield Sample("aceproxy_clients", sums.total_clients)
        yield Sample("aceproxy_clients_limit", self._settings.max_clients)
        for name in ("inbound_bytes", "outbound_bytes", "streams_started", "streams_failed", "clients_served", "skips"):
            yield Sample(f"aceproxy_{name}_total", getattr(sums, name))
        for reason, row in REASONS.items():
            labels = (reason, row.fault)
            yield Sample("aceproxy_streams_closed_total", sums.closed_by_reason.get(reason, 0), labels)
            yield Sample("aceproxy_clients_closed_total", sums.clients_closed_by_reason.get(reason, 0), labels)

    def _of_engines(self) -> Iterator[Sample]:
        for engine in self._figures.engines():
            label = (engine.label,)
            yield Sample("aceproxy_engine_up", engine.reachable, label)
            yield Sample("aceproxy_engine_info", 1, (engine.label, engine.url, engine.version or ""))
            yield Sample("aceproxy_engine_streams", engine.streams, label)
            yield Sample("aceproxy_engine_capacity", engine.capacity, label)
            yield Sample("aceproxy_engine_draining", engine.draining, label)
            yield Sample("aceproxy_engine_breaker_open", engine.breaker == "open", label)
            yield Sample("aceproxy_engine_starts_total", engine.experience.starts, label)
            yield Sample("aceproxy_engine_start_failures_total", engine.experience.failures, label)
            if engine.experience.start_s is not None:
                yield Sample("aceproxy_engine_start_seconds", engine.experience.start_s, label)
            if engine.last_ok_age_s is not None:
                yield Sample("aceproxy_engine_last_answer_age_seconds", engine.last_ok_age_s, label)

    def _of_streams(self) -> Iterator[Sample]:
        """The streams with the most clients, as many as are allowed."""
        streams = sorted(self._figures.hub.streams, key=lambda one: -len(one.clients))
        told = streams[: self._settings.metrics_streams]
        yield Sample("aceproxy_streams_untold", len(streams) - len(told))
        labels_of = {engine.url: engine.label for engine in self._figures.engines()}
        for stream in told:
            one = stream_snapshot(stream, with_clients=False)
            label = (one.stream_id,)
            engine = labels_of.get(one.engine or "", "")
            yield Sample("aceproxy_stream_info", 1, (one.stream_id, one.title or "", one.state, engine))
            yield Sample("aceproxy_stream_clients", one.client_count, label)
            yield Sample("aceproxy_stream_inbound_bytes_total", one.inbound_bytes, label)
            yield Sample("aceproxy_stream_outbound_bytes_total", one.outbound_bytes, label)
            yield Sample("aceproxy_stream_buffer_seconds", one.buffer_s, label)
            yield Sample("aceproxy_stream_buffer_bytes", one.buffer_bytes, label)
            yield Sample("aceproxy_stream_recoveries_total", one.recoveries, label)
            yield Sample("aceproxy_stream_dropped_bytes_total", one.dropped_bytes, label)
            if one.bitrate_bps is not None:
                yield Sample("aceproxy_stream_media_bytes_per_second", one.bitrate_bps / 8, label)
            if one.last_byte_age_s is not None:
                yield Sample("aceproxy_stream_last_byte_age_seconds", one.last_byte_age_s, label)
            if one.engine_stat.peers is not None:
                yield Sample("aceproxy_stream_peers", one.engine_stat.peers, label)

    def _text(self, samples: list[Sample], accept: str) -> tuple[bytes, str]:
        """Spell the samples, with the figures of the process; for a thread, where the library is imported as well."""
        library = importlib.import_module("prometheus_client")
        registry = library.CollectorRegistry()
        library.ProcessCollector(registry=registry)
        registry.register(_Collected(_families(samples, self._delay)))
        encode, content_type = library.exposition.choose_encoder(accept)
        return encode(registry), content_type


def _heed(making: asyncio.Task[_Text]) -> None:
    """See what became of a text that perhaps nobody waits for."""
    if not making.cancelled() and making.exception() is not None:
        log.error("the metrics could not be made", exc_info=making.exception())


class _Collected:
    """What a registry asks for metrics: some that are there already."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _families(samples: list[Sample], delay: LoopDelay) -> list[Family]:
    """Sort samples into families, in the order of the table."""
    core = importlib.import_module("prometheus_client.core")
    kinds = {"counter": core.CounterMetricFamily, "gauge": core.GaugeMetricFamily, "info": core.GaugeMetricFamily}
    found: dict[str, Family] = {}
    for name, metric in METRICS.items():
        if metric.kind == "histogram":
            family = core.HistogramMetricFamily(name, metric.about)
            family.add_metric([], delay.buckets(), delay.sum_s)
        else:
            family = kinds[metric.kind](name, metric.about, labels=metric.labels)
        found[name] = family
    for sample in samples:
        found[sample.name].add_metric([label[:LABEL_LIMIT] for label in sample.labels], sample.value)  # type: ignore[attr-defined]  # all families have it
    return list(found.values())
