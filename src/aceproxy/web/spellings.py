"""Other spellings of a broadcast's address, as other proxies serve them and as they stand in people's playlists.

`/content_id/<id>/…`, `/pid/<id>/…`, `/infohash/<hash>/…` and `/stream/<link>`: with `.m3u8` at the end as HLS, with
anything else as MPEG-TS.
"""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from aceproxy.engine.links import Link, link_from_query, parse_link
from aceproxy.web.cors import answer_preflight
from aceproxy.web.hls import HlsRoutes
from aceproxy.web.streaming import StreamRoutes

_FIELDS = {"content_id": "content_id", "pid": "content_id", "infohash": "infohash"}
_ENDINGS = (".ts", ".mpegts", ".m3u8", ".mp4", ".mkv", ".avi")  # of the last part of a path that holds a link


class SpellingRoutes:
    """Routes that lead to the same streams under other addresses."""

    def __init__(self, streams: StreamRoutes, lists: HlsRoutes) -> None:
        self._streams = streams
        self._lists = lists

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        for path in (
            *(f"/{name}/{{link}}" for name in _FIELDS),
            *(f"/{name}/{{link}}/{{rest:.*}}" for name in _FIELDS),
        ):
            app.router.add_get(path, self.play, allow_head=False)
            app.router.add_head(path, self.head)
            app.router.add_options(path, answer_preflight)
        app.router.add_options("/stream/{link:.+}", answer_preflight)
        app.router.add_get("/stream/{link:.+}", self.play, allow_head=False)
        app.router.add_head("/stream/{link:.+}", self.head)

    async def play(self, request: web.Request) -> web.StreamResponse:
        """Play the broadcast that the path names."""
        link, as_list = _read(request)
        return await (self._lists.play(request, link) if as_list else self._streams.play(request, link))

    async def head(self, request: web.Request) -> web.StreamResponse:
        """Tell what a GET would send, and start nothing."""
        link, as_list = _read(request)
        return self._lists.head(request, link) if as_list else await self._streams.head(request, link)


def _read(request: web.Request) -> tuple[Link, bool]:
    """Return the link in a path, and whether it is wanted as HLS. Raises AceProxyError."""
    text = request.match_info["link"]
    ending = (request.match_info.get("rest") or text).lower()
    for known in _ENDINGS:
        if text.lower().endswith(known) and "rest" not in request.match_info:
            text = text[: -len(known)]
            break
    place = request.path.split("/", 2)[1]
    link = parse_link(text) if place == "stream" else link_from_query([(_FIELDS[place], text)])
    index = [(name, value) for name, value in request.query.items() if name in ("_idx", "index")]
    if index:
        link = replace(link, index=link_from_query([(link.kind.value, link.value), *index]).index)
    return link, ending.endswith(".m3u8")
