"""The lists of streams and clients: whole, never stale where it matters, and made in slices."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import fields

import pytest

from aceproxy.app import App
from aceproxy.engine.links import link_from_query
from aceproxy.errors import Reason
from aceproxy.simulator import Simulator
from aceproxy.streams.client import Client, Visitor
from aceproxy.streams.snapshot import ClientSnapshot
from aceproxy.streams.stream import Stream
from aceproxy.streams.views import stream_snapshot
from aceproxy.web import stream_lists
from aceproxy.web.models import StreamAnswer, Streams
from aceproxy.web.stream_lists import StreamLists
from aceproxy.web.veil import Reader, Veil
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]
ADMIN = Reader(None, "127.0.0.1")
HOSTILE = 'x","connected_s":1,"clients":[],"ended_clients":[]'


@pytest.fixture
async def app(sim: Simulator, make_app: MakeApp) -> App:
    return await make_app(max_clients=5000)


@pytest.fixture
async def lists(app: App) -> AsyncIterator[StreamLists]:
    with contextlib.closing(StreamLists(app.hub)) as found:
        yield found


async def crowd(app: App, sim: Simulator, count: int, agent: str = "VLC") -> Stream:
    """Have a stream with clients that are nobody's: each has an address of its own."""
    stream = app.hub.find_or_start(link_from_query([("id", sim.contents[0].content_id)]), {})
    for number in range(count):
        await stream.join(Visitor(f"10.0.{number // 250}.{number % 250 + 1}", agent))
    return stream


@contextlib.contextmanager
def work_by_pass(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count for each pass of the event loop how many clients were looked at."""
    counts = [0]
    whole = Client.snapshot

    def snapshot(self: Client, now: float, bitrate_bps: float | None) -> object:
        counts[-1] += 1
        return whole(self, now, bitrate_bps)

    async def tick() -> None:
        while True:
            counts.append(0)
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    with monkeypatch.context() as patch:
        patch.setattr(Client, "snapshot", snapshot)
        yield counts
    ticking.cancel()


async def test_what_is_put_together_of_pieces_is_what_the_models_say(
    app: App, sim: Simulator, lists: StreamLists
) -> None:
    stream = await crowd(app, sim, 3, HOSTILE)
    stream.client_done(next(iter(stream.clients.values())), Reason.KICKED)
    found = Streams.model_validate_json(await lists.all(ADMIN), strict=True)
    assert (found.total_streams, found.total_clients, found.recent) == (1, 2, [])
    one = StreamAnswer.model_validate_json(b'{"stream":%b}' % await lists.one(lambda: stream, ADMIN), strict=True)
    now = stream_snapshot(stream)
    for seen in (found.streams[0], one.stream):
        assert seen.ended_clients == now.ended_clients
        assert [client.agent for client in seen.clients] == [HOSTILE] * 2
        for client, same in zip(seen.clients, now.clients, strict=True):
            assert (client.client_id, client.address, client.connected_at, client.sent_bytes) == (
                *(same.client_id, same.address, same.connected_at),
                same.sent_bytes,
            )
        assert (seen.stream_id, seen.client_count, seen.state) == (now.stream_id, 2, now.state)
    light = Streams.model_validate_json(await lists.all(ADMIN, with_clients=False), strict=True)
    assert (light.streams[0].clients, light.streams[0].ended_clients, light.total_clients) == ([], [], 2)
    stream.close(Reason.STOPPED)
    ended = Streams.model_validate_json(await lists.all(ADMIN), strict=True)
    assert (ended.streams, [one.reason for one in ended.recent]) == ([], [Reason.STOPPED])


def test_what_is_not_masked_of_a_client_is_numbers() -> None:
    names = [field.name for field in fields(ClientSnapshot)]
    figures = fields(ClientSnapshot)[names.index("connected_s") :]
    assert {field.type for field in figures} <= {"int", "float", "bool", "float | None"}


async def test_who_comes_or_goes_is_in_the_next_answer_or_not(app: App, sim: Simulator, lists: StreamLists) -> None:
    stream = await crowd(app, sim, 5)

    async def told() -> list[str]:
        whole = json.loads(await lists.all(ADMIN))
        one = json.loads(await lists.one(lambda: stream, ADMIN))
        clients = [client["client_id"] for client in one["clients"]]
        assert [client["client_id"] for client in whole["streams"][0]["clients"]] == clients
        assert whole["total_clients"] == one["client_count"] == len(clients)
        return clients

    for _ in range(4):
        assert await told() == list(stream.clients)
        first = next(iter(stream.clients.values()))
        stream.client_done(first, Reason.KICKED)
        assert first.client_id not in await told()
        newcomer = await stream.join(Visitor("10.9.9.9", "mpv"))
        assert (await told())[-1] == newcomer.client_id


async def test_whom_the_api_kicks_or_stops_is_gone_from_the_next_list(app: App, sim: Simulator, play: Play) -> None:
    content = sim.contents[0]
    for path in ("/clients/{}", ""):
        answer = await play(app, f"/ace/getstream?id={content.content_id}")
        await answer.reader.readexactly(188)
        listed = (await ask(app, "/api/aceproxy/streams")).json["streams"][0]
        client_id = listed["clients"][0]["client_id"]
        gone = await ask(app, f"/api/aceproxy/streams/{content.content_id}{path.format(client_id)}", "DELETE")
        assert gone.status == 200
        after = (await ask(app, "/api/aceproxy/streams")).json
        assert after["total_clients"] == 0
        assert [one["clients"] for one in after["streams"]] == [[]] * bool(path)
        answer.close()


async def test_figures_grow_while_they_are_looked_at(
    app: App, sim: Simulator, lists: StreamLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_lists, "FRESH_S", 0.05)
    stream = await crowd(app, sim, 2)
    client = next(iter(stream.clients.values()))
    for sent in (1000, 2000):
        client.took(1000, 0)

        async def told() -> int:
            return int(json.loads(await lists.all(ADMIN))["streams"][0]["clients"][0]["sent_bytes"])

        async with asyncio.timeout(10):
            while await told() != sent:  # noqa: ASYNC110 - what is waited for is an answer
                await asyncio.sleep(0.01)


async def test_the_pieces_of_a_thousand_clients_are_made_a_slice_at_a_time(
    app: App, sim: Simulator, lists: StreamLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_lists, "FRESH_S", 600)
    monkeypatch.setattr(stream_lists, "MAX_AGE_S", 600)
    await crowd(app, sim, 1000)
    with work_by_pass(monkeypatch) as counts:
        assert len(json.loads(await lists.all(ADMIN))["streams"][0]["clients"]) == 1000
        assert sum(counts) == 1000
        assert lists._freshening is not None
        lists._freshening.cancel()  # it rests for long, so that it makes nothing beside the answer
        lists._freshening = None
        monkeypatch.setattr(stream_lists, "FRESH_S", 0.05)
        lists._asked()
        await until(lambda: sum(counts) >= 3000)  # made anew, though no answer is wanted just now
    assert max(counts) <= stream_lists.SLICE


async def test_nothing_is_kept_or_made_when_nobody_asks_any_more(
    app: App, sim: Simulator, lists: StreamLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_lists, "FRESH_S", 0.02)
    monkeypatch.setattr(stream_lists, "KEEP_S", 0.1)
    await crowd(app, sim, 10)
    await lists.all(ADMIN)
    assert lists.kept == 11
    await until(lambda: lists.kept == 0)
    assert not any(task.get_name() == "lists of streams" for task in asyncio.all_tasks())
    assert len(json.loads(await lists.all(ADMIN))["streams"][0]["clients"]) == 10


async def test_each_reader_reads_their_own_address_and_no_other(app: App, sim: Simulator, lists: StreamLists) -> None:
    stream = await crowd(app, sim, 4, "player of 10.0.0.77")
    stream.client_done(next(iter(stream.clients.values())), Reason.KICKED)  # 10.0.0.1
    veil = Veil()
    for _ in range(2):
        for own in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1"):
            reader = Reader(veil, own)
            for text in (await lists.all(reader), await lists.one(lambda: stream, reader)):
                seen = [one for one in (f"10.0.0.{last}" for last in range(1, 5)) if f'"{one}"'.encode() in text]
                assert seen == [own] * own.startswith("10.")
                assert b"10.0.0.77" not in text
        assert b'"10.0.0.4"' in await lists.all(ADMIN)
        assert b"10.0.0.77" in await lists.all(ADMIN)
