"""Engines that are drained and removed while they play: their streams move, and nobody who watches feels it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.calls import Viewer
from tests.system.decoding import decode_start
from tests.system.oracle import faults_in
from tests.system.programs import Engine, Program, Proxy, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]

ENGINES = "/api/aceproxy/engines"
NAMES = ("Light One", "Clock One", "Radio One")


@pytest.fixture
def second(programs: Keep, tmp_path: Path) -> Engine:
    """Return another engine with the same broadcasts."""
    engine = Engine(tmp_path / "second")
    programs(engine)
    return engine


@pytest.fixture
def proxy(programs: Keep, engine: Engine, second: Engine, tmp_path: Path) -> Proxy:
    """Return a proxy in front of both engines, the first of which is preferred."""
    path = tmp_path / "two.toml"
    path.write_text(
        f'[[engine]]\nurl = "{engine.url}"\nlabel = "first"\nweight = 50\n\n'
        f'[[engine]]\nurl = "{second.url}"\nlabel = "second"\n'
    )
    started = Proxy(tmp_path, None, env={"ACEPROXY_CONFIG": str(path)})
    programs(started)
    started.wait_engine("healthy")
    return started


def streams_on(proxy: Proxy) -> dict[str, int]:
    """Return how many streams each engine has."""
    return {one["label"]: one["streams"] for one in proxy.get(ENGINES)["engines"]}


def watch(proxy: Proxy, engine: Engine, view: View) -> dict[str, Viewer]:
    """Play some broadcasts until all flow."""
    viewers = {name: view(proxy.play(engine, name)) for name in NAMES}
    for name, viewer in viewers.items():
        viewer.wait_bytes(20_000 if name.startswith("Radio") else 400_000)
    return viewers


def longest_gap(viewers: dict[str, Viewer], until: Callable[[], Any], what: str) -> float:
    """Wait for something, and return the longest time for which any viewer got no byte meanwhile."""
    sizes = dict.fromkeys(viewers, 0)
    grown_at = dict.fromkeys(viewers, time.monotonic())
    longest_s = 0.0

    def look() -> Any:
        nonlocal longest_s
        now = time.monotonic()
        for name, viewer in viewers.items():
            longest_s = max(longest_s, now - grown_at[name])
            if len(viewer.body) > sizes[name]:
                sizes[name], grown_at[name] = len(viewer.body), now
        return until()

    wait_for(look, what, 20)
    return longest_s


def test_streams_leave_a_drained_engine_without_a_break_and_may_come_back(
    proxy: Proxy, engine: Engine, second: Engine, view: View
) -> None:
    viewers = watch(proxy, engine, view)
    assert streams_on(proxy) == {"first": 3, "second": 0}
    assert proxy.ask("POST", f"{ENGINES}/first/drain").status == 200
    gap_s = longest_gap(viewers, lambda: streams_on(proxy) == {"first": 0, "second": 3}, "all streams on the second")
    assert gap_s < 1.5
    wait_for(lambda: not engine.running(), "the playbacks on the first to be stopped")
    assert proxy.ask("POST", f"{ENGINES}/first/undrain").status == 200
    assert proxy.ask("POST", f"{ENGINES}/second/drain").status == 200
    gap_s = longest_gap(viewers, lambda: streams_on(proxy) == {"first": 3, "second": 0}, "all streams back again")
    assert gap_s < 1.5
    wait_for(lambda: not second.running(), "the playbacks on the second to be stopped")
    for name, viewer in viewers.items():
        viewer.wait_more(10_000)
        assert not viewer.ended.is_set()
        assert faults_in(viewer.body) == [], name
    for stream in proxy.get("/api/aceproxy/streams")["streams"]:
        assert (stream["state"], stream["client_count"]) == ("live", 1)
    viewers["Light One"].wait_more(200_000)  # 40 pictures
    body = bytes(viewers["Light One"].body)
    pictures = decode_start(body, 1 << 20)["pictures"] - 10  # the last one is cut off
    seen = decode_start(body, pictures)
    assert pictures > 100
    assert (seen["first_is_keyframe"], seen["corrupt"], seen["complaints"]) == (True, 0, [])


def test_a_removed_engine_is_gone_when_its_streams_have_moved(
    proxy: Proxy, engine: Engine, second: Engine, view: View
) -> None:
    viewers = watch(proxy, engine, view)
    answer = proxy.ask("DELETE", f"{ENGINES}/first").json()
    assert answer == {"removed": True, "label": "first", "gone": False, "streams": 3}
    assert longest_gap(viewers, lambda: streams_on(proxy) == {"second": 3}, "the first to be gone") < 1.5
    wait_for(lambda: not engine.running(), "the playbacks on the first to be stopped")
    for name, viewer in viewers.items():
        viewer.wait_more(10_000)
        assert faults_in(viewer.body) == [], name


def test_a_stream_that_finds_no_other_engine_stays_on_the_drained_one(
    proxy: Proxy, engine: Engine, second: Engine, view: View
) -> None:
    assert proxy.ask("POST", f"{ENGINES}/second/drain").status == 200
    viewers = watch(proxy, engine, view)
    assert proxy.ask("POST", f"{ENGINES}/first/drain").status == 200
    for viewer in viewers.values():
        viewer.wait_more(10_000)
    assert proxy.ask("GET", f"/ace/getstream?id={engine.id_of('Light Two')}").reason == "no_engine"
    assert streams_on(proxy) == {"first": 3, "second": 0}
    assert proxy.ask("POST", f"{ENGINES}/second/undrain").status == 200
    longest_gap(viewers, lambda: streams_on(proxy) == {"first": 0, "second": 3}, "all streams on the second")
    assert not any(viewer.ended.is_set() for viewer in viewers.values())
