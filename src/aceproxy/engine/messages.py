"""The engine's answers as values (engine-api §3.2, §5, §8, §9). Pure.

Engines answer errors with HTTP 200, write numbers as strings, leave members out and add new ones, and sometimes send
text where JSON is expected. So: the `error` member is looked at before anything else, every member is optional
unless nothing can be done without it, unknown ones are ignored, and odd values count as not told. The only exception
that leaves is AceProxyError.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from aceproxy.engine.readings import URL_FORBIDDEN, URL_LIMIT, count, flag, infohash_in, scaled, url_in, whole_object
from aceproxy.engine.words import error_text, reason_for
from aceproxy.errors import AceProxyError, Reason

__all__ = [
    "EngineVersion", "LivePos", "MediaFiles", "StartAnswer", "Stat", "error_of", "error_text", "is_media_url",
    "parse_command", "parse_media_files", "parse_result", "parse_start", "parse_stat", "parse_version", "reason_for",
    "rewrite_url",
]  # fmt: skip

ANSWER_LIMIT_BYTES = 256 << 10  # an answer longer than this is not one
KILOBYTE_BITS = 8 * 1024  # speeds are told in Kbytes/s; byte counters fit 1024 better than 1000 (§5)

NO_JSON = "not JSON: "  # before the words of an answer that is none
BINARY_WORDS = "bytes that are no text"
BEGIN_CHARACTERS = 400  # of an answer that is no JSON
UNTOLD = "unknown"  # the status of a stat that tells none

_STATUS = re.compile(r"[a-z_]{1,20}")
# Where an engine delivers a progressive body (§3.5); a redirect that leads elsewhere is not one of the engine's own.
_MEDIA_PATH = re.compile(r"/(?:(?:ace|hls)/r/[0-9a-f]{40}/[0-9a-f]+|content/[0-9a-f]{40}/[0-9.]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StartAnswer:
    """The answer to a JSON start (§3.2). URLs are as the engine wrote them; see `rewrite_url`.

    `is_live` is None where the engine does not know. `stat_url` and `command_url` may be missing for direct files.
    """

    playback_url: str
    stat_url: str | None
    command_url: str | None
    infohash: str | None
    session_id: str
    is_live: bool | None
    is_encrypted: bool


@dataclass(frozen=True, slots=True)
class LivePos:
    """Where a live broadcast stands, in unix seconds; None where the engine does not tell (§5).

    `first_utc` and `last_utc` bound what the engine could deliver, `pos_utc` is what it delivers now. `at_edge` is
    False after seeking back.
    """

    first_utc: int | None
    last_utc: int | None
    pos_utc: int | None
    at_edge: bool | None
    buffer_pieces: int | None


@dataclass(frozen=True, slots=True)
class Stat:
    """An answer of the stat URL (§5). None where the engine does not tell.

    `status` is the engine's word (`prebuf`, `dl`, `buf`, …; `unknown` where there is none). `progress` is percent of
    the buffering, `total_progress` percent of the whole file. Speeds are bits per second, counters bytes.
    """

    status: str
    progress: int | None = None
    peers: int | None = None
    speed_down_bps: int | None = None
    speed_up_bps: int | None = None
    downloaded_bytes: int | None = None
    uploaded_bytes: int | None = None
    total_progress: int | None = None
    livepos: LivePos | None = None
    infohash: str | None = None
    session_id: str = ""
    is_live: bool | None = None
    is_encrypted: bool = False
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """The answer to `get_version` (§8.1). `code` orders versions: 3.2.3 is 3020300."""

    version: str
    code: int | None
    platform: str


@dataclass(frozen=True, slots=True)
class MediaFiles:
    """What `get_media_files` and `analyze_content` tell of a link (§8.2)."""

    infohash: str | None
    name: str
    is_live: bool | None


def error_of(text: str) -> AceProxyError:
    """Return the failure that an error page (any status, JSON or text) tells of."""
    try:
        _answer(text, "response")
    except AceProxyError as error:
        return error
    return AceProxyError(Reason.ENGINE_ERROR, error_text(text))


def parse_start(text: str) -> StartAnswer:
    """Read the answer to a JSON start.

    Raises AceProxyError with the engine's own words and the reason they stand for; ENGINE_ERROR where the answer
    cannot be understood or names no playback URL.
    """
    response = whole_object(_answer(text, "response"))
    playback_url = url_in(response.get("playback_url"))
    if playback_url is None:
        raise AceProxyError(Reason.ENGINE_ERROR, "the start answer has no playback_url")
    return StartAnswer(
        playback_url=playback_url,
        stat_url=url_in(response.get("stat_url")),
        command_url=url_in(response.get("command_url")),
        infohash=infohash_in(response.get("infohash")),
        session_id=error_text(response.get("playback_session_id"))[:64],
        is_live=flag(response.get("is_live")),
        is_encrypted=flag(response.get("is_encrypted")) is True,
    )


def parse_stat(text: str) -> Stat:
    """Read an answer of the stat URL. Raises AceProxyError like `parse_start`, SESSION_LOST for a forgotten one."""
    response = whole_object(_answer(text, "response"))
    status = response.get("status")
    word = status.strip().lower() if isinstance(status, str) else ""
    progress = count(response.get("progress"))
    return Stat(
        status=word if _STATUS.fullmatch(word) else UNTOLD,
        progress=None if progress is None else min(progress, 100),
        peers=count(response.get("peers")),
        speed_down_bps=scaled(response.get("speed_down"), KILOBYTE_BITS),
        speed_up_bps=scaled(response.get("speed_up"), KILOBYTE_BITS),
        downloaded_bytes=count(response.get("downloaded")),
        uploaded_bytes=count(response.get("uploaded")),
        total_progress=count(response.get("total_progress")),
        livepos=_livepos(response.get("livepos")),
        infohash=infohash_in(response.get("infohash")),
        session_id=error_text(response.get("playback_session_id"))[:64],
        is_live=flag(response.get("is_live")),
        is_encrypted=flag(response.get("is_encrypted")) is True,
        error_message=error_text(response.get("error_message")),
    )


def parse_version(text: str) -> EngineVersion:
    """Read the answer to `get_version`. Raises AceProxyError."""
    result = whole_object(_answer(text, "result"))
    return EngineVersion(
        version=error_text(result.get("version"))[:40],
        code=count(result.get("code")),
        platform=error_text(result.get("platform"))[:40],
    )


def parse_media_files(text: str) -> MediaFiles:
    """Read the answer to `get_media_files` or `analyze_content`. Raises AceProxyError."""
    result = whole_object(_answer(text, "result"))
    live = flag(result.get("is_live"))
    if live is None and result.get("type") in ("live", "vod"):
        live = result["type"] == "live"
    name = result.get("name") or result.get("title")
    return MediaFiles(infohash_in(result.get("infohash")), error_text(name), live)


def parse_result(text: str) -> object:
    """Read the answer to a service call and return its `result`, whatever that is. Raises AceProxyError."""
    return _answer(text, "result")


def parse_command(text: str) -> None:
    """Read the answer to a command; returns if the engine said ok. Raises AceProxyError."""
    try:
        _answer(text, "response")
    except AceProxyError:
        _answer(text, "result")  # the form of api_version 2 (§7)


def rewrite_url(url: str, engine_url: str) -> str:
    """Return `url` with scheme, host and port of the configured engine: behind containers and NAT the engine's own
    idea of its address is often useless (§1), and nothing else may ever be contacted.

    Raises AceProxyError ENGINE_ERROR where `url` is no URL.
    """
    try:
        engine, parts = urlsplit(engine_url), urlsplit(url)
    except ValueError:
        raise AceProxyError(Reason.ENGINE_ERROR, "the engine gave something that is no URL") from None
    path = parts.path if parts.path.startswith("/") else "/" + parts.path
    if URL_FORBIDDEN.search(url) or not (path + parts.query).isascii() or len(url) > URL_LIMIT:
        raise AceProxyError(Reason.ENGINE_ERROR, "the engine gave something that is no URL")
    return f"{engine.scheme}://{engine.netloc}{path}" + (f"?{parts.query}" if parts.query else "")


def is_media_url(url: str) -> bool:
    """Say whether the path of a URL is one where an engine delivers a progressive body (§3.5)."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return False
    return _MEDIA_PATH.match(path) is not None and ".." not in path


def _answer(text: str, member: str) -> object:
    """Return the member of an answer that holds the result; raise what its `error` says."""
    if len(text) > ANSWER_LIMIT_BYTES:
        raise AceProxyError(Reason.ENGINE_ERROR, "the answer is too long")
    try:
        # NaN and Infinity are no JSON and no values; long numbers raise ValueError, deep nesting RecursionError
        answer = json.loads(text.removeprefix("\ufeff"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        words = BINARY_WORDS if _is_binary(text) else error_text(text)
        reason = reason_for(words)
        if reason is Reason.ENGINE_ERROR:
            words = f"{NO_JSON}{words}" if words else "an empty answer"
        raise AceProxyError(reason, words) from None
    if not isinstance(answer, dict):
        raise AceProxyError(Reason.ENGINE_ERROR, f"not an answer: {error_text(answer)}")
    error = answer.get("error")
    extra = answer.get("extra_data")
    if isinstance(extra, dict) and extra.get("reason") == "missing_option":
        words = error_text(error) or "missing_option"
        raise AceProxyError(Reason.ENGINE_OPTION_MISSING, f"{words}: {error_text(extra.get('option'))}")
    if error not in (None, "", False, 0):
        words = error_text(error) or "an error without words"
        raise AceProxyError(reason_for(words), words)
    if answer.get(member) is None:
        raise AceProxyError(Reason.ENGINE_ERROR, f"the answer has no {member}")
    return answer[member]


def _is_binary(text: str) -> bool:
    """Whether a tenth and more of what an answer begins with is no text, as it is of media."""
    begin = text[:BEGIN_CHARACTERS]
    return sum(not (letter.isprintable() or letter.isspace()) or letter == "\ufffd" for letter in begin) * 10 > len(
        begin
    )


def _livepos(value: object) -> LivePos | None:
    if not isinstance(value, dict):
        return None

    def moment(*names: str) -> int | None:
        found = (count(value.get(name)) for name in names)
        return next((number for number in found if number is not None), None)

    livepos = LivePos(
        first_utc=moment("live_first", "first_ts"),
        last_utc=moment("live_last", "last_ts", "last"),
        pos_utc=moment("pos"),
        at_edge=flag(value.get("is_live")),
        buffer_pieces=moment("buffer_pieces"),
    )
    told = (livepos.first_utc, livepos.last_utc, livepos.pos_utc, livepos.at_edge, livepos.buffer_pieces)
    return None if all(part is None for part in told) else livepos
