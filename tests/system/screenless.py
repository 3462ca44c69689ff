"""Real players, started without a screen so that what they decode can be looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.system.programs import Program, tool

Keep = Callable[[Program], Program]


def start_vlc(keep: Keep, link: str, folder: Path, shots: Path) -> Program:
    """Start VLC without a screen; it writes every tenth decoded picture to `shots`. Not as root, which it refuses."""
    command = [tool("cvlc"), "--intf", "dummy", "--no-audio", "--vout", "dummy", "--video-filter", "scene"]
    command += ["--scene-format", "png", "--scene-ratio", "10", "--scene-path", str(shots), "--no-dbus", link]
    return keep(Program(command, folder / "vlc", env={"HOME": str(shots)}, nobody=True))


def start_mpv(keep: Keep, link: str, folder: Path, pictures: int) -> Program:
    """Start mpv without a screen; it ends after so many decoded pictures and tells of each in its log."""
    command = [tool("mpv"), "--no-config", "--vo=null", "--ao=null", f"--frames={pictures}", "--hwdec=no"]
    command += ["--term-status-msg=picture ${estimated-frame-number} at ${time-pos}", "--msg-level=statusline=status"]
    return keep(Program([*command, f"--log-file={folder / 'mpv.log'}", link], folder / "mpv"))


def start_ffmpeg(keep: Keep, link: str, folder: Path, pictures: int) -> Program:
    """Start ffmpeg; it ends after so many pictures, counts what it decodes and writes only errors to standard error."""
    command = [tool("ffmpeg"), "-nostdin", "-v", "error", "-i", link, "-map", "0:v", "-map", "0:a"]
    command += ["-frames:v", str(pictures), "-progress", "pipe:1", "-f", "null", "-"]
    return keep(Program(command, folder / "ffmpeg"))
