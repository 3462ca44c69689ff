"""The route of time lines: what happened to a stream, and whose fault it was."""

from __future__ import annotations

from aiohttp import web

from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.hub import Hub
from aceproxy.streams.told import told
from aceproxy.web.answers import json_answer
from aceproxy.web.models import TimelineAnswer


class TimelineRoutes:
    """`GET /api/aceproxy/streams/{key}/timeline`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/aceproxy/streams/{key}/timeline", self.timeline)

    async def timeline(self, request: web.Request) -> web.Response:
        """The last events of a stream, oldest first; also of one that is over, for a while."""
        found = self._hub.find_timeline(request.match_info["key"])
        if found is None:
            raise AceProxyError(Reason.STREAM_NOT_RUNNING)
        events = found.timeline.events(after=_after(request))
        return json_answer(
            TimelineAnswer(
                stream_id=found.stream_id,
                key=found.key,
                is_over=found.is_over,
                last_seq=found.timeline.last_seq,
                forgotten=found.timeline.forgotten,
                events=[told(event) for event in events],
            )
        )


def _after(request: web.Request) -> int:
    text = request.query.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise AceProxyError(Reason.BAD_PARAMETER, "after is the number of an event")
    return int(text)
