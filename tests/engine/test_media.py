"""The progressive body on the wire: every framing, every way to end, every way to go wrong."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.engine.http_response import BrokenResponseError, ChunkDecoder, head_end, parse_head
from aceproxy.engine.media import MediaEnd, MediaReader, NotYet, open_media
from aceproxy.errors import AceProxyError, Reason

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[Converse], Awaitable[str]]

INFOHASH = "0a4848271c91ce2d8965ce416267c25047dc8141"
PLACE = f"/ace/r/{INFOHASH}/f528764d624db129b32c21fbca0cb8d6"
CONTENT = f"/content/{INFOHASH}/0.422266696531"
MEDIA = bytes(range(256)) * 40


class Sink:
    """Keeps what arrives; offers little room at a time so that boundaries are met often."""

    def __init__(self, room_bytes: int = 1000) -> None:
        self.memory = bytearray(1 << 20)
        self.used = 0
        self.room_bytes = room_bytes
        self.arrived = asyncio.Event()

    def room(self) -> memoryview:
        return memoryview(self.memory)[self.used : self.used + self.room_bytes]

    def filled(self, n: int) -> None:
        assert 0 < n <= self.room_bytes
        self.used += n
        self.arrived.set()

    @property
    def content(self) -> bytes:
        return bytes(self.memory[: self.used])


async def head_of(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode()


def sending(*parts: bytes, reset: bool = False, keep: bool = False) -> Converse:
    """Answer any request with these bytes, each sent on its own, then close, reset or keep the connection."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.005)  # so that parts arrive one by one; nothing depends on it
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER 0: closing resets
        if keep:
            await reader.read()

    return converse


async def opened(url: str, sink: Sink, limit_s: float = 2.0, path: str = PLACE) -> MediaReader:
    deadline_at = asyncio.get_running_loop().time() + limit_s
    return await open_media(url + path, url, sink, connect_timeout_s=1.0, deadline_at=deadline_at)


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + status, *headers, b"", body))


async def test_a_body_that_the_close_ends_arrives_whole(serve: Serve) -> None:
    sink = Sink()
    url = await serve(sending(response(MEDIA[:100], b"Content-Type: video/mp2t"), MEDIA[100:5000], MEDIA[5000:]))
    reader = await opened(url, sink)
    assert await reader.wait_ended() is MediaEnd.EOF
    assert sink.content == MEDIA
    assert reader.received_bytes == len(MEDIA)
    assert asyncio.get_running_loop().time() - reader.last_byte_at < 1


async def test_head_and_body_may_come_byte_by_byte(serve: Serve) -> None:
    sink = Sink(room_bytes=3)
    whole = response(MEDIA[:40], b"Content-Length: 40", b"X: y")
    url = await serve(sending(*(whole[place : place + 1] for place in range(len(whole)))))
    assert await (await opened(url, sink)).wait_ended() is MediaEnd.EOF
    assert sink.content == MEDIA[:40]


@pytest.mark.parametrize("first_bytes", [b"G", b"H", b"HTTP/", b"HTTP/1", b"HTTP/2 is not a status line of ours"])
async def test_media_may_begin_with_any_bytes(serve: Serve, first_bytes: bytes) -> None:
    sink = Sink()
    url = await serve(sending(response(b""), first_bytes, b"\0" * 20))
    await (await opened(url, sink)).wait_ended()
    assert sink.content == first_bytes + b"\0" * 20


async def test_bytes_behind_the_announced_length_are_not_media(serve: Serve) -> None:
    sink = Sink()
    url = await serve(sending(response(MEDIA[:10], b"Content-Length: 30"), MEDIA[10:30] + b"rubbish", keep=True))
    reader = await opened(url, sink)
    assert await reader.wait_ended() is MediaEnd.EOF
    assert sink.content == MEDIA[:30]


async def test_a_body_shorter_than_announced_is_broken(serve: Serve) -> None:
    sink = Sink()
    url = await serve(sending(response(MEDIA, b"Content-Length: 999999")))
    reader = await opened(url, sink)
    assert await reader.wait_ended() is MediaEnd.BROKEN
    assert reader.detail
    assert sink.content == MEDIA


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[place : place + size] for place in range(0, len(body), size)]
    return b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_a_chunked_body_arrives_without_its_framing(serve: Serve, size: int) -> None:
    sink = Sink()
    framed = chunked(MEDIA, size)
    url = await serve(sending(response(framed[:9], b"Transfer-Encoding: chunked"), framed[9:3000], framed[3000:]))
    reader = await opened(url, sink)
    assert await reader.wait_ended() is MediaEnd.EOF
    assert sink.content == MEDIA


async def test_a_chunked_body_with_bad_framing_is_broken(serve: Serve) -> None:
    for framed in (b"5\r\nabcdefgh\r\n", b"3\r\nabc\r\nzz\r\n", b"3\r\nabc\r\n" + b"1" * 1000, b"3\r\nabc\r\n5\r\nab"):
        sink = Sink()
        reader = await opened(await serve(sending(response(framed, b"Transfer-Encoding: chunked"))), sink)
        assert await reader.wait_ended() is MediaEnd.BROKEN
        assert sink.content in (b"abc", b"abcde", b"abcab")


async def test_a_reset_in_the_middle_is_told_from_an_end(serve: Serve) -> None:
    sink = Sink()
    reader = await opened(await serve(sending(response(MEDIA), reset=True)), sink)
    assert await reader.wait_ended() is MediaEnd.RESET
    assert reader.detail == "connection reset"


async def test_closing_is_immediate_and_may_be_repeated(serve: Serve) -> None:
    sink = Sink()
    hung_up = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(response(MEDIA))
        try:
            while True:
                writer.write(MEDIA)
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            hung_up.set()

    reader = await opened(await serve(converse), sink)
    waiting = asyncio.ensure_future(reader.wait_ended())
    reader.close()
    used = sink.used
    reader.close()
    assert await waiting is MediaEnd.CLOSED
    async with asyncio.timeout(30):
        await hung_up.wait()
    assert sink.used == used


async def test_a_paused_reader_holds_up_the_engine_and_goes_on_where_it_was(serve: Serve) -> None:
    sink = Sink(room_bytes=64 << 10)
    sent = 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await head_of(reader)
        writer.write(response(b"abc"))
        while True:
            writer.write(MEDIA)
            await writer.drain()
            sent += len(MEDIA)

    reader = await opened(await serve(converse), sink)
    reader.pause()
    reader.pause()
    used, before = sink.used, -1
    while sent != before:  # until the buffers of both sides are full
        before = sent
        await asyncio.sleep(0.05)
    assert sink.used == used == reader.received_bytes
    paused_until = asyncio.get_running_loop().time()
    reader.resume()
    assert reader.last_byte_at >= paused_until  # the silence was ours
    sink.used = 0
    sink.arrived.clear()
    async with asyncio.timeout(30):
        await sink.arrived.wait()
    reader.close()
    reader.pause()
    reader.resume()
    assert await reader.wait_ended() is MediaEnd.CLOSED


@pytest.mark.parametrize("framed", [False, True])
async def test_the_sink_may_close_the_reader_while_it_is_being_filled(serve: Serve, framed: bool) -> None:
    class Closing(Sink):
        reader: MediaReader | None = None

        def filled(self, n: int) -> None:
            super().filled(n)
            if self.reader is not None:
                self.reader.close()

    sink = Closing()
    go = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(response(b"3\r\nabc\r\n", b"Transfer-Encoding: chunked") if framed else response(b"abc"))
        await go.wait()
        writer.write(chunked(MEDIA, len(MEDIA)) if framed else MEDIA)
        await reader.read()

    sink.reader = await opened(await serve(converse), sink)
    go.set()
    assert await sink.reader.wait_ended() is MediaEnd.CLOSED
    assert sink.used <= 3 + sink.room_bytes


async def test_the_request_is_plain_and_names_the_engine(serve: Serve) -> None:
    heads: list[str] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head_of(reader))
        writer.write(response(MEDIA))

    url = await serve(converse)
    (await opened(url, Sink(), path=PLACE + "?a=b")).close()
    lines = heads[0].split("\r\n")
    assert lines[0] == f"GET {PLACE}?a=b HTTP/1.1"
    assert f"Host: {url.removeprefix('http://')}" in lines
    assert "Connection: close" in lines
    assert "Accept-Encoding: identity" in lines
    assert not any(line.lower().startswith("range") for line in lines)


async def test_redirects_are_followed_at_the_engines_address_only(serve: Serve) -> None:
    hops = [f"http://192.0.2.1:6878{PLACE}", f"http://other.example{CONTENT}", CONTENT]
    asked: list[str] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await head_of(reader)).split(" ")[1])
        place = hops[len(asked) - 1] if len(asked) <= len(hops) else None
        if place is None:
            writer.write(response(MEDIA))
        else:
            writer.write(response(b"Redirect", b"Location: " + place.encode(), status=b"302 Found"))

    sink = Sink()
    url = await serve(converse)
    reader = await opened(url, sink)
    await reader.wait_ended()
    assert asked == [PLACE, PLACE, CONTENT, CONTENT]
    assert reader.url == url + CONTENT
    assert sink.content == MEDIA


@pytest.mark.parametrize(
    "location",
    [
        b"http://cdn.example/live/chunklist_b1600000.m3u8",
        b"/webui/app/token/cmd/shutdown",
        b"file:///etc/passwd",
        b"http://[::1",
        b"",
        CONTENT.encode() + b"/../../server/api",
        PLACE.encode(),  # for ever
    ],
)
async def test_redirects_astray_are_an_error(serve: Serve, location: bytes) -> None:
    url = await serve(sending(response(b"", b"Location: " + location, status=b"302 Found")))
    with pytest.raises(AceProxyError) as caught:
        await opened(url, Sink())
    assert caught.value.reason is Reason.ENGINE_ERROR
    assert not isinstance(caught.value, NotYet)


NOT_YET: list[tuple[list[bytes], Reason, str]] = [
    ([response(b"start timeout", b"Content-Length: 13", status=b"500 Internal Server Error")],
     Reason.START_TIMEOUT, "HTTP 500: start timeout"),
    ([response(b"download not found", status=b"404 Not Found")], Reason.START_TIMEOUT, "HTTP 404: download not found"),
    ([response(b"", b"Content-Length: 0", status=b"503 Busy")], Reason.ENGINE_ERROR, "HTTP 503"),
    ([response(chunked(b"start timeout", 4), b"Transfer-Encoding: chunked", status=b"502 Bad")],
     Reason.START_TIMEOUT, "HTTP 502: start timeout"),
    ([response(b"x" * 100_000, status=b"504 Late")], Reason.ENGINE_ERROR, "HTTP 504"),
    ([response(b"")], Reason.NO_DATA, "an empty body"),
    ([response(b"", b"Content-Length: 0")], Reason.NO_DATA, "an empty body"),
    ([response(b"0\r\n\r\n", b"Transfer-Encoding: chunked")], Reason.NO_DATA, "an empty body"),
    ([], Reason.NO_DATA, "no answer"),
    ([b"HTTP/1.1 200"], Reason.NO_DATA, "no answer"),
    ([b"garbage\r\n\r\n"], Reason.ENGINE_ERROR, "no HTTP status line"),
    ([b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nHTTP/1.1 200 OK\r\n\r\n" + MEDIA],
     Reason.ENGINE_ERROR, "two responses in one"),
    ([response(b"HTTP/1.1 200 OK\r\n\r\n" + MEDIA)], Reason.ENGINE_ERROR, "two responses in one"),
    ([response(b"HTT"), b"P/1.1 200 OK\r\n\r\n" + MEDIA], Reason.ENGINE_ERROR, "two responses in one"),
    ([b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000], Reason.ENGINE_ERROR, "16 KiB"),
    ([response(MEDIA, b"Content-Encoding: gzip")], Reason.ENGINE_ERROR, "encoding"),
    ([response(MEDIA, b"Content-Length: 5", b"Content-Length: 6")], Reason.ENGINE_ERROR, "lengths"),
    ([response(b'{"response": null, "error": "download not found"}', b"Content-Type: application/json")],
     Reason.START_TIMEOUT, "download not found"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "reason", "words"), NOT_YET, ids=range(len(NOT_YET)))
async def test_answers_without_media_are_not_yet_and_leave_the_sink_alone(
    serve: Serve, parts: list[bytes], reason: Reason, words: str
) -> None:
    sink = Sink()
    with pytest.raises(NotYet) as caught:
        await opened(await serve(sending(*parts)), sink)
    assert caught.value.reason is reason
    assert words in caught.value.detail
    assert sink.used == 0


async def test_a_reset_before_the_first_byte_is_not_yet(serve: Serve) -> None:
    with pytest.raises(NotYet):
        await opened(await serve(sending(response(b""), reset=True)), Sink())


@pytest.mark.parametrize("status", [b"403 Forbidden", b"500 unknown playback session id"])
async def test_a_lost_session_is_told(serve: Serve, status: bytes) -> None:
    with pytest.raises(AceProxyError) as caught:
        await opened(await serve(sending(response(status[4:], status=status))), Sink())
    assert caught.value.reason is Reason.SESSION_LOST


async def test_headers_that_are_held_are_waited_for_until_the_deadline(serve: Serve) -> None:
    url = await serve(sending(keep=True))
    began_at = asyncio.get_running_loop().time()
    with pytest.raises(NotYet) as caught:
        await opened(url, Sink(), 0.2)
    assert caught.value.reason is Reason.START_TIMEOUT
    assert 0.15 < asyncio.get_running_loop().time() - began_at < 10


async def test_headers_without_a_body_are_waited_for_until_the_deadline(serve: Serve) -> None:
    with pytest.raises(NotYet) as caught:
        await opened(await serve(sending(response(b""), keep=True)), Sink(), 0.2)
    assert caught.value.reason is Reason.NO_DATA


async def test_an_error_page_that_does_not_end_is_not_waited_for(serve: Serve) -> None:
    url = await serve(sending(response(b"start timeout", status=b"500 x"), keep=True))
    with pytest.raises(NotYet) as caught:
        await opened(url, Sink(), 30)
    assert caught.value.detail == "HTTP 500: start timeout"


async def test_an_engine_that_is_not_there_is_unreachable(nothing_leaks: None) -> None:
    with pytest.raises(AceProxyError) as caught:
        await opened("http://127.0.0.1:1", Sink())
    assert caught.value.reason is Reason.ENGINE_UNREACHABLE


@pytest.mark.parametrize("parts", [[], [response(b"")], [response(b"", status=b"500 x")]])
async def test_cancelling_leaves_nothing_behind(serve: Serve, parts: list[bytes]) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        for part in parts:
            writer.write(part)
        asked.set()
        try:
            await reader.read()
        finally:
            gone.set()

    opening = asyncio.ensure_future(opened(await serve(converse), Sink(), 30))
    await asked.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with asyncio.timeout(30):
        await gone.wait()


def decode(framed: bytes, cuts: list[int]) -> tuple[bytes, bool]:
    decoder, body, last = ChunkDecoder(), b"", 0
    for cut in [*sorted(cut for cut in cuts if cut <= len(framed)), len(framed)]:
        body += b"".join(bytes(part) for part in decoder.feed(memoryview(framed)[last:cut]))
        last = cut
    return body, decoder.ended


@given(st.binary(max_size=300), st.integers(1, 100), st.lists(st.integers(0, 600), max_size=20))
def test_chunks_are_decoded_however_they_are_cut(body: bytes, size: int, cuts: list[int]) -> None:
    assert decode(chunked(body, size), cuts) == (body, True)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_any_bytes_are_chunks_or_broken(framed: bytes, cuts: list[int]) -> None:
    try:
        body, _ = decode(framed, cuts)
    except BrokenResponseError:
        return
    assert len(body) <= len(framed)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_broken(head: bytes) -> None:
    for text in (head + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n"):
        assert 0 < head_end(text) <= len(text)
        try:
            parsed = parse_head(text)
        except BrokenResponseError:
            continue
        assert 100 <= parsed.status < 600
