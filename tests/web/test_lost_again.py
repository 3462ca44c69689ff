"""A link or an engine that is lost again and again, whatever for, is left for another one."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from aceproxy.app import App
from aceproxy.errors import Reason
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.streams import judging, restoring
from aceproxy.streams.losses import LEFT_AFTER
from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import EventKind
from tests.conftest import Answer, MakeApp
from tests.waiting import until
from tests.web.test_recovery_over_http import QUICK, channel, events, is_live, read_for, url_of
from tests.web.test_streams_over_http import PACKET

Play = Callable[[App, str], Awaitable[Answer]]


def losses(stream: Stream) -> list[Reason | None]:
    """Return why the sources of a stream were lost."""
    return [event.reason for event in events(stream, EventKind.SOURCE_LOST)]


def check_unbroken(data: bytes) -> None:
    """Check that no packet is missing or comes twice."""
    checker = ContinuityChecker()
    checker.feed(data[: len(data) // PACKET * PACKET])
    assert not checker.errors


async def test_a_link_that_loops_on_every_engine_is_left_for_its_fallback(
    make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "FROZEN_EDGE_S", 1.2)
    async with contextlib.AsyncExitStack() as stack:
        sims = [await stack.enter_async_context(Simulator(SimulatorConfig.fast())) for _ in range(3)]
        app = await make_app(engines=[sim.url for sim in sims], **QUICK, stop_timeout_s=0.3)
        await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
        answer = await play(app, url_of(sims[0], fallback=channel(sims[0], "Light Two").content_id))
        stream = app.hub.streams[0]
        data = await read_for(answer, lambda: stream.intake.media_s > 2.5)
        for sim in sims:
            sim.set_fault("loop", value="2", infohash=channel(sim, "Light One").infohash)
        data += await read_for(answer, lambda: stream.supply.at == 1 and is_live(stream), 120)
        check_unbroken(data + await answer.reader.readexactly(2000 * PACKET))
        assert losses(stream) == [Reason.SOURCE_LOOPS] * LEFT_AFTER
        [left] = events(stream, EventKind.LINK_LEFT)
        assert (left.reason, left.fault) == (Reason.SOURCE_LOOPS, "engine")
        tried = {event.details["engine"] for event in events(stream, EventKind.SOURCE_LOST)}
        assert tried == {sim.url for sim in sims}, "each engine had its chance, and one"


async def test_what_is_good_for_some_seconds_each_time_is_left_as_well_and_later_viewers_are_spared_it(
    sim: Simulator, make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "SETTLED_S", 0.0)  # every source counts as a good one
    app = await make_app(**QUICK, linger_s=0.2)
    infohash = channel(sim, "Light One").infohash
    sim.set_fault("eof-after", value="0.5", infohash=infohash)
    target = url_of(sim, fallback=channel(sim, "Light Two").content_id)
    answer = await play(app, target)
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: stream.supply.at == 1 and is_live(stream), 120)
    check_unbroken(data + await answer.reader.readexactly(2000 * PACKET))
    assert losses(stream) == [Reason.SOURCE_ENDED] * LEFT_AFTER
    answer.close()
    await until(lambda: not app.hub.streams)
    await play(app, target)
    again = app.hub.streams[0]
    assert again.supply.at == 1, "it is not begun with the link that was left"
    assert not events(again, EventKind.LINK_FAILED)


async def test_an_engine_that_ends_each_playback_after_good_seconds_is_left_for_another_one(
    make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "SETTLED_S", 0.0)
    async with Simulator(SimulatorConfig.fast()) as one, Simulator(SimulatorConfig.fast()) as other:
        app = await make_app(engines=[one.url, other.url], **QUICK, stop_timeout_s=0.3)
        answer = await play(app, url_of(one, fallback=channel(one, "Light Two").content_id))
        stream = app.hub.streams[0]
        bad, good = (one, other) if stream.supply.engine_words == one.url else (other, one)
        bad.set_fault("rst-after", value="0.5")
        await read_for(answer, lambda: stream.supply.engine_words == good.url and is_live(stream), 120)
        assert stream.recoveries == 2
        assert stream.supply.at == 0


async def test_a_lone_link_is_tried_as_long_as_it_brings_something(
    sim: Simulator, make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "SETTLED_S", 0.0)
    app = await make_app(**{**QUICK, "recover_s": 1.0})
    sim.set_fault("eof-after", value="0.5")
    answer = await play(app, url_of(sim))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: stream.recoveries == 3, 120)
    check_unbroken(data)
    assert set(losses(stream)) == {Reason.SOURCE_ENDED}
    assert not events(stream, EventKind.LINK_LEFT), "there is nothing to leave it for"


async def test_the_next_link_stands_by_for_the_third_loss(
    sim: Simulator, make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "SETTLED_S", 0.0)
    app = await make_app(**QUICK)
    first, second = channel(sim, "Light One"), channel(sim, "Light Two")
    answer = await play(app, url_of(sim, fallback=second.content_id))
    stream = app.hub.streams[0]

    def begun() -> int:
        return sum(playback.infohash == second.infohash for playback in sim.playbacks)

    for count in range(1, LEFT_AFTER):
        assert begun() == 0
        sim.set_fault("rst-after", value="0", infohash=first.infohash, times=1)
        await read_for(answer, partial(has_recovered, stream, count))
    await read_for(answer, lambda: stream.supply.reserve.is_ready and events(stream, EventKind.STANDBY_READY))
    [ready] = events(stream, EventKind.STANDBY_READY)
    assert ready.details["purpose"] == "next"
    assert stream.supply.at == 0, "it is not gone to before"
    sim.set_fault("rst-after", value="0", infohash=first.infohash, times=1)
    await read_for(answer, partial(has_recovered, stream, LEFT_AFTER))
    assert (stream.supply.at, begun()) == (1, 1)
    assert [event.details["link"] for event in events(stream, EventKind.LINK_LEFT)] == [
        f"content_id:{first.content_id[:8]}"
    ]


def has_recovered(stream: Stream, times: int) -> bool:
    """Whether so many losses are over."""
    return stream.recoveries == times and is_live(stream)
