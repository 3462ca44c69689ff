"""The calls of one engine's HTTP API: start, stat, stop, version, resolve (engine-api §3, §5, §7, §8).

One method is one HTTP request with its own limit; nothing is retried here. Every failure is an AceProxyError. All
methods are cancel-safe in that no connection is left behind; what a cancelled `start` has set going on the engine is
not known to anybody any more, see `PlaybackStopper.launch`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

from aceproxy.engine.fetching import Fetcher, engine_address
from aceproxy.engine.links import Link, LinkKind
from aceproxy.engine.messages import (
    ANSWER_LIMIT_BYTES,
    EngineVersion,
    MediaFiles,
    Stat,
    error_of,
    error_text,
    is_media_url,
    parse_command,
    parse_media_files,
    parse_result,
    parse_start,
    parse_stat,
    parse_version,
    rewrite_url,
)
from aceproxy.engine.os_words import os_words
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How long an engine may take, and the rhythm of a start; all in seconds. The settings of the same names."""

    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 30.0
    stat_timeout_s: float = 5.0
    stop_timeout_s: float = 3.0
    start_poll_s: float = 0.25
    retry_first_s: float = 1.0

    @classmethod
    def from_settings(cls, settings: Settings) -> EngineLimits:
        """Take the limits from the settings."""
        return cls(
            connect_timeout_s=settings.connect_timeout_s,
            answer_timeout_s=settings.answer_timeout_s,
            stat_timeout_s=settings.stat_timeout_s,
            stop_timeout_s=settings.stop_timeout_s,
            start_poll_s=settings.start_poll_s,
            retry_first_s=settings.retry_first_s,
        )


@dataclass(frozen=True, slots=True)
class Playback:
    """The engine's handle of what it plays for us.

    All URLs lead to the configured engine whatever host it wrote into them. `key` is the stream key of the link it
    was started for. `is_list`: `playback_url` is an HLS list, of the engine or of the origin it redirects to.
    `stat_url` and `command_url` are None for direct files (§3.2) and origins.
    """

    engine_url: str
    pid: str
    playback_url: str
    stat_url: str | None
    command_url: str | None
    infohash: str | None
    session_id: str
    is_live: bool | None
    is_encrypted: bool
    key: str = ""
    is_list: bool = False


class RedirectedError(AceProxyError):
    """The engine sends players of this broadcast to `target`, which is not its own."""

    def __init__(self, host: str, target: str) -> None:
        super().__init__(Reason.ENGINE_REDIRECTED, host)
        self.target = target


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    location: str


def engine_session(limits: EngineLimits) -> aiohttp.ClientSession:
    """Make the HTTP session for all calls to all engines; the caller closes it. Needs a running event loop.

    No compression, cookies, proxies from the environment or kept connections, none of which engines deal with well
    (§1). The number of connections is not limited here: a limit would let hung calls block others, and each stream
    makes one call at a time.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": "AceProxy"},
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(sock_connect=limits.connect_timeout_s),
    )


class EngineApi:
    """The API of one engine."""

    def __init__(self, url: str, session: aiohttp.ClientSession, limits: EngineLimits) -> None:
        """Speak to the engine at `url` (`http://host:port`) through `session`."""
        self.url = url.rstrip("/")
        self.limits = limits
        self._session = session

    async def version(self) -> EngineVersion:
        """Ask for the version (§8.1), the best sign of life. Limit: stat_timeout_s. Raises AceProxyError."""
        query = {"method": "get_version", "format": "json"}
        answer = await self._get(f"/webui/api/service?{urlencode(query)}", self.limits.stat_timeout_s)
        return parse_version(_succeeded(answer).text)

    async def start(self, link: Link, params: Mapping[str, str], pid: str, *, as_list: bool = False) -> Playback:
        """Start a playback with one JSON start call (§3.1, §3.2), `as_list` one that is delivered as HLS.
        Limit: answer_timeout_s.

        `params` come from `engine_params`; `pid` must be new. Redirects are not followed: an engine that answers with
        another server's address raises RedirectedError. An encrypted broadcast is told by `is_encrypted`; whether
        that matters is the caller's affair.

        Raises AceProxyError: ENGINE_TIMEOUT, ENGINE_UNREACHABLE, ENGINE_REFUSED, ENGINE_REDIRECTED, or what the
        engine's words stand for (`messages.reason_for`).
        """
        query = {**params, "format": "json", "pid": pid, link.kind.value: link.value}
        if link.index:
            query["_idx"] = str(link.index)
        way = "/ace/manifest.m3u8" if as_list else "/ace/getstream"
        answer = await self._get(f"{way}?{urlencode(query)}", self.limits.answer_timeout_s)
        if 300 <= answer.status < 400:
            raise self._redirected(answer.location)
        told = parse_start(_succeeded(answer).text)
        return Playback(
            engine_url=self.url,
            pid=pid,
            playback_url=rewrite_url(told.playback_url, self.url),
            stat_url=rewrite_url(told.stat_url, self.url) if told.stat_url else None,
            command_url=rewrite_url(told.command_url, self.url) if told.command_url else None,
            infohash=told.infohash or (link.value if link.kind is LinkKind.INFOHASH else None),
            session_id=told.session_id,
            is_live=told.is_live,
            is_encrypted=told.is_encrypted,
            key=link.key,
            is_list=as_list,
        )

    async def stat(self, playback: Playback) -> Stat:
        """Ask how a playback does (§5). Limit: stat_timeout_s.

        Raises AceProxyError, SESSION_LOST when the engine does not know it any more, ENGINE_ERROR when it has no
        stat URL.
        """
        if playback.stat_url is None:
            raise AceProxyError(Reason.ENGINE_ERROR, "this playback has no stat URL")
        answer = await self._get(self._path(playback.stat_url), self.limits.stat_timeout_s)
        if answer.status in (403, 404):
            raise AceProxyError(Reason.SESSION_LOST, f"stat answered {answer.status}")
        return parse_stat(_succeeded(answer).text)

    async def stop(self, playback: Playback) -> bool:
        """End a playback (§7). Limit: stop_timeout_s. Raises nothing but cancellation.

        Returns True if the engine said ok or does not know the playback (any more), False if nothing is certain.
        """
        if playback.command_url is None:
            return False
        path = self._path(playback.command_url)
        try:
            answer = await self._get(f"{path}{'&' if '?' in path else '?'}method=stop", self.limits.stop_timeout_s)
            parse_command(_succeeded(answer).text)
        except AceProxyError as error:
            return error.reason is Reason.SESSION_LOST
        return True

    async def resolve(self, link: Link) -> str | None:
        """Ask for the infohash of a link without playing it (§8.2). Limit: stat_timeout_s over all.

        Returns None if the engine does not tell in time; never raises but for cancellation.
        """
        if link.kind is LinkKind.INFOHASH:
            return link.value
        found = await self.describe(link)
        return found.infohash if found is not None else None

    async def describe(self, link: Link) -> MediaFiles | None:
        """Ask what a link names without playing it (§8.2). Limit: stat_timeout_s over all.

        Returns None if the engine tells no infohash in time; never raises but for cancellation.
        """
        limit = self.limits.stat_timeout_s
        asked = {"api_version": "3", "method": "get_media_files", "mode": "brief", link.kind.value: link.value}
        other = {"api_version": "3", "method": "analyze_content", "query": link.mrl}
        try:
            async with asyncio.timeout(limit):
                for query in (asked, other):
                    try:
                        answer = await self._get(f"/server/api?{urlencode(query)}", limit)
                        found = parse_media_files(_succeeded(answer).text)
                    except AceProxyError:
                        continue
                    if found.infohash is not None:
                        return found
        except TimeoutError:
            pass  # told in the docstring: not in time is not told
        return None

    async def call(self, path: str, params: Mapping[str, str]) -> object:
        """Make a service call (§8) and return its `result`. Limit: stat_timeout_s.

        Path and parameters are the caller's to choose with care. Raises AceProxyError.
        """
        answer = await self._get(f"{path}?{urlencode(params)}", self.limits.stat_timeout_s)
        return parse_result(_succeeded(answer).text)

    def list_fetcher(self) -> Fetcher:
        """Return what fetches this engine's lists and segments, and nothing else."""
        return Fetcher(self._session, engine_address(self.url), self.limits.connect_timeout_s)

    def _path(self, url: str) -> str:
        """Return path and query of a URL the engine gave; the host is always ours."""
        parts = urlsplit(rewrite_url(url, self.url))
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def _redirected(self, location: str) -> AceProxyError:
        try:
            target = urljoin(self.url + "/", location[:2000])
            host = error_text(urlsplit(target).hostname or "")
        except ValueError:
            target = host = ""
        if is_media_url(target):
            return AceProxyError(Reason.ENGINE_ERROR, "the engine redirected instead of answering in JSON")
        return RedirectedError(host, target)

    async def _get(self, path_and_query: str, timeout_s: float) -> _Answer:
        """Make one GET request to the engine and read at most ANSWER_LIMIT_BYTES."""
        if self._session.closed:
            raise AceProxyError(Reason.ENGINE_UNREACHABLE, "shutting down")
        url = URL(self.url + path_and_query, encoded=True)
        limit = aiohttp.ClientTimeout(total=timeout_s, sock_connect=self.limits.connect_timeout_s)
        try:
            async with self._session.get(url, allow_redirects=False, timeout=limit) as response:
                body = await _bounded(response)
                location = response.headers.get("Location", "")
                return _Answer(response.status, body.decode("utf-8", "replace"), location)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _failure(error, timeout_s) from error


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16384):
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            raise AceProxyError(Reason.ENGINE_ERROR, "the answer is too long")
    return bytes(body)


def _succeeded(answer: _Answer) -> _Answer:
    """Raise what an answer with an error status tells of."""
    if answer.status == 403:
        raise AceProxyError(Reason.ENGINE_REFUSED, error_text(answer.text))
    if answer.status == 200:
        return answer
    error = error_of(answer.text)
    raise AceProxyError(error.reason, f"HTTP {answer.status}: {error.detail}")


def _failure(error: BaseException, timeout_s: float) -> AceProxyError:
    """Map what aiohttp raises to a reason. Order matters: its exceptions have several bases."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return AceProxyError(Reason.ENGINE_UNREACHABLE, "no connection in time")
    if isinstance(error, TimeoutError):
        return AceProxyError(Reason.ENGINE_TIMEOUT, f"no answer within {timeout_s:g} s")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return AceProxyError(Reason.ENGINE_REFUSED, "closed without an answer")
    if isinstance(error, aiohttp.ClientPayloadError):
        return AceProxyError(Reason.ENGINE_ERROR, "the answer broke off")
    if isinstance(error, OSError):  # refused, reset, no such host, no route
        return AceProxyError(Reason.ENGINE_UNREACHABLE, os_words(error))
    return AceProxyError(Reason.ENGINE_ERROR, f"not HTTP: {error_text(type(error).__name__)}")
