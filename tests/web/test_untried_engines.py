"""Two engines are of no use, a third one is: it comes to its turn before the others are asked again."""

from __future__ import annotations

import pytest

from aceproxy.errors import Reason
from aceproxy.streams import spare
from aceproxy.streams.timeline import EventKind
from tests.conftest import MakeApp
from tests.waiting import until
from tests.web.test_adopting import MakeEngine, Play, add, make_engine, starts
from tests.web.test_recovery_over_http import QUICK, events, read_for, url_of
from tests.web.test_standby_over_http import unbroken
from tests.web.test_streams_over_http import PACKET

__all__ = ["make_engine"]  # a fixture


async def test_a_silent_source_is_left_for_the_third_engine_where_the_second_gives_nothing(
    make_engine: MakeEngine, make_app: MakeApp, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare, "SILENT_S", 1.0)
    present, useless, good = await make_engine(), await make_engine(), await make_engine()
    app = await make_app(engines=[present.url], **{**QUICK, "silence_s": 600.0})
    answer = await play(app, url_of(present))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: stream.intake.media_s > 3)
    useless.set_fault("headers-held")
    for engine, weight in ((useless, 50.0), (good, 1.0)):
        add(app, engine, f"weight {weight}", weight=weight)
    await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
    present.set_fault("stall-after", value="0")
    data += await read_for(answer, lambda: stream.supply.engine_words == good.url, 60)
    assert starts(useless) == 1
    lost = events(stream, EventKind.STANDBY_LOST)[0]
    assert (lost.reason, lost.details["engine"]) == (Reason.NO_DATA, useless.url)
    unbroken(data + await answer.reader.readexactly(300 * PACKET))


async def test_after_a_loss_what_has_failed_comes_after_what_was_not_tried(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    present, useless, good = await make_engine(), await make_engine(), await make_engine()
    app = await make_app(engines=[present.url], **QUICK, splice_wait_s=1.0)
    answer = await play(app, url_of(present))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: stream.intake.media_s > 3)
    useless.set_fault("garbage")
    for engine, weight in ((useless, 50.0), (good, 1.0)):
        add(app, engine, f"weight {weight}", weight=weight)
    await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
    present.set_fault("empty-body")
    present.set_fault("eof-after", value="0", times=1)
    data += await read_for(answer, lambda: stream.supply.engine_words == good.url, 60)
    assert starts(useless) == 1
    unbroken(data + await answer.reader.readexactly(300 * PACKET))


async def test_an_engine_that_sends_a_packet_now_and_then_does_not_win_a_race(
    make_engine: MakeEngine, make_app: MakeApp, play: Play
) -> None:
    present, useless, good = await make_engine(), await make_engine(), await make_engine()
    app = await make_app(engines=[present.url], **QUICK, splice_wait_s=60.0)
    answer = await play(app, url_of(present))
    stream = app.hub.streams[0]
    data = await read_for(answer, lambda: stream.intake.media_s > 3)
    useless.set_fault("one-packet-per-second")
    for engine, weight in ((useless, 50.0), (good, 1.0)):
        add(app, engine, f"weight {weight}", weight=weight)
    await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
    present.set_fault("empty-body")
    present.set_fault("eof-after", value="0", times=1)
    data += await read_for(answer, lambda: stream.supply.engine_words == good.url and stream.recoveries == 1, 60)
    unbroken(data + await answer.reader.readexactly(300 * PACKET))
