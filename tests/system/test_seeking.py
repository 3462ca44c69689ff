"""Real players seek in a recording: ffmpeg to random places, byte for byte the right pictures; VLC by the clock."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
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


def times_in(folder: Path) -> list[float]:
    """Return the times that VLC's pictures show."""
    return [time_of(shot) for shot in sorted(folder.glob("scene*.png"))]


async def test_vlc_starts_in_the_middle(playing: tuple[App, str, str, Simulator], open_folder: Path) -> None:
    app, mp4, _, _ = playing
    vlc = tool("cvlc")
    at_s = 40
    command = [vlc, "--intf", "dummy", "--no-audio", "--vout", "dummy", "--video-filter", "scene", "--no-dbus"]
    command += ["--scene-format", "png", "--scene-ratio", "1", "--scene-path", str(open_folder)]
    command += [f"--start-time={at_s}", "--run-time=2", mp4, "vlc://quit"]
    user = "nobody" if os.getuid() == 0 else None
    await run(command, user=user, home=str(open_folder))
    times = times_in(open_folder)
    assert len(times) >= 3
    assert at_s - 3 <= min(times) <= at_s + 3, times
    assert max(times) <= at_s + 8, times
    await until(lambda: all(one.reading is None for one in app.recordings.all))
