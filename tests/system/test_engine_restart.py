"""Engines that die, come back, or were never there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from tests.system.calls import Viewer
from tests.system.oracle import PACKET, faults_in
from tests.system.programs import Engine, Program, Proxy, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_players_stay_while_the_engine_is_killed_and_started_again(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "recover_s=30", "retry_first_s=0.2", "silence_s=5")
    programs(proxy)
    viewers = [view(proxy.play(engine, name)) for name in ("Light One", "Light One", "Clock One")]
    for viewer in viewers:
        viewer.wait_bytes(200_000)
    engine.process.kill()
    engine.wait(5)

    def states() -> set[str]:
        return {stream["state"] for stream in proxy.get("/api/aceproxy/streams")["streams"]}

    wait_for(lambda: states() == {"recovering"}, "both streams to recover")
    assert proxy.wait_engine("unhealthy")["message"]
    counts = [len(viewer.body) for viewer in viewers]
    again = Engine(tmp_path, port=engine.port)
    programs(again)
    wait_for(lambda: states() == {"live"}, "both streams to be live", 20)
    for viewer, count in zip(viewers, counts, strict=True):
        viewer.wait_bytes(count + 500_000, limit_s=20)
        assert not viewer.ended.is_set()
        assert set(viewer.body[: len(viewer.body) // PACKET * PACKET : PACKET]) == {0x47}
    assert {stream["recoveries"] for stream in proxy.get("/api/aceproxy/streams")["streams"]} == {1}
    assert sorted(one["max_readers"] for one in again.playbacks()) == [1, 1]
    assert proxy.wait_engine("healthy")["engines"][0]["streams"] == 2


BREAKS = {  # how a playback breaks, by channel
    "Light One": ("rst-after", "1"),
    "Light Two": ("eof-after", "1"),
    "Clock One": ("stall-after", "1"),
    "Clock Two": ("session-vanishes", "2"),
}


def test_players_stay_when_their_playback_breaks_and_others_feel_nothing(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "recover_s=30", "retry_first_s=0.2", "silence_s=1.5")
    programs(proxy)
    other = view(proxy.play(engine, "Radio One"))
    for name, (fault, value) in BREAKS.items():
        engine.set_fault(fault, value, name=name)
    viewers = [view(proxy.play(engine, name)) for name in BREAKS]
    wait_for(lambda: all(len(engine.playbacks(name)) >= 2 for name in BREAKS), "second playbacks of all", 20)
    engine.clear_faults()
    keys = [engine.id_of(name) for name in BREAKS]
    wait_for(lambda: {proxy.stream(key)["state"] for key in keys} == {"live"}, "all streams to be live", 20)
    for viewer in viewers:
        viewer.wait_more(400_000, limit_s=20)
        assert not viewer.ended.is_set()
    assert all(proxy.stream(key)["recoveries"] >= 1 for key in keys)
    wait_for(lambda: all(len(engine.running(name)) == 1 for name in BREAKS), "one playback of each")
    assert not other.ended.is_set()
    assert faults_in(other.body) == []
    assert len(engine.playbacks("Radio One")) == 1


def test_a_stream_that_cannot_be_revived_ends_with_its_reason(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "recover_s=1", "retry_first_s=0.2")
    programs(proxy)
    viewer = view(proxy.play(engine, "Light One"))
    viewer.wait_bytes(100_000)
    engine.process.kill()
    viewer.wait_end(10)
    recent = wait_for(lambda: proxy.get("/api/aceproxy/streams")["recent"], "the end of the stream")
    assert [(one["reason"], one["fault"]) for one in recent] == [("source_ended", "engine")]
    assert "engine_unreachable" in recent[0]["message"]


def test_a_proxy_without_an_engine_stays_up_and_plays_once_there_is_one(
    programs: Keep, view: View, tmp_path: Path
) -> None:
    port = free_port()
    proxy = Proxy(tmp_path, f"http://127.0.0.1:{port}")
    programs(proxy)
    health = proxy.wait_engine("unhealthy")
    assert "No engine answers" in health["message"]
    assert health["engines"][0]["state"] == "down"
    assert health["engines"][0]["last_error"]
    assert proxy.ask("GET", "/").status == 200
    engine = Engine(tmp_path, port=port)
    programs(engine)
    assert proxy.wait_engine("healthy")["engines"][0]["reachable"] is True
    view(proxy.play(engine, "Light One")).wait_bytes(200_000)
