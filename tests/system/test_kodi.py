"""Kodi with pvr.iptvsimple plays channels of a playlist, as MPEG-TS and as HLS, and changes between them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.players_table import PlayersTable
from tests.system.kodi import Kodi
from tests.system.programs import Engine, Program, Proxy, wait_for

ADDON = Path("/usr/share/kodi/addons/pvr.iptvsimple")
LABELS = ("VideoPlayer.ChannelName", "VideoPlayer.VideoCodec", "VideoPlayer.AudioCodec", "Player.Time")
TIMES = 4  # different times that Kodi must show while it plays
PLAY_S = 45.0


def watch(kodi: Kodi, proxy: Proxy, engine: Engine, channel: str, protocol: str) -> None:
    """Change to a channel and see that it plays: Kodi's clock goes on, and it is the client that gets the bytes."""
    kodi.play(channel)
    times: set[str] = set()

    def plays() -> bool:
        shown = kodi.labels(*LABELS)
        if (shown["VideoPlayer.ChannelName"], shown["VideoPlayer.VideoCodec"]) == (channel, "h264"):
            times.add(shown["Player.Time"])
        return len(times) >= TIMES and shown["VideoPlayer.AudioCodec"] == "aac"

    wait_for(plays, f"{channel} in Kodi", PLAY_S)
    clients = proxy.stream(engine.id_of(channel))["clients"]
    assert {client["protocol"] for client in clients} == {protocol}
    assert all(client["agent"].startswith("Kodi") for client in clients)


@pytest.mark.timeout(240)
def test_kodi_plays_a_playlist_and_changes_channels(
    programs: Callable[[Program], Program], engine: Engine, proxy: Proxy, tmp_path: Path, players_table: PlayersTable
) -> None:
    if not ADDON.exists() and shutil.which("kodi-standalone") and not os.environ.get("CI"):
        pytest.skip("Kodi has no pvr.iptvsimple here (Debian: kodi-pvr-iptvsimple)")
    links = {
        "Clock One": proxy.play(engine, "Clock One"),
        "Clock Two": f"{proxy.url}/ace/manifest.m3u8?id={engine.id_of('Clock Two')}",
    }
    lines = [f"#EXTINF:-1,{name}\n{link}\n" for name, link in links.items()]
    kodi = Kodi(programs, tmp_path / "home", "".join(["#EXTM3U\n", *lines]))
    assert set(kodi.channels) == set(links)
    version = kodi.call("Application.GetProperties", properties=["version"])["version"]
    watch(kodi, proxy, engine, "Clock One", "mpegts")
    watch(kodi, proxy, engine, "Clock Two", "hls")
    first = engine.id_of("Clock One")
    wait_for(lambda: not proxy.stream(first).get("clients"), "Kodi to leave the first channel", 15.0)
    players_table.add("Kodi", f"{version['major']}.{version['minor']}, pvr.iptvsimple", ts=True, hls=True)
    kodi.call("Application.Quit")
    assert kodi.program.wait(30) == 0
