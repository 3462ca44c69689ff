"""A second source beside the present one: standby, moving away, returning to the first link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any, cast
from urllib.parse import quote

import pytest

from aceproxy.app import App
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.streams import present, spare
from aceproxy.streams.company import KNOWN_S
from aceproxy.streams.lags import MEASURED
from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import EventKind
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until
from tests.web.test_recovery_over_http import QUICK, channel, events, read_for, url_of
from tests.web.test_streams_over_http import PACKET, video_dts

Play = Callable[[App, str], Awaitable[Answer]]
Engines = tuple[Simulator, Simulator]
LIGHT_BPS = 980_044


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    """Two engines of one swarm."""
    async with (
        Simulator(SimulatorConfig.fast(in_step=True)) as one,
        Simulator(SimulatorConfig.fast(in_step=True)) as other,
    ):
        yield one, other


def used(stream: Stream, engines: Engines) -> Simulator:
    """Return the engine that the present source reads from."""
    assert stream.source is not None
    return next(engine for engine in engines if engine.url == stream.source.engine_url)


def unbroken(data: bytes) -> None:
    """Assert that nothing is repeated, missing or damaged."""
    data = data[: len(data) // PACKET * PACKET]
    checker = ContinuityChecker()
    checker.feed(data)
    assert not checker.errors
    assert {later - earlier for earlier, later in pairwise(video_dts(data))} == {3600}


def is_ready(stream: Stream) -> bool:
    """Whether the standby is ready."""
    return stream.supply.reserve.is_ready


async def test_a_standby_takes_over_at_once_and_nothing_is_missing(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[one.url for one in engines], standby=True, **QUICK)
    answer = await play(app, url_of(engines[0]))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: is_ready(stream))
    told = (await ask(app, f"/api/aceproxy/streams/{stream.stream_id}")).json["stream"]["standby"]
    first = used(stream, engines)
    assert told["engine"] != first.url
    assert (told["ready"], told["purpose"]) == (True, "standby")
    first.set_fault("rst-after", value="0", times=1)
    loop = asyncio.get_running_loop()
    data += await read_for(answer, lambda: stream.supply.recoveries == 1)
    lost, back = events(stream, EventKind.SOURCE_LOST)[0], events(stream, EventKind.RECOVERED)[0]
    assert back.at - lost.at < 1.5
    assert used(stream, engines) is not first
    began_at = loop.time()
    data += await answer.reader.readexactly(1500 * PACKET)
    assert loop.time() - began_at < 30
    unbroken(data)
    await until(lambda: len(first.active_playbacks) <= 1)
    data += await read_for(answer, lambda: is_ready(stream))
    assert stream.supply.reserve.spare is not None
    assert stream.supply.reserve.spare.source.engine_url == first.url, "the other engine is the standby now"


async def test_a_standby_that_is_lost_right_after_it_took_over_has_the_whole_time_for_another_source(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[one.url for one in engines], **QUICK)
    answer = await play(app, url_of(engines[0], standby="1"))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: is_ready(stream))
    loop = asyncio.get_running_loop()
    stream.supply._restoring._lost_at = loop.time() - 1000.0  # long ago something was lost, and searched for
    data += await read_for(answer, lambda: stream.intake.media_s > 4.0)
    used(stream, engines).set_fault("down", value="4")
    data += await read_for(answer, lambda: stream.supply.recoveries == 1)
    used(stream, engines).set_fault("down", value="4")
    data += await read_for(answer, lambda: stream.supply.recoveries == 2)
    data += await answer.reader.readexactly(500 * PACKET)
    checker = ContinuityChecker()
    checker.feed(data[: len(data) // PACKET * PACKET])
    assert not checker.errors


async def test_of_a_standby_only_what_is_needed_is_gone_through_when_it_takes_over(
    engines: Engines, make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(present, "OVERLAP_S", 1.0)
    monkeypatch.setattr(spare, "BURST_S", 0.5)
    app = await make_app(engines=[one.url for one in engines], standby=True, **QUICK)
    answer = await play(app, url_of(engines[0]))
    stream = app.hub.streams[0]
    beside = stream.supply.reserve
    data = await read_for(answer, lambda: beside.spare and beside.spare.sink.received_bytes > 5 * LIGHT_BPS / 8)
    used(stream, engines).set_fault("rst-after", value="0", times=1)
    data += await read_for(answer, lambda: stream.supply.recoveries == 1)
    data += await answer.reader.readexactly(500 * PACKET)
    unbroken(data)
    [splice] = events(stream, EventKind.SPLICED)
    assert 0.5 < cast("float", splice.details["overlap_s"]) < 3.0, "of five seconds and more that were kept"


async def test_a_silent_source_is_left_for_its_standby(engines: Engines, make_app: MakeApp, play: Play) -> None:
    app = await make_app(engines=[one.url for one in engines], **{**QUICK, "stuck_s": 20.0})
    answer = await play(app, url_of(engines[0], standby="1"))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: is_ready(stream))
    used(stream, engines).set_fault("stall-after", value="0")
    data += await read_for(answer, lambda: stream.supply.recoveries == 1, 15)
    data += await answer.reader.readexactly(1500 * PACKET)
    unbroken(data)


async def test_an_engine_that_freezes_right_after_the_start_is_left_for_the_standby(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    """No other limit could help, and nobody knows yet how the engine sends."""
    app = await make_app(
        engines=[one.url for one in engines],
        **{
            **QUICK,
            "quiet_s": 60.0,
            "stuck_s": 60.0,
            "silence_s": 60.0,
            "sign_of_life_s": 60.0,
            "stat_timeout_s": 60.0,
        },
    )
    answer = await play(app, url_of(engines[0], standby="1"))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: is_ready(stream))
    assert stream.source is not None
    assert stream.source.gaps.known_s(asyncio.get_running_loop().time()) < KNOWN_S
    frozen = used(stream, engines)
    frozen.set_fault("hung")
    data += await read_for(answer, lambda: stream.supply.recoveries == 1, 30)
    assert used(stream, engines) is not frozen
    data += await answer.reader.readexactly(1500 * PACKET)
    unbroken(data)
    [loss] = events(stream, EventKind.SOURCE_LOST)
    assert loss.reason == "engine_stalled"
    frozen.clear_faults()


async def test_beside_an_engine_that_freezes_another_one_is_begun_before_any_limit_is_over(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    limits = dict.fromkeys(("quiet_s", "stuck_s", "silence_s", "sign_of_life_s", "stat_timeout_s"), 60.0)
    app = await make_app(engines=[one.url for one in engines], **{**QUICK, **limits, "standby_clients": 0})
    answer = await play(app, url_of(engines[0]))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: stream.intake.media_s > 4.0)
    frozen = used(stream, engines)
    frozen.set_fault("hung")
    data += await read_for(answer, lambda: stream.supply.switches + stream.supply.recoveries == 1, 30)
    assert used(stream, engines) is not frozen
    [begun] = events(stream, EventKind.TRYING_BESIDE)
    assert begun.reason == "engine_stalled"
    data += await answer.reader.readexactly(1500 * PACKET)
    unbroken(data)
    frozen.clear_faults()


def undrain(app: App, engine: Simulator) -> None:
    """Let an engine have streams again."""
    app.pool.undrain(next(one.label for one in app.pool.snapshot() if one.url == engine.url))


async def with_late_standby(
    make_app: MakeApp, play: Play, first: Simulator, late: Simulator, third: Simulator
) -> tuple[App, Answer, bytes]:
    """Play from the first engine with a standby on the late one; the third is drained. Returns what was read, too."""
    app = await make_app(
        engines=[first.url, late.url, third.url], **{**QUICK, "splice_wait_s": 60.0, "standby_clients": 0}
    )
    for engine in app.pool.snapshot():
        if engine.url != first.url:
            app.pool.drain(engine.label)
    answer = await play(app, url_of(first, standby="1"))
    undrain(app, late)
    return app, answer, await read_for(answer, lambda: is_ready(app.hub.streams[0]))


async def test_a_standby_far_behind_is_not_waited_for_where_another_engine_can_do(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    first, third = engines
    async with Simulator(SimulatorConfig.fast(in_step=True, behind_s=25.0)) as late:
        app, answer, data = await with_late_standby(make_app, play, first, late, third)
        stream = app.hub.streams[0]
        assert stream.supply.reserve.spare is not None
        assert stream.supply.reserve.spare.engine_url == late.url
        undrain(app, third)
        first.set_fault("down")
        data += await read_for(answer, lambda: stream.supply.recoveries == 1, 60)
        assert stream.source is not None
        assert stream.source.engine_url == third.url
        [beside] = events(stream, EventKind.TRYING_BESIDE)
        assert beside.details["purpose"] == "restore"
        data += await answer.reader.readexactly(1500 * PACKET)
        checker = ContinuityChecker()
        checker.feed(data[: len(data) // PACKET * PACKET])
        assert not checker.errors
        times = video_dts(data[: len(data) // PACKET * PACKET])
        assert all(earlier < later for earlier, later in pairwise(times)), "nothing comes twice"


async def test_a_standby_far_behind_is_waited_for_where_no_other_engine_is_known_to_be_less(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    first, third = engines
    async with Simulator(SimulatorConfig.fast(in_step=True, behind_s=5.0)) as late:
        app, answer, data = await with_late_standby(make_app, play, first, late, third)
        stream = app.hub.streams[0]
        undrain(app, third)
        for _ in range(MEASURED):
            stream.supply.reserve.lags.note(third.url, 6.0)
            stream.supply.reserve.lags.note(late.url, 5.0)
        data += await read_for(answer, lambda: bool(events(stream, EventKind.STANDBY_BEHIND)), 30)
        media_s = stream.intake.media_s
        data += await read_for(answer, lambda: stream.intake.media_s > media_s + 1.0)  # it is looked at again
        [behind] = events(stream, EventKind.STANDBY_BEHIND)
        assert (behind.details["engine"], behind.details["behind_s"]) == (late.url, 5.0)
        first.set_fault("down")
        data += await read_for(answer, lambda: stream.supply.recoveries == 1, 60)
        assert stream.source is not None
        assert stream.source.engine_url == late.url
        assert not events(stream, EventKind.TRYING_BESIDE)
        data += await answer.reader.readexactly(500 * PACKET)
        unbroken(data)


async def test_a_stream_moves_away_from_an_engine_that_is_drained(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[one.url for one in engines], **QUICK)
    answer = await play(app, url_of(engines[0]))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(500 * PACKET)
    first = used(stream, engines)
    label = next(one.label for one in app.pool.snapshot() if one.url == first.url)
    app.pool.drain(label)
    data += await read_for(answer, lambda: stream.supply.switches == 1)
    assert used(stream, engines) is not first
    await until(lambda: not first.active_playbacks)
    data += await answer.reader.readexactly(1500 * PACKET)
    unbroken(data)
    assert stream.recoveries == 0
    assert stream.supply.reserve.spare is None


async def test_a_poor_source_is_left_for_a_better_one_and_a_standby_gives_way_to_others(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[one.url for one in engines], **QUICK, slow_s=2.0)
    answer = await play(app, url_of(engines[0]))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(500 * PACKET)
    first = used(stream, engines)
    first.set_fault("slow-media", value="half")
    data += await read_for(answer, lambda: stream.supply.switches == 1)
    assert used(stream, engines) is not first
    assert [event.reason for event in events(stream, EventKind.TRYING_BESIDE)] == ["source_slow"]
    data += await answer.reader.readexactly(1500 * PACKET)
    checker = ContinuityChecker()
    checker.feed(data[: len(data) // PACKET * PACKET])
    assert not checker.errors


async def test_an_engine_that_waits_for_the_swarm_is_left_for_one_that_delivers_and_not_for_one_that_waits_too(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[one.url for one in engines], **{**QUICK, "stuck_s": 60.0, "silence_s": 60.0})
    answer = await play(app, url_of(engines[0]))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(500 * PACKET)
    first = used(stream, engines)
    other = next(engine for engine in engines if engine is not first)
    other.set_fault("never-starts")
    first.set_fault("stall-after", value="0")
    data += await read_for(answer, lambda: events(stream, EventKind.TRYING_BESIDE))
    assert [event.reason for event in events(stream, EventKind.TRYING_BESIDE)] == ["source_stalled"]
    first.clear_faults()
    data += await read_for(answer, lambda: stream.supply.reserve.spare is None)
    assert (stream.recoveries, stream.supply.switches) == (0, 0), "it went on before another one could"
    other.clear_faults()
    stream.supply._watching._elsewhere._not_before = 0.0  # a minute later
    first.set_fault("stall-after", value="0")
    data += await read_for(answer, lambda: stream.supply.recoveries == 1)
    assert used(stream, engines) is other
    data += await answer.reader.readexactly(1500 * PACKET)
    checker = ContinuityChecker()
    checker.feed(data[: len(data) // PACKET * PACKET])
    assert not checker.errors


async def test_a_standby_gives_its_slot_to_a_stream_that_needs_it(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[one.url for one in engines], engine_max_streams=1, standby=True, **QUICK)
    answer = await play(app, url_of(engines[0]))
    stream = app.hub.streams[0]
    await read_for(answer, lambda: is_ready(stream))
    other = await play(app, url_of(engines[0], "Light Two"))
    assert other.status == 200
    await until(lambda: stream.supply.reserve.spare is None)
    assert stream.recoveries == 0


async def test_a_fallback_is_left_for_the_first_link_only_where_nobody_notices(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    """The fallback is the same broadcast under its infohash."""
    one, other = engines
    app = await make_app(
        engines=[one.url, other.url], **{**QUICK, "reopen_s": 2.0, "return_s": 1.0, "return_proof_s": 0.5}
    )
    first = channel(one, "Light One")
    for engine in engines:
        engine.set_fault("load-failed", infohash=first.infohash)
    answer = await play(app, f"/ace/getstream?id={first.content_id}&fallback={channel(one, 'Light Two').content_id}")
    stream = app.hub.streams[0]
    assert stream.supply.at == 1
    for engine in engines:
        engine.clear_faults()
    data = await read_for(answer, lambda: events(stream, EventKind.STANDBY_LOST))
    lost = events(stream, EventKind.STANDBY_LOST)[0]
    assert "without a jump" in str(lost.details["detail"])
    assert (stream.supply.at, stream.supply.switches) == (1, 0), "another broadcast is not jumped to"
    unbroken(data)


async def test_the_first_link_is_returned_to_when_it_is_the_same_broadcast(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    one, other = engines
    app = await make_app(engines=[one.url, other.url], **{**QUICK, "return_s": 1.0, "return_proof_s": 0.5})
    first = channel(one, "Light One")
    labels = {engine.url: engine.label for engine in app.pool.snapshot()}
    app.pool.drain(labels[other.url])
    one.set_fault("missing-option", times=1)
    fallback = quote(f"acestream:?infohash={first.infohash}")
    answer = await play(app, f"/ace/getstream?id={first.content_id}&fallback={fallback}")
    stream = app.hub.streams[0]
    assert stream.supply.at == 1
    app.pool.undrain(labels[other.url])
    data = await read_for(answer, lambda: stream.supply.at == 0)
    data += await answer.reader.readexactly(1000 * PACKET)
    unbroken(data)
    assert (stream.recoveries, stream.supply.switches) == (0, 1)


async def test_standby_is_0_or_1(engines: Engines, make_app: MakeApp) -> None:
    app = await make_app(engines=[one.url for one in engines])
    refused: Any = await ask(app, url_of(engines[0], standby="yes"))
    assert refused.reason == "bad_parameter"


async def test_a_stream_that_many_watch_has_a_standby_unasked_until_half_of_them_have_left(
    engines: Engines, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(engines=[engine.url for engine in engines], standby_clients=4)
    answers = [await play(app, url_of(engines[0])) for _ in range(3)]
    stream = app.hub.streams[0]
    supply = stream.supply
    assert supply.wants_standby is False
    answers.append(await play(app, url_of(engines[0])))
    await until(lambda: supply.reserve.is_ready)
    answers.pop().close()
    await until(lambda: stream.client_count == 3)
    still: bool = supply.wants_standby
    assert still
    answers.pop().close()
    await until(lambda: supply.reserve.spare is None)
