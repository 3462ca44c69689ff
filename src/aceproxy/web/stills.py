"""The route of the stills."""

from __future__ import annotations

from aiohttp import web

from aceproxy.streams.hub import Hub
from aceproxy.web.still_maker import FRESH_S, StillMaker


class StillRoutes:
    """`/api/aceproxy/streams/{key}/still.jpg`."""

    def __init__(self, hub: Hub, maker: StillMaker) -> None:
        self._hub = hub
        self._maker = maker

    def add_to(self, app: web.Application) -> None:
        """Register the route."""
        app.router.add_get("/api/aceproxy/streams/{key}/still.jpg", self.still)

    async def still(self, request: web.Request) -> web.Response:
        """A small picture of what the stream shows now, as JPEG; 204 where none is to be had."""
        stream = self._hub.find_by_id(request.match_info["key"])
        # A stream that has just gone is no error: whoever shows it may not know yet.
        picture = None if stream is None else await self._maker.still(stream)
        headers = {"Cache-Control": f"private, max-age={FRESH_S:.0f}"}
        if picture is None:
            return web.Response(status=204, headers=headers)
        return web.Response(body=picture, content_type="image/jpeg", headers=headers)
