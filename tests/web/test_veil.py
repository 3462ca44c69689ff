"""What viewers are told of each other: no address but their own, in no route, in no place."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aceproxy.app import App
from aceproxy.simulator import Simulator
from aceproxy.web.figures import Figures
from aceproxy.web.rights import RIGHTS, Right
from aceproxy.web.veil import LARGE_BYTES, TEXTS_KEPT, Veil
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

OWN = "192.0.2.9"
OTHER = "127.0.0.77"


@pytest.mark.parametrize(
    "text",
    [
        '"address":"%s"',
        "client 12 (%s, VLC) joined",
        "from %s.",
        "%s: refused",
        "[%s]",
        "%s",
        "a=%s b",
        "x %s, %s y",
        "%s...",
        "→%s←",
    ],
)
@pytest.mark.parametrize("address", ["10.1.2.3", "203.0.113.255", "2001:db8::5", "fe80::1", "1:2:3:4:5:6:7:8"])
def test_an_address_is_masked_wherever_it_stands(text: str, address: str) -> None:
    veil = Veil()
    whole = text.replace("%s", address).encode()
    masked = veil.mask(whole, OWN)
    assert address.encode() not in masked
    name = veil.mask(address.encode(), OWN)
    assert name.startswith(b"hidden-")
    assert masked == whole.replace(address.encode(), name)
    assert veil.mask(whole, address) == whole


@pytest.mark.parametrize("text", ["10.1.2.3:4711", "[2001:db8::5]:4711", "2001:db8::5:4711", "1:2:3:4:5:6:7:8:4711"])
def test_a_port_behind_an_address_does_not_hide_it(text: str) -> None:
    masked = Veil().mask(text.encode(), OWN)
    assert b"hidden-" in masked
    assert b"2001" not in masked
    assert b"1:2" not in masked
    assert b"10.1" not in masked


@pytest.mark.parametrize(
    "text",
    [
        "http://10.0.0.1:6878/x",
        "http://[2001:db8::1]:6878/x",
        "Player/1.2.3.4",
        "version 3.2.11",
        "2026-11-22T23:50:20.123Z",
        "00:17:08",
        "12:34:56:78:9a:bc",
        "std::vector",
        "::",
        "300.1.1.1",
        "1.2.3.4.5",
        '{"a":1,"b":{"c":2}}',
        "d579b8d3cd85057b756326a29c5eed82eae4df54",
        "hidden-12ab34",
    ],
)
def test_what_is_no_address_of_a_viewer_stays(text: str) -> None:
    assert Veil().mask(text.encode(), OWN) == text.encode()


@pytest.mark.parametrize("place", ["10.1.2.3:6878", "[2001:db8::5]:6878"])
def test_the_label_of_an_engine_stays_where_its_url_stands_beside_it(place: str) -> None:
    text = f'{{"url":"http://{place}","label":"{place}"}}'.encode()
    assert Veil().mask(text, OWN) == text
    host = place.rpartition(":")[0].strip("[]")
    for other in (
        f'"{place}"',
        f'"{place}8","http://{place}"',
        f'"{place}","http://{place}8"',
        f'"{host}","http://{place}"',
    ):
        assert b"hidden-" in Veil().mask(other.encode(), OWN), other


def test_names_tell_devices_apart_and_are_others_after_a_restart() -> None:
    veil = Veil()
    assert veil.mask(b"10.0.0.1", OWN) == veil.mask(b"::ffff:10.0.0.1", OWN)
    assert veil.mask(b"10.0.0.1", OWN) != veil.mask(b"10.0.0.2", OWN)
    assert veil.mask(b"10.0.0.1", OWN) != Veil().mask(b"10.0.0.1", OWN)


def test_a_large_text_is_masked_once_for_all_who_ask_from_one_address() -> None:
    veil = Veil()
    text = b'"10.0.0.1" ' * LARGE_BYTES
    first = veil.mask(text, OWN)
    assert veil.mask(text, OWN) is first
    assert b"10.0.0.1" not in first
    assert veil.mask(text, "10.0.0.1") == text
    for number in range(TEXTS_KEPT * 2):
        veil.mask(b"%d " % number * LARGE_BYTES, OWN)
    assert len(veil._kept) == TEXTS_KEPT


@given(st.text(alphabet='0123456789abcf:.[]/-, "x', max_size=80), st.ip_addresses())
def test_no_surroundings_of_blanks_let_an_address_through(before: str, address: object) -> None:
    assume(str(address) not in ("::", "0.0.0.0"))
    text = f"{before} {address} {before}".encode()
    assert f" {address} ".encode() not in Veil().mask(text, OWN)


# --- every route ---


@contextlib.asynccontextmanager
async def _two_viewers(app: App, target: str) -> AsyncIterator[list[Answer]]:
    """A player at OTHER and one at 127.0.0.1, and one at OTHER that has left."""
    opened = [await ask(app, target, stream=True, address=address) for address in (OTHER, OTHER, "127.0.0.1")]
    for answer in opened:
        assert answer.status == 200
        await asyncio.wait_for(answer.reader.readexactly(188), 10)
    opened[0].close()
    await until(lambda: app.hub.streams[0].ended_clients)
    try:
        yield opened[1:]
    finally:
        for answer in opened:
            answer.close()


async def beginning(app: App, target: str, *, admin: bool = False) -> bytes:
    """Return what a route tells: all of it, or of an endless answer what comes at once, up to the first pause."""
    answer = await ask(app, target, stream=True, admin=admin)
    if answer.status != 200:
        return answer.body
    if not answer.headers["content-type"].startswith("text/event-stream"):
        body = await asyncio.wait_for(answer.reader.read(), 10)
        answer.close()
        return body
    told = await asyncio.wait_for(answer.reader.read(65536), 30)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):  # the first events come together, and tell all that is known
            while True:
                told += await asyncio.wait_for(answer.reader.read(65536), 0.5)
    answer.close()
    return told


async def test_no_route_shows_a_viewer_anothers_address(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    stream_id = sim.contents[0].content_id
    routes = [
        name.removeprefix("GET ").format(key=stream_id, id=1)
        for name, right in RIGHTS.items()
        if right is Right.VIEW and name.startswith("GET ")
    ]
    assert len(routes) >= 8
    seen_by_admin = set()
    async with _two_viewers(app, f"/ace/getstream?id={stream_id}"):
        for route in routes:
            target = f"{route}?stream={stream_id}" if route == "/api/events" else route
            told = await beginning(app, target)
            assert OTHER.encode() not in told, route
            if OTHER.encode() in await beginning(app, target, admin=True):
                seen_by_admin.add(route)
                assert b"hidden-" in told, route
    assert {"/api/aceproxy/streams", f"/api/aceproxy/streams/{stream_id}", "/api/logs/tail"} <= seen_by_admin
    assert "/api/events" in seen_by_admin


async def test_ones_own_address_is_shown(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    async with _two_viewers(app, f"/ace/getstream?id={sim.contents[0].content_id}"):
        clients = (await ask(app, "/api/aceproxy/streams")).json["streams"][0]["clients"]
        addresses = [client["address"] for client in clients]
        assert "127.0.0.1" in addresses
        assert [one for one in addresses if one.startswith("hidden-")] == addresses[:1]
        clients = (await ask(app, "/api/aceproxy/streams", address=OTHER)).json["streams"][0]["clients"]
        assert clients[0]["address"] == OTHER
        clients = (await ask(app, "/api/aceproxy/streams", admin=True)).json["streams"][0]["clients"]
        assert [client["address"] for client in clients] == [OTHER, "127.0.0.1"]


async def test_which_token_a_player_has_is_told_to_admins_alone(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    name = 'the "TV"\\ in {"token_name":"x"} kitchen'
    made = await ask(app, "/api/tokens", "POST", body=json.dumps({"name": name, "role": "player"}).encode())
    stream_id = sim.contents[0].content_id
    player = await ask(app, f"/ace/getstream?id={stream_id}&token={made.json['token']}", stream=True)
    for route in ("/api/aceproxy/streams", f"/api/aceproxy/streams/{stream_id}"):
        told = await ask(app, route, admin=True)
        stream = told.json.get("stream") or told.json["streams"][0]
        assert [client["token_name"] for client in stream["clients"]] == [name], route
        told = await ask(app, route)
        stream = told.json.get("stream") or told.json["streams"][0]
        assert [client["token_name"] for client in stream["clients"]] == [None], route
    events = f"/api/events?stream={stream_id}"
    assert b"kitchen" in await beginning(app, events, admin=True)
    assert b"kitchen" not in await beginning(app, events)
    player.close()


async def test_an_overview_has_a_few_clients_of_each_stream(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    players = [await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}", stream=True) for _ in range(7)]
    figures = Figures(app.hub, app.pool)
    (stream,) = figures.overview().streams
    assert (stream.client_count, len(stream.clients), stream.ended_clients) == (7, 5, [])
    for player in players:
        player.close()
