"""Which right every route needs: the one table.

A route that is not in it needs the strongest right; a test fails until it is.
"""

from __future__ import annotations

from enum import StrEnum

from aiohttp import web


class Right(StrEnum):
    """What a route needs of who asks."""

    PUBLIC = "public"  # nothing: it tells nobody anything about this place, its streams or its viewers
    PLAY = "play"  # a viewer's role, or a player's token; the settings may open it further, or close it but to tokens
    VIEW = "view"  # a viewer's role; addresses of others are masked
    ADMIN = "admin"


RIGHTS: dict[str, Right] = {
    # pages: empty shells, that fill themselves by calls for which they need the right
    "GET /": Right.PUBLIC,
    "GET /static/{name}": Right.PUBLIC,
    "GET /favicon.ico": Right.PUBLIC,
    "GET /watch": Right.PUBLIC,
    "GET /watch/play.m3u": Right.PLAY,
    "GET /watch/qr.svg": Right.PLAY,
    "GET /sign-in": Right.PUBLIC,
    # signing in and out
    "GET /api/session": Right.PUBLIC,
    "POST /api/session": Right.PUBLIC,
    "DELETE /api/session": Right.PUBLIC,
    "DELETE /api/sessions": Right.ADMIN,
    "GET /api/tokens": Right.ADMIN,
    "POST /api/tokens": Right.ADMIN,
    "DELETE /api/tokens/{token_id}": Right.ADMIN,
    "PUT /api/password": Right.ADMIN,
    "DELETE /api/password": Right.ADMIN,
    "POST /api/secret": Right.ADMIN,
    "GET /api/docs": Right.PUBLIC,
    "GET /api/openapi.json": Right.PUBLIC,
    # media
    "GET /ace/getstream": Right.PLAY,
    "GET /content_id/{link}": Right.PLAY,
    "GET /content_id/{link}/{rest}": Right.PLAY,
    "GET /pid/{link}": Right.PLAY,
    "GET /pid/{link}/{rest}": Right.PLAY,
    "GET /infohash/{link}": Right.PLAY,
    "GET /infohash/{link}/{rest}": Right.PLAY,
    "GET /stream/{link}": Right.PLAY,
    # playback sessions: the key in the address was given to whoever had the right to start, and nobody can guess it
    "GET /ace/r/{infohash}/{key}": Right.PUBLIC,
    "GET /ace/m/{infohash}/{key}.m3u8": Right.PUBLIC,
    "GET /ace/stat/{infohash}/{key}": Right.PUBLIC,
    "GET /ace/cmd/{infohash}/{key}": Right.PUBLIC,
    "GET /ace/event/{infohash}/{key}": Right.PUBLIC,
    # harmless questions to an engine
    "GET /webui/api/service": Right.PLAY,
    "GET /server/api": Right.PLAY,
    "GET /search": Right.PLAY,
    "GET /ace/manifest.m3u8": Right.PLAY,
    "GET /hls/{stream_id}/index.m3u8": Right.PLAY,
    "GET /hls/{stream_id}/shared.m3u8": Right.PLAY,
    "GET /hls/{stream_id}/{generation}/{number}.ts": Right.PUBLIC,  # its secret part is told by a list only
    "OPTIONS /ace/manifest.m3u8": Right.PUBLIC,  # what any page may ask; starts and tells nothing
    "OPTIONS /ace/getstream": Right.PUBLIC,
    "OPTIONS /content_id/{link}": Right.PUBLIC,
    "OPTIONS /content_id/{link}/{rest}": Right.PUBLIC,
    "OPTIONS /pid/{link}": Right.PUBLIC,
    "OPTIONS /pid/{link}/{rest}": Right.PUBLIC,
    "OPTIONS /infohash/{link}": Right.PUBLIC,
    "OPTIONS /infohash/{link}/{rest}": Right.PUBLIC,
    "OPTIONS /stream/{link}": Right.PUBLIC,
    "OPTIONS /hls/{stream_id}/index.m3u8": Right.PUBLIC,
    "OPTIONS /hls/{stream_id}/shared.m3u8": Right.PUBLIC,
    "OPTIONS /hls/{stream_id}/{generation}/{number}.ts": Right.PUBLIC,
    # state
    "GET /api/health": Right.PUBLIC,  # to who may not view, the verdict alone
    "GET /livez": Right.PUBLIC,
    "GET /readyz": Right.PUBLIC,
    "GET /metrics": Right.VIEW,  # no addresses of viewers
    "GET /ace/status": Right.VIEW,
    "GET /api/events": Right.VIEW,
    "GET /api/logs/tail": Right.VIEW,
    "GET /api/aceproxy/sessions": Right.VIEW,
    "GET /api/aceproxy/recordings": Right.VIEW,
    "GET /api/aceproxy/files": Right.VIEW,
    "GET /api/aceproxy/stats": Right.VIEW,
    "GET /api/aceproxy/streams": Right.VIEW,
    "GET /api/aceproxy/streams/{key}": Right.VIEW,
    "GET /api/aceproxy/streams/{key}/timeline": Right.VIEW,
    "GET /api/aceproxy/streams/{key}/still.jpg": Right.VIEW,
    "GET /api/aceproxy/engines": Right.VIEW,
    "GET /api/logs/stream": Right.VIEW,
    "GET /api/logs/download": Right.ADMIN,
    "GET /api/aceproxy/history": Right.VIEW,
    "GET /api/aceproxy/history/{id}": Right.VIEW,
    "GET /api/aceproxy/links": Right.VIEW,
    "GET /api/settings": Right.ADMIN,  # they tell addresses, files and networks
    # changes
    "PATCH /api/settings": Right.ADMIN,
    "POST /api/reload": Right.ADMIN,
    "DELETE /api/aceproxy/history/{id}": Right.ADMIN,
    "DELETE /api/aceproxy/streams/{key}": Right.ADMIN,
    "POST /api/aceproxy/engines": Right.ADMIN,
    "DELETE /api/aceproxy/engines/{label}": Right.ADMIN,
    "POST /api/aceproxy/engines/{label}/drain": Right.ADMIN,
    "POST /api/aceproxy/engines/{label}/undrain": Right.ADMIN,
    "DELETE /api/aceproxy/recordings/{recording_id}": Right.ADMIN,
    "DELETE /api/aceproxy/streams/{key}/clients/{client_id}": Right.ADMIN,
}


def route_name(method: str, canonical: str) -> str:
    """Return a route's name in the table; HEAD is a GET without a body."""
    return f"{'GET' if method == 'HEAD' else method} {canonical.rstrip('/') or '/'}"


def right_for(request: web.Request) -> Right:
    """Return the right that a request needs. What leads to no route needs none: the answer is a 404 or a 405."""
    resource = request.match_info.route.resource
    if request.match_info.http_exception is not None or resource is None:
        return Right.PUBLIC
    return RIGHTS.get(route_name(request.method, resource.canonical), Right.ADMIN)
