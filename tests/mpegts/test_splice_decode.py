"""Spliced streams, decoded by ffmpeg: it must have nothing to say, and get every picture."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aceproxy.mpegts.splice import Outcome
from tests.mpegts.splicing import PACKET, media, read, splice

VIDEO, AUDIO = 0x100, 0x101
LIGHT = media("light", 0, 12)

Decode = Callable[[bytes], tuple[str, int]]


@pytest.fixture
def decode(tmp_path: Path) -> Decode:
    """Return a function that gives ffmpeg's complaints about a stream, and how many pictures it decodes."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")

    def run(stream: bytes) -> tuple[str, int]:
        path = tmp_path / "spliced.ts"
        path.write_bytes(stream)
        command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-threads", "1", "-copyts", "-i", str(path)]
        output = ["-map", "0:v", "-map", "0:a", "-fps_mode", "passthrough", "-f", "framecrc", "-"]
        done = subprocess.run([*command, *output], capture_output=True, timeout=60, check=False)
        pictures = sum(1 for line in done.stdout.splitlines() if line.startswith(b"0,"))
        return done.stderr.decode(), pictures

    return run


def ended(stream: bytes) -> bytes:
    """Return the stream without the access unit of each PID that is not whole."""
    last: dict[int, int] = {}
    for at in range(0, len(stream), PACKET):
        if stream[at + 1] & 0x40 and (stream[at + 1] & 31) << 8 | stream[at + 2] in (VIDEO, AUDIO):
            last[(stream[at + 1] & 31) << 8 | stream[at + 2]] = at
    return b"".join(
        stream[at : at + PACKET]
        for at in range(0, len(stream), PACKET)
        if at < last.get((stream[at + 1] & 31) << 8 | stream[at + 2], len(stream))
    )


def renumbered(stream: bytes) -> bytes:
    """Return the same stream in packets with other continuity counters."""
    out = bytearray(stream)
    for at in range(0, len(out), PACKET):
        out[at + 3] = out[at + 3] & 0xF0 | (out[at + 3] + 3) & 15
    return bytes(out)


def stretch(start_s: float, stop_s: float) -> bytes:
    """Return a stretch of the broadcast that begins where a decoder may start (a whole second) and ends whole."""
    return media("light", start_s, stop_s)


def pictures_of(stream: bytes) -> int:
    """Return how many access units of video a stream holds."""
    return len(read(stream).units[VIDEO])


@pytest.mark.parametrize("seed", range(5))
def test_a_cut_anywhere_in_the_same_broadcast_is_not_seen(seed: int, decode: Decode) -> None:
    rng = random.Random(seed)
    whole = ended(LIGHT)
    cut = rng.randrange(len(whole) // 3, len(whole) * 2 // 3)
    new = whole[(cut - rng.randrange(400_000)) // PACKET * PACKET :]
    out, splicer = splice(whole[:cut], new if seed % 2 else renumbered(new))
    assert splicer.splice is not None
    assert splicer.splice.outcome is (Outcome.SAME_BYTES if seed % 2 else Outcome.SAME_CLOCK)
    assert decode(out) == ("", pictures_of(whole))


@pytest.mark.parametrize("gap_s", [0.3, 1.2, 20.0])
def test_a_gap_costs_the_pictures_up_to_the_next_random_access_point_only(gap_s: float, decode: Decode) -> None:
    old = ended(stretch(0, 4.6))
    new = ended(stretch(4.6 + gap_s, 9.1 + gap_s))
    out, _ = splice(old, new)
    complaints, pictures = decode(out)
    assert complaints == ""
    assert pictures == pictures_of(out)
    assert pictures > pictures_of(old) + 60


@pytest.mark.parametrize(("name", "base"), [("light", 77_777_777), ("clock", 0), ("clock", (1 << 33) - 300_000)])
def test_another_clock_or_another_programme_is_decoded_through(name: str, base: int, decode: Decode) -> None:
    old, new = ended(stretch(0, 4.6)), ended(media(name, 21.7, 26.2, base))
    out, splicer = splice(old, new)
    assert splicer.splice is not None
    assert splicer.splice.outcome.is_shifted
    complaints, pictures = decode(out)
    assert complaints == ""
    assert pictures == pictures_of(out)
    assert pictures > pictures_of(old) + 60


@pytest.mark.parametrize("seed", range(3))
def test_a_picture_that_was_cut_off_is_the_only_one_damaged(seed: int, tmp_path: Path, decode: Decode) -> None:
    """Where another clock follows the rest of a picture never comes; everything after it must be whole."""
    rng = random.Random(seed)
    old = stretch(0, rng.uniform(3, 5))
    new = ended(media("light", 21.7, 26.2, 77_777_777))
    out, _ = splice(old, new)
    path = tmp_path / "cut.ts"
    path.write_bytes(out)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-copyts", "-i", str(path), "-map", "0:v", "-f", "framecrc"]
    done = subprocess.run([*command, "-fps_mode", "passthrough", "-"], capture_output=True, timeout=60, check=False)
    pictures = sum(1 for line in done.stdout.splitlines() if line.startswith(b"0,"))
    assert pictures_of(out) - 2 <= pictures <= pictures_of(out)
    assert done.stderr.count(b"error while decoding MB") <= 1
