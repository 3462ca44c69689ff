"""Joining: a picture from the first bytes, and codecs that are known at once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.calls import Viewer
from tests.system.decoding import assert_decodes, decode_start
from tests.system.oracle import faults_in, preamble_packets
from tests.system.programs import Engine, Program, Proxy, tool

View = Callable[..., Viewer]
Keep = Callable[[Program], Program]
CLOCK_BPS = 5_740_016
PROBE_LIMIT_S = 1.0


@pytest.fixture(scope="module")
def engine(module_programs: Keep, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return the engine of all joins."""
    engine = Engine(tmp_path_factory.mktemp("engine"))
    module_programs(engine)
    return engine


@pytest.fixture(scope="module")
def proxy(module_programs: Keep, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    """Return the proxy of all joins."""
    proxy = Proxy(tmp_path_factory.mktemp("proxy"), engine.url, "linger_s=0.3")
    module_programs(proxy)
    return proxy


def test_players_that_join_in_mid_stream_decode_from_the_first_picture_on(
    engine: Engine, proxy: Proxy, view: View, tmp_path: Path
) -> None:
    url, before = proxy.play(engine, "Clock One"), len(engine.playbacks())
    first = view(url)
    first.wait_bytes(CLOCK_BPS // 8 * 5)
    joined = []
    for _ in range(4):  # at different places of the group of pictures
        joined.append(view(url))
        first.wait_more(CLOCK_BPS // 8 // 3)
    for viewer in joined:
        viewer.wait_bytes(CLOCK_BPS // 8 * 4, limit_s=20)
        body = bytes(viewer.body)
        assert preamble_packets(body) == 2
        assert faults_in(body) == []
        assert_decodes(body, tmp_path, seconds=2.5)
    assert len(engine.playbacks()) == before + 1


def test_the_judge_of_joins_notices_a_join_in_the_middle_of_a_group_of_pictures(
    engine: Engine, proxy: Proxy, view: View
) -> None:
    viewer = view(proxy.play(engine, "Clock One"))
    viewer.wait_bytes(CLOCK_BPS // 8 * 4)
    spoilt = viewer.body[: 2 * 188] + viewer.body[200 * 188 :]
    assert decode_start(spoilt, 30)["first_is_keyframe"] is False


def test_the_first_byte_of_a_running_stream_comes_at_once(engine: Engine, proxy: Proxy, view: View) -> None:
    url = proxy.play(engine, "Clock One")
    view(url).wait_bytes(CLOCK_BPS // 8 * 4)
    waits_s = [view(url).first_byte_s for _ in range(5)]
    print(waits_s)
    assert min(waits_s) < 0.1
    burst = view(url)
    burst.wait_bytes(CLOCK_BPS // 8 * 2, limit_s=1.5)  # two seconds of media to begin with, not in real time


def probe_s(url: str) -> float:
    """Run ffprobe with its default options on a channel of the clock clip; return how long it took."""
    command = [tool("ffprobe"), "-v", "error", "-show_entries", "stream=codec_name,width,sample_rate"]
    began_at = time.monotonic()
    done = subprocess.run([*command, "-of", "csv=p=0", url], capture_output=True, text=True, timeout=20, check=True)
    took_s = time.monotonic() - began_at
    assert done.stderr == ""
    assert set(done.stdout.split()) == {"h264,1280", "aac,48000"}
    return round(took_s, 3)


def test_ffprobe_knows_the_codecs_in_under_a_second(engine: Engine, proxy: Proxy, view: View) -> None:
    url = proxy.play(engine, "Clock One")
    running = view(url)
    running.wait_bytes(CLOCK_BPS // 8 * 9)
    took_s: list[float] = []
    for _ in range(2):  # the machine may be busy with something else
        took_s = []
        for _ in range(4):  # at different places of the group of pictures
            running.wait_more(CLOCK_BPS // 8 * 2 // 5)
            took_s.append(probe_s(url))
        print(took_s)
        if max(took_s) < PROBE_LIMIT_S:
            break
    assert max(took_s) < PROBE_LIMIT_S


def test_a_radio_is_joined_as_well(engine: Engine, proxy: Proxy, view: View, tmp_path: Path) -> None:
    url = proxy.play(engine, "Radio One")
    first = view(url)
    first.wait_bytes(60_000)
    late = view(url)
    late.wait_bytes(60_000)
    assert faults_in(late.body) == []
    path = tmp_path / "radio.ts"
    path.write_bytes(late.body)
    command = [tool("ffmpeg"), "-nostdin", "-v", "error", "-xerror", "-f", "mpegts", "-i", str(path)]
    done = subprocess.run([*command, "-t", "1", "-f", "null", "-"], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
