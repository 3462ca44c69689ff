"""`aceproxy demo`, as a newcomer uses it: one command, then real players."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.players_table import PlayersTable, version_of
from tests.system.calls import Viewer, ask
from tests.system.oracle import faults_in
from tests.system.programs import ACEPROXY, Program, tool, wait_for
from tests.system.screenless import start_ffmpeg, start_mpv, start_vlc

Keep = Callable[[Program], Program]
LINK = re.compile(r"^(http://127\.0\.0\.1:\d+/ace/getstream\?id=[0-9a-f]{40}) +(\S.*)$", re.MULTILINE)
PICTURES = 60
PLAYER_LIMIT_S = 60.0


@pytest.fixture
def demo(programs: Keep, tmp_path: Path) -> Program:
    """Return a running demo; its output goes to a file, so not to a terminal."""
    started = programs(Program([ACEPROXY, "demo", "--listen", "127.0.0.1:0"], tmp_path / "demo"))
    started.find("(Ctrl-C ends it)")
    return started


def engine_state(demo: Program) -> dict[str, Any]:
    """Return what the demo's engine tells."""
    found: dict[str, Any] = ask("GET", demo.find(r"(http://\S+/simulator/)") + "state").json()
    return found


def test_the_demo_prints_one_whole_link_a_line_also_into_a_pipe(programs: Keep, demo: Program) -> None:
    links = LINK.findall(demo.out)
    live = {one["name"]: one["content_id"] for one in engine_state(demo)["contents"] if one["live"]}
    assert {name: link.rpartition("=")[2] for link, name in links} == live
    assert len(live) >= 4
    assert demo.process.poll() is None
    for link, _ in links:
        assert ask("HEAD", link).status == 200


def test_the_demo_tells_where_each_setting_comes_from(demo: Program) -> None:
    base, _, secret = demo.find(r"(http://\S+/sign-in#\S+)").partition("/sign-in#")
    settings = ask("GET", f"{base}/api/settings", secret=secret).json()["settings"]
    origins = {one["name"]: one["origin"] for one in settings if one["origin"] != "the default"}
    assert origins == {"listen": "the command line", "engines": "the start", "url_hosts": "the start"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["terminated", "terminal closed"])
def test_the_demo_leaves_nothing_behind_when_it_is_ended(demo: Program, number: signal.Signals) -> None:
    simulator = demo.find(r"(http://\S+)/simulator/")
    assert ask("GET", f"{simulator}/simulator/state").status == 200
    demo.process.send_signal(number)
    assert demo.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        ask("GET", f"{simulator}/simulator/state")


def test_the_demo_killed_with_9_takes_its_engine_along(demo: Program) -> None:
    simulator = demo.find(r"(http://\S+)/simulator/")
    demo.process.kill()
    demo.wait(5)

    def gone() -> bool:
        try:
            ask("GET", f"{simulator}/simulator/state", limit_s=2)
        except OSError:
            return True
        return False

    wait_for(gone, "the end of the demo's engine")


def test_with_two_engines_one_can_be_killed_as_it_says_while_something_plays(
    programs: Keep, view: Callable[..., Viewer], tmp_path: Path
) -> None:
    demo = programs(Program([ACEPROXY, "demo", "--listen", "127.0.0.1:0", "--engines", "2"], tmp_path / "demo"))
    demo.find("(Ctrl-C ends it)")
    link, _ = LINK.findall(demo.out)[0]
    viewer = view(link)
    viewer.wait_bytes(500_000)
    base = link.partition("/ace/")[0]
    engines = ask("GET", f"{base}/api/aceproxy/engines").json()["engines"]
    (playing,) = [one["label"] for one in engines if one["streams"]]
    os.kill(int(demo.find(rf"kill -9 (\d+) +{playing}")), signal.SIGKILL)
    demo.find(rf"(The engine {playing} has ended; 1 left)")
    viewer.wait_more(1_500_000, limit_s=20)
    assert not viewer.ended.is_set()
    assert faults_in(viewer.body) == []
    demo.process.terminate()
    assert demo.wait(10) == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that any user may write to; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="aceproxy-shots-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def is_whole_picture(path: Path) -> bool:
    """Say whether a file is a PNG that is written to its end."""
    return path.read_bytes()[-8:-4] == b"IEND"


@pytest.mark.timeout(240)
def test_ffmpeg_vlc_and_mpv_play_one_channel_at_once_from_one_playback(
    programs: Keep, demo: Program, tmp_path: Path, open_folder: Path, players_table: PlayersTable
) -> None:
    for name in ("ffmpeg", "mpv", "cvlc", "ffprobe"):
        tool(name)
    link = next(link for link, name in LINK.findall(demo.out) if name == "Clock One")
    base = link.partition("/ace/")[0]
    vlc = start_vlc(programs, link, tmp_path, open_folder)
    mpv = start_mpv(programs, link, tmp_path, PICTURES)
    ffmpeg = start_ffmpeg(programs, link, tmp_path, PICTURES)

    def together() -> list[str] | None:
        streams = ask("GET", f"{base}/api/aceproxy/streams").json()["streams"]
        agents = [client["agent"] for stream in streams for client in stream["clients"]]
        return agents if len(agents) >= 3 else None

    agents = wait_for(together, "all three players at once", PLAYER_LIMIT_S) or []
    assert any("VLC" in agent for agent in agents)
    assert sum("Lavf" in agent or "mpv" in agent.lower() for agent in agents) >= 2

    assert ffmpeg.wait(PLAYER_LIMIT_S) == 0, ffmpeg.err
    assert ffmpeg.err == ""
    assert int(re.findall(r"^frame=(\d+)$", ffmpeg.out, re.MULTILINE)[-1]) == PICTURES

    assert mpv.wait(PLAYER_LIMIT_S) == 0, mpv.out + mpv.err
    assert max(int(number) for number in re.findall(r"picture (\d+) at 0", mpv.out + mpv.err)) >= PICTURES - 2
    log = (tmp_path / "mpv.log").read_text()
    assert not re.search(r"\[(?:e|f)\]\[ffmpeg/|Error while decoding", log), log

    pictures = wait_for(
        lambda: (found := [p for p in open_folder.glob("*.png") if is_whole_picture(p)]) and len(found) >= 4 and found,
        "pictures from VLC",
        PLAYER_LIMIT_S,
    )
    assert isinstance(pictures, list)
    assert vlc.process.poll() is None
    assert len({picture.read_bytes() for picture in pictures}) >= 3  # they move
    size = subprocess.run(
        [tool("ffprobe"), "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", str(pictures[0])],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert size.stdout.startswith("1280,7")  # VLC pads the height of 720
    players_table.add("ffmpeg", version_of("ffmpeg", "-version"), ts=True)
    players_table.add("mpv", version_of("mpv"), ts=True)
    players_table.add("VLC", version_of("cvlc"), ts=True)

    playbacks = engine_state(demo)["playbacks"]
    assert [(one["max_readers"], one["stopped_s_ago"]) for one in playbacks] == [(1, None)]
