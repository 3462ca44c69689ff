"""Limits: what is refused when there is too much of it, and what gives way at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.system.calls import Viewer, ask
from tests.system.programs import Engine, Program, Proxy, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]


def wait_lingering(proxy: Proxy, stream_id: str) -> None:
    """Wait until nobody watches a stream any more."""
    wait_for(lambda: proxy.stream(stream_id)["state"] == "lingering", "the stream to linger")


def test_one_client_too_many_is_503_and_the_others_play_on(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "max_clients=2", "linger_s=0.3")
    programs(proxy)
    viewers = [view(proxy.play(engine, "Light One")) for _ in range(2)]
    for name in ("Light One", "Light Two"):
        reply = ask("GET", proxy.play(engine, name))
        assert (reply.status, reply.reason) == (503, "too_many_clients")
        assert int(reply.headers["retry-after"]) > 0
    assert engine.playbacks("Light Two") == []
    viewers[0].leave()
    wait_for(lambda: proxy.get("/api/aceproxy/stats")["total_clients"] == 1, "one client less")
    assert view(proxy.play(engine, "Light One")).status == 200
    viewers[1].wait_more(100_000)


def test_a_full_engine_is_503_and_a_stream_that_nobody_watches_gives_way(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "engine_max_streams=1", "linger_s=60")
    programs(proxy)
    first = view(proxy.play(engine, "Light One"))
    first.wait_bytes(100_000)
    reply = ask("GET", proxy.play(engine, "Light Two"))
    assert (reply.status, reply.reason) == (503, "at_capacity")
    assert int(reply.headers["retry-after"]) > 0
    first.wait_more(50_000)
    first.leave()
    wait_lingering(proxy, engine.id_of("Light One"))
    second = view(proxy.play(engine, "Light Two"))
    assert second.status == 200
    second.wait_bytes(100_000)
    recent = proxy.get("/api/aceproxy/streams")["recent"]
    assert ("gave_way", engine.id_of("Light One")) in {(one["reason"], one["stream_id"]) for one in recent}
    wait_for(lambda: not engine.running("Light One"), "the stop on the engine")


def test_zapping_back_while_a_stream_lingers_costs_no_new_playback(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "linger_s=60")
    programs(proxy)
    for name in ("Light One", "Light Two", "Light One", "Light Two"):
        viewer = view(proxy.play(engine, name))
        viewer.wait_bytes(100_000)
        viewer.leave()
        wait_lingering(proxy, engine.id_of(name))
    assert len(engine.playbacks()) == 2
    back = view(proxy.play(engine, "Light One"))
    assert back.first_byte_s < 0.5
    assert proxy.stream(engine.id_of("Light One"))["state"] == "live"


def test_a_client_that_leaves_while_the_source_is_silent_is_noticed(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "silence_s=60", "client_stall_s=1", "linger_s=60")
    programs(proxy)
    stayer, leaver = (view(proxy.play(engine, "Light One")) for _ in range(2))
    leaver.wait_bytes(100_000)
    engine.set_fault("stall-after", "0", name="Light One")
    stream_id = engine.id_of("Light One")
    wait_for(lambda: proxy.stream(stream_id)["last_byte_age_s"] > 2, "a silent source")
    leaver.leave()
    wait_for(lambda: proxy.stream(stream_id)["client_count"] == 1, "the leaver to be missed", 3)
    assert not stayer.ended.is_set()  # silence of the source is not held against a client
    engine.clear_faults()
    stayer.wait_more(100_000)
    assert [one["reason"] for one in proxy.stream(stream_id)["ended_clients"]] == ["client_left"]


def test_a_frozen_client_does_not_hold_up_the_shutdown(
    programs: Keep, engine: Engine, proxy: Proxy, tmp_path: Path
) -> None:
    path = tmp_path / "recorded.ts"
    command = [sys.executable, "-m", "tests.system.recorder", proxy.play(engine, "Clock One"), str(path), "65536"]
    frozen = programs(Program(command, tmp_path / "recorder"))
    frozen.find("(joined)")
    frozen.signal(signal.SIGSTOP)
    stream_id = engine.id_of("Clock One")
    wait_for(lambda: any(one["behind"] for one in proxy.stream(stream_id)["clients"]), "a full socket", 20)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    assert engine.running() == []
    assert "Traceback" not in proxy.err
