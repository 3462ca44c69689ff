"""Broadcasts that come as HLS, from the engine or from an origin, are streams like all others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from aceproxy.app import App
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.simulator import Simulator, SimulatorConfig
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]
PACKET = 188


@pytest.fixture
async def origin() -> AsyncIterator[Simulator]:
    """A server of lists that is no engine to anybody here."""
    async with Simulator(SimulatorConfig.fast(hls_segment_s=1.0)) as simulator:
        yield simulator


async def list_of(origin: Simulator, number: int) -> str:
    """Return the address of a list on the origin."""
    async with aiohttp.ClientSession() as session:
        query = f"id={origin.contents[number].content_id}&format=json"
        async with session.get(f"{origin.url}/ace/manifest.m3u8?{query}") as answer:
            return str((await answer.json())["response"]["playback_url"])


async def read(answer: Answer, packets: int) -> bytes:
    """Read so many packets and check that none is missing."""
    data = await asyncio.wait_for(answer.reader.readexactly(packets * PACKET), 30)
    checker = ContinuityChecker()
    checker.feed(data)
    assert not checker.errors
    return data


async def test_an_encrypted_broadcast_plays_from_the_engines_list(make_app: MakeApp, play: Play) -> None:
    async with Simulator(SimulatorConfig.fast(hls_segment_s=1.0)) as sim:
        app = await make_app(engines=[sim.url], linger_s=0.1)
        content = sim.contents[2]
        sim.set_fault("encrypted", infohash=content.infohash)
        players = [await play(app, f"/ace/getstream?id={content.content_id}") for _ in range(3)]
        for player in players:
            assert player.status == 200
        await read(players[0], 1500)
        assert [one.output for one in sim.playbacks] == ["ts", "hls"]
        lists = [target for _, target in sim.requests if "/ace/c/" in target]
        assert len(lists) == len(set(lists))  # each segment once, however many play
        listed = await ask(app, f"/ace/manifest.m3u8?id={content.content_id}")
        assert listed.status == 200
        for player in players:
            player.close()
        await until(lambda: sim.active_playbacks == (), 30)


async def test_an_origin_is_followed_if_the_operator_allows_it(
    sim: Simulator, origin: Simulator, make_app: MakeApp, play: Play
) -> None:
    content = sim.contents[2]
    sim.set_fault("foreign-redirect", value=await list_of(origin, 2))
    closed = await make_app()
    refused = await ask(closed, f"/ace/getstream?id={content.content_id}")
    assert (refused.status, refused.reason) == (502, "engine_redirected")
    assert "127.0.0.1" in refused.json["error"]["detail"]
    public = await make_app(origin_hosts=["*"])
    assert (await ask(public, f"/ace/getstream?id={content.content_id}")).reason == "engine_redirected"
    assert not [target for _, target in origin.requests if "/ace/c/" in target]
    app = await make_app(origin_hosts=["127.0.0.1"])
    answer = await play(app, f"/ace/getstream?id={content.content_id}")
    assert answer.status == 200
    await read(answer, 1500)
    assert sim.playbacks == ()
    session = (await ask(app, f"/ace/getstream?id={content.content_id}&format=json")).json["response"]
    assert (session["is_live"], session["is_encrypted"]) == (1, 0)


async def test_an_origin_that_comes_back_goes_on_while_clients_wait(
    sim: Simulator, origin: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(origin_hosts=["127.0.0.1"], silence_s=1.0, quiet_s=0.5)
    sim.set_fault("foreign-redirect", value=await list_of(origin, 2))
    answer = await play(app, f"/ace/getstream?id={sim.contents[2].content_id}")
    await read(answer, 1000)
    origin.set_fault("list-403")
    await until(lambda: app.hub.streams[0].state == "recovering", 30)
    origin.clear_faults()
    await until(lambda: app.hub.streams[0].state == "live", 30)
    before = app.hub.streams[0].intake.ingest.received_bytes
    await until(lambda: app.hub.streams[0].intake.ingest.received_bytes > before + 100_000, 20)
    assert app.hub.client_count == 1


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("<html>no list</html>", 502, "not_mpegts"),
        ('#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF:2,\na.ts\n', 502, "encrypted"),
        ('#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI="i"\n#EXTINF:2,\na.m4s\n', 502, "not_mpegts"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://10.255.255.1/a.ts\n", 504, "no_data"),
    ],
)
async def test_a_list_that_cannot_be_played_is_told_honestly(
    sim: Simulator, make_app: MakeApp, text: str, status: int, reason: str
) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    sim.set_fault("foreign-redirect", value=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.m3u8")
    app = await make_app(origin_hosts=["127.0.0.1"], start_timeout_s=1.5)
    answer = await ask(app, f"/ace/getstream?id={sim.contents[2].content_id}")
    assert (answer.status, answer.reason) == (status, reason)
    server.close()


async def test_a_list_that_is_complete_ends_the_stream_after_its_last_byte(
    sim: Simulator, origin: Simulator, make_app: MakeApp, play: Play
) -> None:
    film = next(number for number, one in enumerate(origin.contents) if not one.live)
    sim.set_fault("foreign-redirect", value=await list_of(origin, film))
    app = await make_app(origin_hosts=["127.0.0.1"])
    answer = await play(app, f"/ace/getstream?id={sim.contents[2].content_id}")
    assert answer.status == 200
    body = await asyncio.wait_for(answer.reader.read(), 60)
    file = origin._engine.channels[origin.contents[film].infohash].files[0]
    assert len(body) > file.size_bytes * 0.8
    await until(lambda: not app.hub.streams)
    assert app.hub.ended[0].reason == "ended"
