"""The log: its end, its older parts, what follows, all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

from aiohttp import web

from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import LEVELS, Filter, Found, Logs, as_json, as_text, from_json
from aceproxy.logs.pace import Pace
from aceproxy.web.answers import json_body
from aceproxy.web.models import LogTail
from aceproxy.web.sse import WRITE_LIMIT_S, Box, Seats, deliver, event
from aceproxy.web.veil import veiled

TAIL_DEFAULT = 100
TAIL_LIMIT = 1000
SEARCH_LIMIT = 200  # characters of a text that is looked for
READ_S = 5.0  # for reading the file, the wait for others who read included
LOOK_S = 0.25  # between two looks for what is new, while somebody listens
PLACE_LIMIT = 1 << 62


class LogRoutes:
    """The routes below `/api/logs`."""

    def __init__(self, logs: Logs, seats: Seats) -> None:
        self._logs = logs
        self._seats = seats
        self._answer: tuple[object, bytes] | None = None  # the newest, for who asks the same before there is a record

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/logs/tail", self.tail)
        app.router.add_get("/api/logs/stream", self.stream, allow_head=False)
        app.router.add_get("/api/logs/download", self.download, allow_head=False)

    async def tail(self, request: web.Request) -> web.Response:
        """Log records: the newest, those before a place (`before`), or those that follow one (`after`)."""
        wanted = _filter(request)
        lines = min(_number(request, "lines", TAIL_DEFAULT), TAIL_LIMIT)
        after, before = _place(request, "after"), _place(request, "before")
        if after is not None and before is not None:
            raise AceProxyError(Reason.BAD_PARAMETER, "give after or before, not both")
        asked = (wanted, lines, after, before, self._logs.ring.total, len(self._logs.ring))
        if self._answer is not None and self._answer[0] == asked:
            return json_body(self._answer[1])
        if after is not None:
            found, rest = self._logs.following(wanted, lines, after)
        else:
            found, rest = self._logs.newest(wanted, lines, before)
        is_in_memory = rest is None
        if rest is not None:
            found = await self._read(rest, found)
        answer = LogTail(
            lines=found.lines,
            total_lines=len(self._logs.ring),
            returned_lines=len(found.lines),
            newest=found.newest,
            oldest=found.oldest,
            is_complete=found.is_complete,
        )
        body = answer.model_dump_json().encode()
        if is_in_memory and found.lines:  # without any, `newest` is the time
            self._answer = asked, body
        return json_body(body)

    async def _read(self, rest: Callable[[], Found], found: Found) -> Found:
        """Read the file; where that fails or takes too long, what is in memory must do."""
        reading = asyncio.get_running_loop().run_in_executor(self._logs.reading, rest)
        try:
            async with asyncio.timeout(READ_S):
                return await reading
        except (OSError, TimeoutError):
            return Found(found.lines, found.newest, found.oldest, is_complete=False)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: each new log record as an event `line`; begins behind `after` or `Last-Event-ID`."""
        wanted = _filter(request)
        after = _place(request, "after")
        last_id = request.headers.get("Last-Event-ID", "")
        if last_id.isascii() and last_id.isdigit() and len(last_id) < 19:
            after = int(last_id)
        with self._seats.sit(partial(veiled, request)) as box:
            looking = asyncio.create_task(self._look(box, wanted, after), name="log stream")
            try:
                return await deliver(request, box)
            finally:
                looking.cancel()

    async def _look(self, box: Box, wanted: Filter, after: int | None) -> None:
        """Put what is new into the box, for ever. Cancel-safe."""
        ring = self._logs.ring
        seen = ring.total  # records that are accounted for: sent, not wanted, or told as dropped
        place = after if after is not None else ring.place
        if after is not None:
            seen -= len(ring.after(after))
        while True:
            total, new = ring.total, ring.after(place)
            missed = total - seen - len(new)
            if missed > 0:
                box.add(event("dropped", f'{{"events":{missed}}}'))
            seen += len(new) + max(0, missed)
            for line in new:
                place = line.id
                if wanted.takes(line):
                    box.add(event("line", as_json(line), line.id))
            await asyncio.sleep(LOOK_S)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The whole log as a file: the log files, or what is in memory if there are none; `format=text` or `json`."""
        log_format = request.query.get("format", "text")
        if log_format not in ("text", "json"):
            raise AceProxyError(Reason.BAD_PARAMETER, "format is text or json")
        name, kind = ("aceproxy.log", "text/plain") if log_format == "text" else ("aceproxy.jsonl", "application/jsonl")
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        }
        pieces = self._logs.pieces()
        loop = asyncio.get_running_loop()
        try:
            first = await loop.run_in_executor(self._logs.reading, _next_piece, pieces, log_format)
        except OSError as error:
            raise AceProxyError(Reason.INTERNAL, f"the log file cannot be read: {error.strerror}") from error
        response = web.StreamResponse(headers=headers)
        response.force_close()
        await response.prepare(request)
        piece = first
        while piece is not None:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await response.write(piece)
            piece = await loop.run_in_executor(self._logs.reading, _next_piece, pieces, log_format)
        return response


def _next_piece(pieces: Iterator[bytes], log_format: str) -> bytes | None:
    """Return the next part of the log, spelt as wanted; None at the end."""
    piece = next(pieces, None)
    if piece is None or log_format == "json":
        return piece
    pace, texts = Pace(), []
    for written in piece.splitlines():
        line = from_json(written)
        if line is not None:
            texts.append(f"{as_text(line)}\n")
        pace.breathe()
    return "".join(texts).encode()


def _filter(request: web.Request) -> Filter:
    level = request.query.get("level", "debug").lower()
    if level not in LEVELS:
        raise AceProxyError(Reason.BAD_PARAMETER, f"level is one of {', '.join(LEVELS)}")
    stream, search = request.query.get("stream", ""), request.query.get("search", "")
    if len(stream) > SEARCH_LIMIT or len(search) > SEARCH_LIMIT:
        raise AceProxyError(Reason.BAD_PARAMETER, f"stream and search may have {SEARCH_LIMIT} characters")
    return Filter(level, stream, search)


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise AceProxyError(Reason.BAD_PARAMETER, f"{name} is a whole number")
    return int(text)


def _place(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise AceProxyError(Reason.BAD_PARAMETER, f"{name} is the id of a record")
    return min(int(text), PLACE_LIMIT)
