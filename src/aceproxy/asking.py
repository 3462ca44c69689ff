"""Asking a running AceProxy whether it plays a broadcast, so that a check does not disturb those who watch.

An engine may end all playbacks of a broadcast when one of them is stopped (engine-api §7), so a check must not even
start one that is being watched.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from aceproxy.access.secret import FILE_NAME
from aceproxy.engine.links import Link, LinkKind
from aceproxy.engine.os_words import os_words
from aceproxy.logs import redact
from aceproxy.settings import Settings, split_address

ASK_LIMIT_S = 5.0  # for the whole answer; a proxy answers from values at hand
ANSWER_LIMIT_BYTES = 16 << 20
STREAMS = "/api/aceproxy/streams?clients=0"
RECORDINGS = "/api/aceproxy/recordings"
RECORDING = "recording"  # state of what one viewer plays apart
NOBODY = "none"  # as the address of the proxy: there is none to ask


class CodecThere(BaseModel):
    """One elementary stream, as the proxy tells it."""

    pid: int
    codec: str | None = None
    kind: str = "data"
    language: str | None = None


class StatThere(BaseModel):
    """What the engine told the proxy."""

    peers: int | None = None
    speed_down_bps: int | None = None


class StreamThere(BaseModel):
    """A stream of the running proxy; fields that are not needed, or that a newer version adds, are ignored."""

    key: str
    aliases: list[str] = Field(default_factory=list)
    infohash: str | None = None
    title: str | None = None
    state: str
    engine: str | None = None
    client_count: int = 0
    bitrate_bps: float | None = None
    inbound_bytes: int = 0
    dropped_bytes: int = 0
    codecs: list[CodecThere] = Field(default_factory=list)
    engine_stat: StatThere = Field(default_factory=StatThere)
    start_detail: str | None = None

    def has_link(self, link: Link) -> bool:
        """Whether it is known to be what the link names, any file of it."""
        names = {name.partition("#")[0] for name in (self.key, *self.aliases)}
        return link.key.partition("#")[0] in names

    def may_be(self, link: Link) -> bool:
        """Whether it could be what the link names without anybody knowing."""
        return not any(name.startswith(f"{link.kind}:") for name in (self.key, *self.aliases))


class _Streams(BaseModel):
    streams: list[StreamThere]


class _RecordingThere(BaseModel):
    """One viewer's playback of a recording. Its `stream_id` is the digits of its link."""

    stream_id: str
    infohash: str | None = None
    engine: str | None = None
    sent_bytes: int = 0


class _Recordings(BaseModel):
    recordings: list[_RecordingThere]


class CannotAskError(Exception):
    """The proxy does not say what it plays. `is_absent`: nothing listens at its address."""

    def __init__(self, words: str, *, is_absent: bool = False) -> None:
        super().__init__(words)
        self.is_absent = is_absent


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """An AceProxy that may be running at `url`. `secret` is sent along where it is known."""

    session: aiohttp.ClientSession
    url: str
    secret: str | None = None

    async def streams(self) -> list[StreamThere]:
        """Return what it plays, recordings among it. Raises CannotAskError. Cancel-safe."""
        try:
            streams = _Streams.model_validate_json(await self._get(STREAMS)).streams
            told = _Recordings.model_validate_json(await self._get(RECORDINGS)).recordings
        except ValidationError:
            raise CannotAskError("what answers there is no AceProxy") from None
        return streams + [
            StreamThere(
                key=f"{RECORDING}:{one.stream_id.partition('-')[0]}",
                infohash=one.infohash,
                state=RECORDING,
                engine=one.engine,
                client_count=1,
                inbound_bytes=one.sent_bytes,
            )
            for one in told
        ]

    async def _get(self, path: str) -> bytes:
        """Return an answer. Limit: ASK_LIMIT_S over all. Raises CannotAskError."""
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                return await self._read(path)
        except TimeoutError:
            raise CannotAskError(f"no answer in {ASK_LIMIT_S:g} s") from None
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, ConnectionRefusedError)
            raise CannotAskError(redact(os_words(error.os_error)), is_absent=refused) from error
        except (aiohttp.ClientError, OSError) as error:
            raise CannotAskError(redact(str(error))) from error

    async def _read(self, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        async with self.session.get(self.url + path, headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                raise CannotAskError(f"it answers with status {answer.status}")
            body = b""
            while len(body) < ANSWER_LIMIT_BYTES and (part := await answer.content.read(ANSWER_LIMIT_BYTES)):
                body += part
        return body


def find_stream(streams: list[StreamThere], link: Link, infohash: str | None) -> StreamThere | None:
    """Return the stream that plays the broadcast of a link, whose infohash may be known.

    People give infohashes as content ids, so equal digits count as one broadcast, whatever they are called.
    """
    digits = {value for value in (infohash, link.value if link.kind is not LinkKind.URL else None) if value}
    for stream in streams:
        names = {name.partition("#")[0].partition(":")[2] for name in (stream.key, *stream.aliases)}
        if stream.has_link(link) or (stream.infohash in digits) or digits & names:
            return stream
    return None


def proxy_url(settings: Settings, given: str | None) -> str | None:
    """Return the address of the proxy to ask, None for none. Raises ValueError for what is no address."""
    if given == NOBODY:
        return None
    if given is None:
        host, port = split_address(settings.listen)
        if host is None or host in ("0.0.0.0", "::"):  # noqa: S104 - it listens everywhere, so here as well
            host = "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"
    url = given.strip().rstrip("/")
    url = url if "://" in url else f"http://{url}"
    if not url.startswith(("http://", "https://")) or any(sign in url.partition("://")[2] for sign in "/?#@ "):
        raise ValueError(f"{given!r} is not an address such as http://127.0.0.1:6880, nor {NOBODY}")
    return url


def read_secret(folder: Path | None) -> str | None:
    """Return the admin secret that a proxy with this state_dir keeps, if we may read it."""
    if folder is None:
        return None
    try:
        return (folder / FILE_NAME).read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None
