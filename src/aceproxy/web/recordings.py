"""Recordings over HTTP: length, ranges, HEAD (RFC 9110 §14), and the list of who watches one."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from dataclasses import replace

from aiohttp import web

from aceproxy.engine.links import Link, engine_params
from aceproxy.engine.media import RangeRefusedError
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.client import Ticket, Visitor
from aceproxy.streams.recording import Reading, Recording
from aceproxy.streams.recordings import Recordings, Viewer
from aceproxy.streams.spans import Facts, Span
from aceproxy.web.answers import error_answer, json_answer
from aceproxy.web.models import RecordingEnded, RecordingList, RecordingModel
from aceproxy.web.visitors import visitor_of

log = logging.getLogger(__name__)

FARTHEST = 10**18 - 1  # bytes; a place behind the end of every file, which engines still read as a number
PID_LIMIT = 128  # characters of a pid that tell players apart
_SPAN = re.compile(r"bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
}


def read_span(header: str) -> Span:
    """Read a Range header. What is malformed, or wants several parts, counts as not there (RFC 9110 §14.2)."""
    found = _SPAN.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return Span()
    first, last = _digits(found[1]), _digits(found[2])
    if not first:
        return Span(suffix=_place(last))
    if last and (len(last), last) < (len(first), first):
        return Span()
    return Span(_place(first), _place(last) if last else None)


def _digits(text: str) -> str:
    """Return a number's digits without leading zeros; empty for none."""
    return text.lstrip("0") or text[:1]


def _place(digits: str) -> int:
    """Return a place in a file; one that is further out than any file reaches is `FARTHEST`."""
    return int(digits) if len(digits) < len(str(FARTHEST)) else FARTHEST


def entity_tag(link: Link, facts: Facts) -> str | None:
    """Return the entity tag of a recording, None while its size is not known: contents do not change under a hash."""
    if facts.size_bytes is None:
        return None
    name = f"{facts.infohash or link.digest}-{link.index}-{facts.size_bytes}"
    return f'"{hashlib.sha256(name.encode()).hexdigest()[:20]}"'


class RecordingServer:
    """Serves recordings to whatever address they were asked for at."""

    def __init__(self, recordings: Recordings, settings: Settings) -> None:
        self.recordings = recordings
        self._settings = settings

    def head(self, link: Link, facts: Facts) -> web.Response:
        """Tell what a GET would send. The size must be known."""
        headers = {"Accept-Ranges": "bytes", "Cache-Control": "no-store", **CORS}
        if (tag := entity_tag(link, facts)) is not None:
            headers["ETag"] = tag
        headers["Content-Length"] = str(facts.size_bytes or 0)
        return web.Response(headers={**headers, "Content-Type": facts.content_type})

    async def play(
        self, request: web.Request, link: Link, viewer_name: str = "", ticket: Ticket | None = None
    ) -> web.StreamResponse:
        """Send what is wanted of a recording. Raises AceProxyError, and NotARecording if it turns out to be live."""
        visitor = visitor_of(request)
        if ticket is not None:
            visitor = replace(visitor, ticket=ticket)
        viewer = Viewer(viewer_name or _name_of(request, visitor), visitor)
        params = engine_params(list(request.query.items()))
        span = self._span(request, link)
        try:
            reading = await self.recordings.open(viewer, link, params, span)
        except RangeRefusedError as refused:
            answer = error_answer(refused)
            answer.headers["Accept-Ranges"] = "bytes"
            if refused.total is not None:
                answer.headers["Content-Range"] = f"bytes */{refused.total}"
            return answer
        try:
            return await self._send(request, link, reading)
        finally:
            self.recordings.give_back(reading)

    def _span(self, request: web.Request, link: Link) -> Span:
        """The part that is wanted; everything if it is wanted only of another version (RFC 9110 §13.1.5)."""
        condition = request.headers.get("If-Range")
        if condition is not None:
            facts = self.recordings.facts(link)
            if facts is None or condition.strip() != entity_tag(link, facts):
                return Span()
        return read_span(request.headers.get("Range", ""))

    async def _send(self, request: web.Request, link: Link, reading: Reading) -> web.StreamResponse:
        facts = reading.recording.facts
        headers = {"Content-Type": facts.content_type, "Cache-Control": "no-store", **CORS}
        headers["Accept-Ranges"] = "bytes" if reading.stop is not None else "none"
        if (tag := entity_tag(link, facts)) is not None:
            headers["ETag"] = tag
        response = web.StreamResponse(status=206 if reading.is_part else 200, headers=headers)
        if reading.stop is not None:
            response.content_length = reading.stop - reading.first
            total = "*" if facts.size_bytes is None else str(facts.size_bytes)
            if reading.is_part:
                response.headers["Content-Range"] = f"bytes {reading.first}-{reading.stop - 1}/{total}"
        else:
            response.force_close()
        await response.prepare(request)
        try:
            async for chunk in reading.chunks():
                async with asyncio.timeout(self._settings.recording_pause_s):
                    await response.write(chunk)
        except AceProxyError as error:
            level = logging.INFO if error.reason is Reason.STOPPED else logging.WARNING
            log.log(level, "a recording broke off at byte %s: %s", reading.recording.position, error)
            return _broken_off(request, response)
        except TimeoutError:
            log.info("a viewer of a recording took nothing for %g s", self._settings.recording_pause_s)
            return _broken_off(request, response)
        return response


class RecordingRoutes:
    """The list of recordings that are being watched, and ending one."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/aceproxy/recordings", self.list_recordings)
        app.router.add_delete("/api/aceproxy/recordings/{recording_id}", self.end_recording)

    async def list_recordings(self, _request: web.Request) -> web.Response:
        """Who watches a recording."""
        now = time.monotonic()
        return json_answer(RecordingList(recordings=[_model(one, now) for one in self._recordings.all]))

    async def end_recording(self, request: web.Request) -> web.Response:
        """End one viewer's playback."""
        recording_id = request.match_info["recording_id"]
        if not self._recordings.end(recording_id):
            raise AceProxyError(Reason.CLIENT_NOT_FOUND)
        return json_answer(RecordingEnded(ended=True, recording_id=recording_id))


def _name_of(request: web.Request, visitor: Visitor) -> str:
    """What the requests of one player have in common."""
    pid = request.query.get("pid", request.query.get("sid", ""))[:PID_LIMIT]
    ticket = visitor.ticket.ticket_id if visitor.ticket is not None else ""
    return f"{visitor.address}\0{visitor.agent}\0{ticket}\0{pid}"


def _broken_off(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Cut the connection, so that the player sees that the recording is not over."""
    response.force_close()
    if request.transport is not None:
        request.transport.abort()
    return response


def _model(recording: Recording, now: float) -> RecordingModel:
    return RecordingModel(
        recording_id=recording.recording_id,
        stream_id=recording.link.stream_id,
        infohash=recording.facts.infohash,
        engine=recording.engine_url,
        address=recording.visitor.address,
        agent=recording.visitor.agent,
        state="opening" if recording.is_opening else "idle" if recording.reading is None else "reading",
        age_s=round(now - recording.started_at, 3),
        size_bytes=recording.facts.size_bytes,
        position=recording.position,
        sent_bytes=recording.sent_bytes,
    )
