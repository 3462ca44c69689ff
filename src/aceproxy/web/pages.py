"""The pages and their files: named once at the start, read when first asked for, then served from memory."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import hdrs, web

from aceproxy.errors import AceProxyError, Reason
from aceproxy.web.answers import SECURITY_HEADERS

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
PACKED = frozenset({".html", ".css", ".js", ".mjs", ".txt", ".svg"})
FOR_EVER = "public, max-age=31536000, immutable"  # vendor files have their version in their name
ASK_AGAIN = "no-cache"
VENDOR = "vendor/"
WATCH_CSP = "; ".join([SECURITY_HEADERS["Content-Security-Policy"], "media-src 'self' blob:"])
"""The watch page's players hand the browser media that script has taken apart, under addresses of its own (blob:)."""


@dataclass(frozen=True, slots=True)
class _Content:
    """A file as it is sent: plain, and packed where that makes it smaller."""

    body: bytes
    packed: bytes | None
    etag: str


class _File:
    """A static file, read by a thread when it is first wanted."""

    def __init__(self, name: str, place: Traversable) -> None:
        self._place = place
        self._suffix = "." + name.rpartition(".")[2]
        self._caching = FOR_EVER if name.startswith(VENDOR) else ASK_AGAIN
        self._content: _Content | None = None

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with the file, or say that the browser's copy is still good."""
        content = self._content
        if content is None:
            content = self._content = await asyncio.to_thread(self._read)
        packed = content.packed if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "") else None
        etag = content.etag + ("-gz" if packed is not None else "")
        headers = {"ETag": f'"{etag}"', "Cache-Control": self._caching, "Vary": "Accept-Encoding"}
        if request.if_none_match and any(tag.value == etag for tag in request.if_none_match):
            return web.Response(status=304, headers=headers)
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        kind = TYPES[self._suffix]
        charset = "utf-8" if kind.startswith("text/") else None
        body = content.body if packed is None else packed
        return web.Response(body=body, content_type=kind, charset=charset, headers=headers)

    def _read(self) -> _Content:
        body = self._place.read_bytes()
        packed = gzip.compress(body, 6, mtime=0) if self._suffix in PACKED else body
        etag = hashlib.sha256(body).hexdigest()[:20]
        return _Content(body, packed if len(packed) < len(body) else None, etag)


def _files(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{above}{entry.name}/")
        elif "." + entry.name.rpartition(".")[2] in TYPES:
            yield above + entry.name, entry


class PageRoutes:
    """`/`, `/watch` and `/static/…`. Only names that are in the package at the start exist: no path leads elsewhere."""

    def __init__(self) -> None:
        folder = resources.files("aceproxy.web") / "static"
        self._files = {name: _File(name, place) for name, place in _files(folder)}

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/", self.index)
        app.router.add_get("/watch", self.watch)
        app.router.add_get("/static/{name:.+}", self.static)
        app.router.add_get("/favicon.ico", self.icon)
        app.router.add_get("/sign-in", self.sign_in)

    async def index(self, request: web.Request) -> web.Response:
        """The dashboard."""
        return await self._answer(request, "index.html")

    async def watch(self, request: web.Request) -> web.Response:
        """The page with a player. The page reads the link from its own address."""
        answer = await self._answer(request, "watch.html")
        answer.headers["Content-Security-Policy"] = WATCH_CSP
        return answer

    async def static(self, request: web.Request) -> web.Response:
        """A file of the pages."""
        return await self._answer(request, request.match_info["name"])

    async def icon(self, request: web.Request) -> web.Response:
        """What browsers ask for on their own."""
        return await self._answer(request, "icon.svg")

    async def sign_in(self, request: web.Request) -> web.Response:
        """The page that signs in; the admin's link leads here."""
        return await self._answer(request, "sign_in.html")

    async def _answer(self, request: web.Request, name: str) -> web.Response:
        file = self._files.get(name)
        if file is None:
            raise AceProxyError(Reason.NOT_FOUND)
        return await file.answer(request)
