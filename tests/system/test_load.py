"""Hundreds of players on one broadcast, and what the control plane and the other players feel of it: nothing."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.programs import Engine, Program, Proxy, tool, wait_for

PLAYERS = 300
SECONDS = 15.0
PROBED_S = 8.0
P99_LIMIT_MS = 50.0
TRIES = 3  # of the latency measurement: other programs share this machine
CHANNEL_BPS = 5.5e6

Keep = Callable[[Program], Program]


def crowd_on(keep: Keep, folder: Path, url: str, count: int, *more: str) -> Program:
    """Start `count` players, who stay until they are asked for their verdict."""
    # niced: elsewhere players do not share the proxy's processor
    command = ["nice", sys.executable, "-m", "tests.system.players", url, "--until-asked", "--count", str(count), *more]
    return keep(Program(command, folder / "players"))


def latencies(keep: Keep, folder: Path, url: str, stream_id: str) -> dict[str, Any]:
    """Measure every route for some seconds."""
    paths = [
        *("/", "/api/health", "/api/logs/tail", "/api/aceproxy/stats", "/api/aceproxy/streams", "/ace/status"),
        *(f"/api/aceproxy/streams/{stream_id}", f"/ace/status?id={stream_id}"),
    ]
    prober = keep(
        Program(
            [sys.executable, "-m", "tests.system.probing", url, "--seconds", str(PROBED_S), "--rate", "20", *paths],
            folder / "prober",
        )
    )
    assert prober.wait(PROBED_S + 30) == 0, prober.err
    found: dict[str, Any] = json.loads(prober.out)
    return found


@pytest.mark.timeout(240)
def test_300_players_share_one_playback_and_no_route_feels_them(programs: Keep, engine: Engine, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, engine.url, "client_stall_s=300", "ring_s=5")
    programs(proxy)
    url, stream_id = proxy.play(engine, "Clock One"), engine.id_of("Clock One")
    crowd = crowd_on(programs, tmp_path, url, PLAYERS, "--seconds", str(SECONDS))
    crowd.find("(joined)", limit_s=40)
    frozen = crowd_on(programs, tmp_path, url, 1, "--receive-bytes", "65536")
    frozen.find("(joined)")
    frozen.signal(signal.SIGSTOP)
    engine.set_fault("json-hang", name="Clock Two")
    hung = programs(Program([tool("curl"), "-s", "-m", "120", proxy.play(engine, "Clock Two")], tmp_path / "hung"))
    wait_for(lambda: proxy.get("/api/aceproxy/stats")["total_streams"] == 2, "the hung start")

    measured: dict[str, Any] = {}
    for number in range(TRIES):
        measured = latencies(programs, tmp_path / str(number), proxy.url, stream_id)
        worst_ms = max(route["p99"] for route in measured["routes"].values())
        print(f"try {number}: worst p99 {worst_ms} ms\n{json.dumps(measured, indent=1)}")
        if worst_ms < P99_LIMIT_MS and not measured["failures"]:
            break
    assert measured["failures"] == []
    assert {path: row for path, row in measured["routes"].items() if row["p99"] >= P99_LIMIT_MS} == {}
    assert hung.process.poll() is None

    wait_for(lambda: [one for one in proxy.stream(stream_id)["clients"] if one["skips"]], "a skip of the frozen one")
    stream = proxy.stream(stream_id)
    assert stream["client_count"] == PLAYERS + 1
    assert sum(client["skips"] > 0 for client in stream["clients"]) == 1

    crowd.signal(signal.SIGUSR1)
    verdict = json.loads(crowd.find(r"verdict (.*)", limit_s=60))
    print(verdict)
    assert verdict["faults"] == []
    assert verdict["reference_faults"] == []
    assert verdict["bad_starts"] == []
    assert verdict["with_tables_first"] == PLAYERS
    assert verdict["not_placed"] == 0
    assert verdict["uncompared_bytes"] == 0
    assert verdict["least_bytes"] > CHANNEL_BPS / 8 * SECONDS
    assert verdict["longest_gap_s"] < 2.0
    playbacks = engine.playbacks("Clock One")
    assert [one["max_readers"] for one in playbacks] == [1]
    assert proxy.stream(stream_id)["recoveries"] == 0
