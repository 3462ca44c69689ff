"""The engine's face: playback sessions as an engine's clients know them, in front of a simulated engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urljoin

from aceproxy.app import App
from aceproxy.simulator import Simulator, SimulatorConfig
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]
PACKET = 188
UNKNOWN = {"response": None, "error": "unknown playback session id"}


def path_of(url: str) -> str:
    """Return the path of a URL that the program gave."""
    assert url.startswith("http://test/ace/")
    return url.removeprefix("http://test")


async def begin(app: App, sim: Simulator, number: int = 0, extra: str = "&pid=one") -> dict[str, Any]:
    """Start a session and return its response."""
    answer = await ask(app, f"/ace/getstream?id={sim.contents[number].content_id}&format=json{extra}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert answer.json["error"] is None
    return dict(answer.json["response"])


async def stat(app: App, session: dict[str, Any]) -> Any:
    """Return what stat answers."""
    return (await ask(app, path_of(session["stat_url"]))).json


async def command(app: App, session: dict[str, Any], text: str) -> Any:
    """Return what a command answers."""
    return (await ask(app, f"{path_of(session['command_url'])}?method={text}")).json


async def test_a_json_start_answers_as_an_engine_does(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    content = sim.contents[0]
    session = await begin(app, sim, extra="&pid=one&use_api_events=1&client_session_id=7")
    key = session["stat_url"].rpartition("/")[2]
    place = f"{content.infohash}/{key}"
    assert session == {
        "playback_url": f"http://test/ace/r/{place}",
        "stat_url": f"http://test/ace/stat/{place}",
        "command_url": f"http://test/ace/cmd/{place}",
        "event_url": f"http://test/ace/event/{place}",
        "infohash": content.infohash,
        "playback_session_id": session["playback_session_id"],
        "is_live": 1,
        "is_encrypted": 0,
        "client_session_id": 7,
    }
    assert len(bytes.fromhex(session["playback_session_id"])) == 20
    assert "event_url" not in await begin(app, sim, extra="&pid=two")


async def test_the_answer_comes_before_there_is_data_and_stat_tells_the_rest(make_app: MakeApp, play: Play) -> None:
    async with Simulator(SimulatorConfig.fast(prebuffer_s=1.0)) as slow:
        app = await make_app(engines=[slow.url])
        session = await begin(app, slow)
        early = (await stat(app, session))["response"]
        assert (early["status"], early["is_live"], early["infohash"]) == ("prebuf", 1, session["infohash"])
        assert early["playback_session_id"] == session["playback_session_id"]
        answer = await play(app, path_of(session["playback_url"]))
        assert answer.status == 200
        await answer.reader.readexactly(100 * PACKET)
        late = (await stat(app, session))["response"]
        assert (late["status"], late["peers"]) == ("dl", slow.contents[0].peers)
        assert late["downloaded"] > 0
        assert late["downloaded"] % 16384 == 0
        await until(lambda: app.hub.streams[0].source.last_stat(asyncio.get_running_loop().time()))  # type: ignore[union-attr]  # it runs
        livepos = (await stat(app, session))["response"]["livepos"]
        assert int(livepos["live_last"]) - int(livepos["live_first"]) == 1800
        assert set(map(type, livepos.values())) == {str}


async def test_a_start_that_fails_is_a_200_with_the_engines_words(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    for query, words in (
        ("", "missing content id"),
        ("id=xyz", "invalid content id"),
        ("id=" + "1" * 40, "failed to load content"),
        ("url=http://127.0.0.1/x.acelive", "url_host_refused: "),
        (f"id={sim.contents[0].content_id}&fallback=nonsense", "invalid content id"),
        (f"id={sim.contents[0].content_id}&fallback=http://127.0.0.1/x.acelive", "url_host_refused: "),
        (f"id={sim.contents[0].content_id}&standby=2", "bad_parameter: "),
    ):
        answer = await ask(app, f"/ace/getstream?{query}&format=json")
        assert answer.status == 200
        assert answer.json["response"] is None
        assert answer.json["error"].startswith(words)
    assert len(app.sessions) == 0
    await until(lambda: not app.hub.streams)


async def test_players_with_sessions_share_one_playback_and_a_stop_ends_only_ones_own(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(linger_s=0.2)
    first, second = await begin(app, sim, extra="&pid=a"), await begin(app, sim, extra="&pid=b")
    assert first["stat_url"] != second["stat_url"]
    one, other = await play(app, path_of(first["playback_url"])), await play(app, path_of(second["playback_url"]))
    await one.reader.readexactly(10 * PACKET)
    assert await command(app, first, "stop") == {"response": "ok", "error": None}
    await asyncio.wait_for(one.reader.read(), 10)
    await other.reader.readexactly(2000 * PACKET)
    assert await stat(app, first) == UNKNOWN
    assert await command(app, first, "stop") == UNKNOWN
    gone = await ask(app, path_of(first["playback_url"]))
    assert (gone.status, gone.reason) == (404, "session_unknown")
    assert (await stat(app, second))["response"]["status"] == "dl"
    assert len(sim.playbacks) == 1
    assert app.hub.counters.clients_closed_by_reason == {"player_stopped": 1}
    await command(app, second, "stop")
    await until(lambda: not app.hub.streams)
    await until(lambda: not sim.active_playbacks)


async def test_a_command_is_answered_in_the_shape_of_the_api_version(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    session = await begin(app, sim)
    assert await command(app, session, "liveseek&pos=-1") == {"response": "ok", "error": None}
    assert await command(app, session, "stop&api_version=2") == {"result": "ok"}
    told = {"error": {"message": "unknown playback session id", "code": 0}}
    assert await command(app, session, "stop&api_version=2") == told
    assert await command(app, session, "stop&api_version=1") == UNKNOWN


async def test_a_session_keeps_the_stream_alive_while_its_player_asks_and_not_longer(
    sim: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(linger_s=0.1, session_idle_s=0.6)
    session = await begin(app, sim)
    await until(lambda: app.hub.streams[0].state == "live")
    stream = app.hub.streams[0]
    for _ in range(10):
        assert (await stat(app, session))["response"]["status"] == "dl"
        since = asyncio.get_running_loop().time()
        await until(lambda since=since: asyncio.get_running_loop().time() - since > 0.1)  # type: ignore[misc]  # a default
    assert stream.state == "live"
    assert app.hub.client_count == 0
    listed = (await ask(app, "/api/aceproxy/streams")).json["streams"][0]
    assert (listed["sessions"], listed["client_count"]) == (1, 0)
    await until(lambda: not app.hub.streams)
    assert app.hub.ended[0].reason == "linger_over"
    assert await stat(app, session) == UNKNOWN


async def test_a_poll_that_is_no_activity_keeps_nothing_alive(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(session_idle_s=0.3)
    session = await begin(app, sim)
    quiet = path_of(session["stat_url"]) + "?skip_player_activity=1"
    async with asyncio.timeout(30):
        while (await ask(app, quiet)).json != UNKNOWN:  # noqa: ASYNC110 - each look is a request
            await asyncio.sleep(0.02)


async def test_the_same_player_gets_its_session_again_and_starting_another_ends_the_first(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(linger_s=0.1)
    first = await begin(app, sim)
    assert await begin(app, sim) == first
    await begin(app, sim, 1)
    assert await stat(app, first) == UNKNOWN
    await until(lambda: [stream.infohash for stream in app.hub.streams] == [sim.contents[1].infohash])


async def test_what_is_still_being_read_is_not_cut_by_the_next_start_of_that_address(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    """Without a pid all players behind one address look like one; an engine would stop the first."""
    app = await make_app(linger_s=0.1)
    first = await begin(app, sim, extra="")
    answer = await play(app, path_of(first["playback_url"]))
    await answer.reader.readexactly(10 * PACKET)
    await begin(app, sim, 1, extra="")
    await answer.reader.readexactly(1000 * PACKET)
    assert (await stat(app, first))["response"]["status"] == "dl"
    answer.close()
    await until(lambda: len(app.sessions) == 1)
    assert await stat(app, first) == UNKNOWN


async def test_only_so_many_sessions_are_kept(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(max_sessions=2)
    first, second = await begin(app, sim, extra="&pid=1"), await begin(app, sim, extra="&pid=2")
    for session in (second, first):  # the second is the one that was silent for longer
        await stat(app, session)
    await begin(app, sim, extra="&pid=3")
    assert await stat(app, second) == UNKNOWN
    assert len(app.sessions) == 2
    third = await begin(app, sim, extra="&pid=3")
    for session in (first, third):
        assert (await play(app, path_of(session["playback_url"]))).status == 200
    await until(lambda: all(one["readers"] == 1 for one in listed(app)))
    refused = (await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}&format=json&pid=4")).json
    assert refused["error"].startswith("too_many_clients")


def listed(app: App) -> list[dict[str, Any]]:
    """Return the sessions as the API lists them."""
    return [one.model_dump() for one in app.sessions.snapshot()]


async def test_the_list_of_sessions_tells_who_and_not_the_key(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    session = await begin(app, sim)
    answer = await ask(app, "/api/aceproxy/sessions")
    (one,) = answer.json["sessions"]
    assert one["session_id"] == session["playback_session_id"]
    assert (one["address"], one["output"], one["is_live"], one["readers"]) == ("127.0.0.1", "ts", True, 0)
    assert session["stat_url"].rpartition("/")[2].encode() not in answer.body


async def test_the_key_of_another_player_cannot_be_worked_out(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    session = await begin(app, sim, extra="")
    other = await make_app()
    again = await begin(other, sim, extra="")
    assert session["stat_url"] != again["stat_url"]
    assert not session["stat_url"].endswith(
        "f528764d624db129b32c21fbca0cb8d6"
    )  # the MD5 of 127.0.0.1, as engines have it
    for target in ("/ace/stat/{}/00", "/ace/cmd/{}/00?method=stop", "/ace/event/{}/00"):
        assert (await ask(app, target.format(session["infohash"]))).json == UNKNOWN


COMMANDS = [
    ("liveseek&pos=-1", None),
    ("liveseek", None),
    ("liveseek&pos=1639984904", "liveseek is not possible here: the broadcast is shared with other players"),
    ("set_stream&stream_index=1", "set_stream is not possible here: the broadcast is shared with other players"),
    ("set_player_activity_timeout&timeout=120", None),
    ("set_player_activity_timeout&timeout=0", "invalid timeout"),
    ("set_player_activity_timeout&timeout=-5", "invalid timeout"),
    ("shutdown", "unknown method"),
    ("", "unknown method"),
]


async def test_commands_are_done_or_refused_in_the_engines_form(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    session = await begin(app, sim)
    assert listed(app)[0]["idle_limit_s"] == 60
    for text, error in COMMANDS:
        assert await command(app, session, text) == {"response": None if error else "ok", "error": error}, text
    assert listed(app)[0]["idle_limit_s"] == 120


async def test_events_come_by_long_poll_one_by_one(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    session = await begin(app, sim, extra="&pid=one&use_api_events=1")
    poll = asyncio.create_task(ask(app, path_of(session["event_url"])))
    await asyncio.sleep(0)
    await command(app, session, "liveseek&pos=-1")
    assert (await poll).json["response"] == {"name": "live_changed", "params": {"is_live": 1}}
    poll = asyncio.create_task(ask(app, path_of(session["event_url"])))
    await ask(app, f"/api/aceproxy/streams/{session['infohash']}", "DELETE")
    event = (await poll).json["response"]
    assert event == {"name": "download_stopped", "params": {"reason": "stopped"}}
    assert (await ask(app, path_of(session["event_url"]))).json["error"].startswith("stopped: ")
    assert (await stat(app, session))["error"].startswith("stopped: ")


async def test_a_poll_ends_with_the_session(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    session = await begin(app, sim, extra="&pid=one&use_api_events=1")
    poll = asyncio.create_task(ask(app, path_of(session["event_url"])))
    await until(lambda: app.hub.streams[0].state == "live")
    await command(app, session, "stop")
    assert (await poll).json == UNKNOWN


async def test_a_start_that_comes_to_nothing_is_told_by_stat(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(start_timeout_s=1)
    sim.set_fault("never-starts")
    session = await begin(app, sim)
    await until(lambda: not app.hub.streams)
    assert await stat(app, session) == {"response": None, "error": "no active peers"}
    refused = await ask(app, path_of(session["playback_url"]))
    assert (refused.status, refused.reason) == (504, "no_peers")


async def test_a_stop_while_the_player_waits_for_media_ends_the_wait(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(linger_s=0.1)
    sim.set_fault("never-starts")
    session = await begin(app, sim)
    waiting = asyncio.create_task(ask(app, path_of(session["playback_url"])))
    await until(lambda: app.hub.streams[0].waiting == 1)
    assert (await command(app, session, "stop"))["response"] == "ok"
    assert (await waiting).reason == "session_unknown"
    await until(lambda: not app.hub.streams)


async def test_a_json_start_takes_fallbacks_and_a_standby_as_one_for_media_does(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    fallback = sim.contents[1].content_id
    answer = await ask(app, f"/ace/getstream?id={'ab' * 20}&fallback={fallback}&standby=1&format=json")
    session = answer.json["response"]
    assert session["infohash"] == "ab" * 20, "what was asked for, as the stream is known by it"
    stream = app.hub.streams[0]
    assert (stream.supply.at, stream.supply.wants_standby) == (1, True)
    assert [link.value for link in stream.supply.links] == ["ab" * 20, fallback]
    media = await play(app, path_of(session["playback_url"]))
    assert media.status == 200
    listed = await ask(app, f"/ace/manifest.m3u8?id={'cd' * 20}&fallback={fallback}&standby=3&format=json")
    assert listed.json["error"].startswith("bad_parameter")


async def test_a_manifest_started_in_json_is_a_session_with_a_list(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(linger_s=0.1)
    answer = await ask(app, f"/ace/manifest.m3u8?id={sim.contents[2].content_id}&format=json&pid=p")
    session = answer.json["response"]
    assert session["playback_url"].endswith(".m3u8")
    target = path_of(session["playback_url"])
    answer = await ask(app, target)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/vnd.apple.mpegurl")
    assert (await ask(app, target)).status == 200
    segments = [line for line in answer.body.decode().splitlines() if line and not line.startswith("#")]
    place = urljoin(target, segments[0])
    assert (await ask(app, place)).body[0] == 0x47
    (client,) = app.hub.streams[0].clients.values()
    assert client.delivery == "hls"
    assert app.sessions.snapshot()[0].output == "hls"
    redirected = await ask(app, f"/ace/manifest.m3u8?id={sim.contents[2].content_id}&format=redirect&pid=p")
    assert redirected.headers["location"] == session["playback_url"]
    assert await command(app, session, "stop") == {"response": "ok", "error": None}
    assert (await ask(app, target)).reason == "session_unknown"
    await until(lambda: not app.hub.streams)


async def test_redirect_mode_leads_to_the_media(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    answer = await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}&format=redirect")
    assert answer.status == 302
    assert answer.body.decode() == f"Redirect to {answer.headers['location']}"
    target = path_of(answer.headers["location"])
    assert (await ask(app, target, "HEAD")).headers["content-type"] == "video/mp2t"
    media = await play(app, target)
    assert media.status == 200
    assert (await media.reader.readexactly(PACKET))[0] == 0x47
    refused = await ask(app, "/ace/getstream?format=redirect")
    assert (refused.status, refused.reason) == (400, "no_link")


async def test_a_second_aceproxy_takes_the_first_for_its_engine(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    first = await make_app(linger_s=0.1)
    await until(lambda: first.pool.snapshot()[0].state == "up")
    second = await make_app(engines=[f"http://127.0.0.1:{first.port}"], linger_s=0.1, engine_probe_s=0.2)
    await until(lambda: second.pool.snapshot()[0].state == "up")
    assert second.pool.snapshot()[0].version == "3.2.3"
    players = [await play(second, f"/ace/getstream?id={sim.contents[0].content_id}") for _ in range(3)]
    direct = await play(first, f"/ace/getstream?infohash={sim.contents[0].infohash}")
    for player in (*players, direct):
        assert player.status == 200
        await player.reader.readexactly(1000 * PACKET)
    assert len(sim.playbacks) == 1
    assert first.hub.client_count == 2  # the second proxy is one player of the first
    await until(lambda: second.hub.streams[0].title == "Clock One")
    stream = (await ask(second, "/api/aceproxy/streams")).json["streams"][0]
    assert stream["engine_stat"]["status"] == "dl"
    assert stream["engine_stat"]["peers"] == sim.contents[0].peers
    for player in players:
        player.close()
    await until(lambda: not second.hub.streams)
    await until(lambda: first.hub.client_count == 1)
    await until(lambda: len(first.sessions) == 0)
    await direct.reader.readexactly(1000 * PACKET)
    unknown = await ask(second, "/ace/getstream?id=" + "2" * 40)
    assert (unknown.status, unknown.reason) == (404, "content_not_found")
