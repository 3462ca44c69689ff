"""The dashboard and its files: read once at the start, served from memory."""

from __future__ import annotations

import hashlib
from importlib import resources

from aiohttp import web

from aceproxy.errors import AceProxyError, Reason

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


class _File:
    """A static file in memory, with its type and entity tag."""

    def __init__(self, name: str, body: bytes) -> None:
        self.body = body
        self.content_type = TYPES["." + name.rpartition(".")[2]]
        self.etag = hashlib.sha256(body).hexdigest()[:20]

    def answer(self, request: web.Request) -> web.Response:
        headers = {"ETag": f'"{self.etag}"', "Cache-Control": "no-cache"}
        if request.if_none_match and any(tag.value == self.etag for tag in request.if_none_match):
            return web.Response(status=304, headers=headers)
        charset = "utf-8" if self.content_type.startswith("text/") else None
        return web.Response(body=self.body, content_type=self.content_type, charset=charset, headers=headers)


class PageRoutes:
    """`/` and `/static/…`. Only names that were in the package at the start exist, so no path can lead elsewhere."""

    def __init__(self) -> None:
        folder = resources.files("aceproxy.web") / "static"
        self._files = {
            entry.name: _File(entry.name, entry.read_bytes())
            for entry in folder.iterdir()
            if entry.is_file() and "." + entry.name.rpartition(".")[2] in TYPES
        }

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/", self.index)
        app.router.add_get("/static/{name}", self.static)
        app.router.add_get("/favicon.ico", self.icon)

    async def index(self, request: web.Request) -> web.Response:
        """The dashboard."""
        return self._answer(request, "index.html")

    async def static(self, request: web.Request) -> web.Response:
        """A file of the dashboard."""
        return self._answer(request, request.match_info["name"])

    async def icon(self, request: web.Request) -> web.Response:
        """What browsers ask for on their own."""
        return self._answer(request, "icon.svg")

    def _answer(self, request: web.Request, name: str) -> web.Response:
        file = self._files.get(name)
        if file is None:
            raise AceProxyError(Reason.NOT_FOUND)
        return file.answer(request)
