"""The event stream: what comes, how often it is made, and what a listener cannot do to others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from aceproxy.app import App
from aceproxy.errors import AceProxyError, Reason
from aceproxy.simulator import Simulator
from aceproxy.streams.timeline import KINDS, EventKind
from aceproxy.web import events, sse
from aceproxy.web.sse import QUEUE_EVENTS, Box, Seats
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until
from tests.web.listening import listen

Play = Callable[[App, str], Awaitable[Answer]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times a second, so that nobody has to wait."""
    monkeypatch.setattr(events, "PERIOD_S", 0.1)


async def test_the_overview_comes_at_once_and_then_again_and_again(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    reader = await listen(app)
    first = (await reader.next()).body
    assert (first["stats"]["total_streams"], first["streams"]) == (0, [])
    assert first["engines"][0]["url"] == sim.url
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188)
    while True:
        later = (await reader.next("overview")).body
        if (
            later["stats"]["total_clients"] and later["streams"][0]["title"]
        ):  # the engine tells the title a little later
            break
    assert later["at"] > first["at"]
    stream = later["streams"][0]
    assert (stream["title"], stream["client_count"]) == (sim.contents[0].name, 1)
    assert ([client["protocol"] for client in stream["clients"]], stream["ended_clients"]) == (["mpegts"], [])
    reader.answer.close()


async def test_a_stream_that_is_asked_for_comes_with_its_clients_and_is_null_before_and_after(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    content_id = sim.contents[0].content_id
    reader = await listen(app, f"/api/events?stream={content_id}")
    assert (await reader.next("stream")).body == {"stream": None}
    answer = await play(app, f"/ace/getstream?id={content_id}")
    await answer.reader.readexactly(188)
    while not (found := (await reader.next("stream")).body["stream"]) or not found["clients"]:
        pass
    assert found["clients"][0]["address"] == "127.0.0.1"
    whole = (await ask(app, f"/api/aceproxy/streams/{content_id}")).json["stream"]
    assert set(whole) == set(found)
    await ask(app, f"/api/aceproxy/streams/{content_id}", "DELETE")
    while (await reader.next("stream")).body["stream"] is not None:
        pass
    reader.answer.close()


async def test_what_happens_to_a_stream_is_told_as_it_happens_and_its_clients_only_to_who_looks_at_it(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(linger_s=0.1)
    content = sim.contents[0]
    target = f"/ace/getstream?id={content.content_id}"
    everything = await listen(app)
    one = await listen(app, f"/api/events?stream={content.content_id}")
    answer = await play(app, target)
    await answer.reader.readexactly(188)
    answer.close()
    await until(lambda: not app.hub.streams)
    seen: dict[str, list[str]] = {}
    for name, reader in (("everything", everything), ("one", one)):
        kinds = seen[name] = []
        while not kinds or kinds[-1] != "ended":
            news = (await reader.next("timeline")).body
            assert news["stream_id"] == content.content_id
            assert news["event"]["message"]
            kinds.append(news["event"]["kind"])
        reader.answer.close()
    assert seen["everything"][0] == seen["one"][0] == "start_asked"
    assert {"client_joined", "client_left"} <= set(seen["one"])
    assert [kind for kind in seen["one"] if not KINDS[EventKind(kind)].of_client] == seen["everything"]
    await until(lambda: not len(app.listeners))
    assert app.hub.timelines.listener_count == 0


async def test_the_list_of_streams_without_clients_is_light(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188)
    light = (await ask(app, "/api/aceproxy/streams?clients=0")).json
    whole = (await ask(app, "/api/aceproxy/streams?clients=1")).json
    assert (light["total_clients"], light["streams"][0]["client_count"], light["streams"][0]["clients"]) == (1, 1, [])
    assert len(whole["streams"][0]["clients"]) == 1
    assert set(light["streams"][0]) == set(whole["streams"][0])
    refused = await ask(app, "/api/aceproxy/streams?clients=many")
    assert (refused.status, refused.reason) == (400, "bad_parameter")


async def test_events_are_made_once_for_all_listeners_and_not_at_all_without_any(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app()
    group = next(one for one in app.server.groups if isinstance(one, events.EventRoutes))
    made = 0
    overview = group._figures.overview

    def count() -> object:
        nonlocal made
        made += 1
        return overview()

    monkeypatch.setattr(group._figures, "overview", count)
    readers = [await listen(app) for _ in range(20)]
    seen = [[(await reader.next()).body["at"] for _ in range(4)] for reader in readers]
    assert len({at for one in seen for at in one}) <= made <= 30
    for reader in readers:
        reader.answer.close()
    await until(lambda: not app.listeners and group._ticking is None)


async def test_listeners_are_limited_and_a_seat_is_free_again_when_one_leaves(make_app: MakeApp) -> None:
    app = await make_app(max_listeners=2)
    readers = [await listen(app) for _ in range(2)]
    refused = await ask(app, "/api/events")
    assert (refused.status, refused.reason, refused.headers["retry-after"]) == (503, "too_many_listeners", "15")
    readers[0].answer.close()
    await until(lambda: len(app.listeners) == 1)
    third = await listen(app)
    assert (await third.next()).kind == "overview"
    third.answer.close()
    readers[1].answer.close()


async def test_a_listener_that_reads_nothing_is_let_go_and_the_others_feel_nothing(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "WRITE_LIMIT_S", 0.3)
    monkeypatch.setattr(events, "PERIOD_S", 0.01)
    app = await make_app()
    group = next(one for one in app.server.groups if isinstance(one, events.EventRoutes))
    padding = sse.event("overview", '{"padding":"' + "x" * 400_000 + '"}')
    monkeypatch.setattr(group, "_newest_overview", lambda max_age_s=0.0: padding)
    frozen = socket.socket()
    frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    frozen.setblocking(False)
    await asyncio.get_running_loop().sock_connect(frozen, ("127.0.0.1", app.port))
    await asyncio.get_running_loop().sock_sendall(frozen, b"GET /api/events HTTP/1.1\r\nHost: test\r\n\r\n")
    await until(lambda: len(app.listeners) == 1)
    reader = await listen(app)
    for _ in range(20):
        await reader.next(limit_s=20)
    while len(app.listeners) > 1:
        await reader.next(limit_s=20)
    frozen.close()
    reader.answer.close()


async def test_silence_is_filled_with_comments(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PERIOD_S", 3600.0)
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.02)
    app = await make_app()
    reader = await listen(app)
    await reader.next()
    while reader.comments < 3:
        reader._text += (await reader._chunk()).decode()
        while "\n\n" in reader._text:
            assert reader._take() is None
    reader.answer.close()


async def test_the_events_end_at_once_when_the_program_does(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    reader = await listen(app)
    await reader.next()
    async with AsyncExitStack() as stack:
        closing = asyncio.create_task(app.close())
        stack.push_async_callback(asyncio.wait_for, closing, 5)
        with pytest.raises(EOFError):
            await reader.ended(2)
    reader.answer.close()


# --- the box ---


async def test_a_state_replaces_an_older_one_and_what_follows_each_other_stays_in_order() -> None:
    box = Box()
    box.add(b"1")
    box.replace("state", b"old")
    box.replace("state", b"new")
    box.add(b"2")
    assert await box.take() == b"new12"
    box.close()
    assert await box.take() is None


async def test_what_is_there_at_the_end_is_still_taken() -> None:
    box = Box()
    box.add(b"last")
    box.close()
    assert await box.take() == b"last"
    assert await box.take() is None


async def test_a_full_box_lets_the_oldest_go_and_tells_how_many() -> None:
    box = Box()
    for number in range(QUEUE_EVENTS + 7):
        box.add(b"<%d>" % number)
    taken = await box.take()
    assert taken is not None
    assert taken.startswith(b'event: dropped\ndata: {"events":7}\n\n<7><8>')
    box.add(b"next")
    assert await box.take() == b"next"


async def test_no_seat_is_given_once_the_program_leaves() -> None:
    seats = Seats(5)
    with seats.sit(bytes) as box:
        seats.close()
        assert await box.take() is None
        with pytest.raises(AceProxyError) as caught, seats.sit(bytes):
            pass
    assert caught.value.reason is Reason.SHUTDOWN
