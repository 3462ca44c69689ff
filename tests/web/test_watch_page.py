"""The watch page in a real browser, on the whole program with a simulated engine: pictures that move."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from aceproxy.access.roles import Role
from aceproxy.app import App
from aceproxy.engine.links import Link, LinkKind
from aceproxy.errors import Reason
from aceproxy.logs import Logs
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.streams.states import State
from tests.conftest import running_app
from tests.players_table import PlayersTable, browser_of
from tests.system.fake_engine import FakeEngine
from tests.waiting import until
from tests.web.browsing import fresh_page, no_script_errors, nothing_foreign
from tests.web.pictures import holds, moving
from tests.web.test_sounds import make_media

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Simulator]:
    """A simulated engine that starts at once."""
    async with Simulator(SimulatorConfig.fast()) as simulator:
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(engine: Simulator) -> AsyncIterator[App]:
    """The program in front of it."""
    async with running_app(engines=[engine.url], start_timeout_s=5) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, app: App) -> AsyncIterator[Page]:
    """A page of a fresh profile. Fails the test on any error of a script and on requests to other hosts."""
    async with fresh_page(browser, no_script_errors, nothing_foreign(address(app))) as opened:
        yield opened


def address(app: App) -> str:
    return f"http://127.0.0.1:{app.port}/"


async def test_the_stream_plays_and_says_what_it_is(
    page: Page, app: App, engine: Simulator, players_table: PlayersTable
) -> None:
    content = engine.contents[0]
    await page.goto(f"{address(app)}watch?id={content.content_id}")
    await moving(page)
    await expect(page.get_by_role("heading", level=1)).to_have_text(content.name)
    await expect(page.locator(".watch-head .chip")).to_have_text("live")
    await expect(page.locator(".fact-picture dd")).to_contain_text("H.264")
    await expect(page.locator(".fact-sound dd")).to_contain_text("AAC")
    await expect(page.locator(".fact-lag dd")).to_contain_text("behind")
    await expect(page.locator(".fact-viewers dd")).to_have_text(re.compile(r"[1-9]"))
    await expect(page.locator(".fact-player dd")).to_have_text("mpegts.js")
    players_table.add("Chromium, mpegts.js", await browser_of(page), ts=True)
    await expect(page.locator(".curtain")).to_be_hidden()
    await expect(page.locator(".stage .notice")).to_be_hidden()


async def test_the_same_plays_as_hls(page: Page, app: App, engine: Simulator) -> None:
    await page.goto(f"{address(app)}watch?id={engine.contents[0].content_id}")
    await page.get_by_role("radio", name="HLS").first.check()
    await expect(page.locator(".fact-player dd")).to_have_text("hls.js")
    await moving(page)
    await expect(page.locator(".curtain")).to_be_hidden()


async def test_a_stream_that_plays_the_link_as_a_fallback_is_told_of(page: Page, app: App, engine: Simulator) -> None:
    link = engine.contents[1].content_id
    stream = app.hub.find_or_start(Link(LinkKind.CONTENT_ID, "ab" * 20), {}, [Link(LinkKind.CONTENT_ID, link)])
    await until(lambda: stream.state is State.LINGERING)
    await page.goto(address(app) + f"watch?id={link}")
    await moving(page)
    assert stream.clients
    await expect(page.locator("h1")).to_have_text(engine.contents[1].name)
    stream.close(Reason.STOPPED)


async def test_when_the_page_is_left_the_stream_is_let_go(page: Page, app: App, engine: Simulator) -> None:
    link = engine.contents[1].content_id
    await page.goto(f"{address(app)}watch?id={link}")
    await holds(page, "document.querySelector('video')?.currentTime > 0")
    await page.goto("about:blank")
    stream = app.hub.find_by_id(link)
    await until(lambda: stream is None or not stream.clients)


async def test_a_link_that_is_not_found_is_told_in_the_servers_words(page: Page, app: App) -> None:
    await page.goto(f"{address(app)}watch?id={'f' * 40}")
    await expect(page.locator(".curtain")).to_contain_text("cannot find this broadcast")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    await expect(page.locator(".spinner")).to_be_hidden()


async def test_a_lost_stream_is_tried_again_until_it_is_back(page: Page, app: App, engine: Simulator) -> None:
    content = engine.contents[0]
    await page.goto(f"{address(app)}watch?id={content.content_id}")
    await holds(page, "document.querySelector('video')?.currentTime > 0")
    stream = app.hub.find_by_id(content.content_id)
    assert stream is not None
    for client in list(stream.clients.values()):
        stream.end_client(client, Reason.KICKED)
    await expect(page.locator(".curtain")).to_contain_text("Trying again")
    await moving(page)


async def test_a_page_whose_stream_is_lost_does_not_call_it_live(page: Page, app: App, engine: Simulator) -> None:
    link = engine.contents[1].content_id
    chip = page.locator(".watch-head .chip")
    await page.goto(f"{address(app)}watch?id={link}")
    await expect(chip).to_have_text("live")
    stream = app.hub.find_by_id(link)
    assert stream is not None
    engine.set_fault("down")
    try:
        stream.close(Reason.SOURCE_ENDED)
        await expect(page.locator(".curtain")).to_contain_text("No AceStream engine can be reached")
        await expect(chip).to_be_hidden()
        await expect(page.locator(".fact-lost dd")).not_to_contain_text("0 of 0")
    finally:
        engine.clear_faults()
    await page.get_by_role("button", name="Try again").click()
    await moving(page)
    await expect(chip).to_have_text("live")


async def test_a_stream_that_the_operator_stops_is_not_opened_anew(page: Page, app: App, engine: Simulator) -> None:
    link = engine.contents[2].content_id
    await page.goto(f"{address(app)}watch?id={link}")
    await expect(page.get_by_role("heading", level=1)).to_have_text(engine.contents[2].name)
    await holds(page, "document.querySelector('video')?.currentTime > 0")
    stream = app.hub.find_by_id(link)
    assert stream is not None
    stream.close(Reason.STOPPED)
    await expect(page.locator(".curtain")).to_contain_text("stopped by the operator")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert app.hub.find_by_id(link) is None


async def test_other_devices_get_addresses_codes_and_a_file(page: Page, app: App, engine: Simulator) -> None:
    link = engine.contents[0].content_id
    _, token = app.credentials.tokens.create("TV", Role.PLAYER, None, None)
    await page.goto(f"{address(app)}watch?id={link}&token={token}")
    box = page.locator("#elsewhere")
    await expect(box.locator(".play-address")).to_have_text(f"{address(app)}watch?id={link}&token={token}")
    for words, path in (("Stream", "ace/getstream"), ("HLS", "ace/manifest.m3u8")):
        await box.get_by_label(words, exact=True).check()
        await expect(box.locator(".play-address")).to_have_text(f"{address(app)}{path}?id={link}&token={token}")
        await holds(page, "document.querySelector('.qr').complete && document.querySelector('.qr').naturalWidth")
    await expect(box).to_contain_text("which every device takes for itself")  # it was opened as 127.0.0.1
    async with page.expect_download() as download:
        await box.get_by_role("link", name="Open in a player").click()
    saved = await (await download.value).path()
    assert f"{address(app)}ace/getstream?id={link}&token={token}" in saved.read_text()


async def test_without_a_link_the_page_asks_for_one(page: Page, app: App, engine: Simulator) -> None:
    link = engine.contents[0].content_id
    await page.goto(f"{address(app)}watch")
    await page.get_by_role("textbox").fill("nonsense")
    await page.keyboard.press("Enter")
    await expect(page.locator(".play-hint")).to_contain_text("no AceStream link")
    await page.get_by_role("textbox").fill(f"acestream://{link}")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{address(app)}watch?id={link}")


@pytest.mark.parametrize(
    ("codecs", "words"),
    [
        ([("video", "mpeg2video"), ("audio", "mp2")], ["cannot show MPEG-2", "MPEG audio sound, others", "VLC"]),
        ([("video", "h264"), ("audio", "ac3")], ["cannot play AC-3 sound"]),
        ([("video", "hevc"), ("audio", "aac")], ["cannot show H.265"]),
    ],
)
async def test_what_the_browser_cannot_play_is_said(
    page: Page, app: App, engine: Simulator, codecs: list[tuple[str, str]], words: list[str]
) -> None:
    """The codecs are pretended in the answer of the API; that they are told from a stream is tested elsewhere."""
    link = engine.contents[0].content_id
    listed = [{"pid": 256, "codec": codec, "kind": kind, "language": None} for kind, codec in codecs]
    stream = {"stream_id": link, "key": f"content_id:{link}", "aliases": [], "state": "live", "codecs": listed}

    async def pretend(route: Any) -> None:
        await route.fulfill(json={"streams": [stream], "recent": [], "total_streams": 1, "total_clients": 0})

    await page.route("**/api/events*", lambda route: route.fulfill(status=404))
    await page.route("**/api/aceproxy/streams?clients=0", pretend)
    await page.route("**/ace/getstream*", lambda route: route.fulfill(status=503, body="{}"))
    await page.goto(f"{address(app)}watch?id={link}")
    for one in words:
        await expect(page.locator(".stage .notice")).to_contain_text(one)


async def test_sound_that_the_browser_plays_is_not_called_unplayable(page: Page, app: App, engine: Simulator) -> None:
    """What plays is refused by the browser before the codecs are known, so the page tries AAC; then they are known."""
    link = engine.contents[0].content_id
    codecs: list[dict[str, Any]] = []

    async def pretend(route: Any) -> None:
        stream = {"stream_id": link, "key": f"content_id:{link}", "aliases": [], "state": "live", "codecs": codecs}
        await route.fulfill(json={"streams": [stream], "recent": [], "total_streams": 1, "total_clients": 0})

    async def garbage(route: Any) -> None:
        if "audio=aac" in route.request.url and not codecs:
            codecs.append({"pid": 256, "codec": "hevc", "kind": "video", "language": None})
            codecs.append({"pid": 257, "codec": "aac", "kind": "audio", "language": None})
        await route.fulfill(status=200, content_type="video/mp2t", body="no transport stream " * 5000)

    await page.route("**/api/events*", lambda route: route.fulfill(status=404))
    await page.route("**/api/aceproxy/streams?clients=0", pretend)
    await page.route("**/ace/getstream*", garbage)
    await page.goto(f"{address(app)}watch?id={link}")
    await expect(page.locator(".stage .notice")).to_contain_text("cannot show H.265")
    await expect(page.locator(".stage .notice")).not_to_contain_text("AAC")


@pytest.mark.parametrize("width", [360, 1280])
async def test_the_page_fits_its_window(page: Page, app: App, engine: Simulator, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(f"{address(app)}watch?id={engine.contents[0].content_id}")
    await expect(page.locator("#elsewhere .play-address")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


def plays_only(app: App, stream_id: str) -> bool:
    return [one.stream_id for one in app.hub.streams if one.clients] == [stream_id]


async def test_sound_that_the_browser_may_not_play_comes_as_aac(browser: Browser, tmp_path: Path) -> None:
    media = await asyncio.to_thread(make_media, tmp_path, "mp2", video="libx264")
    engine = FakeEngine()
    logs = Logs("info", 100)
    context = await browser.new_context(locale="en-GB")
    try:
        film = engine.add(media, len(media) // 2 // 188 * 188)
        settings = Settings.model_validate({"listen": "127.0.0.1:0", "engines": [engine.url], "stuck_s": 60})
        async with App(settings, logs) as app:
            page = await context.new_page()
            await page.goto(f"{address(app)}watch?infohash={film.infohash}")
            await expect(page.locator(".stage .notice")).to_contain_text("turns it into AAC")
            await until(partial(plays_only, app, f"{film.infohash}-aac"))
            await moving(page)
            link = f"{address(app)}ace/getstream?infohash={film.infohash}&audio=aac"
            async with aiohttp.ClientSession() as session, session.get(link):
                await expect(page.locator(".fact-viewers dd")).to_have_text("2")
            await context.close()
    finally:
        await context.close()
        engine.stop()


@pytest.mark.parametrize(("codec", "name"), [("ac3", "AC-3"), ("eac3", "E-AC-3")])
async def test_without_ffmpeg_the_picture_plays_and_the_missing_sound_is_said(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, name: str
) -> None:
    media = await asyncio.to_thread(make_media, tmp_path, codec, video="libx264")
    engine = FakeEngine()
    context = await browser.new_context(locale="en-GB")
    monkeypatch.setenv("PATH", "/nonexistent")
    try:
        film = engine.add(media, len(media) // 2 // 188 * 188)
        settings = Settings.model_validate({"listen": "127.0.0.1:0", "engines": [engine.url], "stuck_s": 60})
        async with App(settings, Logs("info", 100)) as app:
            page = await context.new_page()
            asked: list[str] = []
            page.on("response", lambda one: asked.append(f"{one.status} {one.url.partition('&')[2]}"))
            await page.goto(f"{address(app)}watch?infohash={film.infohash}")
            await moving(page)
            await expect(page.locator(".stage .notice")).to_contain_text(f"cannot play {name} sound", timeout=15_000)
            await expect(page.locator(".stage .notice")).to_contain_text("VLC")
            await until(lambda: "501 audio=aac" in asked)
            await moving(page)
            await expect(page.locator(".curtain")).to_be_hidden()
            assert plays_only(app, film.infohash)
            await context.close()
    finally:
        await context.close()
        engine.stop()
