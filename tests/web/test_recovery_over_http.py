"""Faults of a running source, each with its own reason, and what clients get meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from aceproxy.app import App
from aceproxy.errors import Fault, Reason
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.simulator import Content, Simulator, SimulatorConfig
from aceproxy.streams import reserve, restoring
from aceproxy.streams.restoring import RACE_AFTER_S
from aceproxy.streams.states import State
from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import Event, EventKind
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until
from tests.web.test_streams_over_http import PACKET, video_dts

Play = Callable[[App, str], Awaitable[Answer]]
QUICK = {
    "quiet_s": 0.5, "stuck_s": 1.5, "silence_s": 20.0, "garbage_s": 1.0, "trickle_s": 2.0, "stat_poll_s": 0.5,
    "recover_s": 30.0,
}  # fmt: skip


def channel(sim: Simulator, name: str) -> Content:
    """Return a channel by its name."""
    return next(one for one in sim.contents if one.name == name)


def url_of(sim: Simulator, name: str = "Light One", **more: str) -> str:
    """Return the path at which a channel plays."""
    extra = "".join(f"&{key}={value}" for key, value in more.items())
    return f"/ace/getstream?id={channel(sim, name).content_id}{extra}"


def is_live(stream: Stream) -> bool:
    """Whether it delivers."""
    return stream.state is State.LIVE


def events(stream: Stream, kind: EventKind) -> list[Event]:
    """Return what happened of one kind."""
    return [event for event in stream.timeline.events() if event.kind is kind]


async def read_for(answer: Answer, condition: Callable[[], Any], limit_s: float = 40.0) -> bytes:
    """Read until a condition is true."""
    data = bytearray()
    async with asyncio.timeout(limit_s):
        while not condition():
            part = await answer.reader.read(65536)
            assert part or condition(), "the stream has ended"
            data += part
    return bytes(data)


async def test_a_playback_that_the_engine_has_forgotten_is_not_waited_for(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**QUICK)
    answer = await play(app, url_of(sim))
    await answer.reader.readexactly(PACKET)
    stream = app.hub.streams[0]
    sim.set_fault("forgotten-after", value="0", times=1)
    await read_for(answer, lambda: stream.recoveries == 1, 15)
    [loss] = events(stream, EventKind.SOURCE_LOST)
    assert loss.reason is Reason.SESSION_LOST


async def test_clients_get_null_packets_while_a_source_is_silent(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(**{**QUICK, "silence_s": 60.0})
    answer = await play(app, url_of(sim))
    await answer.reader.readexactly(PACKET)
    stream = app.hub.streams[0]
    sim.set_fault("stall-after", value="0")
    await read_for(answer, lambda: stream.intake.quiet_s > 1.0)
    null = await asyncio.wait_for(answer.reader.readexactly(2 * PACKET), 30)
    assert null.count(b"\x47\x1f\xff") == 2
    assert stream.state == "live", "the swarm is waited for"
    sim.clear_faults()
    await read_for(answer, lambda: stream.intake.quiet_s < 0.5)
    assert stream.recoveries == 0


async def test_a_stall_of_the_swarm_drives_no_stream_from_an_engine_that_lives(make_app: MakeApp, play: Play) -> None:
    async with Simulator(SimulatorConfig.fast()) as one, Simulator(SimulatorConfig.fast()) as other:
        app = await make_app(
            engines=[one.url, other.url], quiet_s=0.5, stuck_s=60, silence_s=60, sign_of_life_s=0.3, engine_probe_s=600,
        )  # fmt: skip
        answer = await play(app, url_of(one))
        await answer.reader.readexactly(PACKET)
        stream = app.hub.streams[0]
        stalled = one if stream.supply.engine_words == one.url else other

        def version_calls() -> int:
            return sum("get_version" in target for _, target in stalled.requests)

        before = version_calls()
        for engine in (one, other):
            engine.set_fault("stall-after", value="0")
        await read_for(answer, lambda: version_calls() >= before + 3)  # many times the limit for a sign of life
        assert [event.reason for event in events(stream, EventKind.TRYING_BESIDE)] == ["source_stalled"], "it is tried"
        stalled.clear_faults()
        await read_for(answer, lambda: stream.intake.quiet_s < 0.2)
        assert (stream.recoveries, stream.supply.switches) == (0, 0)


async def test_silence_of_an_engine_that_claims_to_deliver_ends_after_stuck_s(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**QUICK)
    answer = await play(app, url_of(sim))
    await answer.reader.readexactly(PACKET)
    stream = app.hub.streams[0]
    sim.set_fault("frozen-after", value="0", times=1)
    await read_for(answer, lambda: stream.recoveries == 1)
    [loss] = events(stream, EventKind.SOURCE_LOST)
    assert loss.reason is Reason.ENGINE_STALLED
    assert "says dl" in str(loss.details["detail"])
    assert {event.fault for event in [loss, *events(stream, EventKind.STALL_BEGAN)]} == {Fault.ENGINE}


async def test_garbage_in_the_middle_is_given_up_and_the_picture_goes_on_unbroken(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**QUICK)
    answer = await play(app, url_of(sim))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(1000 * PACKET)
    sim.set_fault("garbage", times=1)
    data += await read_for(answer, lambda: stream.recoveries == 1)
    data += await answer.reader.readexactly(2000 * PACKET)
    data = data[: len(data) // PACKET * PACKET]
    [loss] = events(stream, EventKind.SOURCE_LOST)
    assert loss.reason is Reason.NOT_MPEGTS
    checker = ContinuityChecker()
    checker.feed(data)
    assert not checker.errors
    assert {later - earlier for earlier, later in pairwise(video_dts(data))} == {3600}


async def test_one_packet_a_second_counts_as_a_stall(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(**{**QUICK, "quiet_s": 5.0})
    answer = await play(app, url_of(sim))
    await answer.reader.readexactly(PACKET)
    stream = app.hub.streams[0]
    sim.set_fault("one-packet-per-second", times=1)
    await read_for(answer, lambda: stream.recoveries == 1)
    [loss] = events(stream, EventKind.SOURCE_LOST)
    assert loss.reason is Reason.SOURCE_STALLED
    assert "of real time" in str(loss.details["detail"])


async def test_a_loop_of_old_data_never_reaches_clients(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    """One engine loops, another does not: clients get no picture twice."""
    async with Simulator(SimulatorConfig.fast(seed=2)) as other:
        app = await make_app(engines=[sim.url, other.url], **QUICK)
        answer = await play(app, url_of(sim))
        stream = app.hub.streams[0]
        data = await answer.reader.readexactly(1000 * PACKET)
        looping = sim if stream.source and stream.source.engine_url == sim.url else other
        looping.set_fault("loop", value="4")
        data += await read_for(answer, lambda: stream.recoveries == 1)
        data += await answer.reader.readexactly(2000 * PACKET)
        [loss] = events(stream, EventKind.SOURCE_LOST)
        assert loss.reason is Reason.SOURCE_LOOPS
        assert len(events(stream, EventKind.SWITCHED)) == 1
    stamps = video_dts(data[: len(data) // PACKET * PACKET])
    assert [(earlier, later, at) for at, (earlier, later) in enumerate(pairwise(stamps)) if later <= earlier] == []
    checker = ContinuityChecker()
    checker.feed(data[: len(data) // PACKET * PACKET])
    assert not checker.errors, "no packet of the loop, not even the rest of the picture in which it begins"


async def test_the_only_engine_loops_and_clients_get_nothing_old_until_it_is_mended(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**QUICK)
    answer = await play(app, url_of(sim))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(1000 * PACKET)
    sim.set_fault("loop", value="3")

    def failures() -> list[Event]:
        """What came of the loop: a reopened source has a last picture that is new, or nothing at all."""
        return [*events(stream, EventKind.SOURCE_LOST), *events(stream, EventKind.REOPEN_FAILED)]

    data += await read_for(answer, lambda: len(failures()) == 2)
    assert {event.reason for event in failures()} == {Reason.SOURCE_LOOPS}
    sim.clear_faults()
    data += await read_for(answer, lambda: stream.state == "live" and stream.intake.quiet_s < 0.3)
    data += await answer.reader.readexactly(2000 * PACKET)
    stamps = video_dts(data[: len(data) // PACKET * PACKET])
    assert [(earlier, later, at) for at, (earlier, later) in enumerate(pairwise(stamps)) if later <= earlier] == []


async def test_an_engine_that_claims_to_deliver_is_left_for_another_one_before_its_time_is_over(
    make_app: MakeApp, play: Play
) -> None:
    async with Simulator(SimulatorConfig.fast()) as one, Simulator(SimulatorConfig.fast()) as other:
        app = await make_app(engines=[one.url, other.url], **{**QUICK, "stuck_s": 600.0, "silence_s": 600.0})
        answer = await play(app, url_of(one))
        await answer.reader.readexactly(PACKET)
        stream = app.hub.streams[0]
        stuck, good = (one, other) if stream.supply.engine_words == one.url else (other, one)
        stuck.set_fault("frozen-after", value="0")
        await read_for(answer, lambda: stream.supply.engine_words == good.url and stream.state is State.LIVE)


async def test_a_broadcast_that_repeats_itself_is_let_through(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    """The live edge of the engine moves on: the broadcaster plays a short file again and again."""
    app = await make_app(**QUICK)
    answer = await play(app, url_of(sim))
    stream = app.hub.streams[0]
    await answer.reader.readexactly(1000 * PACKET)
    sim.set_fault("repeats", value="3")
    await read_for(answer, lambda: events(stream, EventKind.REPEATED))
    await answer.reader.readexactly(4000 * PACKET)
    assert stream.recoveries == 0
    assert not events(stream, EventKind.SOURCE_LOST)


async def test_a_start_takes_the_fallback_when_the_first_link_cannot_be_had(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    second = channel(sim, "Light Two").content_id
    answer = await play(app, f"/ace/getstream?id={'ab' * 20}&fallback=acestream://{second}")
    assert answer.status == 200
    stream = app.hub.streams[0]
    assert stream.stream_id == "ab" * 20
    [failed] = events(stream, EventKind.LINK_FAILED)
    assert failed.reason is Reason.CONTENT_NOT_FOUND
    told = (await ask(app, f"/api/aceproxy/streams/{stream.stream_id}")).json["stream"]
    assert told["link_at"] == 1
    assert told["links"] == [f"content_id:{'ab' * 20}", f"content_id:{second}"]
    assert (await ask(app, f"/ace/status?id={second}")).json["stream_id"] == "ab" * 20
    assert b",Light Two\n" in (await ask(app, f"/watch/play.m3u?id={second}")).body


async def test_a_lost_link_is_replaced_by_the_fallback_while_clients_stay(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**QUICK, reopen_s=1.0)
    answer = await play(app, url_of(sim, fallback=channel(sim, "Light Two").content_id))
    stream = app.hub.streams[0]
    infohash = channel(sim, "Light One").infohash
    sim.set_fault("load-failed", infohash=infohash)
    sim.set_fault("eof-after", value="0", infohash=infohash)
    data = await read_for(answer, lambda: stream.recoveries == 1)
    data += await answer.reader.readexactly(2000 * PACKET)
    assert stream.supply.at == 1
    [switch] = events(stream, EventKind.SWITCHED)
    assert "content_id" in str(switch.details["link"])
    checker = ContinuityChecker()
    checker.feed(data[: len(data) // PACKET * PACKET])
    assert not checker.errors


async def test_a_fallback_that_runs_as_a_stream_of_its_own_is_shared_at_the_start(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    await play(app, url_of(sim, "Light Two"))
    answer = await play(app, f"/ace/getstream?id={'ab' * 20}&fallback={channel(sim, 'Light Two').content_id}")
    assert answer.status == 200
    assert len(app.hub.streams) == 1
    assert len(app.hub.streams[0].clients) == 2


@pytest.mark.parametrize("name", ["id={0.content_id}", "infohash={0.infohash}"])
async def test_who_asks_for_what_plays_as_a_fallback_already_joins_it(
    sim: Simulator, make_app: MakeApp, play: Play, name: str
) -> None:
    app = await make_app()
    second = channel(sim, "Light Two")
    await play(app, f"/ace/getstream?id={'ab' * 20}&fallback={second.content_id}")
    answer = await play(app, f"/ace/getstream?{name.format(second)}")
    assert answer.status == 200
    (stream,) = app.hub.streams
    assert (stream.stream_id, len(stream.clients)) == ("ab" * 20, 2)
    listed = await ask(app, f"/ace/manifest.m3u8?{name.format(second)}")
    assert listed.status == 200
    assert len(app.hub.streams) == 1
    assert [one.infohash for one in sim.playbacks] == [second.infohash], "the engine plays it once"


async def test_a_fallback_that_waits_for_its_turn_is_started_for_who_asks_for_it(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    first, second = channel(sim, "Light One"), channel(sim, "Light Two")
    await play(app, url_of(sim, fallback=second.content_id))
    other = await play(app, url_of(sim, "Light Two"))
    assert other.status == 200
    assert [stream.stream_id for stream in app.hub.streams] == [first.content_id, second.content_id]


async def test_a_link_that_failed_just_now_does_not_hold_up_its_fallback(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app()
    assert (await ask(app, f"/ace/getstream?id={'ab' * 20}")).reason == "content_not_found"
    assert (await ask(app, f"/ace/getstream?id={'ab' * 20}&fallback={'cd' * 20}")).reason == "content_not_found"
    answer = await play(app, f"/ace/getstream?id={'ab' * 20}&fallback={channel(sim, 'Light Two').content_id}")
    assert answer.status == 200


async def test_bad_fallbacks_are_refused(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    many = "".join(f"&fallback={number:040x}" for number in range(6))
    assert (await ask(app, url_of(sim) + many)).reason == "bad_parameter"
    assert (await ask(app, url_of(sim, fallback="nonsense"))).reason == "bad_link"
    assert (await ask(app, url_of(sim, fallback="http://192.168.0.1/a.acelive"))).reason == "url_host_refused"
    assert not app.hub.streams


async def test_an_engine_that_ends_each_playback_after_a_moment_is_left_for_another_one(
    make_app: MakeApp, play: Play
) -> None:
    async with Simulator(SimulatorConfig.fast()) as one, Simulator(SimulatorConfig.fast()) as other:
        app = await make_app(engines=[one.url, other.url], **QUICK)
        answer = await play(app, url_of(one))
        stream = app.hub.streams[0]
        bad, good = (one, other) if stream.supply.engine_words == one.url else (other, one)
        bad.set_fault("eof-after", value="1")
        bad.set_fault("session-vanishes", value="1")
        await read_for(answer, lambda: stream.supply.engine_words == good.url)
        assert stream.recoveries <= 2


@pytest.mark.parametrize("fault", ["forgotten-after", "eof-after"])
async def test_an_engine_that_takes_the_broadcast_on_and_gives_nothing_is_soon_left_for_another_one(
    make_app: MakeApp, play: Play, fault: str
) -> None:
    async with Simulator(SimulatorConfig.fast()) as one, Simulator(SimulatorConfig.fast()) as other:
        app = await make_app(engines=[one.url, other.url])
        answer = await play(app, url_of(one))
        stream = app.hub.streams[0]
        bad, good = (one, other) if stream.supply.engine_words == one.url else (other, one)
        bad.set_fault(fault, value="0")
        soon_s = app.settings.reopen_s - 1.0  # which is what one engine gets while it does collect data
        await read_for(answer, lambda: stream.supply.engine_words == good.url and stream.state is State.LIVE, soon_s)


async def test_a_link_that_ends_after_a_moment_again_and_again_is_left_for_its_fallback(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**QUICK)
    infohash = channel(sim, "Light One").infohash
    answer = await play(app, url_of(sim, fallback=channel(sim, "Light Two").content_id))
    stream = app.hub.streams[0]
    sim.set_fault("session-vanishes", value="1", infohash=infohash)
    await read_for(answer, lambda: stream.supply.at == 1)
    assert stream.recoveries <= 2


async def test_an_engine_that_comes_back_is_tried_at_once(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(**{**QUICK, "retry_first_s": 600.0, "recover_s": 1000.0, "engine_probe_s": 600.0})
    answer = await play(app, url_of(sim))
    stream = app.hub.streams[0]
    sim.set_fault("down")
    await read_for(answer, lambda: events(stream, EventKind.REOPEN_FAILED))
    sim.clear_faults()
    await read_for(answer, lambda: stream.state is State.LIVE)


async def test_what_waits_for_its_next_try_is_tried_when_another_stream_that_waited_plays_again(
    sim: Simulator, make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "EACH_S", 1000.0)  # whoever waits second waits for eight times as long
    first_s = 1.5
    app = await make_app(**{**QUICK, "retry_first_s": first_s, "recover_s": 600.0})
    answers = [await play(app, url_of(sim, name)) for name in ("Light One", "Light Two")]
    streams = list(app.hub.streams)
    loop = asyncio.get_running_loop()
    for stream in streams:
        infohash = channel(sim, "Light One" if stream is streams[0] else "Light Two").infohash
        sim.set_fault("missing-option", infohash=infohash)
        sim.set_fault("rst-after", value="0", infohash=infohash, times=1)
        await until(partial(events, stream, EventKind.REOPEN_FAILED))
    began_at = loop.time()
    sim.clear_faults()
    for stream, answer in zip(streams, answers, strict=True):
        await read_for(answer, partial(is_live, stream))
    assert app.pool.arrivals.restored == 2
    assert loop.time() - began_at < 6 * first_s


async def test_tries_that_fail_alike_are_told_once_and_the_newest_failure_is_shown(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**{**QUICK, "retry_first_s": 0.05, "recover_s": 600.0})
    answer = await play(app, url_of(sim))
    stream = app.hub.streams[0]
    sim.set_fault("down")
    await read_for(answer, lambda: any("times" in one.details for one in events(stream, EventKind.REOPEN_FAILED)))
    assert len(events(stream, EventKind.REOPEN_FAILED)) == len(events(stream, EventKind.ENGINE_FAILED)) == 1
    words = "the last try failed: engine_unreachable"
    await read_for(answer, lambda: stream.source is not None and stream.source.start_words() == words)


async def test_that_a_fallback_is_tried_is_told_though_the_engine_is_the_same(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**QUICK)
    first, other = channel(sim, "Light One"), channel(sim, "Light Two")
    answer = await play(app, url_of(sim, fallback=other.content_id))
    stream = app.hub.streams[0]
    sim.set_fault("load-failed", infohash=first.infohash)
    sim.set_fault("eof-after", value="0", infohash=first.infohash)
    await read_for(answer, lambda: stream.supply.at == 1 and stream.state is State.LIVE)
    chosen = [one.details["link"] for one in events(stream, EventKind.ENGINE_CHOSEN)]
    assert chosen[-2:] == [f"content_id:{first.content_id[:8]}", f"content_id:{other.content_id[:8]}"]


async def test_a_start_that_has_to_wait_for_its_turn_gets_no_rival_for_that(make_app: MakeApp, play: Play) -> None:
    async with contextlib.AsyncExitStack() as stack:
        sims = [await stack.enter_async_context(Simulator(SimulatorConfig.fast())) for _ in range(3)]
        app = await make_app(engines=[sim.url for sim in sims])
        await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
        answer = await play(app, url_of(sims[0]))
        stream = app.hub.streams[0]
        for engine in app.pool._members:
            for _ in range(500):
                engine.take_turn(time.monotonic())
        next(sim for sim in sims if sim.url == stream.supply.engine_words).set_fault("down")
        await read_for(answer, lambda: stream.recoveries == 1)
        [recovered] = events(stream, EventKind.RECOVERED)
        after_s = recovered.details["after_s"]
        assert isinstance(after_s, float)
        assert after_s > RACE_AFTER_S
        rivals = events(stream, EventKind.TRYING_BESIDE)
        assert not rivals or after_s > 2 * RACE_AFTER_S, "it was not slow once its turn had come"


async def test_an_engine_that_mixes_garbage_in_is_left_for_a_clean_one_without_a_loss(
    make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "PROOF_S", 0.3)
    async with (
        Simulator(SimulatorConfig.fast(in_step=True)) as one,
        Simulator(SimulatorConfig.fast(in_step=True)) as other,
    ):
        app = await make_app(engines=[one.url, other.url], **QUICK, stop_timeout_s=0.3)
        answer = await play(app, url_of(one))
        await answer.reader.readexactly(PACKET)
        stream = app.hub.streams[0]
        bad, good = (one, other) if stream.supply.engine_words == one.url else (other, one)
        bad.set_fault("garbage-between", value="0.5")
        await read_for(answer, lambda: stream.supply.engine_words == good.url)
        await read_for(answer, lambda: bool(events(stream, EventKind.SPLICED)))  # once its place is found
        assert stream.recoveries == 0
        [beside] = events(stream, EventKind.TRYING_BESIDE)
        assert (beside.reason, beside.fault) == (Reason.NOT_MPEGTS, Fault.ENGINE)
        [spliced] = events(stream, EventKind.SPLICED)
        assert spliced.details["outcome"] == "same bytes"
