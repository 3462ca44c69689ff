"""A player that stops reading: it costs the others nothing, and finds a valid stream when it wakes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.calls import Viewer
from tests.system.decoding import assert_all_decodes, assert_decodes
from tests.system.oracle import PACKET, faults_in, packets, pid_of, pmt_pids
from tests.system.programs import Engine, Program, Proxy, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]
RECEIVE_BYTES = 65536


def recorder(keep: Keep, url: str, folder: Path) -> tuple[Program, Path]:
    """Start a recorder with a small receive buffer and wait until it plays."""
    path = folder / "recorded.ts"
    command = [sys.executable, "-m", "tests.system.recorder", url, str(path), str(RECEIVE_BYTES)]
    program = keep(Program(command, folder / "recorder"))
    program.find("(joined)")
    wait_for(lambda: path.exists() and path.stat().st_size > 1 << 20, "a megabyte in the recording")
    return program, path


def client_of(proxy: Proxy, stream_id: str, agent: str) -> dict[str, Any]:
    """Return the connected client with this agent, empty if there is none."""
    clients = proxy.stream(stream_id).get("clients", [])
    return next((one for one in clients if one["agent"] == agent), {})


def marks_in(body: bytes) -> list[int]:
    """Return which packets have no payload and say that the counter of their PID begins anew."""
    return [
        number
        for number, packet in enumerate(packets(body))
        if packet[3] & 0x30 == 0x20 and packet[4] and packet[5] & 0x80
    ]


@pytest.mark.timeout(240)
def test_a_frozen_player_skips_ahead_and_goes_on_at_a_keyframe(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "ring_s=4", "client_stall_s=120")
    programs(proxy)
    url, stream_id = proxy.play(engine, "Clock One"), engine.id_of("Clock One")
    other = view(url)
    program, path = recorder(programs, url, tmp_path)
    program.signal(signal.SIGSTOP)
    wait_for(lambda: client_of(proxy, stream_id, "recorder").get("skips"), "a skip of the frozen player", 40)
    wait_for(lambda: client_of(proxy, stream_id, "recorder")["behind"], "the frozen player to be behind")
    assert client_of(proxy, stream_id, "viewer")["skips"] == 0
    frozen_at = path.stat().st_size
    program.signal(signal.SIGCONT)
    wait_for(lambda: path.stat().st_size > frozen_at + 10_000_000, "the stream to go on", 30)
    assert client_of(proxy, stream_id, "recorder")["skips"] == 1
    program.end()
    body = path.read_bytes()
    other.wait_more(1 << 20)

    assert faults_in(other.body) == []
    assert set(body[::PACKET][: len(body) // PACKET]) == {0x47}  # aligned from the first packet to the last
    assert faults_in(body) == []
    marks = marks_in(body)
    assert marks == list(range(marks[0], marks[-1] + 1))  # in one place
    tables = body[(marks[-1] + 1) * PACKET :]
    assert [pid_of(packet) for packet in packets(tables[: 2 * PACKET])] == [0, *pmt_pids(body)]
    assert body[: PACKET * (marks[0] // 2)][2 * PACKET :] in other.body
    assert body[-(1 << 20) // PACKET * PACKET :][: 1 << 19] in other.body
    assert_decodes(tables, tmp_path)
    assert_all_decodes(path)
    stats = proxy.get("/api/aceproxy/stats")
    assert stats["skips"] == 1
    ended = wait_for(lambda: proxy.stream(stream_id)["ended_clients"], "the recorder's end")
    assert [(one["agent"], one["reason"], one["skips"]) for one in ended] == [("recorder", "client_left", 1)]


@pytest.mark.timeout(240)
def test_a_player_frozen_for_too_long_is_closed_and_the_api_tells_why(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "ring_s=5", "client_stall_s=2")
    programs(proxy)
    url, stream_id = proxy.play(engine, "Clock One"), engine.id_of("Clock One")
    other = view(url)
    program, _ = recorder(programs, url, tmp_path)
    program.signal(signal.SIGSTOP)
    ended = wait_for(lambda: proxy.stream(stream_id)["ended_clients"], "the end of the frozen player", 40)
    assert [(one["agent"], one["reason"], one["fault"]) for one in ended] == [("recorder", "stalled_client", "client")]
    assert ended[0]["sent_bytes"] > 1 << 20
    assert proxy.get("/api/aceproxy/stats")["clients_closed_by_reason"] == {"stalled_client": 1}
    program.signal(signal.SIGCONT)
    assert program.find(r"ended (\w+)", limit_s=10) in ("eof", "ConnectionResetError")
    assert program.wait(5) == 0
    other.wait_more(2 << 20)
    assert faults_in(other.body) == []
    assert client_of(proxy, stream_id, "viewer")["skips"] == 0
    assert [one["max_readers"] for one in engine.playbacks()] == [1]
