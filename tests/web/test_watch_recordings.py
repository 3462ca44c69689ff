"""Recordings on the watch page, in a real browser with the whole program: pictures, seeking, and what is said."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from aceproxy.app import App
from aceproxy.simulator import Content, ContentFile, Simulator, SimulatorConfig
from tests.conftest import running_app
from tests.system.programs import tool
from tests.web.browsing import fresh_page
from tests.web.pictures import GRAB, holds, moving
from tests.web.test_watch_page import address

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILM_S = 40
SEEK_LIMIT_S = 30.0
FAIL = """() => {
  const video = document.querySelector("video");
  Object.defineProperty(video, "error", { get: () => ({ code: MediaError.MEDIA_ERR_NETWORK }), configurable: true });
  video.dispatchEvent(new Event("error"));
  delete video.error;
}"""


def make_film(made: Path, *codecs: str, seconds: int = FILM_S) -> Path:
    """Make a film whose pictures grow lighter with time, so that a picture tells its second."""
    picture = "nullsrc=s=16x10:r=10,geq=lum='32+3*floor(N/10)':cb=128:cr=128,scale=128:80,noise=alls=6:allf=t"
    call = [tool("ffmpeg"), "-nostdin", "-v", "error", "-f", "lavfi", "-i", picture]
    call += ["-f", "lavfi", "-i", "sine=r=48000", "-t", str(seconds), "-g", "20", "-pix_fmt", "yuv420p", *codecs]
    subprocess.run([*call, str(made)], check=True, timeout=120)
    return made


def make_films(folder: Path) -> dict[str, Path]:
    """Make one film in several forms, one that no browser plays, and one that is no film."""
    first = make_film(folder / "film.ts", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    for name in ("film.mp4", "film.mkv"):
        call = [tool("ffmpeg"), "-nostdin", "-v", "error", "-i", str(first), "-c", "copy", str(folder / name)]
        subprocess.run(call, check=True, timeout=120)
    make_film(folder / "film.webm", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libvorbis")
    make_film(folder / "old.ts", "-c:v", "mpeg2video", "-c:a", "ac3", seconds=8)
    (folder / "text.avi").write_bytes(b"RIFF" + bytes(200_000))
    return {path.name: path for path in folder.iterdir()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulator]:
    """An engine with films in several forms."""
    files = await asyncio.to_thread(make_films, tmp_path_factory.mktemp("films"))
    contents = [Content(name, live=False, files=(ContentFile(name, path=path),)) for name, path in files.items()]
    parts = ContentFile("one.ts", path=files["film.ts"]), ContentFile("two.mp4", path=files["film.mp4"])
    contents.append(Content("Series", live=False, files=parts))
    odd = files["film.ts"].with_name("odd.ts")
    odd.write_bytes(files["film.ts"].read_bytes()[:-77])
    eight = tuple(ContentFile(f"{number}.ts", path=odd if number == 2 else files["film.ts"]) for number in range(8))
    contents.append(Content("Eight", live=False, files=eight))
    async with Simulator(SimulatorConfig.fast(contents=tuple(contents))) as simulator:
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(engine: Simulator) -> AsyncIterator[App]:
    """The program in front of it."""
    async with running_app(engines=[engine.url]) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of a fresh profile, which fails the test on any error of a script."""
    async with fresh_page(browser) as opened:
        yield opened


def address_of(app: App, engine: Simulator, name: str) -> str:
    """Return the watch page of a film."""
    film = next(content for content in engine.contents if content.name == name)
    return f"{address(app)}watch?id={film.content_id}"


def second_of(picture: str) -> float:
    """Return which second a picture is of, by its light (limited range, 32 and 3 a second, as RGB of 64 by 36)."""
    values = [int(value) for value in picture.split(",")]
    light = sum(values[1::4]) / (64 * 36)
    return (light / 255 * 219 + 16 - 32) / 3


async def seek(page: Page, to_s: float) -> float:
    """Go to a second of the film; return the second that the picture then is of."""
    await page.evaluate(f"document.querySelector('video').currentTime = {to_s}")
    ready = f"(v => !v.seeking && v.readyState >= 2 && v.currentTime > {to_s} + 0.3)(document.querySelector('video'))"
    await holds(page, ready, SEEK_LIMIT_S)
    _, picture = await page.evaluate(GRAB)
    return second_of(picture)


def playbacks_of(engine: Simulator, name: str) -> int:
    """How often a film was started on the engine."""
    film = next(content for content in engine.contents if content.name == name)
    return len([one for one in engine.playbacks if one.infohash == film.infohash])


@pytest.mark.parametrize("name", ["film.ts", "film.mp4", "film.mkv", "film.webm"])
async def test_a_recording_plays_and_a_seek_lands_with_one_playback(
    page: Page, app: App, engine: Simulator, name: str
) -> None:
    await page.goto(address_of(app, engine, name))
    await moving(page)
    await expect(page.locator(".watch-head .chip")).to_have_text("recording")
    await expect(page.locator(".curtain")).to_be_hidden()
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert await page.evaluate("document.querySelector('video').duration") == pytest.approx(FILM_S, abs=1.5)
    assert await seek(page, 30) == pytest.approx(30, abs=3)
    assert await seek(page, 11) == pytest.approx(11, abs=3)
    await expect(page.locator(".stage .notice")).to_be_hidden()
    assert playbacks_of(engine, name) == 1
    for recording in app.recordings.all:  # the playback is lost, and nobody notices
        app.recordings.end(recording.recording_id)
    assert await seek(page, 36) == pytest.approx(36, abs=3)
    await expect(page.locator(".curtain")).to_be_hidden()


async def test_after_a_fault_a_recording_goes_on_where_it_was(page: Page, app: App, engine: Simulator) -> None:
    await page.goto(address_of(app, engine, "film.mp4"))
    await moving(page)
    await seek(page, 30)
    await page.evaluate(FAIL)
    await expect(page.locator(".curtain")).to_contain_text("Trying again")
    await holds(page, "document.querySelector('video').currentTime > 30", SEEK_LIMIT_S)
    await moving(page)


async def test_what_a_browser_cannot_play_of_a_recording_is_said(page: Page, app: App, engine: Simulator) -> None:
    await page.goto(address_of(app, engine, "old.ts"))
    await expect(page.locator(".watch-head .chip")).to_have_text("recording")
    for words in ("cannot show MPEG-2", "cannot play AC-3", "VLC"):
        await expect(page.locator(".stage .notice")).to_contain_text(words)
    await page.goto(address_of(app, engine, "text.avi"))
    for words in ("cannot play the recording", "VLC"):
        await expect(page.locator(".curtain")).to_contain_text(words)
    await expect(page.locator(".spinner")).to_be_hidden()


async def test_of_several_files_one_can_be_chosen(page: Page, app: App, engine: Simulator) -> None:
    await page.goto(address_of(app, engine, "Series"))
    await moving(page)
    await expect(page.get_by_role("heading", level=1)).to_have_text("one.ts")
    await expect(page.locator("#elsewhere").get_by_label("HLS", exact=True)).to_be_hidden()
    await page.locator("#files").get_by_role("link", name="two.mp4").click()
    await moving(page)
    await expect(page.get_by_role("heading", level=1)).to_have_text("two.mp4")
    await expect(page.locator("#files a[aria-current]")).to_have_text("two.mp4")


async def test_the_first_answer_itself_tells_that_it_is_a_recording(page: Page, app: App, engine: Simulator) -> None:
    """A player for broadcasts takes such a file for one: it must not get a byte of it, whoever else could be asked."""

    async def no_questions(route: Route) -> None:
        await (route.abort() if route.request.method == "HEAD" else route.continue_())

    await page.route("**/ace/getstream*", no_questions)
    await page.goto(f"{address_of(app, engine, 'Eight')}&_idx=2")
    await expect(page.locator(".watch-head .chip")).to_have_text("recording")
    await moving(page)
    await expect(page.get_by_role("heading", level=1)).to_have_text("2.ts")
    assert await page.evaluate("document.querySelector('video').duration") == pytest.approx(FILM_S, abs=1.5)
    await expect(page.locator(".fact-player dd")).to_have_text("hls.js")
    assert playbacks_of(engine, "Eight") == 1
