"""HLS with real players, all at once and beside the transport stream, from one playback."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.players_table import PlayersTable, version_of
from tests.system.calls import Viewer
from tests.system.oracle import faults_in
from tests.system.programs import Engine, Program, Proxy, tool, wait_for
from tests.system.screenless import start_ffmpeg, start_mpv, start_vlc

Keep = Callable[[Program], Program]
PICTURES = 100
PLAYER_LIMIT_S = 60.0
CHANNEL = "Clock One"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that any user may write to."""
    with tempfile.TemporaryDirectory(prefix="aceproxy-hls-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def start_gstreamer(keep: Keep, link: str, folder: Path, name: str, kept: str = "") -> Program:
    """Start GStreamer, which tells of every picture; `name` is `playbin`, or the demuxer to use. What it says is kept
    under `kept`, if that is not `name`.
    """
    sink = ["fakesink", "silent=false", "sync=true"]
    if name == "playbin":
        words = ["playbin", f"uri={link}", "flags=1", f"video-sink={' '.join(sink)}"]
    else:
        parts = [["souphttpsrc", f"location={link}"], [name], ["tsdemux"], ["h264parse"], ["avdec_h264"], sink]
        words = [word for part in parts for word in ["!", *part]][1:]
    return keep(Program([tool("gst-launch-1.0"), "-v", *words], folder / (kept or name)))


def grows(count: Callable[[], int], by: int, what: str) -> None:
    """Wait until `count()` is larger by so much than now."""
    least = count() + by
    wait_for(lambda: count() >= least, what, PLAYER_LIMIT_S)


def pictures_of(player: Program) -> int:
    return player.out.count("chain   **")


def whole_pictures(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.png") if path.read_bytes()[-8:-4] == b"IEND"]


@pytest.mark.timeout(240)
def test_vlc_mpv_ffmpeg_and_gstreamer_play_hls_beside_ts_from_one_playback(
    programs: Keep,
    engine: Engine,
    proxy: Proxy,
    view: Callable[..., Viewer],
    tmp_path: Path,
    open_folder: Path,
    players_table: PlayersTable,
) -> None:
    link = f"{proxy.url}/ace/manifest.m3u8?id={engine.id_of(CHANNEL)}"
    for name in ("ffmpeg", "mpv", "cvlc", "gst-launch-1.0"):
        tool(name)
    ts = view(proxy.play(engine, CHANNEL))
    vlc = start_vlc(programs, link, tmp_path, open_folder)
    playbin = start_gstreamer(programs, link, tmp_path, "playbin")
    hlsdemux = start_gstreamer(programs, link, tmp_path, "hlsdemux")
    playbin_ts = start_gstreamer(programs, proxy.play(engine, CHANNEL), tmp_path, "playbin", "playbin-ts")
    mpv = start_mpv(programs, link, tmp_path, PICTURES)
    ffmpeg = start_ffmpeg(programs, link, tmp_path, PICTURES)
    key = engine.id_of(CHANNEL)

    def together() -> set[str] | None:
        clients = proxy.stream(key).get("clients", [])
        agents = {re.split(r"[/ ]", client["agent"])[0] for client in clients if client["protocol"] == "hls"}
        return agents if {"VLC", "GStreamer", "libmpv", "Lavf"} <= agents else None

    wait_for(together, "all players at once", PLAYER_LIMIT_S)
    assert max(client["protocol"] for client in proxy.stream(key)["clients"]) == "mpegts"

    assert ffmpeg.wait(PLAYER_LIMIT_S) == 0, ffmpeg.err
    assert ffmpeg.err == ""
    assert int(re.findall(r"^frame=(\d+)$", ffmpeg.out, re.MULTILINE)[-1]) == PICTURES
    assert mpv.wait(PLAYER_LIMIT_S) == 0, mpv.out + mpv.err
    assert max(int(number) for number in re.findall(r"picture (\d+) at", mpv.out + mpv.err)) >= PICTURES - 2
    log = (tmp_path / "mpv.log").read_text()
    assert not re.search(r"\[(?:e|f)\]\[ffmpeg/|Error while decoding", log), log
    for player in (playbin, hlsdemux, playbin_ts):
        grows(partial(pictures_of, player), PICTURES - pictures_of(player), f"pictures from {player.process.args!r}")
        assert "WARNING" not in player.out + player.err
        assert "ERROR" not in player.out + player.err
    grows(lambda: len({one.read_bytes() for one in whole_pictures(open_folder)}), 6, "other pictures from VLC")
    assert vlc.process.poll() is None
    assert [one["max_readers"] for one in engine.playbacks()] == [1]
    ts.wait_more(1 << 20)
    assert faults_in(ts.body[: len(ts.body) // 188 * 188]) == []
    players_table.add("ffmpeg", version_of("ffmpeg", "-version"), hls=True)
    players_table.add("mpv", version_of("mpv"), hls=True)
    players_table.add("VLC", version_of("cvlc"), hls=True)
    players_table.add("GStreamer", version_of("gst-launch-1.0"), ts=True, hls=True)
