"""Real players seek in a recording: ffmpeg to random places, byte for byte the right pictures; VLC by the clock."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import av
import pytest

from aceproxy.app import App
from aceproxy.simulator import Content, ContentFile, Simulator, SimulatorConfig
from tests.conftest import MakeApp
from tests.system.programs import clean_environment, tool
from tests.waiting import until

LENGTH_S = 60
LUMA = "16+3*T"  # of the whole picture, so that a picture tells its time
PLACES = 5


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a film: an MP4 whose index is at its end, as in files that were not made for the web, and a TS beside it."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    picture = f"nullsrc=s=160x120:r=10,geq=lum='{LUMA}':cb=128:cr=128"
    arguments = ["-nostdin", "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=f=440"]
    arguments += ["-t", str(LENGTH_S), "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "400k", "-minrate", "400k"]
    arguments += ["-nal-hrd", "cbr", "-maxrate", "400k", "-bufsize", "400k"]  # padded, so that places are far apart
    arguments += ["-g", "20", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path)]
    assert os.spawnv(os.P_WAIT, tool("ffmpeg"), ["ffmpeg", *arguments]) == 0
    copy = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-c", "copy", str(path.with_suffix(".ts"))]
    assert os.spawnv(os.P_WAIT, tool("ffmpeg"), copy) == 0
    return path


@pytest.fixture
async def playing(film: Path, make_app: MakeApp) -> AsyncIterator[tuple[App, str, str, Simulator]]:
    """The program in front of an engine that has both files, and their addresses."""
    content = Content(
        "Film",
        live=False,
        files=(ContentFile("film.mp4", path=film), ContentFile("film.ts", path=film.with_suffix(".ts"))),
    )
    async with Simulator(SimulatorConfig.fast(contents=(content,))) as simulator:
        app = await make_app(engines=[simulator.url])
        url = f"http://127.0.0.1:{app.port}/ace/getstream?infohash={content.infohash}"
        yield app, url, f"{url}&_idx=1", simulator


async def run(command: list[str], limit_s: float = 60.0, user: str | None = None, home: str = "") -> bytes:
    """Run a program while this loop serves it; return what it wrote to standard output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment({"HOME": home} if home else None),
        user=user,
        extra_groups=None if user is None else [],
        cwd="/",
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit_s)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, err.decode(errors="replace")[-2000:]
    return out


async def pictures_at(source: str, at_s: float) -> list[str]:
    """Return the checksums of the pictures from a place on, as ffmpeg decodes them after a seek."""
    command = [tool("ffmpeg"), "-nostdin", "-v", "error", "-ss", f"{at_s:.2f}", "-i", source, "-map", "0:v"]
    out = await run([*command, "-frames:v", "5", "-f", "framemd5", "-"])
    return [line.rpartition(",")[2].strip() for line in out.decode().splitlines() if not line.startswith("#")]


async def test_ffmpeg_seeks_to_random_places_and_finds_the_right_pictures(
    playing: tuple[App, str, str, Simulator], film: Path
) -> None:
    _, mp4, ts, simulator = playing
    places = random.Random(20261122).sample(range(2, LENGTH_S - 4), PLACES)
    for url, path in ((mp4, film), (ts, film.with_suffix(".ts"))):
        seen = []
        for at_s in places:
            found = await pictures_at(url, at_s + 0.5)
            assert len(found) == 5
            assert found == await pictures_at(str(path), at_s + 0.5)
            seen.append(found[0])
        assert len(set(seen)) == PLACES
    running = [one for one in simulator.playbacks if one.stopped_at is None]
    assert len(running) <= 4, running  # two files, and ffmpeg may have two connections; not one for each seek


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that any user may write to; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="aceproxy-shots-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def time_of(picture: Path) -> float:
    """Return the time that a picture of the film shows."""
    with av.open(str(picture)) as container:
        frame = next(container.decode(video=0)).reformat(format="gray8")
    plane = bytes(frame.planes[0])
    middle = plane[(frame.height // 2) * frame.planes[0].line_size + frame.width // 2]
    return (16 + middle * 219 / 255 - 16) / 3


def newest_time(folder: Path) -> float | None:
    """Return the time that VLC's newest whole picture shows, None where there is none."""
    shots = [shot for shot in folder.glob("scene*.png") if shot.read_bytes()[-8:-4] == b"IEND"]
    return time_of(max(shots, key=lambda shot: shot.stat().st_mtime_ns)) if shots else None


def _is_near(folder: Path, at_s: float) -> bool:
    """Whether VLC shows this place; no two places of the test are near each other."""
    return at_s - 3 <= (newest_time(folder) or 0.0) <= at_s + 4


async def test_vlc_seeks_to_random_places_while_it_plays(
    playing: tuple[App, str, str, Simulator], open_folder: Path
) -> None:
    app, mp4, _, simulator = playing
    chance = random.Random(20261123)
    places = [chance.randrange(first, first + 2) for first in chance.sample((8, 19, 30, 41, 52), PLACES)]
    command = [tool("cvlc"), "--intf", "oldrc", "--rc-fake-tty", "--no-audio", "--vout", "dummy", "--no-dbus"]
    command += ["--video-filter", "scene", "--scene-format", "png", "--scene-ratio", "2"]
    vlc = await asyncio.create_subprocess_exec(
        *(*command, "--scene-path", str(open_folder), mp4),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=clean_environment({"HOME": str(open_folder)}),
        user="nobody" if os.getuid() == 0 else None,
        extra_groups=[] if os.getuid() == 0 else None,
        cwd="/",
    )
    assert vlc.stdin is not None
    try:
        await until(lambda: newest_time(open_folder) is not None, 30)
        for at_s in places:
            vlc.stdin.write(f"seek {at_s}\n".encode())
            await until(partial(_is_near, open_folder, at_s), 30)
        assert len([one for one in simulator.playbacks if one.stopped_at is None]) <= 2  # it may have two connections
    finally:
        vlc.terminate()
        await vlc.wait()
    await until(lambda: all(one.reading is None for one in app.recordings.all))
