"""Starting a playback session: `format=json` and `format=redirect`, as an engine answers them (engine-api §3).

The answer comes as soon as an engine has said what it plays, before there is data; the player then polls stat. A
failure is HTTP 200 with the engine's words for `json`, and one of our errors for `redirect`.
"""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import dataclass

from aiohttp import web

from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.hub import Hub
from aceproxy.streams.owner import MetAnother, MetRecording
from aceproxy.streams.recordings import Recordings
from aceproxy.streams.spans import Facts
from aceproxy.streams.stream import Stream
from aceproxy.web.answers import json_body
from aceproxy.web.asked import asked_by
from aceproxy.web.engine_answers import dumped, failure, success, words_for
from aceproxy.web.own_urls import OwnUrls
from aceproxy.web.playback_sessions import Output, PlaybackSession, PlaybackSessions
from aceproxy.web.sounds import Sounds
from aceproxy.web.visitors import visitor_of

log = logging.getLogger(__name__)

PID_LIMIT = 128  # characters of a pid that tell players apart
_NUMBER = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class _Told:
    """What an engine has said a link is; without a stream it is a recording."""

    stream: Stream | None
    infohash: str
    is_live: int


class _Interest:
    """Keeps a stream alive while its start is waited for."""

    def stream_closed(self, reason: object, detail: str) -> None:
        """See Holder; whoever waits for the start hears of it there."""


def wants_session(request: web.Request) -> bool:
    """Say whether a start asks for a session instead of media."""
    return request.query.get("format") in ("json", "redirect")


class EngineStarts:
    """Makes playback sessions."""

    def __init__(
        self,
        hub: Hub,
        recordings: Recordings,
        settings: Settings,
        sessions: PlaybackSessions,
        urls: OwnUrls,
        sounds: Sounds,
    ) -> None:
        self._sounds = sounds
        self._hub = hub
        self._recordings = recordings
        self._settings = settings
        self._sessions = sessions
        self._urls = urls

    async def start(self, request: web.Request, output: Output) -> web.Response:
        """Answer a start call that asks for a session. Raises AceProxyError for `redirect` only."""
        if request.query.get("format") == "redirect":
            session = await self._open(request, output)
            return web.Response(
                status=302,
                text=f"Redirect to {self._url(request, session)}",
                headers={"Location": self._url(request, session), "Access-Control-Allow-Origin": "*"},
            )
        try:
            session = await self._open(request, output)
        except AceProxyError as error:
            log.info("a start was refused: %s", error)
            return json_body(dumped(failure(words_for(error))))
        return json_body(dumped(success(self._response(request, session))))

    async def _open(self, request: web.Request, output: Output) -> PlaybackSession:
        """Start the stream if need be and make a session of it, or find the player's own."""
        asked = asked_by(request, self._settings)
        self._sounds.wish(request)  # what cannot be had is refused before anything is started
        link, params = asked.link, dict(asked.params)
        if (facts := self._recordings.facts(link)) is not None:
            return self._session(request, output, link, params, _Told(None, facts.infohash or link.digest, 0))
        running = self._hub.find(link)
        self._hub.places.check(visitor_of(request), link.stream_id if running is None else running.stream_id)
        stream = asked.find_or_start(self._hub)
        interest = _Interest()
        while True:
            stream.hold(interest)
            try:
                playback = await stream.wait_told()
                live = -1 if playback.is_live is None else int(playback.is_live)
                told = _Told(stream, stream.infohash or link.digest, live)
                return self._session(request, output, link, params, told)
            except MetAnother as met:
                stream = met.stream
            except MetRecording as met:
                if self._recordings.facts(link) is None:  # asked for by another name than the one it was started by
                    self._recordings.learn(link, Facts(met.playback.infohash))
                told = _Told(None, met.playback.infohash or link.digest, 0)
                return self._session(request, output, link, params, told)
            finally:
                stream.release(interest)

    def _session(
        self, request: web.Request, output: Output, link: Link, params: dict[str, str], told: _Told
    ) -> PlaybackSession:
        pid = request.query.get("pid", request.query.get("sid"))
        visitor = visitor_of(request)
        key = self._sessions.key_of(visitor.address, pid[:PID_LIMIT] if pid is not None else None)
        stream, is_recording = told.stream, told.stream is None
        if is_recording and output == "hls":
            raise AceProxyError(Reason.RECORDING)
        sound = self._sounds.wish(request)
        if is_recording:
            self._sounds.check_recording(sound)
        known = self._sessions.find(key, told.infohash)
        same = known is not None and not known.is_over and known.stream is stream and known.link.index == link.index
        if known is not None and same and (known.output, known.sound) == (output, sound):
            known.touch()
            return known
        number = request.query.get("client_session_id", "")
        session = PlaybackSession(
            key=key,
            infohash=told.infohash,
            session_id=secrets.token_hex(20),
            link=link,
            output=output,
            address=visitor.address,
            agent=visitor.agent,
            client_session_id=int(number) if _NUMBER.fullmatch(number) else -1,
            is_live=told.is_live,
            is_recording=is_recording,
            params=params,
            ticket=visitor.ticket,
            sound=sound,
            stream=stream,
        )
        self._sessions.add(session)
        if stream is not None:
            stream.hold(session)
        log.info("playback session of %s for %s (%s)", link.label, visitor.address, visitor.agent or "no agent")
        return session

    def _url(self, request: web.Request, session: PlaybackSession) -> str:
        place = f"{session.infohash}/{session.key}"
        path = f"/ace/m/{place}.m3u8" if session.output == "hls" else f"/ace/r/{place}"
        return self._urls.base(request) + path

    def _response(self, request: web.Request, session: PlaybackSession) -> dict[str, object]:
        base, place = self._urls.base(request), f"{session.infohash}/{session.key}"
        response: dict[str, object] = {
            "playback_url": self._url(request, session),
            "stat_url": f"{base}/ace/stat/{place}",
            "command_url": f"{base}/ace/cmd/{place}",
            "infohash": session.infohash,
            "playback_session_id": session.session_id,
            "is_live": session.is_live,
            "is_encrypted": 0,
            "client_session_id": session.client_session_id,
        }
        if request.query.get("use_api_events") == "1":
            response["event_url"] = f"{base}/ace/event/{place}"
        return response
