"""`GET /api/aceproxy/links`: what viewing has taught, also after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aceproxy.app import App
from aceproxy.errors import Reason
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.streams.quality import Viewing
from tests.conftest import MakeApp, ask
from tests.waiting import until


async def links(app: App, query: str = "") -> Any:
    answer = await ask(app, f"/api/aceproxy/links{query}")
    assert answer.status == 200, answer.body
    return answer.json


async def test_viewing_and_failing_teach_and_a_restart_forgets_nothing(
    sim: Simulator, make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aceproxy.streams.meter.WORTH_TELLING_S", 0.5)
    app = await make_app(linger_s=0.1, stat_poll_s=0.1, state_dir=tmp_path)
    content = sim.contents[0]
    answer = await ask(app, f"/ace/getstream?id={content.content_id}", stream=True)
    assert answer.status == 200
    bitrate_bps = 0.0

    def is_measured() -> bool:
        nonlocal bitrate_bps
        bitrate_bps = app.hub.streams[0].intake.bitrate_bps or bitrate_bps
        return bool(app.hub.streams[0].source and app.hub.streams[0].source.meter._speed_s > 0.5)

    await until(is_measured)
    answer.close()
    await until(lambda: not app.hub.streams and app.links.keys)
    assert (await ask(app, f"/ace/getstream?id={'a' * 40}")).status == 404
    told = await links(app)
    assert told["total"] == 2
    unknown, played = told["links"]
    assert (unknown["key"], unknown["failures"], unknown["last_reason"]) == (
        f"content_id:{'a' * 40}",
        1.0,
        "content_not_found",
    )
    assert played["key"] == f"content_id:{content.content_id}"
    assert (played["title"], played["starts"], played["failures"]) == (content.name, 1.0, 0.0)
    assert 0 < played["start_s"] < 5
    assert played["peers"] > 0
    assert 0 < played["speed_ratio"] <= 1
    assert played["score"] > unknown["score"]
    assert [engine["engine"] for engine in played["engines"]] == [sim.url]
    assert (await links(app, f"?key=content_id:{content.content_id}"))["links"] == [played]
    assert (await links(app, "?limit=1"))["links"] == [unknown]
    await app.close()

    again = await make_app(state_dir=tmp_path)
    await until(again.learning.done)
    assert [link["key"] for link in (await links(again))["links"]] == [unknown["key"], played["key"]]
    assert (await links(again))["links"][1]["watched_s"] == pytest.approx(played["watched_s"], abs=0.2)


async def test_an_engine_that_cannot_be_reached_is_not_held_against_the_link(make_app: MakeApp) -> None:
    app = await make_app(engines=["http://127.0.0.1:9"])
    assert (await ask(app, f"/ace/getstream?id={'a' * 40}")).status == 503
    assert (await links(app)) == {"total": 0, "links": []}


async def test_a_start_begins_with_the_link_that_has_played_and_not_with_the_one_that_failed(
    sim: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(linger_s=0.1)
    first, second = sim.contents[0], sim.contents[1]
    target = f"/ace/getstream?id={first.content_id}&fallback={second.content_id}"
    for wanted in (first, second):  # as asked, while nothing is known; then the one of which nothing bad is known
        answer = await ask(app, target, stream=True)
        assert answer.status == 200
        assert [playback.infohash for playback in sim.active_playbacks] == [wanted.infohash]
        answer.close()
        await until(lambda: not app.hub.streams and not sim.active_playbacks)
        for _ in range(3):
            app.links.add(Viewing(f"content_id:{first.content_id}", sim.url, reason=Reason.NO_PEERS))


async def test_a_link_goes_rather_to_the_engine_on_which_it_has_not_failed(
    sim: Simulator, make_app: MakeApp, tmp_path: Path
) -> None:
    async with Simulator(SimulatorConfig.fast()) as other:
        content = sim.contents[0]
        app = await make_app(engines=[sim.url, other.url])
        await until(lambda: all(engine.state == "up" for engine in app.pool.snapshot()))
        for _ in range(3):
            app.links.add(Viewing(f"content_id:{content.content_id}", sim.url, reason=Reason.NO_PEERS))
        answer = await ask(app, f"/ace/getstream?id={content.content_id}", stream=True)
        assert answer.status == 200
        assert (len(sim.playbacks), len(other.playbacks)) == (0, 1)
        answer.close()


@pytest.mark.parametrize("limit", ["x", "-1", "1.5"])
async def test_a_strange_limit_is_refused(make_app: MakeApp, limit: str) -> None:
    answer = await ask(await make_app(), f"/api/aceproxy/links?limit={limit}")
    assert (answer.status, answer.reason) == (400, "bad_parameter")
