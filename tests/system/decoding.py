"""What decoders say of a piece of a stream: PyAV in this process, ffmpeg and ffprobe as programs."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import av
import av.logging

from tests.system.oracle import PACKET
from tests.system.programs import tool

FFMPEG_LIMIT_S = 40.0


def decode_start(data: bytes | bytearray, pictures: int) -> dict[str, Any]:
    """Decode `pictures` pictures with PyAV; returns what it saw of the first ones and everything it complained of."""
    seen: dict[str, Any] = {"first_is_keyframe": None, "pictures": 0, "corrupt": 0, "complaints": []}
    old_level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as complaints, av.open(io.BytesIO(bytes(data)), "r", format="mpegts") as container:
            for packet in container.demux(video=0):
                if seen["first_is_keyframe"] is None:
                    seen["first_is_keyframe"] = packet.is_keyframe
                for picture in packet.decode():
                    seen["pictures"] += 1
                    seen["corrupt"] += bool(picture.is_corrupt)
                if seen["pictures"] >= pictures:
                    break
        seen["complaints"] = [text for level, _, text in complaints if level <= av.logging.ERROR]
    finally:
        av.logging.set_level(old_level)
    return seen


def assert_decodes(data: bytes | bytearray, folder: Path, seconds: float = 2.0, rate: int = 25) -> None:
    """Assert that two decoders take the first `seconds` without a word, from the first picture on."""
    pictures = int(seconds * rate)
    seen = decode_start(data, pictures)
    assert seen["first_is_keyframe"] is True
    assert seen["pictures"] >= pictures
    assert (seen["corrupt"], seen["complaints"]) == (0, [])
    path = folder / f"piece-{len(data)}.ts"
    path.write_bytes(data)
    command = [tool("ffmpeg"), "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-f", "mpegts"]
    command += ["-i", str(path), "-t", str(seconds), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FFMPEG_LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def assert_all_decodes(path: Path) -> None:
    """Assert that ffmpeg takes all of a file without a word, ended as it may be within a picture."""
    data = path.read_bytes()
    whole = path.with_suffix(".whole.ts")
    whole.write_bytes(data[: last_start(data) * PACKET])
    command = [tool("ffmpeg"), "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-f", "mpegts"]
    command += ["-i", str(whole), "-map", "0:v", "-map", "0:a", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FFMPEG_LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def last_start(data: bytes) -> int:
    """Return the number of the last packet in which a picture starts (stream_id 0xE0)."""
    count = len(data) // PACKET
    starts = (number for number in range(count - 1, 0, -1) if b"\0\0\1\xe0" in data[number * PACKET :][:PACKET])
    return next(starts)


def probe(path: Path, *what: str) -> dict[str, Any]:
    """Run ffprobe on a file and return its JSON."""
    command = [tool("ffprobe"), "-v", "error", "-f", "mpegts", *what, "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FFMPEG_LIMIT_S, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def keyframe_places(path: Path) -> set[int]:
    """Return the offset of the packet with which each keyframe of the first video stream begins, as ffprobe has it."""
    packets = probe(path, "-select_streams", "v:0", "-show_entries", "packet=pos,flags")["packets"]
    return {int(packet["pos"]) for packet in packets if "K" in packet["flags"] and "pos" in packet}
