"""The reasons: one table of why a request was refused, a start failed, a stream closed or a client was ended.

Every reason has a stable name (used in the API, the log, metrics and docs), the HTTP status it is answered with when
no byte has been sent yet, whose fault it is, and a sentence a person understands. Nothing else in the program invents
reasons; `docs/reasons.md` lists them all, and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Whose fault a reason is, as the operator sees it."""

    CLIENT = "client"  # the player, or what was asked of us
    PROXY = "proxy"  # this program, its limits or its operator
    ENGINE = "engine"  # the engine process
    SWARM = "swarm"  # the broadcast: its peers, its link
    NONE = "none"  # a normal end


class Reason(StrEnum):
    """Stable names of everything that can go wrong or come to an end."""

    # what was asked cannot be understood or is not allowed
    NO_LINK = "no_link"
    BAD_LINK = "bad_link"
    TWO_LINKS = "two_links"
    BAD_PARAMETER = "bad_parameter"
    URL_HOST_REFUSED = "url_host_refused"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    STREAM_NOT_RUNNING = "stream_not_running"
    CLIENT_NOT_FOUND = "client_not_found"
    ENGINE_NOT_FOUND = "engine_not_found"
    ENGINE_EXISTS = "engine_exists"
    SEGMENT_GONE = "segment_gone"
    REQUEST_REFUSED = "request_refused"
    BAD_SETTINGS = "bad_settings"
    REQUEST_TIMEOUT = "request_timeout"
    # who may do what
    SIGN_IN_NEEDED = "sign_in_needed"
    NOT_ALLOWED = "not_allowed"
    BAD_CREDENTIALS = "bad_credentials"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TOKEN_NEEDED = "token_needed"
    TOKEN_NOT_FOUND = "token_not_found"
    HOST_REFUSED = "host_refused"
    CROSS_SITE = "cross_site"
    SESSION_UNKNOWN = "session_unknown"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    # a start that fails
    CONTENT_NOT_FOUND = "content_not_found"
    NO_ENGINE = "no_engine"
    ENGINE_UNREACHABLE = "engine_unreachable"
    ENGINE_TIMEOUT = "engine_timeout"
    ENGINE_REFUSED = "engine_refused"
    ENGINE_ERROR = "engine_error"
    ENGINE_OPTION_MISSING = "engine_option_missing"
    ENGINE_REDIRECTED = "engine_redirected"
    ENCRYPTED = "encrypted"
    NO_PEERS = "no_peers"
    START_TIMEOUT = "start_timeout"
    NO_DATA = "no_data"
    NOT_MPEGTS = "not_mpegts"
    AT_CAPACITY = "at_capacity"
    TOO_MANY_CLIENTS = "too_many_clients"
    TOO_MANY_FOR_ADDRESS = "too_many_for_address"
    TOO_MANY_FOR_TOKEN = "too_many_for_token"
    TOO_MANY_LISTENERS = "too_many_listeners"
    STORE_UNAVAILABLE = "store_unavailable"
    STATE_UNWRITABLE = "state_unwritable"
    NO_TRANSCODER = "no_transcoder"
    TRANSCODERS_BUSY = "transcoders_busy"
    TRANSCODER_FAILED = "transcoder_failed"
    # an end after a start that succeeded
    ENDED = "ended"
    SOURCE_ENDED = "source_ended"
    SOURCE_STALLED = "source_stalled"
    ENGINE_STALLED = "engine_stalled"
    SOURCE_LOOPS = "source_loops"
    SOURCE_SLOW = "source_slow"
    NO_KEYFRAMES = "no_keyframes"
    SESSION_LOST = "session_lost"
    RECORDING = "recording"
    LINGER_OVER = "linger_over"
    GAVE_WAY = "gave_way"
    STOPPED = "stopped"
    SHUTDOWN = "shutdown"
    INTERRUPTED = "interrupted"
    PROXY_NOT_ASKED = "proxy_not_asked"
    INTERNAL = "internal"
    # an end of one client only
    CLIENT_LEFT = "client_left"
    STALLED_CLIENT = "stalled_client"
    KICKED = "kicked"
    TOKEN_REVOKED = "token_revoked"
    PLAYER_STOPPED = "player_stopped"
    CLIENT_SILENT = "client_silent"


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """One row of the table.

    `status` is an HTTP status code; `retry_after_s` (seconds, None where a retry would not help) becomes the
    `Retry-After` header; `message` is a whole sentence for people.
    """

    status: int
    fault: Fault
    message: str
    retry_after_s: int | None = None


REASONS: dict[Reason, ReasonRow] = {
    Reason.NO_LINK: ReasonRow(
        400,
        Fault.CLIENT,
        "The request names no broadcast: give one of id, content_id, infohash, magnet or url.",
    ),
    Reason.BAD_LINK: ReasonRow(400, Fault.CLIENT, "The link is not one that AceStream knows."),
    Reason.TWO_LINKS: ReasonRow(400, Fault.CLIENT, "The request names two different broadcasts; give one."),
    Reason.BAD_PARAMETER: ReasonRow(400, Fault.CLIENT, "A parameter of the request has a value that is not allowed."),
    Reason.URL_HOST_REFUSED: ReasonRow(
        403,
        Fault.CLIENT,
        "Links to this host are not allowed here; the operator can allow it with url_hosts.",
    ),
    Reason.NOT_FOUND: ReasonRow(404, Fault.CLIENT, "There is nothing at this address."),
    Reason.METHOD_NOT_ALLOWED: ReasonRow(405, Fault.CLIENT, "This address does not take that method."),
    Reason.STREAM_NOT_RUNNING: ReasonRow(404, Fault.CLIENT, "This stream is not running."),
    Reason.CLIENT_NOT_FOUND: ReasonRow(404, Fault.CLIENT, "The stream has no such client."),
    Reason.ENGINE_NOT_FOUND: ReasonRow(404, Fault.CLIENT, "There is no engine with this label."),
    Reason.ENGINE_EXISTS: ReasonRow(409, Fault.CLIENT, "There is an engine with this address or label already."),
    Reason.SEGMENT_GONE: ReasonRow(
        404, Fault.CLIENT, "There is no such HLS segment: it is too old, not there yet, or of an earlier run."
    ),
    Reason.REQUEST_REFUSED: ReasonRow(400, Fault.CLIENT, "The request is malformed or larger than allowed."),
    Reason.BAD_SETTINGS: ReasonRow(
        409, Fault.CLIENT, "The settings cannot be used as they stand; nothing was changed."
    ),
    Reason.REQUEST_TIMEOUT: ReasonRow(408, Fault.CLIENT, "The request did not come in time (head_timeout_s)."),
    Reason.SIGN_IN_NEEDED: ReasonRow(401, Fault.CLIENT, "This needs signing in."),
    Reason.NOT_ALLOWED: ReasonRow(403, Fault.CLIENT, "Whoever is signed in here may not do this."),
    Reason.BAD_CREDENTIALS: ReasonRow(401, Fault.CLIENT, "The password, secret or token is not right."),
    Reason.TOO_MANY_ATTEMPTS: ReasonRow(429, Fault.CLIENT, "Too many sign-ins failed; wait before the next one."),
    Reason.TOKEN_NEEDED: ReasonRow(
        401, Fault.CLIENT, "Streams play only with a player's token here (require_token): ?token=… in the address."
    ),
    Reason.TOKEN_NOT_FOUND: ReasonRow(404, Fault.CLIENT, "There is no such token."),
    Reason.HOST_REFUSED: ReasonRow(
        421,
        Fault.CLIENT,
        "AceProxy does not answer to this host name; the operator can add it to allowed_hosts.",
    ),
    Reason.CROSS_SITE: ReasonRow(403, Fault.CLIENT, "The request comes from a page of another site."),
    Reason.SESSION_UNKNOWN: ReasonRow(
        404,
        Fault.CLIENT,
        "There is no such playback session: it was stopped, was idle for too long, or never was. Start it again.",
    ),
    Reason.RANGE_NOT_SATISFIABLE: ReasonRow(
        416, Fault.CLIENT, "There are no such bytes: what was asked for is shorter."
    ),
    Reason.CONTENT_NOT_FOUND: ReasonRow(
        404,
        Fault.SWARM,
        "The engine cannot find this broadcast: the link is wrong or outdated, or its lookup failed just now.",
        30,
    ),
    Reason.NO_ENGINE: ReasonRow(
        503, Fault.PROXY, "No engine takes streams: there is none, or all are drained or removed.", 15
    ),
    Reason.ENGINE_UNREACHABLE: ReasonRow(
        503, Fault.ENGINE, "No AceStream engine can be reached. Is it running, and is its address right?", 5
    ),
    Reason.ENGINE_TIMEOUT: ReasonRow(
        504, Fault.ENGINE, "The engine took the request but did not answer in time; it may hang.", 10
    ),
    Reason.ENGINE_REFUSED: ReasonRow(
        502, Fault.ENGINE, "The engine refuses access from this machine; start it with --bind-all."
    ),
    Reason.ENGINE_ERROR: ReasonRow(502, Fault.ENGINE, "The engine answered with an error.", 10),
    Reason.ENGINE_OPTION_MISSING: ReasonRow(
        502, Fault.ENGINE, "The engine demands an option or a newer version for this broadcast."
    ),
    Reason.ENGINE_REDIRECTED: ReasonRow(
        502,
        Fault.SWARM,
        "The engine sends players of this broadcast to another server, which is not followed.",
    ),
    Reason.ENCRYPTED: ReasonRow(502, Fault.SWARM, "The broadcast is encrypted and cannot be delivered as MPEG-TS."),
    Reason.NO_PEERS: ReasonRow(
        504, Fault.SWARM, "Nobody is sending this broadcast now: the engine found no peers in time.", 30
    ),
    Reason.START_TIMEOUT: ReasonRow(
        504, Fault.SWARM, "The broadcast did not begin in time; it may have too few peers.", 10
    ),
    Reason.NO_DATA: ReasonRow(504, Fault.ENGINE, "The engine opened the broadcast but sent no data in time.", 10),
    Reason.NOT_MPEGTS: ReasonRow(
        502, Fault.ENGINE, "What the engine sends for this link is not an MPEG transport stream."
    ),
    Reason.AT_CAPACITY: ReasonRow(
        503,
        Fault.PROXY,
        "All playbacks that the engines may run at once (engine_max_streams) are in use.",
        15,
    ),
    Reason.TOO_MANY_CLIENTS: ReasonRow(503, Fault.PROXY, "The limit of clients (max_clients) is reached.", 15),
    Reason.TOO_MANY_FOR_ADDRESS: ReasonRow(
        429, Fault.CLIENT, "This address plays as much as one address may (max_clients_per_address)."
    ),
    Reason.TOO_MANY_FOR_TOKEN: ReasonRow(429, Fault.CLIENT, "This token plays as much as it may."),
    Reason.TOO_MANY_LISTENERS: ReasonRow(
        503, Fault.PROXY, "The limit of open event streams (max_listeners) is reached.", 15
    ),
    Reason.STORE_UNAVAILABLE: ReasonRow(
        503, Fault.PROXY, "What is kept on disk cannot be read now; playing goes on without it.", 5
    ),
    Reason.STATE_UNWRITABLE: ReasonRow(507, Fault.PROXY, "The state folder cannot be written, so nothing was changed."),
    Reason.NO_TRANSCODER: ReasonRow(
        501, Fault.PROXY, "Sound can be turned into AAC only where ffmpeg is installed beside AceProxy."
    ),
    Reason.TRANSCODERS_BUSY: ReasonRow(
        503, Fault.PROXY, "The limit of streams whose sound is being changed (max_transcoders) is reached.", 15
    ),
    Reason.TRANSCODER_FAILED: ReasonRow(
        502, Fault.PROXY, "The sound of this broadcast could not be turned into AAC.", 10
    ),
    Reason.ENDED: ReasonRow(503, Fault.NONE, "The broadcast came to its end.", 1),
    Reason.SOURCE_ENDED: ReasonRow(
        502, Fault.ENGINE, "The engine ended the broadcast and it could not be reopened.", 5
    ),
    Reason.SOURCE_STALLED: ReasonRow(504, Fault.SWARM, "The broadcast stopped arriving and could not be revived.", 10),
    Reason.ENGINE_STALLED: ReasonRow(
        504, Fault.ENGINE, "The engine sent nothing more, though it did not wait for the swarm.", 10
    ),
    Reason.SOURCE_LOOPS: ReasonRow(
        504,
        Fault.ENGINE,
        "The engine sent old parts of the broadcast again and again, and nothing new could be had.",
        10,
    ),
    Reason.SOURCE_SLOW: ReasonRow(504, Fault.SWARM, "The broadcast arrives too slowly to be watched.", 10),
    Reason.NO_KEYFRAMES: ReasonRow(502, Fault.SWARM, "The broadcast has no place at which a player could begin.", 10),
    Reason.SESSION_LOST: ReasonRow(502, Fault.ENGINE, "The engine forgot this playback.", 5),
    Reason.RECORDING: ReasonRow(
        501, Fault.NONE, "This is a recording: each viewer gets a playback of its own, as one file and not as HLS."
    ),
    Reason.LINGER_OVER: ReasonRow(503, Fault.NONE, "The last client left and nobody came back in time.", 1),
    Reason.GAVE_WAY: ReasonRow(503, Fault.NONE, "The stream had no clients and gave way to another.", 1),
    Reason.STOPPED: ReasonRow(503, Fault.NONE, "The stream was stopped by the operator.", 1),
    Reason.SHUTDOWN: ReasonRow(503, Fault.PROXY, "AceProxy is shutting down.", 5),
    Reason.INTERRUPTED: ReasonRow(
        503, Fault.PROXY, "AceProxy was killed or the machine lost its power while this stream ran.", 5
    ),
    Reason.PROXY_NOT_ASKED: ReasonRow(
        503,
        Fault.PROXY,
        "AceProxy does not say whether it plays this broadcast; starting it could disturb who watches.",
        5,
    ),
    Reason.INTERNAL: ReasonRow(500, Fault.PROXY, "AceProxy made a mistake; the log has the details.", 5),
    Reason.CLIENT_LEFT: ReasonRow(499, Fault.CLIENT, "The client closed the connection."),
    Reason.STALLED_CLIENT: ReasonRow(408, Fault.CLIENT, "The client took no byte for too long."),
    Reason.KICKED: ReasonRow(403, Fault.NONE, "The client was disconnected by the operator."),
    Reason.TOKEN_REVOKED: ReasonRow(403, Fault.NONE, "The token that the client played with was revoked."),
    Reason.PLAYER_STOPPED: ReasonRow(410, Fault.NONE, "The player stopped its playback session."),
    Reason.CLIENT_SILENT: ReasonRow(
        408, Fault.NONE, "The player asked for no list and no segment for too long (hls_silence_s)."
    ),
}


class AceProxyError(Exception):
    """A failure with a reason from the table.

    `detail` is what makes this case special, in words for people (the engine's own text, the offending value); it may
    hold outside text and must be treated as hostile where it is shown. `retry_after_s` is the row's, where nothing
    better is known in this case.
    """

    def __init__(self, reason: Reason, detail: str = "", *, retry_after_s: int | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = self.row.retry_after_s if retry_after_s is None else retry_after_s

    @property
    def row(self) -> ReasonRow:
        """The reason's row in the table."""
        return REASONS[self.reason]

    @property
    def message(self) -> str:
        """The reason's sentence, followed by the detail where there is one."""
        return f"{self.row.message} ({self.detail})" if self.detail else self.row.message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
