"""The metrics, as Prometheus and its own tool see them; readiness; the files in deploy/."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aceproxy.app import App
from aceproxy.errors import Reason
from aceproxy.simulator import Simulator
from aceproxy.store.opening import FILE_NAME
from aceproxy.web import metrics as module
from aceproxy.web.loop_delay import BOUNDS_S, LoopDelay
from aceproxy.web.metric_table import METRICS
from tests.conftest import Answer, MakeApp, ask
from tests.system.programs import tool
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
Play = Callable[[App, str], Awaitable[Answer]]
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scrape is made anew."""
    monkeypatch.setattr(module, "MAX_AGE_S", -1.0)
    monkeypatch.setattr(module, "SOON_S", -1.0)


async def scrape(app: App) -> Values:
    """Return all samples by name and labels."""
    answer = await ask(app, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float:
    return values[name, frozenset(labels.items())]


async def test_the_metrics_tell_what_plays(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(stat_poll_s=0.1)
    content = sim.contents[0]
    answers = [await play(app, f"/ace/getstream?id={content.content_id}") for _ in range(2)]
    for answer in answers:
        await answer.reader.readexactly(188 * 3000)
    await until(lambda: app.hub.streams[0].intake.bitrate_bps)
    values = await scrape(app)
    stream = content.content_id
    label = app.pool.snapshot()[0].label
    assert value(values, "aceproxy_streams", state="live") == 1
    assert value(values, "aceproxy_streams", state="starting") == 0
    assert value(values, "aceproxy_clients") == value(values, "aceproxy_stream_clients", stream=stream) == 2
    assert value(values, "aceproxy_clients_served_total") == 2
    assert value(values, "aceproxy_inbound_bytes_total") > 188 * 3000
    assert value(values, "aceproxy_outbound_bytes_total") > 2 * 188 * 3000
    assert value(values, "aceproxy_stream_media_bytes_per_second", stream=stream) > 600_000
    assert value(values, "aceproxy_stream_info", stream=stream, title=content.name, state="live", engine=label) == 1
    assert value(values, "aceproxy_engine_streams", engine=label) == 1
    assert value(values, "aceproxy_engine_up", engine=label) == 1
    assert value(values, "process_open_fds") > 5
    assert value(values, "aceproxy_log_records_total", level="info") > 2
    answers[0].close()
    await until(lambda: app.hub.client_count == 1)
    values = await scrape(app)
    assert value(values, "aceproxy_clients_closed_total", reason="client_left", fault="client") == 1


async def test_single_streams_are_bounded_and_the_rest_is_counted(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(metrics_streams=2)
    for number, clients in ((0, 1), (1, 3), (2, 2)):
        for _ in range(clients):
            answer = await play(app, f"/ace/getstream?id={sim.contents[number].content_id}")
            await answer.reader.readexactly(188)
    values = await scrape(app)
    told = {dict(labels)["stream"] for name, labels in values if name == "aceproxy_stream_clients"}
    assert told == {sim.contents[1].content_id, sim.contents[2].content_id}
    assert value(values, "aceproxy_streams_untold") == 1


async def test_every_metric_is_in_the_table_with_its_labels(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app(stat_poll_s=0.1)
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188 * 3000)
    await until(lambda: app.hub.streams[0].intake.bitrate_bps and app.hub.streams[0].source)
    seen: dict[str, set[str]] = {}
    async with asyncio.timeout(10):
        while set(METRICS) - set(seen) - {"aceproxy_loop_delay_seconds"}:
            for name, labels in await scrape(app):
                if name.startswith("aceproxy_") and "aceproxy_loop_delay" not in name and not name.endswith("_created"):
                    seen[name] = {label for label, _ in labels}
    assert seen == {name: set(one.labels) for name, one in METRICS.items() if one.kind != "histogram"}


async def test_promtool_finds_nothing_to_blame(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    promtool = tool("promtool")
    app = await make_app()
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188)
    app.hub.streams[0].source.title = 'a "title"\\ with \n everything '  # type: ignore[union-attr]  # it has one
    text = (await ask(app, "/metrics")).body
    done = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


async def test_a_store_that_cannot_be_written_is_told(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()  # nothing can be kept there
    app = await make_app(state_dir=tmp_path)
    await until(lambda: app.store.snapshot().problem != "")
    text = (await ask(app, "/metrics")).body.decode()
    assert "aceproxy_store_up 0.0" in text
    assert "aceproxy_store_unsaved" in text
    events = await ask(app, "/api/events", stream=True)
    overview = await asyncio.wait_for(events.reader.readuntil(b'"store_problem":'), 10)
    overview += await asyncio.wait_for(events.reader.readuntil(b"}"), 10)
    assert b"cannot be used" in overview
    events.close()


async def test_openmetrics_is_given_to_who_asks_for_it(make_app: MakeApp) -> None:
    app = await make_app()
    answer = await ask(app, "/metrics", headers="Accept: application/openmetrics-text; version=1.0.0\r\n")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")


async def test_many_scrapes_at_once_cost_one(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AGE_S", 60.0)
    app = await make_app()
    answers = await asyncio.gather(*(ask(app, "/metrics") for _ in range(20)))
    assert len({answer.body for answer in answers}) == 1


async def test_who_scrapes_soon_after_another_waits_for_nothing(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOON_S", 60.0)
    app, made, may_go_on, began = await make_app(), module.MetricRoutes._text, threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> tuple[bytes, str]:
        began.set()
        assert may_go_on.wait(20)
        return made(*arguments)

    first = await ask(app, "/metrics")
    monkeypatch.setattr(module.MetricRoutes, "_text", slowly)
    assert (await ask(app, "/metrics")).body == first.body
    await until(began.is_set)  # the next one is made meanwhile
    assert (await ask(app, "/metrics")).body == first.body
    may_go_on.set()
    # the figures of the process differ each time
    deadline_at = time.monotonic() + 20
    while (await ask(app, "/metrics")).body == first.body:
        assert time.monotonic() < deadline_at


async def test_a_scrape_that_cannot_be_made_is_told_and_the_next_one_is_made(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app()
    with monkeypatch.context() as broken:
        broken.setattr(module.MetricRoutes, "_text", lambda *_: 1 / 0)
        assert (await ask(app, "/metrics")).status == 500
    assert any("could not be made" in line.message for line in app.logs.ring.tail(20))
    assert (await ask(app, "/metrics")).status == 200


async def test_no_address_of_a_viewer_is_in_the_metrics(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    target = f"/ace/getstream?id={sim.contents[0].content_id}"
    answer = await ask(app, target, stream=True, headers="User-Agent: Peculiar\r\n", address="127.0.0.9")
    await answer.reader.readexactly(188)
    body = (await ask(app, "/metrics")).body
    assert b"127.0.0.9" not in body
    assert b"Peculiar" not in body
    answer.close()


async def test_ready_means_that_an_engine_answers_and_live_that_we_do(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    await until(lambda: app.pool.snapshot()[0].state == "up")
    assert (await ask(app, "/readyz")).json == {"ready": True}
    alone = await make_app(engines=["http://127.0.0.1:9"])
    await until(lambda: alone.pool.snapshot()[0].state == "down")
    answer = await ask(alone, "/readyz")
    assert (answer.status, answer.reason) == (503, Reason.ENGINE_UNREACHABLE)
    assert (await ask(alone, "/livez")).json == {"ready": True}


async def test_an_engine_that_is_drained_makes_nobody_ready(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    await until(lambda: app.pool.snapshot()[0].state == "up")
    app.pool.drain(app.pool.snapshot()[0].label)
    assert (await ask(app, "/readyz")).status == 503


# --- the delay of the event loop ---


def test_delays_are_counted_into_buckets_that_include_the_smaller_ones() -> None:
    delay = LoopDelay()
    for one in (0.0, 0.001, 0.0011, 0.3, 99.0):
        delay.note(one)
    buckets = dict(delay.buckets())
    assert list(buckets) == [*map(str, BOUNDS_S), "+Inf"]
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.25"], buckets["0.5"]) == (2, 3, 3, 4)
    assert (buckets["2.5"], buckets["+Inf"]) == (4, 5)
    assert delay.sum_s == pytest.approx(99.3021)


async def test_the_delay_of_a_blocked_loop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aceproxy.web.loop_delay.PERIOD_S", 0.02)
    delay = LoopDelay()
    task = asyncio.create_task(delay.watch())
    await until(lambda: sum(delay.counts) > 1)
    time.sleep(0.15)  # noqa: ASYNC251 - this is what shall be seen
    await until(lambda: delay.sum_s > 0.1)
    task.cancel()


# --- the files in deploy/ ---


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\baceproxy_\w+", text))


def told_names() -> set[str]:
    return {*METRICS, "aceproxy_loop_delay_seconds_bucket"}


def test_the_grafana_dashboard_asks_for_metrics_that_exist() -> None:
    board = json.loads((ROOT / "deploy/grafana/aceproxy.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 20
    assert set().union(*map(names_in, expressions)) <= told_names()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)


def test_prometheus_takes_the_dashboards_expressions(tmp_path: Path) -> None:
    board = json.loads((ROOT / "deploy/grafana/aceproxy.json").read_text())
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$\w+", "5m", target["expr"].replace('"$instance"', '".*"'))}
        for number, target in enumerate(one for panel in board["panels"] for one in panel.get("targets", []))
    ]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([tool("promtool"), "check", "rules", path], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_prometheus_takes_the_alerts_and_the_scrape() -> None:
    folder = ROOT / "deploy/prometheus"
    assert names_in((folder / "aceproxy.rules.yml").read_text()) <= told_names()
    for kind, name in (("rules", "aceproxy.rules.yml"), ("config", "prometheus.yml")):
        done = subprocess.run(
            [tool("promtool"), "check", kind, folder / name], capture_output=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
