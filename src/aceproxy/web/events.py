"""`GET /api/events`: the state of the program once a second, and what happens to streams, made once for all who listen.

While nobody listens nothing is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

from aiohttp import web

from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import KINDS, Event
from aceproxy.streams.told import told
from aceproxy.ticks import tick
from aceproxy.web.figures import Figures
from aceproxy.web.models import TimelineNews
from aceproxy.web.sse import Box, Seats, deliver, event
from aceproxy.web.stream_lists import StreamLists
from aceproxy.web.veil import Reader, reader_of, veiled

PERIOD_S = 1.0
KEY_LIMIT = 300  # characters of a stream's name that are looked at

log = logging.getLogger(__name__)


class EventRoutes:
    """The event stream of the dashboard."""

    def __init__(self, figures: Figures, seats: Seats, lists: StreamLists) -> None:
        self._figures = figures
        self._lists = lists
        self._seats = seats
        self._listeners: dict[Box, tuple[str | None, Reader]] = {}  # with the stream each of them looks at
        self._ticking: asyncio.Task[None] | None = None
        self._stop_hearing: Callable[[], None] | None = None
        self._overview = b""  # the newest one, for who comes between two
        self._overview_at = 0.0

    def add_to(self, app: web.Application) -> None:
        """Register the route."""
        app.router.add_get("/api/events", self.events, allow_head=False)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: `overview` once a second, `stream` for the stream that the query names, `timeline`."""
        key, reader = request.query.get("stream", "")[:KEY_LIMIT] or None, reader_of(request)
        with self._seats.sit(partial(veiled, request)) as box:
            first = await self._stream_event(key, reader) if key is not None else b""
            with self._listen(box, key, reader):
                if first:
                    box.replace("stream", first, is_masked=True)
                return await deliver(request, box)

    @contextlib.contextmanager
    def _listen(self, box: Box, key: str | None, reader: Reader) -> Iterator[None]:
        """Register a listener; the first one starts the ticking, the last one ends it."""
        self._listeners[box] = key, reader
        box.replace("overview", self._newest_overview())
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="events")
            self._stop_hearing = self._figures.hub.timelines.listen(self._send_news)
        try:
            yield
        finally:
            del self._listeners[box]
            if not self._listeners and self._ticking is not None:
                self._ticking.cancel()
                self._ticking = None
            if not self._listeners and self._stop_hearing is not None:
                self._stop_hearing()
                self._stop_hearing = None

    async def _tick(self) -> None:
        """Make the events once a second; one that cannot be made is our mistake, and the next one is tried."""
        while True:
            await tick(PERIOD_S)
            try:
                await self._send_all()
            except Exception:
                log.exception("making the events failed")

    async def _send_all(self) -> None:
        overview = self._newest_overview(max_age_s=PERIOD_S / 2)
        details: dict[tuple[str, Reader], bytes] = {}
        for box, (key, reader) in list(self._listeners.items()):
            box.replace("overview", overview)
            if key is not None:
                if (key, reader) not in details:
                    details[key, reader] = await self._stream_event(key, reader)
                box.replace("stream", details[key, reader], is_masked=True)

    def _send_news(self, stream_id: str, news: Event) -> None:
        """Tell what has just happened to a stream. What its clients do goes only to who looks at that stream."""
        message = b""
        looked_at = self._figures.hub.find_by_id(stream_id)
        for box, (key, _) in self._listeners.items():
            looks = key is not None and looked_at is not None and self._figures.hub.find_by_id(key) is looked_at
            if KINDS[news.kind].of_client and not looks:
                continue
            message = message or event(
                "timeline", TimelineNews(stream_id=stream_id, event=told(news)).model_dump_json()
            )
            box.add(message)

    def _newest_overview(self, max_age_s: float = PERIOD_S) -> bytes:
        now = time.monotonic()
        if not self._overview or now - self._overview_at > max_age_s:
            self._overview = event("overview", self._figures.overview().model_dump_json())
            self._overview_at = now
        return self._overview

    async def _stream_event(self, key: str, reader: Reader) -> bytes:
        """Write a `StreamEvent` as `reader` may read it."""

        def find() -> Stream:
            found = self._figures.hub.find_by_id(key)
            if found is None:
                raise LookupError(key)
            return found

        try:
            told = await self._lists.one(find, reader)
        except LookupError:
            told = b"null"
        return event("stream", b'{"stream":%b}' % told)
