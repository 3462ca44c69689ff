"""Media: `/ace/r`, `/content`, `/ace/m` and `/ace/c` (engine-api §4, §15 rules 5 to 8)."""

from __future__ import annotations

import asyncio
import re

from aceproxy.simulator.broadcast import whole_packets
from aceproxy.simulator.engine import Engine
from aceproxy.simulator.http1 import ALLOW_ALL, Answer, Connection, Request, head_bytes, text_answer
from aceproxy.simulator.media import BLOCK_BYTES, FileReader, LiveReader, Reader
from aceproxy.simulator.playbacks import Session
from aceproxy.simulator.replies import media_reply
from aceproxy.simulator.routes_start import FOREVER_S, base_url, found
from aceproxy.simulator.segments import Segment, playlist

GONE, TIMEOUT = "download not found", "start timeout"
LOADING_S = 0.1  # with not_ready=fast500: as long as this there is no download yet
FEWEST_SEGMENTS = 2
DRIP_S = 0.002  # between two bytes of media headers that drip
TS_HEADERS = (("Content-Type", "video/mp2t"), ALLOW_ALL)
RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


async def progressive(
    engine: Engine, request: Request, connection: Connection, infohash: str, key: str
) -> Answer | None:
    """Answer `/ace/r/<infohash>/<key>`: a redirect to the stream, or the stream itself."""
    session = engine.running(key, infohash)
    if session is None or session.output != "ts":
        return text_answer(500, GONE)
    session.active_at = engine.now()
    if engine.faults.use("early-500", infohash):
        return text_answer(500, TIMEOUT)
    if engine.config.not_ready == "fast500":
        failure = await wait_ready(engine, session, connection, engine.config.start_timeout_s)
        if failure is not None:
            return failure
    if engine.config.deliver_at_r:
        return await deliver(engine, request, connection, session)
    return found(f"{base_url(engine, session)}/content/{infohash}/{engine.table.new_token(session)}")


async def content(engine: Engine, request: Request, connection: Connection, infohash: str, token: str) -> Answer | None:
    """Answer `/content/<infohash>/<token>`: the stream."""
    session = engine.table.by_token(token)
    if session is None or session.infohash != infohash:
        return text_answer(404, GONE)
    return await deliver(engine, request, connection, session)


async def wait_ready(engine: Engine, session: Session, connection: Connection, limit_s: float) -> Answer | None:
    """Wait until the download has data. Return None then (or when the caller is gone), else the failure."""
    now = engine.now()
    if engine.config.not_ready == "fast500" and now - session.download.started_at < LOADING_S:
        return text_answer(500, GONE)
    held = engine.faults.use("headers-held", session.infohash)
    if held is not None:
        await connection.pause(FOREVER_S, lambda: held.cleared or session.ended)

    def settled() -> bool:
        session.active_at = engine.now()  # a player that waits is there
        return session.ended or engine.table.is_ready(session.download, engine.now())

    await connection.pause(limit_s, settled)
    if session.ended:
        return text_answer(500, GONE)
    return None if connection.gone or session.download.ready_at is not None else text_answer(500, TIMEOUT)


async def deliver(engine: Engine, request: Request, connection: Connection, session: Session) -> Answer | None:
    """Send the stream or file of a session."""
    failure = await wait_ready(engine, session, connection, engine.config.hold_limit_s)
    if failure is not None or connection.gone:
        return failure
    if not session.channel.content.live:
        return await send_file(engine, request, connection, session)
    if request.method == "HEAD":
        return media_reply(200, TS_HEADERS, b"")
    if engine.faults.use("empty-body", session.infohash):
        return media_reply(200, TS_HEADERS, b"")
    if engine.faults.use("html-body", session.infohash):
        return media_reply(200, (("Content-Type", "text/html"),), b"<html><body>The engine is busy.</body></html>\n")
    if session.readers and not second_reader_may(engine, connection, session):
        return None
    reader = LiveReader(engine, session, connection)
    if reader.fault("drip-media") is not None:
        await connection.drip(head_bytes(200, TS_HEADERS), DRIP_S)
    else:
        connection.begin_body(TS_HEADERS, chunked=reader.fault("chunked-body") is not None)
    await reader.run()
    connection.end_chunks()
    return None


def second_reader_may(engine: Engine, connection: Connection, session: Session) -> bool:
    """Do what the engine does when a second reader comes; return whether it gets the stream (engine-api §4.1)."""
    fault = engine.faults.find("second-reader", session.infohash)
    policy: str = fault.value if fault else engine.config.second_reader
    if fault is None and session.many_readers:
        policy = "ok"
    elif fault is None and session.steal_reader:
        policy = "steal"
    if policy == "corrupt":
        connection.write_nowait(head_bytes(200, TS_HEADERS).split(b"\r\n", 1)[0] + b"\r\n")
        connection.begin_body(TS_HEADERS)
        position = session.channel.position_at(engine.now()) - BLOCK_BYTES
        connection.write_nowait(session.channel.read(max(0, position), BLOCK_BYTES)[7:])
        return False
    if policy == "steal":
        for reader in session.readers:
            assert isinstance(reader, Reader)
            reader.taken_over = True
    return True


async def send_file(engine: Engine, request: Request, connection: Connection, session: Session) -> Answer | None:
    """Send a file or a range of it."""
    file = session.channel.files[session.file_index]
    size = file.size_bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", file.entry.mime), ALLOW_ALL, ("Accept-Ranges", "bytes"))
    status, start, stop = 200, 0, size
    match = RANGE.fullmatch(request.headers.get("range", ""))
    if match and (match[1] or match[2]):
        status, start, stop = 206, *file_range(match[1], match[2], size)
        if start >= stop:
            return Answer(416, b"", (("Content-Range", f"bytes */{size}"),))
        headers += (("Content-Range", f"bytes {start}-{stop - 1}/{size}"),)
    headers += (("Content-Length", str(stop - start)),)
    if request.method == "HEAD":
        return media_reply(status, headers, b"")
    connection.begin_body(headers, status=status)
    await FileReader(engine, session, connection, file, start, stop).run()
    return None


def file_range(first: str, last: str, size: int) -> tuple[int, int]:
    """Return start and stop of a byte range; empty when it cannot be had (RFC 9110 §14.1.2)."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


async def hls_list(engine: Engine, _request: Request, connection: Connection, infohash: str, key: str) -> Answer | None:
    """Answer `/ace/m/<infohash>/<key>.m3u8`."""
    session = engine.table.find(key, infohash)
    if engine.faults.use("list-403", infohash) or (session and session.end_reason == "superseded"):
        return text_answer(403, "Forbidden")
    if session is None or session.ended or session.output != "hls":
        return text_answer(500, GONE)
    if engine.faults.use("early-500", infohash):
        return text_answer(500, TIMEOUT)
    session.active_at = engine.now()
    failure = await wait_ready(engine, session, connection, engine.config.start_timeout_s)
    if failure is not None:
        return failure

    def listed() -> tuple[Segment, ...]:
        return () if session.ended else engine.segmenter(session.download, engine.now()).window()

    await connection.pause(engine.config.start_timeout_s, lambda: session.ended or len(listed()) >= FEWEST_SEGMENTS)
    segments = listed()
    if len(segments) < FEWEST_SEGMENTS:
        return text_answer(500, TIMEOUT)
    session.active_at = engine.now()
    text = playlist(
        segments, f"{base_url(engine, session)}/ace/c/{infohash}/", complete=not session.channel.content.live
    )
    return Answer(200, text.encode(), (("Content-Type", "application/vnd.apple.mpegurl"), ALLOW_ALL))


async def hls_segment(
    engine: Engine, request: Request, connection: Connection, infohash: str, number: str
) -> Answer | None:
    """Answer `/ace/c/<infohash>/<n>.ts`; any number of readers."""
    download = engine.table.download_of(infohash)
    sessions = [session for session in download.sessions if session.output == "hls"] if download else []
    segment = None
    if download is not None and sessions and len(number) < 12:
        segment = engine.segmenter(download, engine.now()).segment(int(number))
    if segment is None:
        return text_answer(engine.config.segment_gone, GONE)
    for session in sessions:
        session.active_at = engine.now()
    headers = (*TS_HEADERS, ("Content-Length", str(segment.stop - segment.start)))
    if request.method == "HEAD":
        return media_reply(200, headers, b"")
    connection.begin_body(headers)
    await send_segment(engine, connection, sessions[0], segment)
    return None


async def send_segment(engine: Engine, connection: Connection, session: Session, segment: Segment) -> None:
    """Send one segment in pieces, as the caller takes them."""
    channel, position = session.channel, segment.start
    if engine.faults.find("no-keyframes", session.infohash):
        channel = engine.keyless(channel)
    while position < segment.stop and not connection.gone and not session.ended:
        if not connection.has_room:
            await connection.wait_for_room(engine.config.tick_s)
            continue
        count = min(BLOCK_BYTES, whole_packets(segment.stop - position))
        connection.write_nowait(channel.read(position, count))
        session.bytes_sent += count
        position += count
        await asyncio.sleep(0)
