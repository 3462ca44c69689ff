"""The shapes of an engine's answers, made from what we know (engine-api §3.2, §5 to §8). Pure.

An engine answers failures of these calls with HTTP 200 and words; clients compare the words. So ours are the engine's
where it has some for the case.
"""

from __future__ import annotations

import json
import re

from aceproxy.engine.messages import KILOBYTE_BITS, Stat
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.recording import Recording
from aceproxy.streams.states import State
from aceproxy.streams.stream import Stream

UNKNOWN_SESSION = "unknown playback session id"
PIECE_BYTES = 16384  # what `downloaded` is a multiple of
_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,2})\.([0-9]{1,2})")
_WORDS = {
    Reason.NO_LINK: "missing content id",
    Reason.BAD_LINK: "invalid content id",
    Reason.CONTENT_NOT_FOUND: "failed to load content",
    Reason.ENGINE_OPTION_MISSING: "missing option",
    Reason.NO_PEERS: "no active peers",
    Reason.START_TIMEOUT: "start timeout",
    Reason.SESSION_LOST: UNKNOWN_SESSION,
    Reason.SESSION_UNKNOWN: UNKNOWN_SESSION,
}
_STATUS = {State.STARTING: "prebuf", State.RECOVERING: "buf"}


def words_for(error: AceProxyError) -> str:
    """Return the engine's words for a failure, or ours where it has none: the reason's name, then the sentence."""
    return _WORDS.get(error.reason) or f"{error.reason}: {error.message}"


def dumped(value: object) -> bytes:
    """Return JSON for an answer."""
    return json.dumps(value).encode()


def success(response: object) -> dict[str, object]:
    """The answer of a call below `/ace/` that succeeded."""
    return {"response": response, "error": None}


def failure(words: str) -> dict[str, object]:
    """The answer of a call below `/ace/` that failed."""
    return {"response": None, "error": words}


def version_result(version: str) -> dict[str, object]:
    """The result of `get_version` (§8.1); the code orders versions: 3.2.3 is 3020300."""
    found = _VERSION.match(version)
    code = 0
    if found is not None:
        major, minor, patch = (int(part) for part in found.groups())
        code = major * 1_000_000 + minor * 10_000 + patch * 100
    return {"code": code, "platform": "linux", "version": version}


def stat_response(stream: Stream, now: float, *, session_id: str, is_live: int, number: int) -> dict[str, object]:
    """The response of stat (§5) for a session of a stream, from values at hand; `number` is its client_session_id."""
    source = stream.source
    stat = source.last_stat(now) if source is not None else None
    if stat is None:
        progress = source.progress if source is not None else None
        stat = Stat("prebuf") if progress is None else Stat("prebuf", progress.progress, progress.peers)
    delivers = stream.state in (State.LIVE, State.LINGERING, State.DRAINING)
    down_bps = stat.speed_down_bps if stat.speed_down_bps is not None else round(stream.intake.inbound_bps)
    downloaded = stat.downloaded_bytes
    if downloaded is None:
        downloaded = stream.intake.ingest.received_bytes // PIECE_BYTES * PIECE_BYTES
    answer: dict[str, object] = {
        "status": "dl" if delivers else _STATUS.get(stream.state, "prebuf"),
        "peers": stat.peers or 0,
        "speed_down": down_bps // KILOBYTE_BITS,
        "speed_up": (stat.speed_up_bps or 0) // KILOBYTE_BITS,
        "downloaded": downloaded,
        "uploaded": stat.uploaded_bytes or 0,
        "total_progress": stat.total_progress or 0,
        "is_live": is_live,
        "infohash": stream.infohash or stream.link.digest,
        "playback_session_id": session_id,
        "client_session_id": number,
        "selected_file_index": -1,
        **_constants(stream.ring.held_bytes),
    }
    if not delivers:
        answer["progress"] = stat.progress or 0
    elif (livepos := _livepos(stat)) is not None:
        answer["livepos"] = livepos
    return answer


def recording_response(
    recording: Recording | None, *, session_id: str, infohash: str, index: int, number: int
) -> dict[str, object]:
    """The response of stat (§5) for a session of a recording; None: nothing was asked of an engine yet.

    It says `dl` from the beginning: a playback is started by asking for the media, which then waits for it.
    """
    stat = (recording.stat if recording is not None else None) or Stat("dl")
    sent = recording.sent_bytes if recording is not None else 0
    downloaded = stat.downloaded_bytes if stat.downloaded_bytes is not None else sent // PIECE_BYTES * PIECE_BYTES
    return {
        "status": "dl",
        "peers": stat.peers or 0,
        "speed_down": (stat.speed_down_bps or 0) // KILOBYTE_BITS,
        "speed_up": (stat.speed_up_bps or 0) // KILOBYTE_BITS,
        "downloaded": downloaded,
        "uploaded": stat.uploaded_bytes or 0,
        "total_progress": stat.total_progress or 0,
        "is_live": 0,
        "infohash": infohash,
        "playback_session_id": session_id,
        "client_session_id": number,
        "selected_file_index": index,
        **_constants(0),
    }


def _constants(held_bytes: int) -> dict[str, object]:
    """The fields of stat in which there is nothing to tell."""
    return {
        "is_encrypted": 0,
        "selected_stream_index": 0,
        "stream_status": -1,
        "manifest_access_mode": -1,
        "debug_level": 0,
        "network_monitor_status": 0,
        "network_monitor_started": False,
        "disk_cache_stats": {"avail": 0, "disk_cache_limit": 0, "inactive_inuse": 0, "active_inuse": held_bytes},
    }


def _livepos(stat: Stat) -> dict[str, str] | None:
    """Where the broadcast stands, all strings as the engine writes them; the place delivered is the live edge."""
    told = stat.livepos
    if told is None or told.last_utc is None:
        return None
    first = -1 if told.first_utc is None else told.first_utc
    numbers = {
        "pos": told.last_utc if told.pos_utc is None else told.pos_utc,
        "last": told.last_utc,
        "live_last": told.last_utc,
        "live_first": first,
        "first_ts": first,
        "last_ts": told.last_utc,
        "is_live": 1,
        "buffer_pieces": told.buffer_pieces or 0,
    }
    return {name: str(number) for name, number in numbers.items()}
