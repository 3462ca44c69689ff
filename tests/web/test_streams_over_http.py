"""Streams through the HTTP face, in one process with a simulated engine."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from aceproxy.app import App
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.streams.timeline import EventKind
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]
PACKET = 188


async def packets(answer: Answer, count: int) -> bytes:
    return await asyncio.wait_for(answer.reader.readexactly(count * PACKET), 20)


def link(sim: Simulator, number: int = 0) -> str:
    return f"/ace/getstream?id={sim.contents[number].content_id}"


async def test_a_stream_begins_with_pat_pmt_and_a_keyframe(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    answer = await play(app, link(sim))
    assert answer.status == 200
    assert answer.headers["content-type"] == "video/mp2t"
    assert answer.headers["connection"] == "close"
    assert "transfer-encoding" not in answer.headers
    assert "content-length" not in answer.headers
    data = await packets(answer, 100)
    pids = [struct.unpack(">H", data[at + 1 : at + 3])[0] & 0x1FFF for at in range(0, len(data), PACKET)]
    assert pids[0] == 0
    assert all(data[at] == 0x47 for at in range(0, len(data), PACKET))
    assert data[2 * PACKET + 1] & 0x40  # the third packet begins a PES packet
    assert data[2 * PACKET + 5] & 0x40  # with random_access_indicator


async def test_many_players_share_one_playback(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    answers = await asyncio.gather(*(play(app, link(sim)) for _ in range(20)))
    for answer in answers:
        assert answer.status == 200
        await packets(answer, 50)
    assert len(sim.playbacks) == 1
    assert (await ask(app, "/ace/status")).json == {"streams": 1}
    state = (await ask(app, f"/ace/status?id={sim.contents[0].content_id}")).json
    assert state == {"clients": 20, "stream_id": sim.contents[0].content_id, "state": "live"}


@pytest.mark.parametrize(
    "form",
    [
        "content_id={0.content_id}",
        "infohash={0.infohash}",
        "magnet=magnet:%3Fxt=urn:btih:{0.infohash}",
        "id=acestream://{0.content_id}",
        "id=acestream:%3Finfohash={0.infohash}",
        "url={0.transport_url}",
    ],
)
async def test_links_of_every_form_meet_on_one_playback(
    sim: Simulator, make_app: MakeApp, play: Play, form: str
) -> None:
    app = await make_app(url_hosts=["*.example"])
    first = await play(app, link(sim))
    await packets(first, 10)
    second = await play(app, "/ace/getstream?" + form.format(sim.contents[0]))
    assert second.status == 200
    await packets(second, 10)
    assert len(sim.playbacks) == 1
    assert len(app.hub.streams) == 1
    assert app.hub.client_count == 2


async def test_links_that_start_at_the_same_moment_meet_as_well(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    content = sim.contents[0]
    both = await asyncio.gather(
        play(app, f"/ace/getstream?id={content.content_id}"), play(app, f"/ace/getstream?infohash={content.infohash}")
    )
    for answer in both:
        assert answer.status == 200
        await packets(answer, 500)
    assert len(app.hub.streams) == 1
    assert app.hub.client_count == 2


async def test_an_infohash_given_as_id_plays(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    answer = await play(app, f"/ace/getstream?id={sim.contents[1].infohash}")
    assert answer.status == 200
    await packets(answer, 10)


async def test_head_starts_nothing(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    answer = await ask(app, link(sim), "HEAD")
    assert answer.status == 200
    assert answer.headers["content-type"] == "video/mp2t"
    assert (await ask(app, "/ace/getstream", "HEAD")).status == 400
    assert app.hub.streams == []
    assert sim.playbacks == ()


async def test_a_foreign_pid_is_accepted_and_not_used(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    answer = await play(app, link(sim) + "&pid=0000&format=json&direct_url=http://x.example/")
    assert answer.status == 200
    assert sim.playbacks[0].pid != "0000"


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("", 400, "no_link"),
        ("id=", 400, "no_link"),
        ("id=" + "z" * 40, 400, "bad_link"),
        ("id=" + "a" * 39, 400, "bad_link"),
        ("id=" + "a" * 10_000, 400, "bad_link"),
        ("id=%00%01%02", 400, "bad_link"),
        ("id=%ff%fe", 400, "bad_link"),
        ("id=" + "a" * 40 + "&infohash=" + "b" * 40, 400, "two_links"),
        ("url=http://127.0.0.1:1/x.acelive", 403, "url_host_refused"),
        ("url=http://2130706433/x", 403, "url_host_refused"),
        ("url=http://[::ffff:127.0.0.1]/x", 403, "url_host_refused"),
        ("url=http://evil.example/x", 403, "url_host_refused"),
        ("url=file:///etc/passwd", 400, "bad_link"),
    ],
)
async def test_links_that_are_nonsense_or_dangerous_never_reach_the_engine(
    sim: Simulator, make_app: MakeApp, query: str, status: int, reason: str
) -> None:
    app = await make_app()
    answer = await ask(app, f"/ace/getstream?{query}")
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.json["error"]["message"]
    assert not [target for _, target in sim.requests if "getstream" in target]


async def test_an_unknown_id_is_a_404_and_is_remembered_for_a_while(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    unknown = "/ace/getstream?id=" + "1" * 40
    answer = await ask(app, unknown)
    assert (answer.status, answer.reason) == (404, "content_not_found")
    assert "failed to load content" in answer.json["error"]["message"]
    assert answer.headers["retry-after"]
    asked = len(sim.requests)
    again = await ask(app, unknown)
    assert again.status == 404
    assert not [target for _, target in list(sim.requests)[asked:] if "getstream" in target]


async def test_the_last_client_leaves_a_lingering_stream_that_is_stopped_in_time(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(linger_s=0.3)
    answer = await play(app, link(sim))
    await packets(answer, 10)
    answer.close()
    await until(lambda: [stream.state for stream in app.hub.streams] == ["lingering"])
    await until(lambda: not app.hub.streams)
    await until(lambda: sim.playbacks[0].stopped_at is not None)
    assert app.hub.ended[0].reason == "linger_over"


async def test_a_client_that_comes_back_finds_the_lingering_stream(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(linger_s=30)
    answer = await play(app, link(sim))
    await packets(answer, 10)
    answer.close()
    await until(lambda: [stream.state for stream in app.hub.streams] == ["lingering"])
    again = await play(app, link(sim))
    await packets(again, 10)
    assert app.hub.streams[0].state == "live"
    assert len(sim.playbacks) == 1


async def test_zapping_back_right_after_the_stop_plays(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(linger_s=0)
    for _ in range(3):
        answer = await play(app, link(sim))
        assert answer.status == 200
        await packets(answer, 10)
        answer.close()
        await until(lambda: not app.hub.streams)
    await until(lambda: len([one for one in sim.playbacks if one.stopped_at is not None]) == 3)


async def test_at_capacity_the_oldest_lingering_stream_gives_way(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(engine_max_streams=2)
    first, second = await play(app, link(sim, 0)), await play(app, link(sim, 1))
    await packets(first, 1)
    refused = await ask(app, link(sim, 2))
    assert (refused.status, refused.reason) == (503, "at_capacity")
    assert refused.headers["retry-after"]
    first.close()
    await until(lambda: any(stream.state == "lingering" for stream in app.hub.streams))
    third = await play(app, link(sim, 2))
    assert third.status == 200
    assert app.hub.ended[0].reason == "gave_way"
    await packets(second, 1)


async def test_only_so_many_streams_linger(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(max_lingering=1)
    for number in range(3):
        answer = await play(app, link(sim, number))
        await packets(answer, 1)
        answer.close()
        await until(lambda: all(stream.state == "lingering" for stream in app.hub.streams))
    assert [stream.stream_id for stream in app.hub.streams] == [sim.contents[2].content_id]


async def test_a_stream_that_is_stopped_ends_its_clients_and_its_playback(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    answer = await play(app, link(sim))
    await packets(answer, 10)
    stopped = await ask(app, f"/api/aceproxy/streams/{sim.contents[0].infohash}", "DELETE")
    assert stopped.json == {"stopped": True, "stream_id": sim.contents[0].content_id, "clients_ended": 1}
    await asyncio.wait_for(answer.reader.read(), 10)
    await until(lambda: sim.playbacks[0].stopped_at is not None)
    listed = (await ask(app, "/api/aceproxy/streams")).json
    assert listed["total_streams"] == 0
    assert listed["recent"][0]["reason"] == "stopped"
    stats = (await ask(app, "/api/aceproxy/stats")).json
    assert stats["clients_closed_by_reason"] == {"stopped": 1}


async def test_a_client_that_is_kicked_leaves_the_others_alone(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    victim = await play(app, link(sim))
    other = await play(app, link(sim))
    await packets(other, 10)
    clients = (await ask(app, "/api/aceproxy/streams")).json["streams"][0]["clients"]
    target = f"/api/aceproxy/streams/{sim.contents[0].content_id}/clients/{clients[0]['client_id']}"
    assert (await ask(app, target, "DELETE")).json["kicked"] is True
    await asyncio.wait_for(victim.reader.read(), 10)
    await packets(other, 500)
    assert (await ask(app, target, "DELETE")).reason == "client_not_found"
    stream = (await ask(app, f"/api/aceproxy/streams/{sim.contents[0].content_id}")).json["stream"]
    assert stream["client_count"] == 1
    assert stream["ended_clients"][0]["reason"] == "kicked"


async def test_a_source_that_ends_comes_back_while_the_clients_wait(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    sim.set_fault("eof-after", value="0.5")
    answer = await play(app, link(sim))
    await packets(answer, 10)
    await until(lambda: app.hub.streams[0].recoveries >= 1)
    sim.clear_faults()
    sent = app.hub.streams[0].ring.head
    await until(lambda: app.hub.streams[0].ring.head > sent + 100_000)
    await packets(answer, 2000)
    assert app.hub.client_count == 1


async def test_a_source_that_does_not_come_back_ends_the_stream_with_its_reason(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(recover_s=0.5)
    answer = await play(app, link(sim))
    await packets(answer, 10)
    await sim.stop()
    await asyncio.wait_for(answer.reader.read(), 20)
    await until(lambda: not app.hub.streams)
    assert app.hub.ended[0].reason == "source_ended"


async def test_a_start_nobody_waits_for_any_more_is_given_up(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(linger_s=0.2)
    sim.set_fault("never-starts")
    asking = asyncio.create_task(ask(app, link(sim)))
    await until(lambda: app.hub.streams and app.hub.streams[0].waiting == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: not app.hub.streams)
    await until(lambda: not sim.active_playbacks)


async def test_too_many_clients_are_told_so(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(max_clients=1)
    await play(app, link(sim))
    answer = await ask(app, link(sim))
    assert (answer.status, answer.reason) == (503, "too_many_clients")


async def test_a_source_faster_than_its_only_client_waits_for_it_and_nothing_is_lost(
    make_app: MakeApp, play: Play
) -> None:
    """Start bursts and recordings come at socket speed; the first client must not be thrown forward by them."""
    async with Simulator(SimulatorConfig.fast(burst_s=30.0)) as eager:
        app = await make_app(engines=[eager.url], ring_s=4.0, client_stall_s=60)
        answer = await play(app, link(eager))
        await until(lambda: app.hub.streams[0].source is not None and app.hub.streams[0].source.paused)
        checker = ContinuityChecker()
        for _ in range(20):
            checker.feed(await packets(answer, 2000))
        assert not checker.errors
        stream = (await ask(app, "/api/aceproxy/streams")).json["streams"][0]
        assert stream["clients"][0]["skips"] == 0


async def test_what_clients_get_over_a_reopened_source_is_the_unbroken_broadcast(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    """The engine sends the same bytes again, from some seconds back: nothing is repeated and nothing is lost."""
    app = await make_app()
    sim.set_fault("eof-after", value="1", times=1)
    answer = await play(app, link(sim))
    checker = ContinuityChecker()
    stamps: list[int] = []
    while app.hub.streams[0].recoveries == 0 or len(stamps) < 250:
        data = await packets(answer, 500)
        checker.feed(data)
        stamps += video_dts(data)
    assert not checker.errors
    steps = {later - earlier for earlier, later in pairwise(stamps)}
    assert steps == {3600}  # 25 pictures a second, each once
    told = app.hub.streams[0].timeline.events()
    assert [event.details["outcome"] for event in told if event.kind is EventKind.SPLICED] == ["same bytes"]
    order = [event.kind for event in told if event.kind in (EventKind.FIRST_BYTE, EventKind.SPLICED)]
    assert order == [EventKind.FIRST_BYTE, EventKind.FIRST_BYTE, EventKind.SPLICED]


def video_dts(data: bytes) -> list[int]:
    """Return the DTS (else PTS) of the pictures that begin in these packets of a simulated channel."""
    found: list[int] = []
    for at in range(0, len(data), PACKET):
        packet = data[at : at + PACKET]
        if packet[1] & 0x5F != 0x41 or packet[2] != 0:  # not the start of a PES packet on PID 0x100
            continue
        start = 5 + packet[4] if packet[3] & 0x20 else 4
        field = packet[start + 9 + (5 if packet[start + 7] & 0x40 else 0) :][:5]
        found.append((field[0] >> 1 & 7) << 30 | field[1] << 22 | (field[2] >> 1) << 15 | field[3] << 7 | field[4] >> 1)
    return found


async def test_an_engine_that_ends_every_playback_at_once_is_not_hammered(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(recover_s=1.5)
    sim.set_fault("eof-after", value="0.05")
    answer = await play(app, link(sim))
    await asyncio.wait_for(answer.reader.read(), 20)
    await until(lambda: not app.hub.streams)
    assert app.hub.ended[0].reason == "source_ended"
    assert 2 <= len(sim.playbacks) <= 20


async def test_a_stream_that_asks_for_a_place_does_not_give_way_to_itself(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engine_max_streams=1, linger_s=30)
    first = await play(app, link(sim, 0))
    await packets(first, 10)
    asking = asyncio.create_task(ask(app, link(sim, 1)))
    refused = await asking
    assert refused.reason == "at_capacity"
    stream = app.hub.streams[0]
    first.close()
    await until(lambda: stream.state == "lingering")
    assert not app.hub.make_way(stream)
    assert app.hub.streams == [stream]
    again = await play(app, link(sim, 1))
    assert again.status == 200
    assert app.hub.ended[0].reason == "gave_way"


async def test_a_client_that_leaves_at_once_is_no_error(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    await packets(await play(app, link(sim)), 10)
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(f"GET {link(sim)} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        writer.transport.abort()
    await until(lambda: app.hub.client_count == 1)
    assert not [line for line in app.logs.ring.tail(500) if line.level in ("error", "warning")]
    await until(
        lambda: (app.hub.counters.clients_served - 1) == sum(app.hub.counters.clients_closed_by_reason.values())
    )
