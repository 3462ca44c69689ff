"""Every tunable of the program, with its unit, its bounds and a sentence.

A setting comes from, the strongest first: the command line, an `ACEPROXY_<NAME>` variable, the TOML file, the default.
An unknown name in any of them is an error that names the nearest known one: a typo must never be ignored in silence.
`docs/settings.md` lists them all, and a test compares the two.
"""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aceproxy.entries import HOST, EngineEntry, without_doubles

ENV_PREFIX = "ACEPROXY_"
CONFIG_VARIABLE = "ACEPROXY_CONFIG"  # names the TOML file; not a setting itself


class SettingsError(Exception):
    """The configuration cannot be used; the message says which name or value, where it stands, and what to do."""


def split_address(text: str) -> tuple[str | None, int]:
    """Take `HOST:PORT` apart; an empty host or `*` (all interfaces) becomes None, `[…]` around IPv6 is dropped.

    Raises ValueError for anything else.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: put brackets around an IPv6 address")
    return (None if host in ("", "*") else host), int(port)


def _address(text: str) -> str:
    split_address(text)
    return text


def _words(value: object) -> object:
    """Let a list be written as one comma-separated string, as environment variables need it."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _nothing(value: object) -> object:
    """Take an empty text, as compose files produce it, for "not given"."""
    return None if value == "" else value


def _level(text: str) -> str:
    level = text.lower()
    if level not in ("debug", "info", "warning", "error"):
        raise ValueError("one of debug, info, warning, error")
    return level


def _network(text: str) -> str:
    """Normalise an address or a network in CIDR notation."""
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address or a network such as 192.168.1.0/24") from error


def _host_pattern(text: str) -> str:
    name = text.strip().lower().removesuffix(".")
    if name != "*" and not HOST.fullmatch(name.removeprefix("*.")):
        raise ValueError(f"{text!r} is not a host name, *.NAME or *")
    return name


def _log_format(text: str) -> str:
    if text not in ("text", "json"):
        raise ValueError("one of text, json")
    return text


Entries = Annotated[tuple[EngineEntry, ...], AfterValidator(without_doubles)]
Network = Annotated[str, AfterValidator(_network)]
HostPattern = Annotated[str, AfterValidator(_host_pattern)]
Words = BeforeValidator(_words)
HOME_NETWORKS = (  # loopback, private and link-local
    "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7",
    "fe80::/10",
)  # fmt: skip


class Settings(BaseModel):
    """The settings, frozen once read. Seconds end in `_s`, bytes in `_bytes`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    # where
    listen: Annotated[str, AfterValidator(_address)] = Field(
        ":6880", description="Address and port to serve on; an empty host means all interfaces."
    )
    engines: Annotated[Entries, Words] = Field(
        ("http://127.0.0.1:6878",),
        min_length=1,
        validate_default=True,
        description="The AceStream engines: addresses, or [[engine]] tables in the file.",
    )
    url_hosts: Annotated[tuple[str, ...], Words] = Field(
        (),
        description="Hosts to which url= links may point; none by default, since the engine fetches what they name. "
        "'*' allows every public host; a private address must be named itself.",
    )
    origin_hosts: Annotated[tuple[str, ...], Words] = Field(
        (),
        description="Hosts from which broadcasts may be read that an engine redirects to; none by default. '*' allows "
        "every public host; a private address must be named itself.",
    )
    state_dir: Annotated[Path | None, BeforeValidator(_nothing)] = Field(
        None, description="Folder for what must survive a crash (open playbacks); none: nothing is kept."
    )
    # who may do what
    trusted_networks: Annotated[tuple[Network, ...], Words] = Field(
        HOME_NETWORKS, description="Networks whose requests may watch and look without signing in, but change nothing."
    )
    trusted_proxies: Annotated[tuple[Network, ...], Words] = Field(
        (), description="Reverse proxies whose word about the client's address, host and scheme is taken."
    )
    allowed_hosts: Annotated[tuple[HostPattern, ...], Words] = Field(
        (),
        description="Public names under which the program is reached (NAME, *.NAME, or * for any); addresses and names "
        "of the local network need not be listed.",
    )
    require_token: bool = Field(
        False, description="Streams play only with a token, or for who has signed in; also in the trusted networks."
    )
    foreign_streams: bool = Field(
        False, description="Streams play for everybody who can reach the program, unless require_token is set."
    )
    sign_in_idle_s: float = Field(
        7 * 86400.0, gt=0, description="A browser that has signed in and asks nothing for this long is signed out."
    )
    sign_in_limit_s: float = Field(30 * 86400.0, gt=0, description="After this time everybody has to sign in again.")
    # log
    log_level: Annotated[str, AfterValidator(_level)] = Field(
        "info", description="Least important level that is logged: debug, info, warning or error."
    )
    log_lines: int = Field(2000, ge=10, le=100_000, description="Records kept in memory for /api/logs/tail.")
    log_format: Annotated[str, AfterValidator(_log_format)] = Field(
        "text", description="How records are written to standard error: text (for people) or json."
    )
    log_file: Annotated[Path | None, BeforeValidator(_nothing)] = Field(
        None, description="File to which records are written as JSON lines as well; none: no file."
    )
    log_file_bytes: int = Field(
        10 << 20, ge=64 << 10, description="Size at which the log file becomes .1, .1 becomes .2, and so on."
    )
    log_file_count: int = Field(5, ge=1, le=100, description="Log files kept, the one that is written included.")
    # talking to an engine
    connect_timeout_s: float = Field(5.0, gt=0, description="Limit for the TCP connection to an engine.")
    answer_timeout_s: float = Field(
        30.0, gt=0, description="Limit for an engine's answer to a start call; a lookup on the network takes seconds."
    )
    stat_timeout_s: float = Field(5.0, gt=0, description="Limit for an engine's answer to a stat or version call.")
    stop_timeout_s: float = Field(3.0, gt=0, description="Limit for an engine's answer to a stop; then it is given up.")
    start_timeout_s: float = Field(
        60.0, gt=0, description="One deadline over all tries of a start, from the request to the first data."
    )
    start_poll_s: float = Field(0.25, gt=0, description="Time between stat polls while a stream starts.")
    stat_poll_s: float = Field(
        2.0,
        gt=0,
        description="Time between stat polls while a stream runs; longer, up to 10 s, where more than 20 run.",
    )
    retry_first_s: float = Field(
        1.0,
        gt=0,
        description="First wait before a failed media request or start is tried again; doubles up to 8 times.",
    )
    engine_probe_s: float = Field(10.0, gt=0, description="Time between health probes (get_version) of an engine.")
    engine_max_streams: int = Field(
        100, ge=1, description="Playbacks that one engine may run at once. Small machines are better off with 3 to 5."
    )
    breaker_failures: int = Field(
        3, ge=1, description="Failures of an engine in a row after which it is left alone while others can do."
    )
    breaker_first_s: float = Field(
        10.0, gt=0, description="For how long a failing engine is left alone at first; doubles with each failed trial."
    )
    breaker_max_s: float = Field(300.0, gt=0, description="Longest time for which a failing engine is left alone.")
    short_play_s: float = Field(
        5.0, ge=0, description="A playback that the engine ends sooner than this counts as a failure of the engine."
    )
    experience_half_life_s: float = Field(
        600.0, gt=0, description="Time after which what starts on an engine have shown counts half in the choice."
    )
    bad_link_memory_s: float = Field(
        30.0, ge=0, description="For how long a link the engine could not find is refused without asking again."
    )
    # streams
    quiet_s: float = Field(
        2.0,
        gt=0,
        description="Silence of a source from which on the engine is asked at once and clients get null packets.",
    )
    stuck_s: float = Field(
        8.0,
        gt=0,
        description="Silence after which a source is given up although the engine claims to deliver; one that waits "
        "for the swarm is only tried beside, on another engine.",
    )
    silence_s: float = Field(30.0, gt=0, description="Silence of a source after which it is given up in any case.")
    garbage_s: float = Field(
        5.0, gt=0, description="For how long a source may send what is not MPEG-TS before it is given up."
    )
    trickle_s: float = Field(
        10.0, gt=0, description="For how long a live source may send less than a tenth of real time."
    )
    slow_s: float = Field(
        30.0,
        gt=0,
        description="For how long a live source may send less than 60 % of real time before another engine or link is "
        "tried beside it.",
    )
    keyframe_gap_s: float = Field(
        30.0,
        gt=0,
        description="For how long there may be no random-access point before another engine or link is tried beside.",
    )
    loop_s: float = Field(
        30.0,
        gt=0,
        description="For how long media may flow on while the engine's live_last stands still; then it counts as old.",
    )
    reopen_s: float = Field(
        20.0,
        gt=0,
        description="Limit for one try to open a lost source anew, where another engine or link could be tried next.",
    )
    standby: bool = Field(
        False,
        description="Keep a second engine ready for every stream with clients, so that a lost source is replaced in "
        "less than a second. Costs the broadcast's bandwidth once more.",
    )
    standby_bytes: int = Field(
        8 << 20, ge=1 << 20, le=64 << 20, description="Newest bytes kept of a source that waits to take over."
    )
    return_s: float = Field(
        60.0,
        ge=0,
        description="How long a fallback link plays before the first link is tried beside it; 0: it is never left.",
    )
    return_proof_s: float = Field(
        15.0, ge=0, description="How long the first link must deliver beside a fallback before it is returned to."
    )
    recover_s: float = Field(
        60.0, ge=0, description="How long a stream that lost its source tries to get it back while clients wait."
    )
    splice_wait_s: float = Field(
        10.0, gt=0, description="How long the place up to which clients were served is looked for in a reopened source."
    )
    linger_s: float = Field(15.0, ge=0, description="How long a stream without clients is kept for one to come back.")
    max_lingering: int = Field(
        8, ge=0, description="Streams without clients kept at most; the one longest without gives way at once."
    )
    keyframe_wait_s: float = Field(
        5.0, gt=0, description="How long a start waits for a random-access point before it serves from any packet."
    )
    stat_max_age_s: float = Field(
        15.0, gt=0, description="Age after which an engine's last stat is not shown any more."
    )
    batch_s: float = Field(
        0.11,
        ge=0,
        le=1,
        description="Longest time that bytes which arrived at our socket wait to be read and sent on.",
    )
    batch_bytes: int = Field(
        128 << 10,
        ge=1316,
        description="Bytes that, found by one read, are sent on at once and followed by the next read.",
    )
    # the ring
    block_s: float = Field(2.0, gt=0, le=10, description="Least media time of a block; it is cut at the next keyframe.")
    block_bytes: int = Field(
        8 << 20, ge=256 << 10, le=256 << 20, description="Size at which a block is cut if no keyframe comes before."
    )
    ring_s: float = Field(30.0, gt=0, description="Media time kept per stream.")
    ring_bytes: int = Field(64 << 20, ge=1 << 20, description="Bytes kept per stream at most.")
    burst_s: float = Field(
        6.0,
        ge=0,
        description="Media time behind the live edge at which a new client starts. Players that examine the first 5 s "
        "before they play start at once if they get that much at once.",
    )
    # clients
    max_clients: int = Field(5000, ge=1, description="Clients of all streams together; further ones get a 503.")
    client_stall_s: float = Field(30.0, gt=0, description="A client that takes no byte for this long is closed.")
    max_listeners: int = Field(
        100, ge=1, le=10_000, description="Open event streams (dashboards, live logs); further ones get a 503."
    )
    stills: bool = Field(
        True, description="Whether the dashboard shows a still of each stream, made by ffmpeg where that is installed."
    )
    audio_aac_agents: Annotated[tuple[str, ...], Words] = Field(
        (),
        description="Players that get sound as AAC without asking, by a part of their User-Agent in any case; the word "
        "browsers stands for all browsers. Needs ffmpeg.",
    )
    max_transcoders: int = Field(
        4, ge=0, le=100, description="Streams whose sound is turned into AAC at once, each by one ffmpeg; 0: none."
    )
    # the engine's interface
    session_idle_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="A playback session (format=json) that neither reads nor asks for this long is ended.",
    )
    max_sessions: int = Field(
        500, ge=1, description="Playback sessions at most; the one idle longest gives way to a new one."
    )
    # history
    history_rows: int = Field(5000, ge=0, description="Past streams that are kept; 0 keeps no history.")
    history_days: float = Field(90.0, ge=0, le=3650, description="Days for which past streams are kept; 0 keeps none.")
    history_addresses: bool = Field(
        True, description="Whether the history tells the network addresses of those who watched."
    )
    quality_links: int = Field(
        2000, ge=0, le=100_000, description="Links (one per engine) whose quality is remembered; 0 remembers none."
    )
    quality_half_life_days: float = Field(
        7.0, gt=0, le=365, description="Days after which what is known of a link counts half."
    )
    # HLS
    hls_segments: int = Field(
        6, ge=3, le=100, description="Segments in a list; more where they are short for their target duration."
    )
    hls_silence_s: float = Field(
        20.0, gt=0, description="An HLS viewer that asks for no list and no segment for this long has left."
    )
    max_clients_per_address: int = Field(
        0, ge=0, description="Clients of one address, those that wait for a start included; 0: no limit."
    )
    max_streams_per_address: int = Field(0, ge=0, description="Different streams of one address; 0: no limit.")
    max_clients_per_token: int = Field(
        0, ge=0, description="Clients of one token that has no limit of its own; 0: no limit."
    )
    max_streams_per_token: int = Field(
        0, ge=0, description="Different streams of one token that has no limit of its own; 0: no limit."
    )
    # connections
    head_timeout_s: float = Field(
        10.0, ge=0.1, description="A request's head, and its body, must have come within this time."
    )
    max_waiting: int = Field(
        2000,
        ge=10,
        description="Connections that wait for a request; beyond that the address with the most of them loses one.",
    )
    max_waiting_per_address: int = Field(
        200, ge=1, description="The same for one address, of connections that never sent a whole request."
    )
    # metrics
    metrics_streams: int = Field(
        100, ge=0, le=10_000, description="Streams that /metrics tells one by one, those with the most clients first."
    )
    # recordings
    recording_linger_s: float = Field(
        20.0,
        ge=0,
        description="How long the playback of a recording is kept for its viewer's next request, as in seeking.",
    )
    recording_pause_s: float = Field(
        1800.0,
        gt=0,
        description="A viewer of a recording that takes no byte for this long is closed; it may be paused.",
    )
    # leaving
    shutdown_s: float = Field(10.0, gt=0, description="Limit for the whole shutdown.")

    def take_over(self, values: Mapping[str, Any]) -> None:
        """Let everyone who holds this object read other values from now on; for `live` alone, with checked values.

        Frozen stays what it is for everyone else: nobody can set a field. On the event loop; other threads see each
        value either as it was or as it is.
        """
        self.__dict__.update(values)


def nearest(name: str, prefix: str = "") -> str:
    """Say which setting was probably meant, spelt as in the place where `prefix` is put before it; or nothing."""
    close = difflib.get_close_matches(name, list(Settings.model_fields), n=1, cutoff=0.5)
    if not close:
        return ""
    return f"; did you mean {prefix + close[0].upper() if prefix else close[0]}?"


def _refuse_unknown(names: list[str], where: str) -> None:
    for name in names:
        if name not in Settings.model_fields:
            raise SettingsError(f"unknown setting {name!r} in {where}{nearest(name)}")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    tables = values.pop("engine", None)
    if tables is not None:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise SettingsError(f"{path}: an engine is a table headed [[engine]], with two brackets on each side")
        values["engines"] = [*_listed(values.get("engines", [])), *tables]
    _refuse_unknown(list(values), str(path))
    return values


def _listed(value: object) -> list[object]:
    words = _words(value)
    return list(words) if isinstance(words, (list, tuple)) else [words]


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values = {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(ENV_PREFIX) and name != CONFIG_VARIABLE
    }
    for name in values:
        if name not in Settings.model_fields:
            variable = ENV_PREFIX + name.upper()
            raise SettingsError(f"unknown setting {variable} in the environment{nearest(name, ENV_PREFIX)}")
    return values


def read_settings(
    flags: Mapping[str, Any], environ: Mapping[str, str], config: Path | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read what all places give, unchecked, and where each value comes from. Raises SettingsError.

    `flags` holds what the command line gave, by setting name; `config` is the file it named (else `ACEPROXY_CONFIG`).
    """
    if config is None and environ.get(CONFIG_VARIABLE):
        config = Path(environ[CONFIG_VARIABLE])
    _refuse_unknown(list(flags), "the command line")
    places: list[tuple[str, Mapping[str, Any]]] = []
    if config is not None:
        places.append((str(config), _from_file(config)))
    places.append(("the environment", _from_environment(environ)))
    places.append(("the command line", flags))
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for place, given in places:
        values.update(given)
        origin.update(dict.fromkeys(given, place))
    return values, origin


def load_settings(
    flags: Mapping[str, Any], environ: Mapping[str, str], config: Path | None = None
) -> tuple[Settings, dict[str, str]]:
    """Read the settings from all places and check them; see `read_settings`.

    Returns the settings and, for each one that is not a default, where it came from. Raises SettingsError.
    """
    values, origin = read_settings(flags, environ, config)
    return checked_settings(values, origin), origin


def checked_settings(values: Mapping[str, Any], origin: Mapping[str, str]) -> Settings:
    """Return the settings with these values. Raises SettingsError, which names the place of the value that is wrong."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        message = first["msg"].removeprefix("Value error, ")
        place = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in first["loc"][1:])
        place = place if "." in place else ""  # a word of a list is told by its own message
        raise SettingsError(f"{name}{place} (from {origin.get(name, 'the defaults')}): {message}") from error
