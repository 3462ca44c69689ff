"""A source that has been begun already when the present one is lost: it goes on, and takes its place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from aceproxy.app import App
from aceproxy.engine.links import Link, LinkKind
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import EventKind
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until
from tests.web.test_recovery_over_http import QUICK, channel, events, read_for, url_of
from tests.web.test_standby_over_http import unbroken, used
from tests.web.test_streams_over_http import PACKET, video_dts

Play = Callable[[App, str], Awaitable[Answer]]
MakeEngine = Callable[..., Awaitable[Simulator]]


@pytest.fixture
async def make_engine() -> AsyncIterator[MakeEngine]:
    """Makes engines of one swarm."""
    async with AsyncExitStack() as stack:

        async def make(prebuffer_s: float = 0.2, behind_s: float = 0.0) -> Simulator:
            config = SimulatorConfig.fast(in_step=True, burst_s=12.0, prebuffer_s=prebuffer_s, behind_s=behind_s)
            return await stack.enter_async_context(Simulator(config))

        yield make


def add(app: App, engine: Simulator, label: str, **changes: object) -> None:
    """Add an engine to those that a running program has."""
    app.pool.add(app.settings.engines[0].model_copy(update={"url": engine.url, "label": label, **changes}))


async def play_beside(
    make_app: MakeApp, play: Play, present: Simulator, second: Simulator, **settings: object
) -> tuple[Answer, Stream, bytes]:
    """Play from one engine and want a standby, for which a second engine comes then; return the first bytes."""
    app = await make_app(engines=[present.url], **{**QUICK, **settings})
    answer = await play(app, url_of(present, standby="1"))
    data = await answer.reader.readexactly(300 * PACKET)
    add(app, second, "second")
    return answer, app.hub.streams[0], data


def starts(engine: Simulator, content_id: str = "") -> int:
    """Return how often a playback was asked for, of one broadcast or of any."""
    return sum("getstream" in target and content_id in target for _, target in engine.requests)


async def test_a_standby_that_still_collects_data_is_waited_for_and_not_begun_anew(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    quick, slow = await make_engine(), await make_engine(prebuffer_s=2.0)
    answer, stream, data = await play_beside(make_app, play, quick, slow)
    data += await read_for(answer, lambda: slow.active_playbacks)
    spare = stream.supply.reserve.spare
    assert spare is not None
    quick.set_fault("down")
    data += await read_for(answer, lambda: stream.supply.recoveries == 1)
    assert stream.source is spare.source
    assert starts(slow) == 1, "a second start would take the whole time once more"
    data += await answer.reader.readexactly(300 * PACKET)
    unbroken(data)


async def test_the_first_link_that_is_being_tried_beside_its_fallback_takes_over_when_that_is_lost(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    one, other = await make_engine(), await make_engine(prebuffer_s=2.0)
    app = await make_app(engines=[one.url], **{**QUICK, "return_s": 0.5, "return_proof_s": 60.0})
    first, second = channel(one, "Light One"), channel(one, "Light Two")
    one.set_fault("load-failed", infohash=first.infohash)
    answer = await play(app, f"/ace/getstream?id={first.content_id}&fallback={second.content_id}")
    stream = app.hub.streams[0]
    assert stream.supply.at == 1
    add(app, other, "other")
    await read_for(answer, lambda: other.active_playbacks)
    spare = stream.supply.reserve.spare
    assert spare is not None
    one.set_fault("down")
    await read_for(answer, lambda: stream.supply.recoveries == 1)
    assert stream.source is spare.source
    assert (stream.supply.at, starts(other, first.content_id)) == (0, 1)


async def test_a_start_that_takes_long_after_a_loss_does_not_remain_the_only_one(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    present, slow, quick = await make_engine(), await make_engine(prebuffer_s=60.0), await make_engine()
    app = await make_app(engines=[present.url], **QUICK)
    answer = await play(app, url_of(present))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(300 * PACKET)
    for engine, weight in ((slow, 50.0), (quick, 1.0)):
        add(app, engine, f"weight {weight}", weight=weight)
    await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
    present.set_fault("down")
    data += await read_for(answer, lambda: stream.supply.recoveries == 1, 15)  # it would be given 20 s alone
    assert used(stream, (slow, quick)) is quick
    assert starts(slow) == 1, "that was the first choice"
    assert [event.details["purpose"] for event in events(stream, EventKind.TRYING_BESIDE)] == ["restore"]
    await until(lambda: not slow.active_playbacks)
    data += await answer.reader.readexactly(300 * PACKET)
    unbroken(data)
    assert stream.supply.reserve.spare is None


async def test_who_loses_the_race_is_let_go_unless_there_is_to_be_a_standby(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    present, soon, late = await make_engine(), await make_engine(prebuffer_s=1.8), await make_engine(prebuffer_s=60.0)
    app = await make_app(engines=[present.url], **QUICK)
    answer = await play(app, url_of(present))
    stream = app.hub.streams[0]
    await answer.reader.readexactly(300 * PACKET)
    for engine, weight in ((soon, 50.0), (late, 1.0)):
        add(app, engine, f"weight {weight}", weight=weight)
    await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
    present.set_fault("down")
    await read_for(answer, lambda: stream.supply.recoveries == 1)
    assert used(stream, (soon, late)) is soon
    assert starts(late) == 1
    assert stream.supply.reserve.spare is None
    await until(lambda: not late.active_playbacks)


async def test_no_race_is_run_on_engines_that_others_need(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    present, soon, full = await make_engine(), await make_engine(prebuffer_s=1.8), await make_engine()
    app = await make_app(engines=[present.url], **QUICK)
    answer = await play(app, url_of(present))
    stream = app.hub.streams[0]
    await answer.reader.readexactly(300 * PACKET)
    for engine, weight, capacity in ((soon, 50.0, 5), (full, 1.0, 1)):
        add(app, engine, f"weight {weight}", weight=weight, capacity=capacity)
    await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
    taken = app.pool.choose(Link(LinkKind.CONTENT_ID, "ab" * 20), {present.url, soon.url})
    present.set_fault("down")
    await read_for(answer, lambda: stream.supply.recoveries == 1)
    assert used(stream, (soon, full)) is soon
    assert (starts(soon), starts(full)) == (1, 0)
    taken.release()


async def test_a_standby_that_cannot_come_to_the_place_in_time_is_not_waited_for(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    ahead, behind = await make_engine(), await make_engine(behind_s=40.0)
    answer, stream, data = await play_beside(make_app, play, ahead, behind, splice_wait_s=25.0)
    data += await read_for(answer, lambda: stream.supply.reserve.is_ready)
    ahead.set_fault("down")
    data += await read_for(answer, lambda: stream.supply.recoveries == 1)
    [lost], [back] = events(stream, EventKind.SOURCE_LOST), events(stream, EventKind.RECOVERED)
    assert back.at - lost.at < 15.0, "not the whole time, in which it could not come to the place"
    [splice] = events(stream, EventKind.SPLICED)
    assert splice.details["outcome"] == "other clock"
    assert 25.0 < float(splice.details["behind_s"] or 0) < 56.0
    data += await answer.reader.readexactly(300 * PACKET)
    data = data[: len(data) // PACKET * PACKET]
    checker = ContinuityChecker()
    checker.feed(data)
    assert not checker.errors
    steps = {later - earlier for earlier, later in pairwise(video_dts(data))}
    assert steps <= {3600 * count for count in range(1, 5)}, "pictures come once more, under times that go on"


async def test_a_standby_that_is_a_little_behind_is_waited_for_and_nothing_is_repeated(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    ahead, behind = await make_engine(), await make_engine(behind_s=1.0)
    answer, stream, data = await play_beside(make_app, play, ahead, behind)
    data += await read_for(answer, lambda: stream.supply.reserve.is_ready)
    ahead.set_fault("down")
    data += await read_for(answer, lambda: stream.supply.recoveries == 1)
    [splice] = events(stream, EventKind.SPLICED)
    assert splice.details["outcome"] == "same bytes"
    data += await answer.reader.readexactly(300 * PACKET)
    unbroken(data)


async def test_a_standby_that_is_far_behind_is_changed_for_one_on_another_engine(
    make_engine: MakeEngine, make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aceproxy.streams.lags.EVERY_S", 0.1)
    monkeypatch.setattr("aceproxy.streams.spare.BURST_S", 0.5)
    present, behind, level = await make_engine(), await make_engine(behind_s=20.0), await make_engine()
    app = await make_app(engines=[present.url], **QUICK)
    answer = await play(app, url_of(present, standby="1"))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(300 * PACKET)
    for engine, weight in ((behind, 50.0), (level, 1.0)):
        add(app, engine, f"weight {weight}", weight=weight)

    def beside() -> str | None:
        spare = stream.supply.reserve.spare
        return spare.engine_url if spare is not None and spare.is_ready else None

    data += await read_for(answer, lambda: beside() == level.url)
    [lost] = events(stream, EventKind.STANDBY_LOST)
    assert lost.details["engine"] == behind.url
    assert 17.0 < float(lost.details["behind_s"] or 0) < 23.0
    data += await read_for(answer, lambda: stream.supply.reserve.lags.of(level.url) is not None)
    told = (await ask(app, f"/api/aceproxy/streams/{stream.stream_id}")).json["stream"]["standby"]
    assert told["engine"] == level.url
    assert abs(told["behind_s"]) < 5.0
    assert len(events(stream, EventKind.STANDBY_LOST)) == 1, "it stays there"
    unbroken(data)


async def test_an_engine_of_higher_weight_is_returned_to_when_it_is_well_again_and_nobody_notices(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    better, other = await make_engine(), await make_engine()
    app = await make_app(engines=[other.url], **{**QUICK, "return_s": 1.0, "return_proof_s": 0.5})
    answer = await play(app, url_of(other))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(300 * PACKET)
    changes = {"url": better.url, "label": "better", "weight": 5.0}
    app.pool.add(app.settings.engines[0].model_copy(update=changes))
    data += await read_for(answer, lambda: stream.supply.switches == 1)
    assert used(stream, (better, other)) is better
    data += await answer.reader.readexactly(300 * PACKET)
    unbroken(data)
    await until(lambda: not other.active_playbacks)
    assert (stream.recoveries, events(stream, EventKind.SOURCE_LOST)) == (0, [])


async def test_an_engine_of_higher_weight_that_is_behind_is_not_returned_to(
    make_engine: MakeEngine, make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aceproxy.streams.lags.EVERY_S", 0.1)
    monkeypatch.setattr("aceproxy.streams.spare.BURST_S", 0.5)
    better, other = await make_engine(behind_s=8.0), await make_engine()
    app = await make_app(engines=[other.url], **{**QUICK, "return_s": 1.0, "return_proof_s": 1.5})
    answer = await play(app, url_of(other))
    stream = app.hub.streams[0]
    data = await answer.reader.readexactly(300 * PACKET)
    changes = {"url": better.url, "label": "better", "weight": 5.0}
    app.pool.add(app.settings.engines[0].model_copy(update=changes))
    data += await read_for(answer, lambda: events(stream, EventKind.STANDBY_LOST))
    assert "behind" in str(events(stream, EventKind.STANDBY_LOST)[0].details["detail"])
    assert (used(stream, (better, other)), stream.supply.switches) == (other, 0)
    unbroken(data)
