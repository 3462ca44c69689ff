"""What may be fetched: an engine's own lists, and origins that the operator allows, at every hop and every address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from aceproxy.engine.fetching import CheckedResolver, Fetcher, FetchError, Origins, engine_address
from aceproxy.errors import AceProxyError, Reason

Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[str]]


def answers(
    asked: list[str], *replies: bytes
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a server's side that gives these replies in turn, the last one for ever, and notes the requests."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(replies[min(len(asked), len(replies) - 1)])
        asked.append(head)
        await writer.drain()

    return converse


def reply(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


class Names(AbstractResolver):
    """Resolves names as told; each time the next answer, the last one for ever."""

    def __init__(self, *found: str) -> None:
        self.found = list(found)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self.found[min(len(self.asked), len(self.found)) - 1]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
async def origins() -> AsyncIterator[Callable[..., Origins]]:
    """Makes origins, and closes them."""
    made: list[Origins] = []

    def make(*hosts: str, names: AbstractResolver | None = None) -> Origins:
        made.append(Origins(hosts, names))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        ((), "http://cdn.example.org/a.m3u8", False),
        (("*",), "http://cdn.example.org/a.m3u8", True),
        (("*",), "http://127.0.0.1/a.m3u8", False),
        (("*",), "http://2130706433/a.m3u8", False),
        (("*",), "http://[::ffff:10.0.0.1]/a.m3u8", False),
        (("*",), "http://169.254.169.254/latest", False),
        (("*",), "http://router.lan/", False),
        (("*",), "ftp://cdn.example.org/a", False),
        (("*",), "http://user@cdn.example.org/a", False),
        (("*.example.org",), "https://cdn.example.org:8443/a", True),
        (("*.example.org",), "https://example.org.evil.net/a", False),
        (("127.0.0.1",), "http://127.0.0.1:99/a", True),
        (("127.0.0.1",), "http://127.0.0.2:99/a", False),
    ],
)
def test_an_origin_is_what_the_operator_allows(hosts: tuple[str, ...], url: str, allowed: bool) -> None:
    origins = Origins(hosts)
    if allowed:
        assert origins.admit(url) == url
        return
    with pytest.raises(AceProxyError) as caught:
        origins.admit(url)
    assert caught.value.reason is Reason.ENGINE_REDIRECTED


@pytest.mark.parametrize(
    "path",
    ["/webui/app/x/cmd/shutdown", "/server/api", "/ace/../webui/x", "/ace/%2e%2e/webui", "/ace//x", "/acexy/", "/", ""],
)
def test_an_engines_list_leads_nowhere_but_to_its_own_media(path: str) -> None:
    admit = engine_address("http://127.0.0.1:6878")
    with pytest.raises(AceProxyError):
        admit(f"http://192.0.2.1:1{path}")


def test_an_engines_addresses_are_those_of_the_configured_engine() -> None:
    admit = engine_address("http://10.0.0.5:6878")
    assert admit("http://127.0.0.1:1/ace/c/aa/7.ts") == "http://10.0.0.5:6878/ace/c/aa/7.ts"
    assert admit("http://x/hls/aa/bb/7.ts?q=1") == "http://10.0.0.5:6878/hls/aa/bb/7.ts?q=1"


async def test_every_hop_is_checked(serve: Serve, origins: Callable[..., Origins]) -> None:
    asked: list[str] = []
    inside: list[str] = []
    hidden = (await serve(answers(inside, reply(b"secret")))).replace("127.0.0.1", "127.0.0.2")
    far = await serve(answers(asked, reply(b"", "302 Found", f"Location: {hidden}/x\r\n")))
    with pytest.raises(AceProxyError) as caught:
        await origins("127.0.0.1").fetcher(1.0).text(far + "/a", 1000, 2.0)
    assert caught.value.reason is Reason.ENGINE_REDIRECTED
    assert len(asked) == 1
    assert inside == []
    around = await serve(answers([], reply(b"", "302 Found", "Location: /again\r\n")))
    with pytest.raises(FetchError, match="redirects"):
        await origins("127.0.0.1").fetcher(1.0).text(around + "/a", 1000, 2.0)


async def test_a_name_that_leads_inside_is_not_connected_to(serve: Serve, origins: Callable[..., Origins]) -> None:
    asked: list[str] = []
    port = (await serve(answers(asked, reply(b"x")))).rpartition(":")[2]
    names = Names("127.0.0.1")
    with pytest.raises(FetchError, match="not public"):
        await origins("*", names=names).fetcher(1.0).text(f"http://cdn.evil.org:{port}/a", 1000, 2.0)
    assert names.asked == ["cdn.evil.org"]
    assert asked == []
    named = Names("127.0.0.1")
    text, _ = await origins("cdn.home.org", names=named).fetcher(1.0).text(f"http://cdn.home.org:{port}/a", 1000, 2.0)
    assert text == "x"
    assert "Host: cdn.home.org" in asked[0]


async def test_the_address_that_was_checked_is_the_one_that_is_used() -> None:
    """A name that is public when it is looked up first and private after that is asked for anew, and refused."""
    resolver = CheckedResolver(("*",), Names("93.184.216.34", "10.0.0.1"))
    assert [one["host"] for one in await resolver.resolve("cdn.evil.org", 80)] == ["93.184.216.34"]
    with pytest.raises(OSError, match="not public"):
        await resolver.resolve("cdn.evil.org", 80)


async def test_what_is_fetched_is_bounded(serve: Serve, session: aiohttp.ClientSession) -> None:
    fetcher = Fetcher(session, lambda url: url, 1.0)
    large = await serve(answers([], reply(b"x" * 200_000)))
    with pytest.raises(FetchError, match="too long a list"):
        await fetcher.text(large + "/a", 100_000, 2.0)
    with pytest.raises(FetchError, match="too long a segment"):
        async for _ in fetcher.chunks(large + "/a", 100_000, 2.0):
            pass
    gone = await serve(answers([], reply(b"no", "404 Not Found")))
    with pytest.raises(FetchError) as caught:
        await fetcher.text(gone + "/a", 100, 2.0)
    assert caught.value.status == 404

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(FetchError, match="in time"):
        await fetcher.text(await serve(silent) + "/a", 100, 0.2)
