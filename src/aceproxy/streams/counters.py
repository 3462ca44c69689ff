"""What is remembered of streams and clients that are gone: sums, and the last ends. Belongs to the event loop."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aceproxy.errors import REASONS, AceProxyError, Reason
from aceproxy.streams.client import Client
from aceproxy.streams.snapshot import EndedStream, utc_text
from aceproxy.streams.stream import Stream

NO_FAILURES = (Reason.LINGER_OVER, Reason.GAVE_WAY, Reason.STOPPED, Reason.RECORDING)  # of a start


@dataclass(slots=True)
class Counters:
    """What has happened since the start, of streams that are gone."""

    streams_started: int = 0
    streams_failed: int = 0
    clients_served: int = 0
    skips: int = 0
    inbound_bytes: int = 0
    outbound_bytes: int = 0
    closed_by_reason: Counter[Reason] = field(default_factory=Counter)
    clients_closed_by_reason: Counter[Reason] = field(default_factory=Counter)

    def add_client(self, client: Client, reason: Reason) -> None:
        """Add what a client got that is gone."""
        self.skips += client.skips
        self.outbound_bytes += client.sent_bytes
        self.clients_closed_by_reason[reason] += 1

    def add_stream(self, stream: Stream, reason: Reason) -> None:
        """Add what a stream received that is over; one that never played counts as failed, but where that was meant."""
        self.inbound_bytes += stream.intake.ingest.received_bytes
        self.outbound_bytes += stream.shared_bytes
        self.closed_by_reason[reason] += 1
        if stream.life.live_utc is None and reason not in NO_FAILURES:
            self.streams_failed += 1


def ended_stream(stream: Stream, error: AceProxyError) -> EndedStream:
    """Return what is told of a stream that ends now."""
    return EndedStream(
        stream_id=stream.stream_id,
        key=stream.key,
        title=stream.title,
        ended_at=utc_text(datetime.now(UTC)),
        lasted_s=round(time.monotonic() - stream.life.created_at, 3),
        outbound_bytes=stream.outbound_bytes,
        reason=error.reason,
        fault=REASONS[error.reason].fault,
        message=error.message,
    )
