"""Starting: `/ace/getstream` and `/ace/manifest.m3u8` (engine-api §3, §15 rules 1 to 5)."""

from __future__ import annotations

import re

from aceproxy.simulator.broadcast import Channel
from aceproxy.simulator.engine import Engine
from aceproxy.simulator.http1 import ALLOW_ALL, Answer, Connection, Request, text_answer
from aceproxy.simulator.playbacks import Output, Session, StartOrder
from aceproxy.simulator.replies import error_reply, media_reply, reply

NOT_FOUND_TEXT = "Internal Server Error, couldn't find resource"
HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
FOREVER_S = 24 * 3600.0


async def start(engine: Engine, request: Request, connection: Connection) -> Answer | None:
    """Answer a start call. None means the caller left before there was an answer; nothing was started then."""
    as_json = request.query.get("format") == "json"
    channel = engine.by_request(request)
    infohash = channel.content.infohash if channel else None
    if as_json and (hang := engine.faults.use("json-hang", infohash)):
        await connection.pause(FOREVER_S, lambda: hang.cleared)
        return None
    await connection.pause(start_delay_s(engine, infohash))
    if connection.gone:
        return None
    redirect = engine.faults.use("foreign-redirect", infohash)
    if redirect is not None:
        return found(redirect.value)
    error = start_error(engine, request, channel)
    if error is not None or channel is None:
        if not as_json:
            return text_answer(500, NOT_FOUND_TEXT, cors=False)
        return error_reply(engine, infohash, error or "failed to load content", start_extras(error))
    session = engine.table.start(start_order(request, connection, channel), engine.now())
    if not as_json:
        return found(media_url(engine, session))
    return reply(engine, infohash, start_answer(engine, request, session))


def start_delay_s(engine: Engine, infohash: str | None) -> float:
    """Return how long this start takes: the first one of a content needs a lookup."""
    delay_s = engine.config.start_delay_s
    if infohash not in engine.looked_up:
        delay_s += engine.config.lookup_delay_s
    if infohash is not None:
        engine.looked_up.add(infohash)
    slow = engine.faults.use("slow-start", infohash)
    return delay_s + (slow.seconds if slow else 0.0)


def start_error(engine: Engine, request: Request, channel: Channel | None) -> str | None:
    """Return the engine's own words for why it does not start this, or None."""
    if channel is None:
        named = any(request.query.get(name) for name in ("content_id", "id", "infohash", "url", "magnet"))
        return "failed to load content" if named or request.body else "missing content id"
    infohash = channel.content.infohash
    if not channel.content.live and file_index(request.query.get("_idx", "")) >= len(channel.files):
        return "failed to load content"
    if engine.faults.use("load-failed", infohash):
        return "failed to load content"
    if engine.faults.use("got-newer-download", infohash):
        return "got newer download"
    option = engine.faults.find("missing-option", infohash)
    if option is not None and option.value == "start":
        engine.faults.use("missing-option", infohash)
        return "missing option"
    return None


def start_extras(error: str | None) -> dict[str, object]:
    """Return what stands beside some errors (engine-api §9, 11)."""
    if error != "missing option":
        return {}
    return {"extra_data": {"reason": "missing_option", "option": "proxyServer"}}


def start_order(request: Request, connection: Connection, channel: Channel) -> StartOrder:
    """Return what the request asks for."""
    query = request.query
    output: Output = "hls" if request.path.endswith(".m3u8") else "ts"
    host = request.headers.get("host", "")
    number = query.get("client_session_id", "-1")
    return StartOrder(
        channel=channel,
        peer_host=connection.peer_host,
        pid=query.get("pid", query.get("sid")),
        output=output,
        base_url="http://" + (host if HOST.fullmatch(host) else connection.local_address),
        client_session_id=int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1,
        many_readers=query.get("allow_multiple_threads_reading") == "1",
        steal_reader=query.get("stop_prev_read_thread") == "1",
        file_index=file_index(query.get("_idx", "")),
        force_restart=query.get("force_session_restart") == "1",
    )


def file_index(text: str) -> int:
    """Return the number of the file that a start asks for, 0 if it asks for none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def base_url(engine: Engine, session: Session) -> str:
    """Return scheme and host of the session's URLs."""
    wrong = engine.faults.find("wrong-host", session.infohash)
    return f"http://{wrong.value}" if wrong else session.base_url


def media_url(engine: Engine, session: Session) -> str:
    """Return the playback URL."""
    place = f"{session.infohash}/{session.key}"
    tail = f"/ace/m/{place}.m3u8" if session.output == "hls" else f"/ace/r/{place}"
    return base_url(engine, session) + tail


def start_answer(engine: Engine, request: Request, session: Session) -> dict[str, object]:
    """Return the response object of a JSON start (engine-api §3.2)."""
    base, place = base_url(engine, session), f"{session.infohash}/{session.key}"
    answer: dict[str, object] = {
        "playback_url": media_url(engine, session),
        "stat_url": f"{base}/ace/stat/{place}",
        "command_url": f"{base}/ace/cmd/{place}",
        "infohash": session.infohash,
        "playback_session_id": session.psid,
        "is_live": int(session.channel.content.live),
        "is_encrypted": int(engine.faults.find("encrypted", session.infohash) is not None),
        "client_session_id": session.client_session_id,
    }
    if request.query.get("use_api_events") == "1":
        answer["event_url"] = f"{base}/ace/event/{place}"
    return answer


def found(location: str) -> Answer:
    """Return a 302 as the engine sends it: the body ends with the connection (engine-api §3.6)."""
    return media_reply(302, (("Location", location), ALLOW_ALL), f"Redirect to {location}".encode())
