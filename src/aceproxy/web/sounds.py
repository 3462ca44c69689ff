"""The sound that a player wants: as it is broadcast, or as AAC (`audio=aac`, or by the kind of player)."""

from __future__ import annotations

from enum import Enum, auto

from aiohttp import web

from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.client import Visitor
from aceproxy.streams.derived import VARIANT, needs_work
from aceproxy.streams.hub import Hub
from aceproxy.streams.owner import MetAnother
from aceproxy.streams.stream import Stream
from aceproxy.streams.transcoder import find_ffmpeg

BROWSERS = "browsers"  # in audio_aac_agents
BROWSER_AGENT = "mozilla/5.0"  # how the agents of all browsers begin


class Wish(Enum):
    """What is wanted."""

    NONE = auto()  # the sound as it is
    AAC = auto()  # AAC, or an error
    RATHER_AAC = auto()  # AAC if it can be had


class Sounds:
    """Finds the stream with the right sound."""

    def __init__(self, hub: Hub, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings

    def wish(self, request: web.Request) -> Wish:
        """Return what a request wants. Raises BAD_PARAMETER, NO_TRANSCODER."""
        asked = request.query.get("audio")
        if (request.match_info.get("stream_id") or "").lower().endswith(f"-{VARIANT}"):
            asked = "aac"  # the id is that of a derived stream
        if asked is None:
            return Wish.RATHER_AAC if self._is_listed(request.headers.get("User-Agent", "")) else Wish.NONE
        if asked == "original":
            return Wish.NONE
        if asked != "aac":
            raise AceProxyError(Reason.BAD_PARAMETER, "audio is aac or original")
        if find_ffmpeg() is None:
            raise AceProxyError(Reason.NO_TRANSCODER)
        return Wish.AAC

    @staticmethod
    def check_recording(wish: Wish) -> None:
        """Raise RECORDING where what is wanted cannot be had of a file."""
        if wish is Wish.AAC:
            raise AceProxyError(Reason.RECORDING, "its sound cannot be changed: leave audio=aac away")

    async def find(self, stream: Stream, visitor: Visitor, wish: Wish) -> Stream:
        """Return the stream itself where its sound will do, else the one that is derived from it.

        Waits until the stream delivers: only then its sound is known. The caller joins what it gets at once. Raises
        what `Stream.join` raises but for MetAnother, and TRANSCODERS_BUSY. Cancel-safe.
        """
        while True:
            try:
                await stream.wait_live(visitor)
                break
            except MetAnother as met:
                stream = met.stream
        if not needs_work(stream):
            return stream
        try:
            return self._hub.derive(stream)
        except AceProxyError as error:
            if wish is Wish.AAC or error.reason is not Reason.TRANSCODERS_BUSY:
                raise
            return stream

    def _is_listed(self, agent: str) -> bool:
        """Whether players of this kind get AAC without asking; never where there is no ffmpeg."""
        agent = agent.lower()
        listed = any(
            agent.startswith(BROWSER_AGENT) if word.lower() == BROWSERS else word.lower() in agent
            for word in self._settings.audio_aac_agents
        )
        return listed and find_ffmpeg() is not None
