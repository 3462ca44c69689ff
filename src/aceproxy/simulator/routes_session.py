"""Stat, commands and events of a session (engine-api §5 to §7, §15 rules 9 to 11)."""

from __future__ import annotations

from aceproxy.simulator.engine import Engine
from aceproxy.simulator.http1 import Answer, Connection, Request
from aceproxy.simulator.playbacks import Download, Session
from aceproxy.simulator.replies import UNKNOWN_SESSION, error_reply, reply
from aceproxy.simulator.routes_start import FOREVER_S
from aceproxy.simulator.sessions import PIECE_BYTES, event

PREBUFFER_SPEED = 1.5  # how much faster than live a prebuffering download is
LIVEPOS_KEYS = ("pos", "last", "live_last", "live_first", "first_ts", "last_ts")


async def stat(engine: Engine, request: Request, connection: Connection, infohash: str, key: str) -> Answer | None:
    """Answer `/ace/stat/<infohash>/<key>`."""
    if hang := engine.faults.use("stat-hang", infohash):
        await connection.pause(FOREVER_S, lambda: hang.cleared)
        return None
    session = engine.running(key, infohash)
    if session is None:
        return error_reply(engine, infohash, UNKNOWN_SESSION)
    now = engine.now()
    if engine.config.stat_is_activity and request.query.get("skip_player_activity") != "1":
        session.active_at = now
    return reply(engine, infohash, stat_answer(engine, session, now))


def stat_answer(engine: Engine, session: Session, now: float) -> dict[str, object]:
    """Return the response object of stat."""
    download, content = session.download, session.channel.content
    ready = engine.table.is_ready(download, now)
    dead = engine.table.is_dead(download)
    stalled = download.readers_stalled > 0
    kilobytes = content.bitrate_bps // 8192
    speed = 0 if dead or stalled else round(kilobytes * (1.0 if ready else PREBUFFER_SPEED))
    answer: dict[str, object] = {
        "status": "prebuf" if not ready else "buf" if stalled else "dl",
        "peers": 0 if dead else content.peers,
        "speed_down": speed,
        "speed_up": speed // 9,
        "downloaded": 0 if dead else downloaded_bytes(download, now, stalled=stalled),
        "uploaded": 0 if dead else download.pieces // 9 * PIECE_BYTES,
        "total_progress": total_progress(download),
        "is_live": int(content.live),
        "is_encrypted": int(engine.faults.find("encrypted", content.infohash) is not None),
        "infohash": content.infohash,
        "playback_session_id": download.psid,
        "client_session_id": session.client_session_id,
        "selected_file_index": -1 if content.live else session.file_index,
        "selected_stream_index": 0,
        "stream_status": -1,
        "manifest_access_mode": -1,
        "debug_level": 0,
        "network_monitor_status": 0,
        "network_monitor_started": False,
        "disk_cache_stats": {
            "avail": 3_199_156_224,
            "disk_cache_limit": 2_266_017_044,
            "inactive_inuse": 0,
            "active_inuse": download.pieces * PIECE_BYTES,
        },
    }
    if not ready or stalled:
        answer["progress"] = 0 if dead else download.progress(now)
    if ready and content.live:
        answer |= livepos(engine, session, now)
    return answer


def downloaded_bytes(download: Download, now: float, *, stalled: bool) -> int:
    """Return the bytes fetched so far, in whole pieces, never less than before."""
    if not stalled:
        age_s = now - download.started_at
        fast_s = min(age_s, download.prebuffer_s)
        content = download.channel.content
        fetched = content.bitrate_bps / 8 * (age_s + (PREBUFFER_SPEED - 1) * fast_s)
        if not content.live:
            fetched = min(fetched, download.channel.size_bytes)
        download.pieces = max(download.pieces, int(fetched // PIECE_BYTES))
    return download.pieces * PIECE_BYTES


def total_progress(download: Download) -> int:
    """Return the percentage of a file; 0 for live."""
    if download.channel.content.live:
        return 0
    return min(100, download.pieces * PIECE_BYTES * 100 // max(1, download.channel.size_bytes))


def livepos(engine: Engine, session: Session, now: float) -> dict[str, object]:
    """Return `livepos` in an object, all strings, or as a fault wants it."""
    fault = engine.faults.use("livepos", session.infohash)
    if fault is not None and fault.value == "missing":
        return {}
    last = engine.unix(engine.air_time(session.download, now))
    first, channel = last - engine.config.live_window_s, session.channel
    behind_s = 0
    if session.readers and session.position is not None:
        behind_s = max(0, round((channel.position_at(now) - session.position) / channel.clip.bytes_per_s))
    numbers = dict(zip(LIVEPOS_KEYS, (last - behind_s, last, last, first, first, last), strict=True))
    numbers |= {"is_live": 1, "buffer_pieces": int(engine.config.buffer_pieces)}
    if fault is not None and fault.value == "ints":
        return {"livepos": numbers}
    if fault is not None:
        numbers |= dict.fromkeys(LIVEPOS_KEYS, -1)
    return {"livepos": {name: str(number) for name, number in numbers.items()}}


async def command(engine: Engine, request: Request, connection: Connection, infohash: str, key: str) -> Answer | None:
    """Answer `/ace/cmd/<infohash>/<key>`."""
    session = engine.running(key, infohash)
    if session is None:
        return error_reply(engine, infohash, UNKNOWN_SESSION)
    method, now = request.query.get("method", ""), engine.now()
    session.active_at = now
    if method == "stop":
        engine.table.stop(session, now)
        if hang := engine.faults.use("stop-hang", infohash):
            await connection.pause(FOREVER_S, lambda: hang.cleared)
            return None
    elif method == "liveseek":
        at_edge = request.query.get("pos", "-1") == "-1"
        session.events.append(event("live_changed", is_live=int(at_edge)))
    elif method == "set_player_activity_timeout":
        timeout = request.query.get("timeout", "")
        if not (timeout.isascii() and timeout.isdigit() and 0 < len(timeout) < 6):
            return error_reply(engine, infohash, "invalid timeout")
        session.idle_limit_s = float(timeout)
    elif method != "set_stream":
        return error_reply(engine, infohash, f"unknown method: {method[:40]}")
    return reply(engine, infohash, "ok")


async def events(engine: Engine, _request: Request, connection: Connection, infohash: str, key: str) -> Answer | None:
    """Answer `/ace/event/<infohash>/<key>`: one event, or null after `event_wait_s`."""
    session = engine.table.find(key, infohash)
    if session is None:
        return error_reply(engine, infohash, UNKNOWN_SESSION)
    await connection.pause(engine.config.event_wait_s, lambda: bool(session.events) or session.ended)
    if connection.gone:
        return None
    if session.events:
        return reply(engine, infohash, session.events.popleft())
    return error_reply(engine, infohash, UNKNOWN_SESSION) if session.ended else reply(engine, infohash, None)
