"""hls.js in a real browser, on the whole program: pictures that move, and no stall, also while a source is lost."""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page

from aceproxy.app import App
from aceproxy.simulator import Simulator, SimulatorConfig
from tests.conftest import running_app
from tests.players_table import PlayersTable, browser_of
from tests.system.programs import tool
from tests.waiting import until
from tests.web.pictures import new_picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUTAGE_S = 2
PICTURES = 250  # of ffmpeg: ten seconds, over the loss
PLAYED_S = 6.0  # not a lap of the broadcast, after which the same pictures come again
PAGE = """<!doctype html><meta charset="utf-8"><video muted autoplay playsinline></video><script type="module">
import Hls from "/hls.mjs";
const video = document.querySelector("video");
const seen = window.seen = { errors: [], waits: 0, gaps: [], started: false };
const player = new Hls({ enableWorker: false });
player.on(Hls.Events.ERROR, (_, { type, details, fatal }) => seen.errors.push([details, fatal]));
player.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => { seen.target = details.targetduration; });
video.addEventListener("playing", () => { seen.started = true; });
video.addEventListener("waiting", () => { if (seen.started) seen.waits += 1; });
player.loadSource("%s");
player.attachMedia(video);
</script>"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Simulator]:
    """A simulated engine that starts at once, with a start burst as real ones send it."""
    async with Simulator(SimulatorConfig.fast(burst_s=16.0)) as simulator:
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(engine: Simulator) -> AsyncIterator[App]:
    """The program in front of it."""
    async with running_app(engines=[engine.url], retry_first_s=0.5) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def show(browser: Browser, app: App) -> AsyncIterator[Callable[[str], Awaitable[Page]]]:
    """Return a function that opens a page of another site (another port), which plays a list of ours."""
    vendor = resources.files("aceproxy.web") / "static" / "vendor"
    library = next(entry for entry in vendor.iterdir() if entry.name.startswith("hls-")).read_text()
    bodies: dict[str, str] = {}

    async def page_body(_request: web.Request) -> web.Response:
        return web.Response(text=bodies["page"], content_type="text/html")

    async def library_body(_request: web.Request) -> web.Response:
        return web.Response(text=library, content_type="text/javascript")

    site = web.Application()
    site.add_routes([web.get("/", page_body), web.get("/hls.mjs", library_body)])
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    context = await browser.new_context()
    troubles: list[str] = []

    async def open_page(path: str) -> Page:
        bodies["page"] = PAGE % f"http://127.0.0.1:{app.port}{path}"
        page = await context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        return page

    yield open_page
    await context.close()
    await runner.cleanup()
    assert troubles == []


async def test_hls_js_mpegts_js_and_ffmpeg_share_one_playback_and_none_stalls_when_the_source_is_lost(
    engine: Simulator,
    app: App,
    browser: Browser,
    show: Callable[[str], Awaitable[Page]],
    players_table: PlayersTable,
) -> None:
    content = engine.contents[0]
    hls = await show(f"/ace/manifest.m3u8?id={content.content_id}")
    began_s, first = await new_picture(hls, 0.2)
    ts = await browser.new_page()
    await ts.goto(f"http://127.0.0.1:{app.port}/watch?id={content.content_id}")
    ts_began_s, ts_first = await new_picture(ts, 0.2)
    link = f"http://127.0.0.1:{app.port}/ace/getstream?id={content.content_id}"
    call = [tool("ffmpeg"), "-nostdin", "-v", "error", "-progress", "pipe:1", "-i", link]
    call += ["-map", "0:v", "-frames:v", str(PICTURES), "-f", "null", "-"]
    ffmpeg = await asyncio.create_subprocess_exec(*call, stdout=PIPE, stderr=PIPE)
    stream = app.hub.find_by_id(content.content_id)
    assert stream is not None
    await until(lambda: len(stream.clients) == 3, 30)
    engine.set_fault("slow-start", str(OUTAGE_S), times=1)
    engine.set_fault("rst-after", "0", times=1)
    await until(lambda: stream.recoveries == 1, 30)
    lost, back = (
        next(one.at for one in stream.timeline.events() if one.kind == kind) for kind in ("source_lost", "recovered")
    )
    assert back - lost >= OUTAGE_S
    assert sorted(client.delivery for client in stream.clients.values()) == ["hls", "mpegts", "mpegts"]
    _, second = await new_picture(hls, began_s + PLAYED_S / 2, first)
    await new_picture(hls, began_s + PLAYED_S, first, second)
    await new_picture(ts, ts_began_s + PLAYED_S, ts_first)
    seen = await hls.evaluate("window.seen")
    assert seen["errors"] == []
    assert seen["waits"] == 0
    said, complaints = await asyncio.wait_for(ffmpeg.communicate(), 60)
    assert (ffmpeg.returncode, complaints) == (0, b"")
    assert re.findall(rb"^frame=(\d+)$", said, re.MULTILINE)[-1] == str(PICTURES).encode()
    assert [playback.max_readers for playback in engine.playbacks] == [1, 1]
    players_table.add("Chromium, hls.js", await browser_of(hls), hls=True)
    await ts.close()
