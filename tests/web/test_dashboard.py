"""The dashboard in a real browser, on its real files, fed by a small server that answers as the API does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect
from pydantic import BaseModel

from aceproxy.logs import LogLine
from aceproxy.streams.snapshot import (
    ClientSnapshot,
    CodecSnapshot,
    EndedClient,
    EndedStream,
    EngineStat,
    StreamSnapshot,
)
from aceproxy.web.answers import add_security_headers
from aceproxy.web.models import EngineModel, Health, Kicked, LogTail, Stats, Stopped, Streams
from aceproxy.web.pages import PageRoutes

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = "2026-01-01T12:00:00.000Z"
STREAM_ID = "0a4848271c91ce2d8965ce416267c25047dc8141"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"


def make_client(number: int) -> ClientSnapshot:
    return ClientSnapshot(
        client_id=f"c{number}",
        address=f"192.0.2.{number % 250}:5000",
        agent=f"VLC/{number}",
        protocol="mpegts",
        connected_at=NOON,
        connected_s=61.0 + number,
        sent_bytes=1_000_000,
        outbound_bps=8_000_000.0,
        lag_bytes=3_000_000,
        lag_s=3.0,
        skips=0,
        behind=False,
    )


def make_stream(stream_id: str = STREAM_ID, clients: int = 2) -> StreamSnapshot:
    return StreamSnapshot(
        stream_id=stream_id,
        key=f"content_id:{stream_id}",
        aliases=[],
        infohash=None,
        title="Sport Uno",
        state="live",
        state_s=100.0,
        is_active=True,
        engine="http://127.0.0.1:6878",
        created_at=NOON,
        started_at=NOON,
        uptime_s=110.0,
        client_count=clients,
        waiting=0,
        sessions=0,
        clients=[make_client(number) for number in range(clients)],
        ended_clients=[],
        inbound_bytes=10_000_000,
        outbound_bytes=20_000_000,
        inbound_bps=8_100_000.0,
        bitrate_bps=8_000_000.0,
        buffer_s=29.5,
        buffer_bytes=29_500_000,
        access_points=15,
        last_byte_age_s=0.1,
        dropped_bytes=0,
        recoveries=0,
        links=["content_id:" + 40 * "a"],
        link_at=0,
        codecs=[CodecSnapshot(pid=256, codec="h264", kind="video", language=None)],
        engine_stat=EngineStat(status="dl", peers=42, speed_down_bps=9_000_000, speed_up_bps=1_000_000),
        start_detail=None,
        close_reason=None,
    )


@dataclass
class FakeApi:
    """What the API answers; tests change it while the page is open."""

    streams: list[StreamSnapshot] = field(default_factory=lambda: [make_stream()])
    recent: list[EndedStream] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    engine_state: str = "up"
    silent: bool = False  # hang up instead of answering, as a process that is gone
    deleted: list[str] = field(default_factory=list)
    polls: int = 0
    polled: asyncio.Event = field(default_factory=asyncio.Event)
    pending: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)  # closed: the list of streams is not answered
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve everything below /api."""
        if self.silent:
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPServiceUnavailable
        if request.method == "DELETE":
            return self.delete(request.path)
        models = {
            "/api/health": self.health,
            "/api/aceproxy/stats": self.stats,
            "/api/aceproxy/streams": self.stream_list,
            "/api/logs/tail": self.tail,
        }
        if request.path == "/api/aceproxy/streams":
            self.polls += 1
            self.polled.set()
            self.pending += 1
            await self.gate.wait()
            self.pending -= 1
        return as_json(models[request.path]())

    def delete(self, path: str) -> web.Response:
        self.deleted.append(path)
        parts = path.split("/")
        if "clients" in parts:
            return as_json(Kicked(kicked=True, stream_id=parts[4], client_id=parts[6]))
        ended = [stream for stream in self.streams if stream.stream_id == parts[4]]
        self.streams = [stream for stream in self.streams if stream.stream_id != parts[4]]
        return as_json(Stopped(stopped=True, stream_id=parts[4], clients_ended=ended[0].client_count))

    def health(self) -> Health:
        up = self.engine_state == "up"
        engine = EngineModel(
            url="http://127.0.0.1:6878",
            state=self.engine_state,
            reachable=up,
            version="3.2.11" if up else None,
            streams=1,
            capacity=5,
            last_ok_age_s=1.0 if up else None,
            last_error=None if up else "connection refused",
        )
        status = "healthy" if up else "unhealthy"
        return Health(status=status, version="1.2.3", uptime_s=7265.0, started_at=NOON, engines=[engine], message="")

    def stats(self) -> Stats:
        clients = sum(stream.client_count for stream in self.streams)
        return Stats(
            total_streams=len(self.streams),
            total_clients=clients,
            streams_by_state={"live": len(self.streams)},
            inbound_bytes=10_000_000,
            outbound_bytes=20_000_000,
            inbound_bps=8_100_000.0,
            outbound_bps=8_000_000.0 * clients,
            streams_started=3,
            streams_failed=1,
            clients_served=9,
            skips=0,
            closed_by_reason={},
            clients_closed_by_reason={},
            started_at=NOON,
            uptime_s=7265.0,
        )

    def stream_list(self) -> Streams:
        clients = sum(stream.client_count for stream in self.streams)
        return Streams(total_streams=len(self.streams), total_clients=clients, streams=self.streams, recent=self.recent)

    def tail(self) -> LogTail:
        return LogTail(lines=self.log, total_lines=len(self.log), returned_lines=len(self.log))


def as_json(model: BaseModel) -> web.Response:
    return web.Response(text=model.model_dump_json(), content_type="application/json")


@pytest_asyncio.fixture(loop_scope="module")
async def api() -> AsyncIterator[FakeApi]:
    """The real page with its real headers, and a pretended API, on a port of their own."""
    fake = FakeApi()
    app = web.Application()
    app.on_response_prepare.append(add_security_headers)
    PageRoutes().add_to(app)
    app.router.add_route("*", "/api/{rest:.*}", fake.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}/"
    yield fake
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, api: FakeApi) -> AsyncIterator[Page]:
    """A page of a fresh profile, not opened yet. Fails the test on any error or foreign request of the page."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    opened = await context.new_page()
    opened.set_default_timeout(10_000)
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    opened.on("console", lambda line: troubles.append(f"console: {line.text}") if line.type == "error" else None)
    opened.on("request", lambda call: None if call.url.startswith(api.url) else troubles.append(f"foreign: {call.url}"))
    yield opened
    await context.close()
    expected = [trouble for trouble in troubles if api.silent and "Failed to load resource" in trouble]
    assert [trouble for trouble in troubles if trouble not in expected] == []


async def next_poll(api: FakeApi) -> None:
    """Return when the page has asked for the streams twice more: then it has shown what the first answer said."""
    for _ in range(2):
        api.polled.clear()
        async with asyncio.timeout(10):
            await api.polled.wait()


async def no_poll_for(api: FakeApi, quiet_s: float, tries: int = 3) -> None:
    """Return when the page has not asked for `quiet_s` seconds; fail if it goes on asking."""
    for _ in range(tries):
        api.polled.clear()
        try:
            async with asyncio.timeout(quiet_s):
                await api.polled.wait()
        except TimeoutError:
            return
    pytest.fail("the page goes on asking")


async def set_hidden(page: Page, hidden: str) -> None:
    """Make the page believe that its tab is hidden or shown; a headless browser has no tab to hide."""
    await page.evaluate(f"Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {hidden}}})")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def test_streams_clients_and_figures_are_shown(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    card = page.locator("article.card")
    await expect(card).to_have_count(1)
    await expect(card.get_by_role("heading", name="Sport Uno")).to_be_visible()
    await expect(card.locator(".chip")).to_have_text("live")
    await expect(card.locator(".card-facts")).to_contain_text("H.264")
    await expect(card.locator(".station").nth(0)).to_contain_text("42 peers")
    await expect(card.locator(".station").nth(1)).to_contain_text("8.10 Mbit/s")
    await expect(card.locator("tbody tr")).to_have_count(2)
    await expect(card.locator("tbody tr").first).to_contain_text("192.0.2.0:5000")
    await expect(page.locator("#version")).to_have_text("1.2.3")
    await expect(page.locator("#health")).to_have_text("All engines up")
    await expect(page.locator(".figure-clients .figure-value")).to_have_text("2")
    await expect(page.locator("#engines")).to_contain_text("3.2.11")


async def test_outside_text_stays_text(page: Page, api: FakeApi) -> None:
    client = replace(make_client(1), agent=HOSTILE, address=HOSTILE)
    gone = EndedClient("e1", HOSTILE, HOSTILE, "mpegts", NOON, 5.0, 10, 0, HOSTILE, HOSTILE)
    api.streams = [replace(make_stream(), title=HOSTILE, clients=[client], client_count=1, ended_clients=[gone])]
    api.recent = [EndedStream("e" * 40, HOSTILE, HOSTILE, HOSTILE, 5.0, 0, HOSTILE, HOSTILE, HOSTILE)]
    api.log = [LogLine(time=NOON, level="info", logger=HOSTILE, message=HOSTILE, stream=HOSTILE)]
    await page.goto(api.url)
    await expect(page.locator(".card-name")).to_have_text(HOSTILE)
    await expect(page.locator("tbody .agent")).to_have_text(HOSTILE)
    await expect(page.locator(".ended-name")).to_have_text(HOSTILE)
    await page.get_by_text("1 player gone").click()
    await expect(page.locator(".gone .agent")).to_have_text(HOSTILE)
    await page.locator("#logs").scroll_into_view_if_needed()
    await expect(page.locator(".log-message")).to_have_text(HOSTILE)
    await page.locator("button.stop").click()
    await expect(page.locator(".ask-subject")).to_have_text(HOSTILE)
    assert await page.locator("main img, dialog img, main script, dialog script").count() == 0
    assert await page.title() != "owned"


async def test_stop_asks_first_and_then_deletes(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    dialog = page.get_by_role("dialog")
    await page.locator("button.stop").click()
    await expect(dialog).to_contain_text("2 clients are disconnected")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.locator("button.stop")).to_be_focused()
    await next_poll(api)
    assert api.deleted == []
    await page.locator("button.stop").click()
    await dialog.get_by_role("button", name="Stop stream").click()
    await expect(page.locator(".toast")).to_contain_text("Stopped Sport Uno; 2 disconnected.")
    await expect(page.locator("article.card")).to_have_count(0)
    assert api.deleted == [f"/api/aceproxy/streams/{STREAM_ID}"]
    await expect(page.locator("#streams-title")).to_be_focused()
    await expect(page.get_by_text("Nothing is playing yet")).to_be_visible()


async def test_disconnecting_a_client_asks_first_and_then_deletes(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await page.get_by_role("button", name="Disconnect VLC/1, 192.0.2.1:5000").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("VLC/1")
    assert api.deleted == []
    await dialog.get_by_role("button", name="Disconnect").click()
    await expect(page.locator(".toast")).to_contain_text("Disconnected VLC/1")
    assert api.deleted == [f"/api/aceproxy/streams/{STREAM_ID}/clients/c1"]


async def test_updates_keep_focus_selection_and_open_details(page: Page, api: FakeApi) -> None:
    api.streams = [make_stream(), make_stream("b" * 40)]
    api.streams[0].ended_clients.append(
        EndedClient("e1", "192.0.2.9", "mpv", "mpegts", NOON, 5.0, 10, 0, "kicked", "none")
    )
    await page.goto(api.url)
    await page.get_by_text("1 player gone").click()
    card = page.locator(f"article[aria-labelledby='stream-{STREAM_ID}']")
    kick = card.get_by_role("button", name="Disconnect VLC/1, 192.0.2.1:5000")
    await kick.focus()
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('.card-name'))")
    await card.evaluate("card => { card.mark = 'same element' }")
    changed = replace(api.streams[0], clients=[make_client(1), make_client(7)], inbound_bps=5_000_000.0)
    api.streams = [make_stream("c" * 40), changed]  # one gone, one new before it, one changed
    await expect(card.locator(".station").nth(1)).to_contain_text("5.00 Mbit/s")
    await expect(card.locator("tbody tr")).to_contain_text(["VLC/1", "VLC/7"])
    assert await card.evaluate("card => card.mark") == "same element"
    await expect(kick).to_be_focused()
    assert await page.evaluate("getSelection().toString()") == "Sport Uno"
    await expect(page.get_by_text("disconnected by the operator")).to_be_visible()
    api.streams = [changed, make_stream("c" * 40)]  # the other order: the card has to move
    await expect(page.locator("article.card .card-name").first).to_have_attribute("id", f"stream-{STREAM_ID}")
    await expect(kick).to_be_focused()


async def test_of_many_clients_only_some_are_shown_until_asked(page: Page, api: FakeApi) -> None:
    api.streams = [make_stream(clients=1000)]
    await page.goto(api.url)
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(50)
    await page.get_by_role("button", name="Show all 1,000").click()
    await expect(rows).to_have_count(1000)
    await page.get_by_role("button", name="Connected").click()
    await expect(rows.first).to_contain_text("VLC/999")
    await page.get_by_role("button", name="Show only 50").click()
    await expect(rows).to_have_count(50)


async def test_a_banner_says_that_aceproxy_is_not_reachable_and_goes_when_it_is(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await expect(page.locator("article.card")).to_have_count(1)
    banner = page.locator(".banner")
    await expect(banner).to_be_hidden()
    api.silent = True
    await expect(page.get_by_role("alert")).to_contain_text("AceProxy cannot be reached")
    await expect(page).to_have_title(re.compile("not reachable"))
    await expect(banner).to_contain_text(re.compile("Next try in [2-8] s"))  # it slows down
    await expect(page.locator("article.card")).to_have_count(1)  # what was known stays
    polls = api.polls
    api.silent = False
    await page.get_by_role("button", name="Try now").click()
    await expect(banner).to_be_hidden()
    assert api.polls > polls
    api.silent = True  # for the page fixture: failed loads were meant


async def test_a_poll_begins_only_when_the_one_before_is_answered(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await next_poll(api)
    api.gate.clear()
    api.polled.clear()
    async with asyncio.timeout(10):
        await api.polled.wait()
    await no_poll_for(api, 2.5, tries=1)  # two periods and a half
    assert api.pending == 1
    api.gate.set()
    await next_poll(api)


async def test_a_hidden_tab_asks_for_nothing(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await next_poll(api)
    await set_hidden(page, "true")
    await no_poll_for(api, 2.5)
    await set_hidden(page, "false")
    await next_poll(api)


@pytest.mark.parametrize(
    ("pasted", "query"),
    [
        (f"acestream://{STREAM_ID}", f"id={STREAM_ID}"),
        (f"  {STREAM_ID.upper()} ", f"id={STREAM_ID}"),
        (f"acestream:?infohash={STREAM_ID}&index=2", f"infohash={STREAM_ID}&_idx=2"),
        (f"magnet:?xt=urn:btih:{STREAM_ID}&dn=x", f"infohash={STREAM_ID}"),
        (f"http://192.0.2.1:6878/ace/getstream?id={STREAM_ID}&pid=7", f"id={STREAM_ID}"),
        ("https://example.org/a.acelive?x=1&y=2", "url=https%3A%2F%2Fexample.org%2Fa.acelive%3Fx%3D1%26y%3D2"),
    ],
)
async def test_a_pasted_link_becomes_an_address_for_players(page: Page, api: FakeApi, pasted: str, query: str) -> None:
    await page.goto(api.url)
    await page.get_by_role("textbox", name="Play a link").fill(pasted)
    await expect(page.locator(".play-address")).to_have_text(f"{api.url}ace/getstream?{query}")
    await expect(page.locator("#play-hint")).to_be_empty()


async def test_an_address_can_be_copied_and_taken_as_an_infohash(page: Page, api: FakeApi) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(api.url)
    await page.get_by_role("textbox", name="Play a link").fill(STREAM_ID)
    await expect(page.get_by_text("Playing now for 2 clients")).to_be_visible()
    await page.get_by_label("Infohash").check()
    await page.get_by_role("button", name="Copy address").click()
    await expect(page.locator(".toast")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == f"{api.url}ace/getstream?infohash={STREAM_ID}"


@pytest.mark.parametrize(
    ("pasted", "hint"),
    [
        (STREAM_ID[:-1], "this one has 39"),
        (f"acestream://{STREAM_ID}f", "this one has 41"),
        ("z" * 40, "is made of the digits"),
        ("magnet:?dn=x", "no infohash"),
        ("hello", "no AceStream link"),
        ("javascript:alert(1)", "no AceStream link"),
    ],
)
async def test_nonsense_is_refused_with_a_hint(page: Page, api: FakeApi, pasted: str, hint: str) -> None:
    await page.goto(api.url)
    await page.get_by_role("textbox", name="Play a link").fill(pasted)
    await expect(page.locator("#play-hint")).to_contain_text(hint)
    await expect(page.locator(".play-result")).to_be_hidden()


async def test_without_an_engine_the_page_says_what_to_do(page: Page, api: FakeApi) -> None:
    api.engine_state = "down"
    api.streams = []
    await page.goto(api.url)
    await expect(page.locator("#health")).to_have_text("No engine up")
    await expect(page.locator(".engine")).to_contain_text("connection refused")
    for words in ("docker run", "--bind-all", "--engine http://", "aceproxy demo"):
        await expect(page.locator("details.help")).to_contain_text(words)
    await expect(page.locator("details.help code").first).to_be_visible()
    await expect(page.get_by_text("so nothing can play yet")).to_be_visible()


async def test_an_ended_stream_says_why_and_leads_to_its_log(page: Page, api: FakeApi) -> None:
    ended = "e" * 40
    message = "The broadcast stopped arriving and could not be revived."
    api.recent = [EndedStream(ended, f"infohash:{ended}", "Cinema", NOON, 65.0, 0, "source_stalled", "swarm", message)]
    api.log = [
        LogLine(time=NOON, level="warning", logger="a", message="source is silent", stream=ended),
        LogLine(time=NOON, level="info", logger="a", message="something else", stream=None),
    ]
    await page.goto(api.url)
    row = page.locator("#ended li")
    for words in ("Cinema", "swarm", "stopped arriving", message, "after 1 min 5 s"):
        await expect(row).to_contain_text(words)
    await row.get_by_role("button", name="Log: Cinema").click()
    await expect(page.locator(".log-line")).to_have_count(1)
    await expect(page.locator(".log-line")).to_contain_text("source is silent")


async def test_the_log_is_filtered_by_level_and_text_and_can_be_paused(page: Page, api: FakeApi) -> None:
    levels = ("debug", "info", "warning", "error")
    api.log = [LogLine(time=NOON, level=name, logger="a", message=f"{name} line", stream=None) for name in levels]
    await page.goto(api.url)
    await page.locator("#logs").scroll_into_view_if_needed()
    lines = page.locator(".log-line")
    await expect(lines).to_have_count(4)
    await page.get_by_label("Level").select_option("warning")
    await expect(lines).to_have_count(2)
    await page.get_by_label("Text").fill("ERROR")
    await expect(lines).to_have_text([re.compile("error line")])
    await page.get_by_label("Text").fill("")
    await page.get_by_role("button", name="Pause").click()
    api.log = [*api.log, LogLine(time=NOON, level="error", logger="a", message="later", stream=None)]
    await next_poll(api)
    await expect(lines).to_have_count(2)
    await page.get_by_role("button", name="Resume").click()
    await expect(lines).to_have_count(3)


async def test_a_starting_stream_shows_how_far_it_is(page: Page, api: FakeApi) -> None:
    stat = EngineStat(status="prebuf", progress=34, peers=5, speed_down_bps=1_000_000)
    api.streams = [
        replace(make_stream(clients=0), state="starting", waiting=2, engine_stat=stat, title=None, bitrate_bps=None)
    ]
    await page.goto(api.url)
    card = page.locator("article.card")
    await expect(card).to_contain_text("Prebuffering 34 %")
    await expect(card).to_contain_text("5 peers")
    await expect(card).to_contain_text("2 waiting")
    await expect(card.get_by_role("heading", level=3)).to_have_text("Untitled 0a484827…8141")


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (360, "light"), (1280, "dark")])
async def test_the_page_fits_its_window(browser: Browser, api: FakeApi, width: int, scheme: Any) -> None:
    long = "x" * 400
    api.streams = [replace(make_stream(), title=long, clients=[replace(make_client(1), agent=long, address=long)])]
    api.log = [LogLine(time=NOON, level="info", logger="a", message=long, stream=long)]
    async with await browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = await context.new_page()
        await page.goto(api.url)
        await expect(page.locator("article.card")).to_have_count(1)
        for fold in await page.locator("details.fold:visible").all():
            await fold.evaluate("fold => fold.open = true")
        await page.locator("#logs").scroll_into_view_if_needed()
        await expect(page.locator(".log-line")).to_have_count(1)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
