"""HLS: lists and segments.

A player asks for a list without a viewer's token first and gets a master playlist, whose only variant is the same
address with a token. With the token it gets the media playlist, and counts as a client. Segments' addresses carry no
token, so that a cache can share them; they hold a secret part that only a list tells.
"""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlencode

from aiohttp import web

from aceproxy.engine.links import Link, parse_link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.hls.desk import HlsDesk, new_token
from aceproxy.hls.playlist import master_text, media_text
from aceproxy.hls.shown import Shown
from aceproxy.settings import Settings
from aceproxy.streams.client import Visitor
from aceproxy.streams.derived import VARIANT
from aceproxy.streams.hub import Hub
from aceproxy.streams.owner import MetRecording
from aceproxy.streams.recordings import Recordings
from aceproxy.streams.stream import Stream
from aceproxy.web.answers import error_answer
from aceproxy.web.asked import Asked, asked_by
from aceproxy.web.cors import CORS_HEADERS, answer_preflight
from aceproxy.web.engine_starts import EngineStarts, wants_session
from aceproxy.web.playback_sessions import PlaybackSession
from aceproxy.web.segments import asked_span, send_segment
from aceproxy.web.sounds import Sounds, Wish
from aceproxy.web.visitors import visitor_of

LIST_TYPE = "application/vnd.apple.mpegurl"
SEGMENT_TYPE = "video/mp2t"
SEGMENT_AGE_S = 86_400  # a day: longer than any window; the address never means anything else
PEAK_MARGIN = 1.25  # the highest bitrate in a live list's past is no bound of its future
VIEWER = "viewer"
_STREAM_ID = re.compile(r"(?P<digits>[0-9a-fA-F]{40})(?:-(?P<index>[1-9][0-9]{0,3}))?")

Serve = Callable[["HlsRoutes", web.Request], Awaitable[web.StreamResponse]]


def for_any_origin(serve: Serve) -> Serve:
    """Let pages of other origins read the answer, and why there is none."""

    @functools.wraps(serve)
    async def wrapped(routes: HlsRoutes, request: web.Request) -> web.StreamResponse:
        try:
            return await serve(routes, request)
        except AceProxyError as error:
            return _refusal(error)

    return wrapped


def _refusal(error: AceProxyError) -> web.Response:
    answer = error_answer(error)
    answer.headers.update(CORS_HEADERS)
    return answer


def _list_head() -> web.Response:
    return web.Response(content_type=LIST_TYPE, headers={**CORS_HEADERS, "Cache-Control": "no-cache"})


class HlsRoutes:
    """`/ace/manifest.m3u8` and everything below `/hls/`."""

    def __init__(
        self,
        hub: Hub,
        desk: HlsDesk,
        settings: Settings,
        starts: EngineStarts,
        sounds: Sounds,
        recordings: Recordings,
    ) -> None:
        self._hub = hub
        self._recordings = recordings
        self._sounds = sounds
        self._starts = starts
        self._desk = desk
        self._settings = settings

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        router = app.router
        lists = {
            "/ace/manifest.m3u8": self.manifest,
            "/hls/{stream_id}/index.m3u8": self.index,
            "/hls/{stream_id}/shared.m3u8": self.shared,
        }
        for path, serve in lists.items():
            router.add_get(path, serve, allow_head=False)
            router.add_head(path, self.head_list)
            router.add_options(path, answer_preflight)
        segment = "/hls/{stream_id}/{generation}/{number}.ts"
        router.add_get(segment, self.segment)
        router.add_options(segment, answer_preflight)

    @for_any_origin
    async def head_list(self, request: web.Request) -> web.StreamResponse:
        """Tell the headers of a list and start nothing."""
        self._finder(request)
        self._sounds.wish(request)
        return _list_head()

    @for_any_origin
    async def manifest(self, request: web.Request) -> web.StreamResponse:
        """A viewer's list, by a link of any form, or a playback session if that is what is asked for."""
        if wants_session(request):
            return await self._starts.start(request, "hls")
        return await self.answer_list(request, self._finder(request))

    async def play(self, request: web.Request, link: Link) -> web.StreamResponse:
        """A viewer's list of a link that was read already."""
        try:
            return await self.answer_list(request, self._starter(asked_by(request, self._settings, link)))
        except AceProxyError as error:
            return _refusal(error)

    def head(self, request: web.Request, link: Link) -> web.Response:
        """The headers of the list of a link that was read already; starts nothing."""
        try:
            asked_by(request, self._settings, link)
            self._sounds.wish(request)
        except AceProxyError as error:
            return _refusal(error)
        return _list_head()

    async def session_list(self, request: web.Request, session: PlaybackSession) -> web.StreamResponse:
        """The list of a playback session, which is its viewer. Raises AceProxyError."""
        stream = session.stream
        if stream is None:
            raise session.failure or AceProxyError(Reason.SESSION_UNKNOWN)
        visitor = replace(visitor_of(request), ticket=session.ticket)
        token = session.session_id
        try:
            find = await self._with_sound(lambda: stream, visitor, session.sound, token)
            shown = await self._desk.watch(token, find, visitor)
        except AceProxyError as error:
            return _refusal(error)
        return self._media(request, token, shown, is_shared=False)

    def leave(self, session: PlaybackSession) -> None:
        """End the viewer that a playback session is."""
        self._desk.leave(session.session_id)

    @for_any_origin
    async def index(self, request: web.Request) -> web.StreamResponse:
        """A viewer's list, by the stream's id."""
        return await self.answer_list(request, self._finder(request))

    @for_any_origin
    async def shared(self, request: web.Request) -> web.StreamResponse:
        """One list for all who ask: for caches, which are one client then."""
        stream_id = request.match_info["stream_id"].lower()
        find, token, visitor = self._finder(request), f"shared-{stream_id}", visitor_of(request)
        wish = self._sounds.wish(request)
        if stream_id.endswith(f"-{VARIANT}"):
            find = await self._with_sound(find, visitor, wish, token)
        elif "aac" in request.query.getall("audio", []):  # a cache may keep one list for all that is behind the ?
            raise AceProxyError(Reason.BAD_PARAMETER, f"a shared list with AAC is {stream_id}-{VARIANT}/shared.m3u8")
        shown = await self._desk.watch(token, find, visitor)
        return self._media(request, token, shown, is_shared=True)

    async def answer_list(self, request: web.Request, find: Callable[[], Stream]) -> web.StreamResponse:
        """Answer with a viewer's list of the stream that `find` returns: the master playlist, or the media playlist to
        who has a token. Waits for the first segment. Raises AceProxyError.
        """
        token = request.query.get(VIEWER)
        find = await self._with_sound(find, visitor_of(request), self._sounds.wish(request), token)
        if token:
            shown = await self._desk.watch(token, find, visitor_of(request))
            return self._media(request, token, shown, is_shared=False)
        token = new_token()
        shown = await self._desk.watch(token, find, visitor_of(request), is_announced=True)
        peak_bps, average_bps = shown.window.bitrates_bps
        known = await shown.variant()
        fields = [(name, value) for name, value in request.query.items() if name != VIEWER]
        name = posixpath.basename(request.rel_url.raw_path)
        name = f"./{name}" if ":" in name else name  # it would be taken for a scheme
        address = f"{name}?{urlencode([*fields, (VIEWER, token)])}"
        try:
            text = master_text(
                address,
                peak_bps * PEAK_MARGIN,
                average_bps,
                size=(known.width, known.height) if known.width and known.height else None,
                frame_rate=known.frame_rate,
                codecs=known.codecs,
            )
        except ValueError as error:
            raise AceProxyError(Reason.BAD_LINK, "the address is too long for a list") from error
        return web.Response(
            body=text.encode(), content_type=LIST_TYPE, headers={**CORS_HEADERS, "Cache-Control": "private, no-store"}
        )

    async def _with_sound(
        self, find: Callable[[], Stream], visitor: Visitor, wish: Wish, token: str | None
    ) -> Callable[[], Stream]:
        """Return what finds the stream with the sound that is wanted, `find` where there is no choice."""
        if wish is Wish.NONE or (token and self._desk.has_viewer(token)):
            return find
        try:
            stream = await self._sounds.find(find(), visitor, wish)
        except MetRecording as met:
            raise AceProxyError(Reason.RECORDING) from met
        return lambda: stream

    def _media(self, request: web.Request, token: str, shown: Shown, *, is_shared: bool) -> web.Response:
        """Answer with the media playlist as it stands."""
        playlist = self._desk.playlist(token, shown)
        place = f"/hls/{shown.stream.stream_id}/{shown.generation}"
        prefix = posixpath.relpath(place, posixpath.dirname(request.rel_url.raw_path)) + "/"
        body = media_text(playlist, prefix).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        age = f"public, max-age={max(1, playlist.target_s // 2)}" if is_shared else "private, no-cache"
        headers = {**CORS_HEADERS, "Cache-Control": age, "ETag": etag}
        if request.if_none_match and any(tag.value == etag.strip('"') for tag in request.if_none_match):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=LIST_TYPE, headers=headers)

    @for_any_origin
    async def segment(self, request: web.Request) -> web.StreamResponse:
        """A segment, or a range of it."""
        info = request.match_info
        number = info["number"]
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise AceProxyError(Reason.SEGMENT_GONE)
        shown, held = self._desk.segment(info["stream_id"], info["generation"], int(number))
        etag = f"{shown.generation}-{number}"
        headers = {
            **CORS_HEADERS,
            "Content-Type": SEGMENT_TYPE,
            "Cache-Control": f"public, max-age={SEGMENT_AGE_S}, immutable",
            "ETag": f'"{etag}"',
            "Accept-Ranges": "bytes",
        }
        if request.if_none_match and any(tag.value == etag for tag in request.if_none_match):
            return web.Response(status=304, headers=headers)
        size = held.size_bytes
        asked = request.headers.get("Range") if request.headers.get("If-Range", f'"{etag}"') == f'"{etag}"' else None
        span = asked_span(asked, size) if request.method == "GET" else asked_span(None, size)
        if span is None:
            answer = error_answer(AceProxyError(Reason.RANGE_NOT_SATISFIABLE))
            answer.headers.update({**CORS_HEADERS, "Content-Range": f"bytes */{size}"})
            return answer
        response = web.StreamResponse(status=200 if span.is_all else 206, headers=headers)
        if not span.is_all:
            response.headers["Content-Range"] = span.content_range
        if request.method == "HEAD":
            response.content_length = size
            await response.prepare(request)
            return response
        visitor = visitor_of(request)
        await send_segment(
            request,
            response,
            held,
            span,
            self._settings.client_stall_s,
            lambda count: self._desk.sent(shown, held, count, visitor),
        )
        return response

    def _finder(self, request: web.Request) -> Callable[[], Stream]:
        """Return what finds the stream that a request names, and starts it if need be. Raises AceProxyError if it
        names none, or one that is not allowed.
        """
        stream_id = request.match_info.get("stream_id")
        if stream_id is None:
            return self._starter(asked_by(request, self._settings))
        plain_id = stream_id.lower().removesuffix(f"-{VARIANT}")  # what is derived from it, `_with_sound` finds
        start = self._starter(asked_by(request, self._settings, _link_of(plain_id)))
        return lambda: self._hub.find_by_id(plain_id) or start()

    def _starter(self, asked: Asked) -> Callable[[], Stream]:
        """Return what finds the stream that is asked for, or starts it. Raises AceProxyError."""

        def start() -> Stream:
            if self._hub.find(asked.link) is None and self._recordings.facts(asked.link) is not None:
                raise AceProxyError(Reason.RECORDING)  # without a start that would come to nothing
            return asked.find_or_start(self._hub)

        return start


def _link_of(stream_id: str) -> Link:
    """Return the link that a stream's id stands for. Raises BAD_LINK."""
    found = _STREAM_ID.fullmatch(stream_id)
    if found is None:
        raise AceProxyError(Reason.BAD_LINK, "a stream's id is 40 hexadecimal digits, and -N for a file of several")
    index = f"?index={found['index']}" if found["index"] else ""
    return parse_link(f"acestream://{found['digits']}{index}")
