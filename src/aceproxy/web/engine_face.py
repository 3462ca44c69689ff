"""The engine's own addresses for a playback session: media, stat, commands, events (engine-api §4 to §7)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.recordings import Recordings
from aceproxy.web.answers import json_answer, json_body
from aceproxy.web.engine_answers import (
    UNKNOWN_SESSION,
    dumped,
    failure,
    recording_response,
    stat_response,
    success,
    words_for,
)
from aceproxy.web.hls import HlsRoutes
from aceproxy.web.models import Sessions
from aceproxy.web.playback_sessions import IDLE_LIMIT_S, PlaybackSession, PlaybackSessions
from aceproxy.web.streaming import MEDIA_HEADERS, StreamRoutes

EVENT_WAIT_S = 15.0  # of a long poll; clients cut it at about that themselves
POLLS_LIMIT = 4  # long polls of one session at a time; further ones are answered at once
PLACE = "{infohash:[0-9a-fA-F]{40}}/{key:[0-9a-f]{1,64}}"


class EngineFaceRoutes:
    """Routes of playback sessions, and the list of sessions."""

    def __init__(
        self, sessions: PlaybackSessions, streams: StreamRoutes, hls: HlsRoutes, recordings: Recordings
    ) -> None:
        self._sessions = sessions
        self._hls = hls
        self._recordings = recordings
        self._streams = streams
        self._polls: dict[PlaybackSession, int] = {}

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        router = app.router
        router.add_get(f"/ace/r/{PLACE}", self.media, allow_head=False)
        router.add_head(f"/ace/r/{PLACE}", self.head_media)
        router.add_get(f"/ace/m/{PLACE}.m3u8", self.media_list, allow_head=False)
        router.add_get(f"/ace/stat/{PLACE}", self.stat)
        router.add_get(f"/ace/cmd/{PLACE}", self.command, allow_head=False)
        router.add_get(f"/ace/event/{PLACE}", self.events, allow_head=False)
        router.add_get("/api/aceproxy/sessions", self.list_sessions)

    async def media(self, request: web.Request) -> web.StreamResponse:
        """Play what the session is about."""
        session = self._of_media(request)
        return await self._streams.play_session(request, session, self._sessions)

    async def head_media(self, request: web.Request) -> web.StreamResponse:
        """Tell what a GET would send."""
        session = self._of_media(request)
        session.touch()
        if session.is_recording:
            return await self._streams.head(request, session.link)
        response = web.Response(headers=MEDIA_HEADERS)
        response.force_close()
        return response

    async def media_list(self, request: web.Request) -> web.StreamResponse:
        """The session's list, for players that started with a manifest."""
        session = self._of_media(request)
        session.touch()
        return await self._hls.session_list(request, session)

    async def stat(self, request: web.Request) -> web.Response:
        """How the session's stream does, from values at hand."""
        session = self._find(request)
        if session is None:
            return _failed(UNKNOWN_SESSION)
        if request.query.get("skip_player_activity") != "1":
            session.touch()
        if session.is_over:
            return _failed(_failure_words(session))
        if session.stream is None:
            return json_body(dumped(success(self._recording_stat(session))))
        now = asyncio.get_running_loop().time()
        return json_body(
            dumped(
                success(
                    stat_response(
                        session.stream,
                        now,
                        session_id=session.session_id,
                        is_live=session.is_live,
                        number=session.client_session_id,
                    )
                )
            )
        )

    async def command(self, request: web.Request) -> web.Response:
        """Do what the player asks, as far as it concerns nobody else; answer in the shape of its API version (§7)."""
        refused = self._obey(request)
        if request.query.get("api_version") in ("2", "3"):
            told = {"result": "ok"} if refused is None else {"error": {"message": refused, "code": 0}}
            return json_body(dumped(told))
        return _failed(refused) if refused is not None else json_body(dumped(success("ok")))

    def _obey(self, request: web.Request) -> str | None:
        """Do what a command asks; return the words of its refusal, None if it is done."""
        session = self._find(request)
        if session is None:
            return UNKNOWN_SESSION
        session.touch()
        method = request.query.get("method", "")
        if method == "stop":
            self._sessions.end(session)
            self._hls.leave(session)
            if session.is_recording:
                self._recordings.end_viewer(session.key, session.link)
            return None
        if method == "liveseek" and not session.is_recording:
            if request.query.get("pos", "-1") != "-1":
                return "liveseek is not possible here: the broadcast is shared with other players"
            session.tell("live_changed", is_live=1)
            return None
        if method == "set_player_activity_timeout":
            timeout = request.query.get("timeout", "")
            if not (timeout.isascii() and timeout.isdigit() and 1 <= len(timeout) <= 6 and int(timeout)):
                return "invalid timeout"
            self._sessions.set_idle_limit(session, min(float(timeout), IDLE_LIMIT_S))
            return None
        if method == "set_stream":
            return "set_stream is not possible here: the broadcast is shared with other players"
        return "unknown method"

    async def events(self, request: web.Request) -> web.Response:
        """Wait for the session's next event, `EVENT_WAIT_S` at most; then the answer is null."""
        session = self._find(request)
        if session is None:
            return _failed(UNKNOWN_SESSION)
        session.touch()
        polls = self._polls.get(session, 0)
        if polls < POLLS_LIMIT:
            self._polls[session] = polls + 1
            try:
                await _wait_news(session)
            finally:
                left = self._polls.pop(session) - 1
                if left:
                    self._polls[session] = left
        session.touch()
        if session.events:
            event = session.events.popleft()
            if not session.events:
                session.news.clear()
            return json_body(dumped(success(event)))
        if session.is_over:
            return _failed(_failure_words(session))
        return json_body(dumped(success(None)))

    async def list_sessions(self, _request: web.Request) -> web.Response:
        """All playback sessions."""
        return json_answer(Sessions(sessions=self._sessions.snapshot()))

    def _recording_stat(self, session: PlaybackSession) -> dict[str, object]:
        own = self._recordings.of_viewer(session.key, session.link)
        return recording_response(
            own[-1] if own else None,
            session_id=session.session_id,
            infohash=session.infohash,
            index=session.link.index,
            number=session.client_session_id,
        )

    def _find(self, request: web.Request) -> PlaybackSession | None:
        return self._sessions.find(request.match_info["key"], request.match_info["infohash"])

    def _of_media(self, request: web.Request) -> PlaybackSession:
        """Return the session whose media is asked for. Raises AceProxyError."""
        session = self._find(request)
        if session is None:
            raise AceProxyError(Reason.SESSION_UNKNOWN)
        if session.is_over:
            raise session.failure or AceProxyError(Reason.SESSION_UNKNOWN)
        return session


async def _wait_news(session: PlaybackSession) -> None:
    if session.is_over:
        return  # no more news than what is there
    try:
        async with asyncio.timeout(EVENT_WAIT_S):
            await session.news.wait()
    except TimeoutError:
        return  # a poll without an event


def _failure_words(session: PlaybackSession) -> str:
    return words_for(session.failure) if session.failure is not None else UNKNOWN_SESSION


def _failed(words: str) -> web.Response:
    return json_body(dumped(failure(words)))
