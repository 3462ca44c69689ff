"""What the watch page offers to other devices: a playlist of one entry to open in a player, and a QR code to point at.

Both hold nothing but an address of this server, made anew from the link as it was understood: no outside text passes.
"""

from __future__ import annotations

import asyncio
import io
import re
from enum import StrEnum
from urllib.parse import urlencode

from aiohttp import web

from aceproxy.engine.links import Link, link_from_query
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.hub import Hub
from aceproxy.web.files import FileLists
from aceproxy.web.own_urls import OwnUrls

QR_LIMIT = 600  # characters of an address in a QR code; denser ones are hard to read from a screen
TITLE_LIMIT = 120
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,200}")
_LINE_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Form(StrEnum):
    """What an address leads to."""

    WATCH = "watch"
    TS = "ts"
    HLS = "hls"


PATHS = {Form.WATCH: "/watch", Form.TS: "/ace/getstream", Form.HLS: "/ace/manifest.m3u8"}


class WatchRoutes:
    """`/watch/play.m3u` and `/watch/qr.svg`."""

    def __init__(self, hub: Hub, files: FileLists, urls: OwnUrls) -> None:
        self._hub = hub
        self._files = files
        self._urls = urls

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/watch/play.m3u", self.playlist)
        app.router.add_get("/watch/qr.svg", self.qr_code)

    async def playlist(self, request: web.Request) -> web.Response:
        """A playlist with this one stream, which systems open in the player that is installed."""
        link = _link_of(request)
        address = self._address(request, link, _form_of(request, Form.TS))
        stream = self._hub.find(link)
        title = (stream.title if stream is not None else None) or await self._files.title(link)
        title = title or f"AceStream {link.digest[:8]}"
        title = _LINE_BREAKS.sub(" ", title)[:TITLE_LIMIT]
        return web.Response(
            text=f"#EXTM3U\n#EXTINF:-1,{title}\n{address}\n",
            content_type="audio/x-mpegurl",
            charset="utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="aceproxy-{link.digest[:8]}.m3u"',
                "Cache-Control": "no-store",
            },
        )

    async def qr_code(self, request: web.Request) -> web.Response:
        """The address as a QR code, dark on white with the quiet zone that readers want."""
        address = self._address(request, _link_of(request), _form_of(request, Form.WATCH))
        if len(address) > QR_LIMIT:
            raise AceProxyError(Reason.BAD_PARAMETER, f"an address of more than {QR_LIMIT} characters makes no QR code")
        picture = await asyncio.to_thread(_qr_svg, address)
        return web.Response(
            body=picture, content_type="image/svg+xml", headers={"Cache-Control": "private, max-age=300"}
        )

    def _address(self, request: web.Request, link: Link, form: Form) -> str:
        """Return the address under which the asker's network reaches the stream."""
        names = {"content_id": "id", "infohash": "infohash", "url": "url"}
        query = {names[link.kind]: link.value}
        if link.index:
            query["_idx"] = str(link.index)
        token = request.query.get("token", "")
        if _TOKEN.fullmatch(token):
            query["token"] = token
        return f"{self._urls.base(request)}{PATHS[form]}?{urlencode(query)}"


def _link_of(request: web.Request) -> Link:
    return link_from_query(list(request.query.items()))


def _form_of(request: web.Request, usual: Form) -> Form:
    try:
        return Form(request.query.get("as", usual))
    except ValueError as error:
        raise AceProxyError(Reason.BAD_PARAMETER, f"as is one of {', '.join(Form)}") from error


def _qr_svg(text: str) -> bytes:
    import segno  # noqa: PLC0415 - only who shows a code pays for it

    written = io.BytesIO()
    code = segno.make(text, error="m", micro=False)
    code.save(written, kind="svg", border=4, light="#fff", omitsize=True, svgclass=None, lineclass=None)
    return written.getvalue()
