"""Clients that come and go in numbers: everything that was started is stopped, and nothing is kept."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.system.programs import Engine, Program, Proxy, tool, wait_for

Keep = Callable[[Program], Program]
CHANNELS = ("Light One", "Light Two", "Clock One", "Clock Two")
CLIENTS = 200
SECONDS = 4.0
GROWTH_BYTES = 12 << 20
POOL_THREADS = 2  # workers are begun when all others happen to be busy; a leak were one for each stream or client


@dataclass(frozen=True)
class Footprint:
    """What a process holds when it has nothing to do."""

    descriptors: int
    threads: int
    resident_bytes: int


def footprint(pid: int) -> Footprint:
    """Return what a process holds now."""
    process = psutil.Process(pid)
    return Footprint(process.num_fds(), process.num_threads(), process.memory_info().rss)


def is_idle(pid: int) -> bool:
    """Say whether a process holds no connection and no block."""
    process = psutil.Process(pid)
    places = [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    connections = [one for one in process.net_connections(kind="inet") if one.status != psutil.CONN_LISTEN]
    return not connections and not any("aceproxy-block" in str(place) for place in places)


def settled(proxy: Proxy) -> Footprint:
    """Wait until the proxy holds nothing of any client or stream and return what it still has."""

    def look() -> Footprint | None:
        try:
            return footprint(proxy.pid) if is_idle(proxy.pid) else None
        except FileNotFoundError:
            return None  # a descriptor was closed while it was looked at

    return wait_for(look, "an idle proxy", 15)


def churn(keep: Keep, folder: Path, urls: list[str]) -> dict[str, int]:
    """Let the clients come and go; return what they saw."""
    command = [sys.executable, "-m", "tests.system.churner", *urls, "--count", str(CLIENTS), "--seconds", str(SECONDS)]
    program = keep(Program(command, folder / "churner"))
    assert program.wait(SECONDS + 30) == 0, program.err
    found: dict[str, int] = json.loads(program.out)
    return found


@pytest.mark.timeout(240)
def test_200_clients_that_come_and_go_leave_nothing_behind(programs: Keep, engine: Engine, tmp_path: Path) -> None:
    gc.collect()
    proxy = Proxy(tmp_path, engine.url, "linger_s=1", "engine_probe_s=60")
    programs(proxy)
    urls = [proxy.play(engine, name) for name in CHANNELS]
    at_first = settled(proxy)
    after: list[Footprint] = []
    for turn in (1, 2):
        seen = churn(programs, tmp_path / str(turn), urls)
        print(seen)
        assert set(seen) == {"played", "left early"}
        assert seen["played"] > CLIENTS / 2
        wait_for(lambda: not engine.running(), "the stop of all playbacks")
        after.append(settled(proxy))
        playbacks = engine.playbacks()
        assert len(playbacks) == turn * len(CHANNELS)
        assert {one["stop_reason"] for one in playbacks} == {"stopped"}
        assert {one["max_readers"] for one in playbacks} == {1}
    print(at_first, after)
    assert [one.descriptors for one in after] == [at_first.descriptors] * 2
    assert after[1].threads - after[0].threads <= POOL_THREADS
    assert after[1].resident_bytes - after[0].resident_bytes < GROWTH_BYTES
    stats = proxy.get("/api/aceproxy/stats")
    assert (stats["total_streams"], stats["total_clients"]) == (0, 0)
    assert set(stats["clients_closed_by_reason"]) == {"client_left"}
    assert stats["closed_by_reason"] == {"linger_over": 2 * len(CHANNELS)}
    assert stats["streams_failed"] == 0


@pytest.mark.timeout(240)
def test_starts_that_everybody_gives_up_are_stopped_as_well(programs: Keep, engine: Engine, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, engine.url, "linger_s=0.2", "engine_probe_s=60")
    programs(proxy)
    at_first = settled(proxy)
    engine.set_fault("slow-start", "1.5")
    urls = [proxy.play(engine, name) for name in CHANNELS]
    program = tool("curl")
    curls = [programs(Program([program, "-s", "-m", "0.5", url], tmp_path / "curl")) for url in urls * 5]
    for curl in curls:
        assert curl.wait(10) == 28  # gave up
    wait_for(lambda: proxy.get("/api/aceproxy/streams")["total_streams"] == 0, "the end of the starts")
    wait_for(lambda: not engine.running(), "the stop of what was started")
    assert settled(proxy).descriptors == at_first.descriptors
    recent = proxy.get("/api/aceproxy/streams")["recent"]
    assert {one["reason"] for one in recent} == {"linger_over"}
    assert len(engine.playbacks()) <= len(CHANNELS)
