"""Views: the snapshots of streams and their sums, taken on the event loop in one go."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from aceproxy.errors import REASONS, Reason
from aceproxy.streams.client import Client
from aceproxy.streams.hub import Hub
from aceproxy.streams.record import StreamRecord, Viewer
from aceproxy.streams.recording import Recording
from aceproxy.streams.snapshot import CodecSnapshot, EngineStat, StandbySnapshot, StreamSnapshot, Totals, utc_text
from aceproxy.streams.states import State
from aceproxy.streams.stream import Stream

OPENING = (State.STARTING, State.RECOVERING)
LATE_S = 6.0  # a client that is less behind is not late, however little is held
LATE_SHARE = 0.5  # of what is held: who is further behind nears the place where it has to skip


def late(lags_bytes: Iterable[int], held_s: float, bitrate_bps: float | None) -> int:
    """Count those of `lags_bytes` (how far behind the live edge) that near the end of what is held."""
    if not bitrate_bps:
        return 0
    most_bytes = max(LATE_S, held_s * LATE_SHARE) * bitrate_bps / 8
    return sum(lag_bytes > most_bytes for lag_bytes in lags_bytes)


def _late_clients(stream: Stream) -> int:
    """Count the clients that do not keep up. Being behind alone is no trouble: players with a pace of their own are."""
    outlets = (client.outlet for client in stream.clients.values())
    lags_bytes = (outlet.lag_bytes for outlet in outlets if outlet is not None and outlet.watched)
    return late(lags_bytes, stream.ring.held_s, stream.intake.bitrate_bps)


def few_clients(clients: Sequence[Client], most: int) -> list[Client]:
    """Return at most `most` clients, as they came: those whose sockets are full and lag most before others."""
    if len(clients) <= most:
        return list(clients)

    def urgency(place: int) -> tuple[int, int]:
        outlet = clients[place].outlet
        return (outlet.lag_bytes if outlet is not None and outlet.watched else 0, -place)

    return [clients[place] for place in sorted(heapq.nlargest(most, range(len(clients)), key=urgency))]


def stream_snapshot(stream: Stream, *, with_clients: bool = True, most_clients: int | None = None) -> StreamSnapshot:
    """Return a stream as it is now; without its clients it costs little, however many there are.

    With `most_clients` it has only that many of them, and none that ended.
    """
    now = time.monotonic()
    source = stream.source
    clients = list(stream.clients.values())
    told = few_clients(clients, most_clients) if most_clients is not None else clients if with_clients else []
    last_byte_at = source.last_byte_at if source is not None else None
    return StreamSnapshot(
        stream_id=stream.stream_id,
        key=stream.key,
        derived_from=stream.derived_from,
        aliases=sorted(stream.aliases),
        infohash=stream.infohash,
        title=stream.title,
        state=stream.state,
        state_s=round(now - stream.life.state_at, 3),
        is_active=stream.state in (State.LIVE, State.RECOVERING, State.LINGERING, State.DRAINING),
        engine=source.engine_url if source is not None else None,
        created_at=utc_text(stream.life.created_utc),
        started_at=utc_text(stream.life.live_utc) if stream.life.live_utc is not None else None,
        uptime_s=round(now - stream.life.created_at, 3),
        client_count=len(clients),
        waiting=stream.waiting,
        late_clients=_late_clients(stream),
        sessions=stream.holder_count,
        clients=[client.snapshot(now, stream.intake.bitrate_bps) for client in told],
        ended_clients=list(stream.ended_clients) if with_clients and most_clients is None else [],
        inbound_bytes=stream.intake.ingest.received_bytes,
        outbound_bytes=stream.outbound_bytes,
        inbound_bps=round(stream.intake.inbound_bps),
        bitrate_bps=round(stream.intake.bitrate_bps) if stream.intake.bitrate_bps else None,
        buffer_s=round(stream.ring.held_s, 2),
        buffer_bytes=stream.ring.held_bytes,
        access_points=len(stream.ring.points),
        last_byte_age_s=max(0.0, round(now - last_byte_at, 2)) if last_byte_at is not None else None,
        dropped_bytes=stream.intake.ingest.dropped_bytes,
        recoveries=stream.recoveries,
        links=[link.key for link in stream.supply.links],
        link_at=stream.supply.at,
        switches=stream.supply.switches,
        standby=_standby(stream),
        codecs=_codecs(stream),
        engine_stat=source.engine_stat(now) if source is not None else EngineStat(),
        start_detail=source.start_words() if source is not None and stream.state in OPENING else None,
        close_reason=stream.close_reason,
    )


def stream_record(stream: Stream) -> StreamRecord:
    """Return what is to be remembered of a stream, running or over."""
    source = stream.source
    present = [client.visit() for client in stream.clients.values()]
    reason = stream.close_reason
    return StreamRecord(
        record_id=stream.record_id,
        stream_id=stream.stream_id,
        key=stream.key,
        title=stream.title,
        infohash=stream.infohash,
        engine=source.engine_url if source is not None else None,
        began_utc=stream.life.created_utc,
        lasted_s=round((stream.life.state_at if reason is not None else time.monotonic()) - stream.life.created_at, 3),
        start_s=stream.life.start_s,
        inbound_bytes=stream.intake.ingest.received_bytes,
        outbound_bytes=stream.outbound_bytes,
        bitrate_bps=round(stream.intake.bitrate_bps) if stream.intake.bitrate_bps else None,
        visits=stream.audience.visits,
        peak_clients=stream.audience.peak_clients,
        viewers=stream.audience.viewers(present),
        stalls=stream.stall_watch.stalls,
        stalled_s=round(stream.stall_watch.stalled_s, 1),
        recoveries=stream.recoveries,
        skips=stream.audience.skips + sum(visit.skips for visit in present),
        reason=reason,
        fault=REASONS[reason].fault if reason is not None else None,
        message=stream.life.close_message,
        events=tuple(stream.timeline.events()),
    )


def recording_record(recording: Recording, reason: Reason | None = None) -> StreamRecord:
    """Return what is to be remembered of a viewer's playback of a recording; `reason` if it ends now."""
    now = time.monotonic()
    age_s = now - recording.started_at
    watched_s = round((now if recording.reading is not None else recording.idle_at) - recording.started_at, 3)
    row = REASONS[reason] if reason is not None else None
    visitor, sent = recording.visitor, recording.sent_bytes
    viewer = Viewer(visitor.address, visitor.agent, 1, watched_s, sent, 0, reason)
    return StreamRecord(
        record_id=recording.recording_id,
        stream_id=recording.link.stream_id,
        key=recording.link.key,
        title=None,
        infohash=recording.facts.infohash,
        engine=recording.engine_url,
        began_utc=datetime.now(UTC) - timedelta(seconds=age_s),
        lasted_s=round(age_s, 3),
        start_s=recording.start_s,
        inbound_bytes=sent,
        outbound_bytes=sent,
        bitrate_bps=None,
        visits=1 if sent else 0,
        peak_clients=1 if sent else 0,
        viewers=(viewer,) if sent else (),
        stalls=0,
        stalled_s=0.0,
        recoveries=0,
        skips=0,
        reason=reason,
        fault=row.fault if row is not None else None,
        message=row.message if row is not None else None,
        events=(),
    )


def totals(hub: Hub) -> Totals:
    """Return the sums over all streams, those that are gone included where it makes sense."""
    streams = hub.streams
    counters = hub.counters
    clients = [client for stream in streams for client in stream.clients.values()]
    return Totals(
        total_streams=len(streams),
        total_clients=len(clients),
        streams_by_state={str(state): count for state, count in Counter(s.state for s in streams).items()},
        inbound_bytes=counters.inbound_bytes + sum(stream.intake.ingest.received_bytes for stream in streams),
        outbound_bytes=counters.outbound_bytes
        + sum(stream.shared_bytes for stream in streams)
        + sum(client.sent_bytes for client in clients),
        inbound_bps=round(sum(stream.intake.inbound_bps for stream in streams)),
        outbound_bps=round(sum(client.outbound_bps for client in clients)),
        streams_started=counters.streams_started,
        streams_failed=counters.streams_failed,
        clients_served=counters.clients_served,
        skips=counters.skips + sum(client.skips for client in clients),
        closed_by_reason={str(reason): count for reason, count in counters.closed_by_reason.items()},
        clients_closed_by_reason={str(reason): count for reason, count in counters.clients_closed_by_reason.items()},
    )


def _standby(stream: Stream) -> StandbySnapshot | None:
    """Return what runs beside the present source."""
    spare = stream.supply.reserve.spare
    if spare is None:
        return None
    behind_s = stream.supply.reserve.lags.of(spare.engine_url)
    return StandbySnapshot(
        engine=spare.source.engine_url,
        purpose=spare.purpose.value,
        link_at=spare.at,
        ready=spare.is_ready,
        buffer_bytes=spare.sink.held_bytes,
        behind_s=None if behind_s is None else round(behind_s, 1),
        start_detail=spare.source.start_words() if spare.source.last_byte_at is None else None,
    )


def _codecs(stream: Stream) -> list[CodecSnapshot]:
    """The elementary streams that the programs of the broadcast declare."""
    return [
        CodecSnapshot(pid=one.pid, codec=one.codec, kind=one.kind or "data", language=one.language)
        for pmt in stream.intake.ingest.analyzer.psi.pmts.values()
        for one in pmt.streams
    ]
