"""The metrics: one table of their names, kinds, labels and meanings. docs/metrics.md tells them all; a test compares.

Names and units are those of Prometheus: seconds, bytes, `_total` for what only grows. Labels have few values: reasons,
states, levels, engines by their label, and streams by their id, of which at most `metrics_streams` are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter's name ends in `_total`; an `info` is always 1, what it says stands in its labels."""

    kind: Literal["counter", "gauge", "info", "histogram"]
    about: str
    labels: tuple[str, ...] = ()


ENGINE = ("engine",)
STREAM = ("stream",)

METRICS: dict[str, Metric] = {
    # the program
    "aceproxy_build_info": Metric("info", "The version that runs.", ("version",)),
    "aceproxy_start_time_seconds": Metric("gauge", "When the program started, in seconds since 1970."),
    "aceproxy_loop_delay_seconds": Metric(
        "histogram", "How late the event loop served a timer; while this is small, every route answers at once."
    ),
    "aceproxy_listeners": Metric("gauge", "Open event streams: dashboards and live logs."),
    "aceproxy_log_records_total": Metric("counter", "Log records.", ("level",)),
    "aceproxy_log_dropped_total": Metric(
        "counter", "Log records that were not written, since an output did not keep up."
    ),
    "aceproxy_store_up": Metric("gauge", "Whether what is kept reaches its place; 0 while there is a problem."),
    "aceproxy_store_unsaved": Metric("gauge", "Changes that wait to be written."),
    "aceproxy_store_dropped_total": Metric("counter", "Changes that were given up, since too many waited."),
    # streams and clients together
    "aceproxy_streams": Metric("gauge", "Streams now.", ("state",)),
    "aceproxy_clients": Metric("gauge", "Clients now."),
    "aceproxy_clients_limit": Metric("gauge", "Clients that are allowed."),
    "aceproxy_inbound_bytes_total": Metric("counter", "Bytes of media from engines."),
    "aceproxy_outbound_bytes_total": Metric("counter", "Bytes of media to clients."),
    "aceproxy_streams_started_total": Metric("counter", "Streams that were begun."),
    "aceproxy_streams_failed_total": Metric("counter", "Streams that never delivered though somebody waited."),
    "aceproxy_streams_closed_total": Metric("counter", "Streams that ended.", ("reason", "fault")),
    "aceproxy_clients_served_total": Metric("counter", "Clients that got a place in a stream."),
    "aceproxy_clients_closed_total": Metric("counter", "Clients that ended.", ("reason", "fault")),
    "aceproxy_skips_total": Metric("counter", "Times a slow client was moved forward."),
    # engines
    "aceproxy_engine_up": Metric("gauge", "1 if the engine answered its last probe.", ENGINE),
    "aceproxy_engine_info": Metric("info", "Address, version and state of the engine.", ("engine", "url", "version")),
    "aceproxy_engine_streams": Metric("gauge", "Playbacks that run on the engine.", ENGINE),
    "aceproxy_engine_capacity": Metric("gauge", "Playbacks that may run on the engine.", ENGINE),
    "aceproxy_engine_draining": Metric("gauge", "1 if the engine gets no new streams.", ENGINE),
    "aceproxy_engine_breaker_open": Metric("gauge", "1 if the engine is left alone after failures.", ENGINE),
    "aceproxy_engine_starts_total": Metric("counter", "Starts on the engine.", ENGINE),
    "aceproxy_engine_start_failures_total": Metric("counter", "Starts on the engine that failed by its fault.", ENGINE),
    "aceproxy_engine_start_seconds": Metric("gauge", "How long a start takes, of late.", ENGINE),
    "aceproxy_engine_last_answer_age_seconds": Metric("gauge", "Age of the last answered probe.", ENGINE),
    # single streams
    "aceproxy_stream_info": Metric(
        "info", "Name, state and engine of the stream.", ("stream", "title", "state", "engine")
    ),
    "aceproxy_stream_clients": Metric("gauge", "Clients of the stream.", STREAM),
    "aceproxy_stream_inbound_bytes_total": Metric("counter", "Bytes of the stream from its engine.", STREAM),
    "aceproxy_stream_outbound_bytes_total": Metric("counter", "Bytes of the stream to its clients.", STREAM),
    "aceproxy_stream_media_bytes_per_second": Metric("gauge", "Rate of the media itself.", STREAM),
    "aceproxy_stream_buffer_seconds": Metric("gauge", "Media time held in the ring.", STREAM),
    "aceproxy_stream_buffer_bytes": Metric("gauge", "Bytes held in the ring.", STREAM),
    "aceproxy_stream_last_byte_age_seconds": Metric("gauge", "Age of the newest byte from the engine.", STREAM),
    "aceproxy_stream_recoveries_total": Metric("counter", "Times the source was opened anew.", STREAM),
    "aceproxy_stream_dropped_bytes_total": Metric(
        "counter", "Bytes from the engine that belonged to no packet.", STREAM
    ),
    "aceproxy_stream_peers": Metric("gauge", "Peers, as the engine tells.", STREAM),
    "aceproxy_streams_untold": Metric("gauge", "Streams that are left out of the metrics of single streams."),
}
