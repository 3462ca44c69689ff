"""Fetching lists and segments: from an engine, or from the origin that an engine sends players to.

An engine's addresses are rewritten to the configured engine and must be where engines keep HLS. An origin's must be
allowed by the operator (`origin_hosts`), at every hop. What a name resolves to is checked on the very addresses that
are connected to, so a name that changes its mind in between (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from aceproxy.engine.messages import rewrite_url
from aceproxy.engine.os_words import os_words
from aceproxy.engine.urls import host_is_allowed, is_public_name, literal_address, named_itself, normal_url
from aceproxy.errors import AceProxyError, Reason

HOPS_LIMIT = 3
CHUNK_BYTES = 64 << 10
_ENGINE_PATH = re.compile(r"/(?:ace|hls)/[A-Za-z0-9_./-]{1,500}")

Admit = Callable[[str], str]


class FetchError(Exception):
    """A fetch failed in a way that another try may not. `status` is the HTTP status, 0 where there was none."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Fetcher:
    """Makes GET requests to the addresses that `admit` returns; it raises AceProxyError for those not allowed."""

    def __init__(self, session: aiohttp.ClientSession, admit: Admit, connect_timeout_s: float) -> None:
        self._session = session
        self._admit = admit
        self._connect_timeout_s = connect_timeout_s

    async def text(self, url: str, limit_bytes: int, timeout_s: float) -> tuple[str, str]:
        """Return a text and the address at which it was found. Raises FetchError, and AceProxyError for an address that
        is not allowed. Cancel-safe.
        """
        body = bytearray()
        async with self._open(url, timeout_s) as response:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                if len(body) > limit_bytes:
                    raise FetchError(response.status, "too long a list")
            return body.decode("utf-8", "replace"), str(response.url)

    async def chunks(self, url: str, limit_bytes: int, timeout_s: float) -> AsyncGenerator[bytes, None]:
        """Give the bytes of a file. Raises like `text`."""
        received = 0
        async with self._open(url, timeout_s) as response:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                received += len(chunk)
                if received > limit_bytes:
                    raise FetchError(response.status, "too long a segment")
                yield chunk

    @asynccontextmanager
    async def _open(self, url: str, timeout_s: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """Follow redirects, each checked, and hand out the 200 at their end."""
        limit = aiohttp.ClientTimeout(total=timeout_s, sock_connect=self._connect_timeout_s)
        try:
            for _ in range(HOPS_LIMIT + 1):
                admitted = URL(self._admit(url), encoded=True)
                async with self._session.get(admitted, allow_redirects=False, timeout=limit) as response:
                    if 300 <= response.status < 400:
                        url = urljoin(str(response.url), response.headers.get("Location", ""))
                        continue
                    if response.status != 200:
                        raise FetchError(response.status, f"HTTP {response.status}")
                    yield response
                    return
            raise FetchError(0, f"more than {HOPS_LIMIT} redirects")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise FetchError(0, _words(error)) from error


def engine_address(engine_url: str) -> Admit:
    """Return what lets only the addresses of an engine's own HLS pass, on the configured engine."""

    def admit(url: str) -> str:
        rewritten = rewrite_url(url, engine_url)
        path = urlsplit(rewritten).path
        if not _ENGINE_PATH.fullmatch(path) or posixpath.normpath(unquote(path)) != path:
            raise AceProxyError(Reason.ENGINE_ERROR, "its list leads astray")
        return rewritten

    return admit


class Origins:
    """The origins that may be fetched from: `hosts` is the setting `origin_hosts`."""

    def __init__(self, hosts: Sequence[str], resolver: AbstractResolver | None = None) -> None:
        """`resolver` replaces the system's, in tests."""
        self._hosts = tuple(hosts)
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    def admit(self, url: str) -> str:
        """Return the normal form of an allowed address. Raises AceProxyError ENGINE_REDIRECTED."""
        try:
            normal = normal_url(url)
        except AceProxyError as error:
            raise AceProxyError(Reason.ENGINE_REDIRECTED, "to something that is no address") from error
        host = urlsplit(normal).hostname or ""
        if not host_is_allowed(host, self._hosts):
            raise AceProxyError(Reason.ENGINE_REDIRECTED, host[:100])
        return normal

    def fetcher(self, connect_timeout_s: float) -> Fetcher:
        """Return what fetches from origins. Needs a running event loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=64, force_close=True, resolver=CheckedResolver(self._hosts, self._resolver), use_dns_cache=False
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "AceProxy"},
                auto_decompress=False,
                trust_env=False,
            )
        return Fetcher(self._session, self.admit, connect_timeout_s)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


class CheckedResolver(AbstractResolver):
    """Resolves names to public addresses only, unless the operator has named the host itself."""

    def __init__(self, hosts: Sequence[str], inner: AbstractResolver | None = None) -> None:
        self._hosts = tuple(hosts)
        self._inner = inner or ThreadedResolver(asyncio.get_running_loop())

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses that may be connected to. Raises OSError if there are none."""
        found = await self._inner.resolve(host, port, family)
        if named_itself(host, self._hosts):
            return found
        public = [one for one in found if literal_address(one["host"]) is not None and is_public_name(one["host"])]
        if not public:
            raise OSError(None, "the name leads to an address that is not public")
        return public

    async def close(self) -> None:
        """Close the resolver."""
        await self._inner.close()


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return os_words(error)
    return type(error).__name__
