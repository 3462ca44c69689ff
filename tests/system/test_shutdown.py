"""Leaving: politely, by force, and without having been asked."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.calls import Reply, Viewer, ask
from tests.system.programs import ACEPROXY, Engine, Program, Proxy, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]
CHANNELS = ("Light One", "Light Two", "Clock One")
FORCED_STATUS = 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_clients_and_playbacks_and_the_status_is_0(
    engine: Engine, proxy: Proxy, view: View, number: signal.Signals
) -> None:
    viewers = [view(proxy.play(engine, name)) for name in CHANNELS for _ in range(3)]
    for viewer in viewers:
        viewer.wait_bytes(100_000)
    began_at = time.monotonic()
    proxy.signal(number)
    assert proxy.wait(10) == 0
    took_s = time.monotonic() - began_at
    for viewer in viewers:
        viewer.wait_end(2)
    assert engine.running() == []
    assert [one["stop_reason"] for one in engine.playbacks()] == ["stopped"] * len(CHANNELS)
    assert took_s < 5
    assert "Traceback" not in proxy.err


def test_callers_who_wait_for_a_start_are_told_that_we_leave(engine: Engine, proxy: Proxy) -> None:
    engine.set_fault("json-hang", name="Light One")
    replies: list[Reply] = []
    caller = threading.Thread(target=lambda: replies.append(ask("GET", proxy.play(engine, "Light One"), limit_s=20)))
    caller.start()
    wait_for(lambda: proxy.get("/api/aceproxy/stats")["total_streams"] == 1, "the start")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0
    caller.join(5)
    assert [(reply.status, reply.reason) for reply in replies] == [(503, "shutdown")]
    assert "Traceback" not in proxy.err


def test_an_engine_that_does_not_confirm_stops_holds_up_nobody_for_long(
    engine: Engine, proxy: Proxy, view: View
) -> None:
    viewer = view(proxy.play(engine, "Light One"))
    engine.set_fault("stop-hang")
    proxy.signal(signal.SIGTERM)
    viewer.wait_end(2)
    assert proxy.wait(10) == 0
    assert engine.running() == []


def test_a_second_signal_forces_the_end(engine: Engine, proxy: Proxy, view: View) -> None:
    viewer = view(proxy.play(engine, "Light One"))
    engine.set_fault("stop-hang")
    proxy.signal(signal.SIGTERM)
    viewer.wait_end(2)  # the first one is at work, and waits for the engine
    assert proxy.process.poll() is None
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(1) == FORCED_STATUS


def test_what_a_killed_proxy_left_running_is_stopped_by_the_next_one(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    first = Proxy(tmp_path, engine.url, f"state_dir={folder}")
    programs(first)
    viewers = [view(first.play(engine, name)) for name in CHANNELS]
    for viewer in viewers:
        viewer.wait_bytes(100_000)
    wait_for((folder / "playbacks.json").exists, "the journal")
    first.process.kill()
    first.wait(5)
    for viewer in viewers:
        viewer.wait_end(5)
    assert len(engine.running()) == len(CHANNELS)
    second = Proxy(tmp_path, engine.url, f"state_dir={folder}")
    programs(second)
    wait_for(lambda: not engine.running(), "the stop of what was left")
    assert [one["stop_reason"] for one in engine.playbacks()] == ["stopped"] * len(CHANNELS)
    again = view(second.play(engine, "Light One"))
    again.wait_bytes(100_000)
    second.signal(signal.SIGTERM)
    assert second.wait(10) == 0
    assert engine.running() == []


def test_a_state_folder_that_does_not_exist_yet_serves_as_well(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "state"
    first = Proxy(tmp_path, engine.url, f"state_dir={folder}")
    programs(first)
    view(first.play(engine, "Light One")).wait_bytes(100_000)
    wait_for((folder / "playbacks.json").exists, "the journal in a folder made for it", 3)


def test_a_second_program_with_the_same_state_is_refused_and_stops_nothing(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    first = Proxy(tmp_path, engine.url, f"state_dir={folder}")
    programs(first)
    viewer = view(first.play(engine, "Light One"))
    viewer.wait_bytes(100_000)
    wait_for((folder / "playbacks.json").exists, "the journal")
    command: list[str | Path] = [ACEPROXY, "serve", "--listen", "127.0.0.1:0", "--set", f"state_dir={folder}"]
    second = programs(Program(command, tmp_path / "second"))
    assert second.wait(15) == 2
    assert f"state_dir {folder} is in use by another AceProxy that runs" in second.err
    assert "Traceback" not in second.err
    assert [one["stop_reason"] for one in engine.playbacks()] == [None]
    viewer.wait_bytes(len(viewer.body) + 100_000)


def test_a_taken_port_is_told_in_a_sentence(programs: Keep, proxy: Proxy, tmp_path: Path) -> None:
    second = programs(Program([ACEPROXY, "serve", "--listen", f"127.0.0.1:{proxy.port}"], tmp_path / "second"))
    assert second.wait(15) == 2
    assert f"127.0.0.1:{proxy.port}" in second.err
    assert "Traceback" not in second.err
    assert proxy.get("/api/health")["status"]
