"""Engines that die, stall and lie while many watch: players that verify every byte must not notice, or hardly."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.system.calls import Viewer
from tests.system.decoding import assert_decodes, decode_start
from tests.system.oracle import PACKET, faults_in, pid_of
from tests.system.programs import Engine, Program, Proxy, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]
VIDEO_PID = 0x100
FRAME = 3600  # 25 pictures a second
KNOWN_S = 6.0  # for which a source is seen before it is left for a short silence
AWAY_S = 2.5  # for which an engine is gone; by hand also 20


def two_engines(programs: Keep, folder: Path) -> tuple[Engine, Engine]:
    """Start two engines of one swarm."""
    engines = Engine(folder, "--in-step"), Engine(folder, "--in-step")
    for engine in engines:
        programs(engine)
    return engines


def used(proxy: Proxy, engines: tuple[Engine, Engine]) -> tuple[Engine, Engine]:
    """Return the engine that plays the only stream, and the other one."""
    [stream] = proxy.get("/api/aceproxy/streams")["streams"]
    one, other = engines
    return (one, other) if stream["engine"] == one.url else (other, one)


def picture_times(data: bytes | bytearray) -> list[int]:
    """Return the decoding time of every picture of the video, 90 kHz."""
    found: list[int] = []
    for at in range(0, len(data) - PACKET + 1, PACKET):
        packet = bytes(data[at : at + PACKET])
        if pid_of(packet) != VIDEO_PID or not packet[1] & 0x40:
            continue
        start = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        field = packet[start + 9 + (5 if packet[start + 7] & 0x40 else 0) :][:5]
        found.append((field[0] >> 1 & 7) << 30 | field[1] << 22 | (field[2] >> 1) << 15 | field[3] << 7 | field[4] >> 1)
    return found


def assert_unbroken(body: bytes | bytearray, folder: Path) -> None:
    """Assert that nothing is repeated, missing or damaged, by our own judge and by two decoders, to the last second."""
    whole = body[: len(body) // PACKET * PACKET]
    assert faults_in(whole) == []
    times = picture_times(whole)
    assert {later - earlier for earlier, later in pairwise(times)} == {FRAME}
    assert_decodes(whole, folder, seconds=len(times) / 25 - 1)  # it ends in the middle of a picture


def longest_wait(viewer: Viewer, first: int) -> float:
    """Return the longest time, in seconds, between the arrival of two pictures from byte `first` on."""
    times: list[float] = []
    body, arrivals = viewer.body, iter(viewer.arrivals)
    at, total = 0.0, 0
    for offset in range(first // PACKET * PACKET, len(body) - PACKET + 1, PACKET):
        if pid_of(bytes(body[offset : offset + 4])) != VIDEO_PID or not body[offset + 1] & 0x40:
            continue
        while total <= offset:
            at, total = next(arrivals)
        times.append(at)
    return max(later - earlier for earlier, later in pairwise(times))


def crowd_on(programs: Keep, folder: Path, url: str, count: int) -> Program:
    """Start players who compare every byte, and stay until they are asked for their verdict."""
    command = ["nice", sys.executable, "-m", "tests.system.players", url, "--until-asked", "--count", str(count)]
    return programs(Program([*command, "--seconds", "1"], folder / "players"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("end", "standby", "limit_s"),
    [(signal.SIGKILL, "false", 5.0), (signal.SIGKILL, "true", 1.0), (signal.SIGSTOP, "true", 1.0)],
)
def test_a_hundred_players_hardly_notice_that_their_engine_is_killed_or_freezes(
    programs: Keep, view: View, tmp_path: Path, end: signal.Signals, standby: str, limit_s: float
) -> None:
    engines = two_engines(programs, tmp_path)
    proxy = Proxy(
        tmp_path,
        engines[0].url,
        f"engines={engines[0].url},{engines[1].url}",
        f"standby={standby}",
        "standby_clients=0",
    )
    programs(proxy)
    viewer = view(proxy.play(engines[0], "Clock One"))
    crowd = crowd_on(programs, tmp_path, proxy.play(engines[0], "Clock One"), 100)
    crowd.find("(joined)", 60)
    doomed, other = used(proxy, engines)
    if standby == "true":
        stream_id = engines[0].id_of("Clock One")
        wait_for(lambda: (proxy.stream(stream_id)["standby"] or {}).get("ready"), "the standby")
    viewer.wait_more(500_000)
    if end == signal.SIGSTOP:
        known_at = viewer.began_at + KNOWN_S + 1
        wait_for(lambda: time.monotonic() > known_at, "the way in which the engine sends to be known")
    seen = len(viewer.body) - 500_000
    doomed.signal(end)
    wait_for(lambda: other.running("Clock One"), "a playback on the other engine")
    wait_for(lambda: proxy.get("/api/aceproxy/streams")["streams"][0]["recoveries"], "the switch")
    viewer.wait_more(1_500_000)
    [stream] = proxy.get("/api/aceproxy/streams")["streams"]
    assert stream["recoveries"] == 1
    assert (stream["client_count"], stream["ended_clients"]) == (101, [])
    crowd.signal(signal.SIGUSR1)
    verdict = json.loads(crowd.find("verdict (.*)", 30))
    assert (verdict["fault_count"], verdict["reference_faults"], verdict["players"]) == (0, [], 100)
    viewer.leave()
    assert longest_wait(viewer, seen) < limit_s
    assert_unbroken(viewer.body, tmp_path)


@pytest.mark.timeout(240)
def test_a_hundred_players_stay_while_the_only_engine_is_away(programs: Keep, view: View, tmp_path: Path) -> None:
    engine = Engine(tmp_path, "--in-step")
    programs(engine)
    proxy = Proxy(tmp_path, engine.url)
    programs(proxy)
    stream_id = engine.id_of("Clock One")
    viewer = view(proxy.play(engine, "Clock One"))
    crowd = crowd_on(programs, tmp_path, proxy.play(engine, "Clock One"), 100)
    crowd.find("(joined)", 60)
    viewer.wait_more(500_000)
    engine.signal(signal.SIGKILL)
    engine.wait(5)
    gone_at = time.monotonic()
    wait_for(lambda: proxy.stream(stream_id).get("state") == "recovering", "the loss to be noticed")
    wait_for(lambda: time.monotonic() - gone_at > AWAY_S, "the engine to have been away for a while", 2 * AWAY_S + 5)
    programs(Engine(tmp_path, "--in-step", port=engine.port))
    wait_for(lambda: proxy.stream(stream_id).get("state") == "live", "the picture to go on", 60)
    viewer.wait_more(1_000_000)
    stream = proxy.stream(stream_id)
    assert (stream["client_count"], stream["ended_clients"]) == (101, [])
    crowd.signal(signal.SIGUSR1)
    verdict = json.loads(crowd.find("verdict (.*)", 30))
    assert (verdict["fault_count"], verdict["reference_faults"], verdict["players"]) == (0, [], 100)
    viewer.leave()
    whole = viewer.body[: len(viewer.body) // PACKET * PACKET]
    assert faults_in(whole) == []
    times = picture_times(whole)
    assert all(earlier < later for earlier, later in pairwise(times)), "nothing comes twice"
    seen = decode_start(whole, len(times) - 25)
    assert seen["pictures"] >= len(times) - 26
    assert (seen["corrupt"], seen["complaints"]) == (0, [])


@pytest.mark.timeout(240)
def test_a_source_that_lies_harms_only_its_own_stream(programs: Keep, view: View, tmp_path: Path) -> None:
    engine = Engine(tmp_path, "--channels", "3")
    programs(engine)
    proxy = Proxy(tmp_path, engine.url, "garbage_s=1", "trickle_s=2", "keyframe_gap_s=2", "recover_s=2")
    programs(proxy)
    faults = {"Channel 001": "garbage", "Channel 002": "one-packet-per-second", "Channel 003": "no-keyframes"}
    harmed = {name: view(proxy.play(engine, name)) for name in faults}
    sound = view(proxy.play(engine, "Clock One"))
    sound.wait_bytes(500_000)
    for name, fault in faults.items():
        engine.set_fault(fault, name=name)
    waits: list[float] = []
    until_at = time.monotonic() + 4.0
    while time.monotonic() < until_at:
        asked_at = time.monotonic()
        proxy.get("/api/aceproxy/streams")
        waits.append(time.monotonic() - asked_at)
        time.sleep(0.05)
    sound.leave()
    assert_unbroken(sound.body, tmp_path)
    assert sorted(waits)[int(0.9 * len(waits))] < 0.1
    expected = {engine.id_of("Channel 001"): "not_mpegts", engine.id_of("Channel 002"): "source_stalled"}

    def reasons() -> dict[str, str]:
        recent = proxy.get("/api/aceproxy/streams")["recent"]
        return {one["key"].partition(":")[2]: one["reason"] for one in recent}

    wait_for(lambda: expected.items() <= reasons().items(), "the ends of the two that send nothing of use", 15)
    keyless = proxy.stream(engine.id_of("Channel 003"))
    assert keyless["state"] == "live", "what plays is left alone where there is nothing better"
    assert not harmed["Channel 003"].ended.is_set()


@pytest.mark.timeout(240)
def test_a_stall_of_the_swarm_evicts_nobody(programs: Keep, engine: Engine, view: View, tmp_path: Path) -> None:
    """The swarm stands still for twice as long as a player may take no byte."""
    proxy = Proxy(tmp_path, engine.url, "client_stall_s=2")
    programs(proxy)
    viewer = view(proxy.play(engine, "Clock One"))
    crowd = crowd_on(programs, tmp_path, proxy.play(engine, "Clock One"), 20)
    crowd.find("(joined)", 60)
    engine.set_fault("stall-after", "0", name="Clock One")
    stream_id = engine.id_of("Clock One")
    wait_for(lambda: (proxy.stream(stream_id)["last_byte_age_s"] or 0) > 4, "a stall of four seconds")
    assert proxy.stream(stream_id)["state"] == "live"
    engine.clear_faults()
    wait_for(lambda: (proxy.stream(stream_id)["last_byte_age_s"] or 9) < 1, "the end of the stall")
    viewer.wait_more(1_000_000)
    stream = proxy.stream(stream_id)
    assert (stream["client_count"], stream["ended_clients"], stream["recoveries"]) == (21, [], 0)
    assert len(engine.playbacks("Clock One")) == 1
    crowd.signal(signal.SIGUSR1)
    verdict = json.loads(crowd.find("verdict (.*)", 30))
    assert verdict["fault_count"] == 0
