"""A broadcast that the engine gives only as HLS, decoded by ffmpeg, also through a second proxy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.system.programs import Engine, Program, Proxy, tool

P = TypeVar("P", bound=Program)
PICTURES = 60


def decode(folder: Path, url: str) -> Program:
    """Start ffmpeg on a number of pictures; it writes nothing but errors."""
    command = [tool("ffmpeg"), "-nostdin", "-v", "error", "-i", url, "-map", "0:v", "-map", "0:a"]
    return Program([*command, "-frames:v", str(PICTURES), "-f", "null", "-"], folder)


def test_ffmpeg_decodes_an_encrypted_broadcast_here_and_through_a_second_proxy(
    programs: Callable[[P], P], engine: Engine, proxy: Proxy, tmp_path: Path
) -> None:
    engine.set_fault("encrypted", name="Light One")
    proxy.wait_engine()
    second = Proxy(tmp_path / "second", proxy.url)
    programs(second)  # type: ignore[arg-type]  # a Program like all others
    second.wait_engine()
    players = [decode(tmp_path / "ffmpeg", one.play(engine, "Light One")) for one in (proxy, second)]
    for player in players:
        programs(player)  # type: ignore[arg-type]
        assert player.wait(40) == 0, player.err
        assert player.err == ""
    outputs = [one["output"] for one in engine.playbacks("Light One")]
    assert outputs == ["ts", "hls"]
