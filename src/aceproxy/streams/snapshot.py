"""What the streams publish about themselves: frozen values, made by their owner, safe to keep and to hand around.

Times with `_at` are ISO 8601 in UTC; `_s` are seconds, `_bytes` bytes, `_bps` bits per second. Text from outside
(agents, titles, engine messages) is bounded and free of control characters, but must be escaped where it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


def utc_text(moment: datetime) -> str:
    """Write a moment as ISO 8601 with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class ClientSnapshot:
    """One player of a stream. `lag_bytes`: from the live edge back to its next byte; `behind`: its socket is full;
    `token_name`: the name of the token it plays with, for admins alone."""

    client_id: str
    address: str
    agent: str
    token_name: str | None
    protocol: str
    connected_at: str
    connected_s: float
    sent_bytes: int
    outbound_bps: float
    lag_bytes: int
    lag_s: float | None
    skips: int
    behind: bool


@dataclass(frozen=True, slots=True)
class EndedClient:
    """A client that is gone, and why."""

    client_id: str
    address: str
    agent: str
    protocol: str
    ended_at: str
    connected_s: float
    sent_bytes: int
    skips: int
    reason: str
    fault: str


@dataclass(frozen=True, slots=True)
class EngineStat:
    """What the engine said about the playback when last polled. None: not told."""

    status: str | None = None
    progress: int | None = None
    peers: int | None = None
    speed_down_bps: int | None = None
    speed_up_bps: int | None = None
    downloaded_bytes: int | None = None
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class CodecSnapshot:
    """One elementary stream of the broadcast. `kind` is video, audio, subtitle or data."""

    pid: int
    codec: str | None
    kind: str
    language: str | None


@dataclass(frozen=True, slots=True)
class StandbySnapshot:
    """A second source beside the present one. `purpose` is standby, move, return, restore or start."""

    engine: str | None
    purpose: str
    link_at: int
    ready: bool
    buffer_bytes: int
    behind_s: float | None
    start_detail: str | None


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """One stream. `waiting`: requests that wait for its start; `sessions`: players that keep it alive through
    the engine's interface, playing or not, or a stream that is made of this one; `recoveries`: times the source was
    opened anew; `derived_from`: the stream that this one is made of."""

    stream_id: str
    key: str
    derived_from: str | None
    aliases: list[str]
    infohash: str | None
    title: str | None
    state: str
    state_s: float
    is_active: bool
    engine: str | None
    created_at: str
    started_at: str | None
    uptime_s: float
    client_count: int
    waiting: int
    late_clients: int
    sessions: int
    clients: list[ClientSnapshot]
    ended_clients: list[EndedClient]
    inbound_bytes: int
    outbound_bytes: int
    inbound_bps: float
    bitrate_bps: float | None
    buffer_s: float
    buffer_bytes: int
    access_points: int
    last_byte_age_s: float | None
    dropped_bytes: int
    recoveries: int
    links: list[str]
    link_at: int
    switches: int
    standby: StandbySnapshot | None
    codecs: list[CodecSnapshot]
    engine_stat: EngineStat
    start_detail: str | None
    close_reason: str | None


@dataclass(frozen=True, slots=True)
class EndedStream:
    """A stream that is gone, and why."""

    stream_id: str
    key: str
    title: str | None
    ended_at: str
    lasted_s: float
    outbound_bytes: int
    reason: str
    fault: str
    message: str


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened to a stream. `after_s`: seconds since the stream was created."""

    seq: int
    at: str
    after_s: float
    kind: str
    fault: str
    reason: str | None
    message: str
    details: dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all streams. What says `since start` in docs/api.md includes streams that are gone."""

    total_streams: int
    total_clients: int
    streams_by_state: dict[str, int]
    inbound_bytes: int
    outbound_bytes: int
    inbound_bps: float
    outbound_bps: float
    streams_started: int
    streams_failed: int
    clients_served: int
    skips: int
    closed_by_reason: dict[str, int]
    clients_closed_by_reason: dict[str, int]
