"""A start that fails on one engine, or gets nowhere there, is made on another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from aceproxy.app import App
from aceproxy.errors import AceProxyError, Reason
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.streams import starting, supply
from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import EventKind
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until
from tests.web.test_recovery_over_http import channel, events, url_of
from tests.web.test_streams_over_http import PACKET

Play = Callable[[App, str], Awaitable[Answer]]


@pytest.fixture
async def bad() -> AsyncIterator[Simulator]:
    """The engine that is asked first."""
    async with Simulator(SimulatorConfig.fast(in_step=True)) as simulator:
        yield simulator


@pytest.fixture
async def app(bad: Simulator, sim: Simulator, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> App:
    """The program with two engines, `bad` of which is asked first; short waits."""
    monkeypatch.setattr(starting, "RIVAL_AFTER_S", 0.5)
    engines = [{"url": bad.url, "label": "bad", "weight": 100}, {"url": sim.url, "label": "good"}]
    app = await make_app(
        engines=engines, start_timeout_s=60, answer_timeout_s=50, stop_timeout_s=0.3, keyframe_wait_s=1
    )
    await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
    return app


UNREADABLE = ("text-answer", "truncated-json")  # nobody can know how to stop what was begun so


def plays_on(stream: Stream, engine: Simulator) -> bool:
    """Whether it has its data from there."""
    return stream.supply.engine_words == engine.url


@pytest.mark.parametrize(
    "fault",
    [
        "json-hang", "text-answer", "truncated-json", "never-starts", "headers-held", "empty-body", "html-body",
        "session-vanishes", "slow-start", "mp4-bytes",
    ],
)  # fmt: skip
async def test_what_one_engine_cannot_start_plays_on_the_other(
    app: App, bad: Simulator, sim: Simulator, play: Play, fault: str
) -> None:
    values = {"session-vanishes": "0", "slow-start": "40"}
    bad.set_fault(fault, value=values.get(fault))
    async with asyncio.timeout(app.settings.start_timeout_s / 2):
        answer = await play(app, url_of(sim))
        assert answer.status == 200
        await answer.reader.readexactly(500 * PACKET)
    stream = app.hub.streams[0]
    assert plays_on(stream, sim)
    assert len(sim.active_playbacks) == 1
    if fault not in UNREADABLE:
        await until(lambda: not bad.active_playbacks)


async def test_a_start_that_collects_data_gets_no_rival(
    make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "RIVAL_AFTER_S", 0.5)
    slow = replace(SimulatorConfig.fast(in_step=True), prebuffer_s=2.5)
    async with Simulator(slow) as one, Simulator(slow) as other:
        app = await make_app(engines=[one.url, other.url])
        await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
        answer = await play(app, url_of(one))
        await answer.reader.readexactly(PACKET)
        assert not events(app.hub.streams[0], EventKind.TRYING_BESIDE)
        assert len(one.playbacks) + len(other.playbacks) == 1


async def test_where_both_fail_the_reason_is_that_of_the_engine_asked_first(
    app: App, bad: Simulator, sim: Simulator
) -> None:
    bad.set_fault("text-answer")
    sim.set_fault("missing-option")
    assert (await ask(app, url_of(sim))).reason == "engine_error"
    sim.clear_faults()
    bad.clear_faults()
    bad.set_fault("missing-option")
    assert (await ask(app, url_of(sim))).reason == "engine_option_missing"


@pytest.mark.parametrize("engines", [1, 2])
async def test_engines_that_all_send_nothing_of_use_are_asked_again_until_one_plays(
    make_app: MakeApp, sim: Simulator, bad: Simulator, play: Play, engines: int
) -> None:
    both = [sim, bad][:engines]
    app = await make_app(engines=[engine.url for engine in both], start_timeout_s=60)
    for engine in both:
        engine.set_fault("garbage", times=2)
        engine.set_fault("eof-after", "0.3", times=2)
    answer = await play(app, url_of(sim))
    assert answer.status == 200
    await answer.reader.readexactly(500 * PACKET)
    told = events(app.hub.streams[0], EventKind.ENGINE_FAILED)
    assert {event.reason for event in told} == {Reason.NO_DATA}
    assert {event.details["engine"] for event in told} == {engine.url for engine in both}


async def test_engines_that_all_send_nothing_of_use_are_not_called_unreachable(
    make_app: MakeApp, sim: Simulator, bad: Simulator
) -> None:
    app = await make_app(engines=[sim.url, bad.url], start_timeout_s=2)
    for engine in (sim, bad):
        engine.set_fault("empty-body")
    answer = await ask(app, url_of(sim))
    assert (answer.status, answer.reason) == (504, "no_data")


@pytest.mark.parametrize(("engines", "links"), [(1, 1), (2, 1), (2, 2)])
async def test_engines_that_all_send_pages_in_the_place_of_media_are_not_asked_until_the_time_is_over(
    make_app: MakeApp, sim: Simulator, bad: Simulator, engines: int, links: int
) -> None:
    both = [sim, bad][:engines]
    app = await make_app(engines=[engine.url for engine in both], start_timeout_s=600)
    for engine in both:
        engine.set_fault("html-body")
    more = {"fallback": channel(sim, "Light Two").content_id} if links > 1 else {}
    async with asyncio.timeout(60):
        answer = await ask(app, url_of(sim, **more))
    assert (answer.status, answer.reason) == (502, "engine_error")
    assert "The engine is busy" in answer.json["error"]["message"]
    assert {len(engine.playbacks) for engine in both} == {3 - engines}, "the only one is asked twice"


async def test_one_page_in_the_place_of_media_is_waited_out(make_app: MakeApp, sim: Simulator, play: Play) -> None:
    app = await make_app(start_timeout_s=60)
    sim.set_fault("html-body", "1")
    answer = await play(app, url_of(sim))
    assert answer.status == 200
    await answer.reader.readexactly(PACKET)
    [failed] = events(app.hub.streams[0], EventKind.ENGINE_FAILED)
    assert "The engine is busy" in str(failed.details["detail"])


@pytest.mark.parametrize("fault", ["empty-body", "never-starts"])
async def test_a_rival_that_gets_nowhere_either_is_left_for_a_third_engine(
    make_app: MakeApp,
    bad: Simulator,
    sim: Simulator,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setattr(starting, "RIVAL_AFTER_S", 0.3)
    async with Simulator(SimulatorConfig.fast(in_step=True)) as worse:
        weights = {bad.url: 100, worse.url: 10, sim.url: 1}
        engines = [{"url": url, "label": str(weight), "weight": weight} for url, weight in weights.items()]
        app = await make_app(engines=engines, start_timeout_s=60, stop_timeout_s=0.3)
        await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
        bad.set_fault(fault)
        worse.set_fault(fault)
        async with asyncio.timeout(50):  # before the time is over
            answer = await play(app, url_of(sim))
            assert answer.status == 200
            await answer.reader.readexactly(PACKET)
        assert plays_on(app.hub.streams[0], sim)
        assert bad.playbacks
        assert worse.playbacks
        await until(lambda: not (bad.active_playbacks or worse.active_playbacks))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are left early."""
    monkeypatch.setattr(supply, "LINK_PATIENCE_S", 0.6)
    monkeypatch.setattr(starting, "RIVAL_AFTER_S", 0.3)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("fault", "engines", "reason"),
    [
        ("never-starts", 2, Reason.NO_PEERS),
        ("headers-held", 1, Reason.NO_DATA),
        ("json-hang", 1, Reason.START_TIMEOUT),
    ],
)
async def test_a_link_of_which_nothing_comes_in_is_left_for_its_fallback(
    make_app: MakeApp, sim: Simulator, bad: Simulator, play: Play, fault: str, engines: int, reason: Reason
) -> None:
    both = [sim, bad][:engines]
    app = await make_app(engines=[engine.url for engine in both], start_timeout_s=120, stop_timeout_s=0.3)
    for engine in both:
        engine.set_fault(fault, infohash=channel(sim, "Light One").infohash)
    async with asyncio.timeout(40):  # not half of the time
        answer = await play(app, url_of(sim, fallback=channel(sim, "Light Two").content_id))
        assert answer.status == 200
    stream = app.hub.streams[0]
    assert stream.supply.at == 1
    assert [event.reason for event in events(stream, EventKind.LINK_FAILED)] == [reason]


@pytest.mark.usefixtures("hasty")
async def test_a_link_for_which_data_comes_in_is_not_left_for_its_fallback(make_app: MakeApp, play: Play) -> None:
    async with Simulator(replace(SimulatorConfig.fast(), prebuffer_s=1.8)) as slow:
        app = await make_app(engines=[slow.url], start_timeout_s=60)
        await play(app, url_of(slow, fallback=channel(slow, "Light Two").content_id))
        assert app.hub.streams[0].supply.at == 0
        assert len(slow.playbacks) == 1


@pytest.mark.usefixtures("hasty")
async def test_a_link_that_was_left_is_tried_again_where_the_others_cannot_be_had(
    make_app: MakeApp, sim: Simulator, play: Play
) -> None:
    app = await make_app(start_timeout_s=60)
    sim.set_fault("never-starts", infohash=channel(sim, "Light One").infohash)
    asking = asyncio.ensure_future(play(app, url_of(sim, fallback="ab" * 20)))
    await until(lambda: app.hub.streams and events(app.hub.streams[0], EventKind.LINK_FAILED))
    sim.clear_faults()
    assert (await asking).status == 200
    stream = app.hub.streams[0]
    assert stream.supply.at == 0
    assert [event.reason for event in events(stream, EventKind.LINK_FAILED)] == [
        Reason.NO_PEERS,
        Reason.CONTENT_NOT_FOUND,
    ]


async def test_a_rival_that_calls_it_a_recording_is_not_taken(
    app: App, bad: Simulator, sim: Simulator, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad.set_fault("slow-start", value="1.5")
    refused: list[bool | None] = []

    def refuse(playback: object) -> None:
        refused.append(None)
        raise AceProxyError(Reason.NOT_MPEGTS, "this engine calls it a recording")

    monkeypatch.setattr(starting, "_refuse_recording", refuse)
    answer = await play(app, url_of(sim))
    await answer.reader.readexactly(PACKET)
    assert refused
    assert plays_on(app.hub.streams[0], bad)
