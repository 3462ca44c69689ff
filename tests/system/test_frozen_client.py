"""A player that stops reading: it costs the others nothing, and finds a valid stream when it wakes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.calls import Viewer
from tests.system.decoding import assert_decodes
from tests.system.oracle import PACKET, faults_in, pid_of, pmt_pids, preamble_packets
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


def pieces(body: bytes, whole: bytes) -> list[tuple[int, int]]:
    """Cut `body` where it leaves `whole`: (packet in the body, packet in the whole stream) of each piece's start."""
    found: list[tuple[int, int]] = []
    at = 0
    while at + 8 * PACKET <= len(body):
        at += preamble_packets(body[at:]) * PACKET
        place = whole.find(body[at : at + 4 * PACKET])
        assert place >= 0, f"packet {at // PACKET} of the recording is not in the stream"
        found.append((at // PACKET, place // PACKET))
        while body[at : at + PACKET] == whole[place : place + PACKET] and at + PACKET <= len(body):
            at, place = at + PACKET, place + PACKET
    return found


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
    starts = pieces(body, bytes(other.body))
    assert len(starts) == 2, starts
    (_, _), (begun, _) = starts
    tables = {0} | pmt_pids(body)
    before = [pid_of(body[(begun - back) * PACKET :][:PACKET]) for back in (2, 1)]
    assert before[0] == 0
    assert set(before) == tables
    assert_decodes(body[(begun - 2) * PACKET :], tmp_path)
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
