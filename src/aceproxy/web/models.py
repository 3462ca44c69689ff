"""What the API answers, as typed models: the one place where field names and units are decided.

Times with `_at` are ISO 8601 in UTC; `_s` are seconds, `_bytes` bytes, `_bps` bits per second. Text that came from
outside (agents, titles, engine messages) is bounded and without control characters, but must be escaped where shown.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from aceproxy.logs import LogLine
from aceproxy.store.history import PastEvent, PastStream
from aceproxy.streams.snapshot import EndedStream, StreamSnapshot


class Model(BaseModel):
    """Base of all answers: frozen, and no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorBody(Model):
    """Why a request failed. `reason` is stable (docs/reasons.md), `message` is for people, `fault` says whose it is."""

    reason: str
    message: str
    fault: str
    detail: str


class ErrorAnswer(Model):
    """The one shape of every error."""

    error: ErrorBody


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


class Stats(Model):
    """`GET /api/aceproxy/stats`. Totals count since the start, of streams that are gone as well."""

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
    started_at: str
    uptime_s: float


class Streams(Model):
    """`GET /api/aceproxy/streams`. `recent`: streams that ended lately, newest first, with their reason."""

    total_streams: int
    total_clients: int
    streams: list[StreamSnapshot]
    recent: list[EndedStream]


class StreamAnswer(Model):
    """`GET /api/aceproxy/streams/{key}`."""

    stream: StreamSnapshot


class Overview(Model):
    """The event `overview` of `GET /api/events`. `streams` without their clients."""

    at: str
    stats: Stats
    streams: list[StreamSnapshot]
    engines: list[EngineModel]


class StreamEvent(Model):
    """The event `stream` of `GET /api/events`: the stream with its clients, null while it is not running."""

    stream: StreamSnapshot | None


class TimelineEvent(Model):
    """Something that happened to a stream. `after_s`: seconds since the stream was created."""

    seq: int
    at: str
    after_s: float
    kind: str
    fault: str
    reason: str | None
    message: str
    details: dict[str, str | int | float | bool | None]


class TimelineNews(Model):
    """The event `timeline` of `GET /api/events`: something that has just happened to a stream."""

    stream_id: str
    event: TimelineEvent


class TimelineAnswer(Model):
    """`GET /api/aceproxy/streams/{key}/timeline`. `forgotten`: older events that are not kept any more."""

    stream_id: str
    key: str
    is_over: bool
    last_seq: int
    forgotten: int
    events: list[TimelineEvent]


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
    events: list[PastEvent]


class Forgotten(Model):
    """What a DELETE of a past stream did."""

    forgotten: bool
    id: int


class LinkEngine(Model):
    """How well a link has played on one engine. Sums fade with `quality_half_life_days`."""

    engine: str
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
    last_reason: str | None
    seen_at: str


class LinkQuality(Model):
    """How well a link has played, on all engines together and on each."""

    key: str
    title: str | None
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
    last_reason: str | None
    seen_at: str
    engines: list[LinkEngine]


class Links(Model):
    """`GET /api/aceproxy/links`. `total`: links of which something is known."""

    total: int
    links: list[LinkQuality]


class Stopped(Model):
    """What a DELETE did."""

    stopped: bool
    stream_id: str
    clients_ended: int


class Kicked(Model):
    """What a DELETE of a client did."""

    kicked: bool
    stream_id: str
    client_id: str


class RecordingModel(Model):
    """One viewer's playback of a recording. `state`: opening, reading, or idle (kept for the next request)."""

    recording_id: str
    stream_id: str
    infohash: str | None
    engine: str | None
    address: str
    agent: str
    state: str
    age_s: float
    size_bytes: int | None
    position: int | None
    sent_bytes: int


class RecordingList(Model):
    """`GET /api/aceproxy/recordings`."""

    recordings: list[RecordingModel]


class RecordingEnded(Model):
    """What a DELETE of a recording did."""

    ended: bool
    recording_id: str


class FileModel(Model):
    """One file of a link, with the address at which it plays."""

    index: int
    name: str
    size_bytes: int | None
    mime: str | None
    url: str | None


class Files(Model):
    """`GET /api/aceproxy/files`: what a link holds, as an engine says."""

    title: str | None
    infohash: str | None
    is_live: bool | None
    files: list[FileModel]


class SessionModel(Model):
    """One playback session: a player that speaks to us as to an engine."""

    session_id: str
    stream_id: str
    output: str  # ts or hls
    address: str
    agent: str
    is_live: bool | None
    age_s: float
    idle_s: float
    idle_limit_s: float
    readers: int
    failure: str | None


class Sessions(Model):
    """`GET /api/aceproxy/sessions`, oldest first."""

    sessions: list[SessionModel]


class LogTail(Model):
    """`GET /api/logs/tail`. `total_lines` is how many are held in memory; `newest` and `oldest` are places to go on."""

    lines: list[LogLine]
    total_lines: int
    returned_lines: int
    newest: int = 0
    oldest: int | None = None
    is_complete: bool = True


class SettingModel(Model):
    """One setting. `effect`: now, next_start (streams that begin from now on) or restart (cannot be changed now)."""

    name: str
    value: str | int | float | bool | list[str] | None
    default: str | int | float | bool | list[str] | None
    origin: str
    unit: str
    kind: str
    minimum: float | None
    maximum: float | None
    description: str
    changeable: bool
    effect: str


class SettingsAnswer(Model):
    """`GET /api/settings`. `kept`: a change outlasts a restart."""

    settings: list[SettingModel]
    kept: bool


class SettingsChanged(Model):
    """What `PATCH /api/settings` or `POST /api/reload` did."""

    changed: list[SettingModel]
    needs_restart: list[str]
    overridden: list[str]
    kept: bool


class StatusAll(Model):
    """`GET /ace/status` without an id."""

    streams: int


class StatusOne(Model):
    """`GET /ace/status` with an id."""

    clients: int
    stream_id: str
    state: str


class SessionAnswer(Model):
    """`GET`, `POST` and `DELETE /api/session`: who asks. `csrf` is to be sent with every change of a signed-in page."""

    role: str | None
    name: str
    csrf: str
    signed_in: bool
    password_set: bool | None


class SignedOut(Model):
    """What `DELETE /api/sessions` did."""

    sessions_ended: int


class TokenModel(Model):
    """A token, without what it is. A limit of null is that of the settings, 0 is none."""

    token_id: str
    name: str
    role: str
    max_clients: int | None
    max_streams: int | None
    created_at: str
    last_used_at: str | None
    clients: int


class Tokens(Model):
    """`GET /api/tokens`."""

    tokens: list[TokenModel]


class NewToken(Model):
    """`POST /api/tokens`: the one time that a token is told."""

    token: str
    details: TokenModel


class TokenRevoked(Model):
    """What `DELETE /api/tokens/{token_id}` did."""

    revoked: bool
    token_id: str
    clients_ended: int


class PasswordAnswer(Model):
    """What `PUT` or `DELETE /api/password` did."""

    password_set: bool
