"""What pages of other origins may read and ask (the Fetch standard's CORS protocol)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

CORS_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, ETag, Retry-After",
}
PREFLIGHT_HEADERS: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, If-None-Match, Authorization",
    "Access-Control-Max-Age": "86400",
}


async def answer_preflight(_request: web.Request) -> web.Response:
    """Allow pages of other origins what players need."""
    return web.Response(status=204, headers={**CORS_HEADERS, **PREFLIGHT_HEADERS})
