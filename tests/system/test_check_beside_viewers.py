"""`aceproxy check` of broadcasts that are being watched: nobody may notice it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.calls import Viewer
from tests.system.oracle import faults_in
from tests.system.programs import ACEPROXY, Engine, Program, Proxy, wait_for

View = Callable[..., Viewer]
Check = Callable[..., tuple[int, dict[str, Any]]]
CLOCK_BPS = 5_740_016
LIMIT_S = 30.0


@pytest.fixture
def check(programs: Callable[[Program], Program], engine: Engine, tmp_path: Path) -> Check:
    """Return a function that runs `aceproxy check LINK …` and returns its status and its report."""

    def call(link: str, *more: str) -> tuple[int, dict[str, Any]]:
        program = programs(
            Program(
                [ACEPROXY, "check", link, "--engine", engine.url, "--seconds", "1", "--json", *more], tmp_path / "run"
            )
        )
        status = program.wait(LIMIT_S)
        assert "Traceback" not in program.err
        report: dict[str, Any] = json.loads(program.out)
        return status, report

    return call


def names_of(engine: Engine, name: str) -> dict[str, tuple[str, ...]]:
    """The arguments with which a channel can be named."""
    return {
        "content id": (engine.id_of(name),),
        "magnet": (f"magnet:?xt=urn:btih:{engine.infohash_of(name)}",),
    }


def test_a_broadcast_that_is_watched_is_told_from_the_proxy_and_not_one_byte_is_lost(
    engine: Engine, proxy: Proxy, view: View, check: Check
) -> None:
    viewer = view(proxy.play(engine, "Clock One"))
    wait_for(lambda: proxy.stream(engine.id_of("Clock One")).get("bitrate_bps"), "a measured rate of the broadcast")
    for name, link in names_of(engine, "Clock One").items():
        status, report = check(*link, "--proxy", proxy.url)
        assert (name, status, report["plays"], report["is_watched"]) == (name, 0, True, True)
        assert (report["state"], report["clients"], report["proxy"]) == ("live", 1, proxy.url)
        assert report["engine"] == engine.url
        assert report["infohash"] == engine.infohash_of("Clock One")
        assert {stream["codec"] for stream in report["streams"]} == {"h264", "aac"}
        assert 0.7 * CLOCK_BPS < report["bitrate_bps"] < 1.3 * CLOCK_BPS
    viewer.wait_more(CLOCK_BPS // 8 * 3)
    assert not viewer.ended.is_set()
    assert faults_in(viewer.body) == []
    (playback,) = engine.playbacks()  # nothing else was ever started
    assert playback["stop_reason"] is None
    assert proxy.stream(engine.id_of("Clock One"))["recoveries"] == 0


def test_a_check_that_asks_nobody_ends_the_playback_of_the_viewer(
    engine: Engine, proxy: Proxy, view: View, check: Check
) -> None:
    """What the question to the proxy guards against: without this the test above could not fail."""
    viewer = view(proxy.play(engine, "Clock One"))
    viewer.wait_bytes(CLOCK_BPS // 8)
    status, report = check(engine.id_of("Clock One"), "--proxy", "none")
    assert (status, report["is_watched"]) == (0, False)
    wait_for(lambda: len(engine.playbacks()) >= 2, "the playback of the check", 5)
    wait_for(lambda: engine.playbacks()[0]["stop_reason"] is not None, "the end of the viewer's playback", 10)


def test_somebody_who_begins_to_watch_during_the_check_keeps_the_playback(
    engine: Engine, proxy: Proxy, view: View, programs: Callable[[Program], Program], tmp_path: Path
) -> None:
    words = ("check", engine.id_of("Clock One"), "--engine", engine.url, "--seconds", "4")
    program = programs(
        Program(
            [ACEPROXY, *words, "--json", "--proxy", proxy.url],
            tmp_path / "run",
        )
    )
    wait_for(lambda: engine.running("Clock One"), "the check's playback", 10)
    viewer = view(proxy.play(engine, "Clock One"))
    viewer.wait_bytes(CLOCK_BPS // 8)
    assert program.wait(LIMIT_S) == 0
    report = json.loads(program.out)
    assert report["plays"]
    assert "was not stopped" in " ".join(report["note"].split())
    viewer.wait_more(CLOCK_BPS // 8 * 2)
    assert faults_in(viewer.body) == []
    assert not any(playback["stop_reason"] in ("stopped", "stopped_by_other") for playback in engine.playbacks())
