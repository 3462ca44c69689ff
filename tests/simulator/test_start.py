"""Starting playbacks: identities, keys, answers, who replaces whom."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable

import pytest

from aceproxy.simulator import Content, Simulator, SimulatorConfig
from aceproxy.simulator.sessions import session_key
from tests.simulator.wire import LIMIT_S, Wire, ask, content, local, open_media, start, start_target, stat
from tests.waiting import until

Run = Callable[..., Awaitable[Simulator]]
FAILED = {"response": None, "error": "failed to load content"}


def test_the_key_is_the_md5_of_address_and_pid() -> None:
    assert session_key("127.0.0.1", None) == "f528764d624db129b32c21fbca0cb8d6"
    pid = "d2f5c4a0b1"
    assert session_key("127.0.0.1", pid) == hashlib.md5(f"127.0.0.1:{pid}".encode()).hexdigest()


def test_identities_follow_from_names() -> None:
    one = Content("Some Channel")
    assert one == Content("Some Channel")
    assert one.infohash != one.content_id != Content("Other").content_id
    assert one.transport_url == "http://transport.example/some-channel.acelive"
    assert len(bytes.fromhex(one.infohash)) == 20
    with pytest.raises(ValueError, match="no clip"):
        Content("x", clip="none")


async def test_a_json_start_answers_with_the_urls_of_the_session(simulator: Simulator) -> None:
    light = content(simulator, "Light")
    answer = (await ask(simulator, start_target(light, "one"))).json
    place = f"{light.infohash}/{session_key('127.0.0.1', 'one')}"
    response = answer["response"]
    assert answer["error"] is None
    assert set(answer) == {"response", "error"}
    assert response["playback_url"] == f"http://engine.test:6878/ace/r/{place}"
    assert response["stat_url"] == f"http://engine.test:6878/ace/stat/{place}"
    assert response["command_url"] == f"http://engine.test:6878/ace/cmd/{place}"
    assert len(bytes.fromhex(response["playback_session_id"])) == 20
    assert (response["is_live"], response["is_encrypted"], response["client_session_id"]) == (1, 0, -1)
    assert response["infohash"] == light.infohash
    assert "event_url" not in response


async def test_options_of_a_start_are_honoured(simulator: Simulator) -> None:
    light = content(simulator, "Light")
    response = await start(simulator, light, extra="&use_api_events=1&client_session_id=77")
    assert local(response["event_url"]).startswith(f"/ace/event/{light.infohash}/")
    assert response["client_session_id"] == 77
    old_name = (await ask(simulator, start_target(light, None) + "&sid=one")).json["response"]
    assert old_name["stat_url"].endswith(session_key("127.0.0.1", "one"))


async def test_without_pid_the_address_alone_is_the_player(simulator: Simulator) -> None:
    response = await start(simulator, content(simulator, "Light"), None)
    assert response["stat_url"].endswith("/f528764d624db129b32c21fbca0cb8d6")


async def test_a_strange_host_header_is_not_repeated(simulator: Simulator) -> None:
    wire = await Wire.open(simulator)
    target = start_target(content(simulator, "Light"), "q")
    wire.writer.write(f'GET {target} HTTP/1.1\r\nHost: a"><script>\r\nConnection: close\r\n\r\n'.encode())
    assert f"http://127.0.0.1:{simulator.port}/" in (await wire.reply()).json["response"]["stat_url"]
    await wire.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("content_id={one.content_id}", True),
        ("id={one.content_id}", True),
        ("infohash={one.infohash}", True),
        ("url={one.transport_url}", True),
        ("magnet=magnet:%3Fxt=urn:btih:{one.infohash}", True),
        ("infohash={upper}", True),
        ("id={one.content_id}&infohash=" + "0" * 40, True),
        ("id=" + "0" * 40 + "&infohash={one.infohash}", False),
        ("id={one.infohash}", False),
        ("infohash={one.content_id}", False),
        ("url=http://elsewhere.example/", False),
        ("magnet=magnet:%3Fdn=x", False),
        ("id=%00%ff", False),
    ],
)
async def test_what_is_named_is_found_by_the_engines_precedence(simulator: Simulator, query: str, found: bool) -> None:
    one = content(simulator, "Light")
    asked = query.format(one=one, upper=one.infohash.upper())
    answer = await ask(simulator, f"/ace/getstream?format=json&pid=p&{asked}")
    assert answer.status == 200
    if found:
        assert answer.json["response"]["infohash"] == one.infohash
    else:
        assert answer.json == FAILED
        plain = await ask(simulator, f"/ace/getstream?pid=p&{asked}")
        assert (plain.status, plain.body) == (500, b"Internal Server Error, couldn't find resource")
        assert plain.headers["content-type"] == "text/plain"
        assert "access-control-allow-origin" not in plain.headers
        assert simulator.playbacks == ()


async def test_a_start_without_identity_fails_and_a_posted_transport_file_starts(simulator: Simulator) -> None:
    assert (await ask(simulator, "/ace/getstream?format=json")).json["error"] == "missing content id"
    one = content(simulator, "Light")
    body = b"AceStreamTransport " + one.infohash.encode()
    reply = await ask(simulator, "/ace/getstream?format=json&pid=p", method="POST", body=body)
    assert reply.json["response"]["infohash"] == one.infohash


async def test_a_plain_start_is_a_302_that_ends_with_the_connection(simulator: Simulator) -> None:
    light = content(simulator, "Light")
    for hls, tail in ((False, f"/ace/r/{light.infohash}/{session_key('127.0.0.1', 'p')}"), (True, ".m3u8")):
        reply = await ask(simulator, start_target(light, "p", hls=hls, extra=""))
        assert reply.status == 302
        assert reply.headers["location"].endswith(tail)
        assert reply.headers["access-control-allow-origin"] == "*"
        assert "content-length" not in reply.headers
        assert reply.body == f"Redirect to {reply.headers['location']}".encode()


async def test_the_same_player_and_content_keep_their_session(simulator: Simulator) -> None:
    light = content(simulator, "Light")
    first, second = await start(simulator, light), await start(simulator, light)
    assert first == second
    assert len(simulator.playbacks) == 1
    third = await start(simulator, light, extra="&force_session_restart=1")
    assert third["playback_session_id"] != first["playback_session_id"]
    assert [one.stop_reason for one in simulator.playbacks] == ["restarted", None]


async def test_the_same_player_with_other_content_ends_its_first_stream(simulator: Simulator) -> None:
    wire = await open_media(simulator, await start(simulator, content(simulator, "Light")))
    assert (await wire.head())[0] == 200
    await start(simulator, content(simulator, "Other"))
    assert len(await wire.rest()) % 188 == 0
    assert [one.stop_reason for one in simulator.playbacks] == ["replaced", None]
    await wire.close()


async def test_two_players_share_a_progressive_download_and_show_the_newest_session(simulator: Simulator) -> None:
    light = content(simulator, "Light")
    first, second = await start(simulator, light, "a"), await start(simulator, light, "b")
    assert first["playback_session_id"] != second["playback_session_id"]
    for response in (first, second):
        shown = (await stat(simulator, response))["response"]
        assert shown["playback_session_id"] == second["playback_session_id"]
    wires = [await open_media(simulator, response) for response in (first, second)]
    for wire in wires:
        assert (await wire.head())[0] == 200
        await wire.read(188 * 100)
    assert len(simulator.active_playbacks) == 2
    for wire in wires:
        await wire.close()


async def test_superseding_can_be_chosen_for_progressive_playbacks(run: Run) -> None:
    simulator = await run(second_pid_progressive="supersede")
    light = content(simulator, "Light")
    wire = await open_media(simulator, await start(simulator, light, "a"))
    await wire.head()
    await start(simulator, light, "b")
    await wire.rest()
    assert [one.stop_reason for one in simulator.playbacks] == ["superseded", None]
    await wire.close()


async def test_the_first_start_of_a_content_takes_a_lookup(run: Run) -> None:
    simulator = await run(lookup_delay_s=0.8, start_delay_s=0.0)
    light = content(simulator, "Light")
    begun = time.monotonic()
    await start(simulator, light)
    looked_up = time.monotonic()
    await start(simulator, light)
    assert looked_up - begun >= 0.8 > time.monotonic() - looked_up


async def test_a_caller_that_leaves_before_the_answer_starts_nothing(run: Run) -> None:
    simulator = await run(start_delay_s=30.0)
    wire = await Wire.open(simulator)
    wire.send(start_target(content(simulator, "Light"), "p"))
    await until(lambda: simulator.requests)
    await wire.close()
    await until(lambda: simulator.connection_count == 0, LIMIT_S)
    assert simulator.playbacks == ()


async def test_contents_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="one infohash"):
        Simulator(SimulatorConfig(contents=(Content("A"), Content("A"))))
