"""The first page of the dashboard in a real browser, on its real files, fed by a pretended API."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from playwright.async_api import Page, expect

from aceproxy.streams.snapshot import EndedStream, EngineStat
from tests.waiting import until
from tests.web.fake_api import HOSTILE, NOON, STREAM_ID, FakeApi, make_client, make_engine, make_stream

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW = 3.0  # s, more than two rounds of asking


async def set_hidden(page: Page, hidden: str) -> None:
    """Make the page believe that its tab is hidden or shown; a headless browser has no tab to hide."""
    await page.evaluate(f"Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {hidden}}})")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def test_streams_and_figures_are_shown(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    card = page.locator("article.card")
    await expect(card).to_have_count(1)
    await expect(card.get_by_role("heading", name="Sport Uno")).to_be_visible()
    await expect(card.locator(".chip")).to_have_text("live")
    await expect(card.locator(".card-facts")).to_contain_text("H.264")
    for number, words in enumerate(("42 peers", "8.10 Mbit/s", "29.5 s", "2 clients")):
        await expect(card.locator(".station").nth(number)).to_contain_text(words)
    await expect(card.locator(".still-picture")).to_be_visible()
    await expect(page.locator("#version")).to_have_text("1.2.3")
    await expect(page.locator("#health")).to_have_text("All engines up")
    await expect(page.locator(".figure-clients .figure-value")).to_have_text("2")
    await expect(page.locator("#engines")).to_contain_text("3.2.11")
    await expect(page.locator("#figures canvas")).to_be_visible()
    await expect(page).to_have_title(re.compile("2 clients"))


async def test_outside_text_stays_text(page: Page, api: FakeApi) -> None:
    api.streams = [make_stream(title=HOSTILE)]
    api.recent = [EndedStream("e" * 40, HOSTILE, HOSTILE, HOSTILE, 5.0, 0, HOSTILE, HOSTILE, HOSTILE)]
    api.engines = [make_engine(label=HOSTILE, version=HOSTILE, state="down", last_error=HOSTILE)]
    await page.goto(api.url)
    await expect(page.locator(".card-name")).to_have_text(HOSTILE)
    await expect(page.locator(".ended-name")).to_have_text(HOSTILE)
    await expect(page.locator(".engine-host")).to_have_text(HOSTILE)
    await page.locator("button.stop").click()
    await expect(page.locator(".ask-subject")).to_have_text(HOSTILE)
    assert await page.locator("img[src='x'], main script, dialog script").count() == 0
    assert await page.title() != "owned"


async def test_stop_asks_first_and_then_deletes(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    dialog = page.get_by_role("dialog")
    await page.locator("button.stop").click()
    await expect(dialog).to_contain_text("2 clients are disconnected")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    for _ in range(3):  # the focus stays in the dialog
        await page.keyboard.press("Tab")
        assert await page.evaluate(
            "document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))"
        )
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.locator("button.stop")).to_be_focused()
    assert api.changed == []
    await page.locator("button.stop").click()
    await dialog.get_by_role("button", name="Stop stream").click()
    await expect(page.locator(".toast")).to_contain_text("Stopped Sport Uno; 2 disconnected.")
    await expect(page.locator("article.card")).to_have_count(0)
    assert api.changed == [f"DELETE /api/aceproxy/streams/{STREAM_ID}"]
    assert api.csrf == ["c5rf"]
    await expect(page.locator("#streams-title")).to_be_focused()
    await expect(page.get_by_text("Nothing is playing yet")).to_be_visible()


async def test_updates_keep_focus_and_selection(page: Page, api: FakeApi) -> None:
    api.streams = [make_stream(), make_stream("b" * 40)]
    await page.goto(api.url)
    card = page.locator(f"article[aria-labelledby='stream-{STREAM_ID}']")
    stop = card.locator("button.stop")
    await stop.focus()
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('.card-name'))")
    await card.evaluate("card => { card.mark = 'same element' }")
    changed = replace(api.streams[0], inbound_bps=5_000_000.0)
    api.streams = [make_stream("c" * 40), changed]  # one gone, one new before it, one changed
    await expect(card.locator(".station").nth(1)).to_contain_text("5.00 Mbit/s")
    assert await card.evaluate("card => card.mark") == "same element"
    await expect(stop).to_be_focused()
    assert await page.evaluate("getSelection().toString()") == "Sport Uno"
    api.streams = [changed, make_stream("c" * 40)]  # the other order: the card has to move
    await expect(page.locator("article.card .card-name").first).to_have_attribute("id", f"stream-{STREAM_ID}")
    await expect(stop).to_be_focused()


async def test_the_page_listens_instead_of_asking(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await until(lambda: api.listeners == 1)
    await expect(page.locator("article.card")).to_have_count(1)
    await until(lambda: "GET /api/health" in api.asked)
    asked = len(api.asked)
    await asyncio.sleep(SLOW)
    assert [one for one in api.asked[asked:] if not one.endswith("still.jpg")] == []
    await set_hidden(page, "true")
    await until(lambda: api.listeners == 0)  # a hidden tab costs nothing
    await set_hidden(page, "false")
    await until(lambda: api.listeners == 1)


async def test_where_there_are_no_events_the_page_asks(page: Page, api: FakeApi) -> None:
    api.without = {"/api/events", "/api/session"}
    await page.goto(api.url)
    await expect(page.locator("article.card")).to_have_count(1)
    api.streams = []
    await expect(page.locator("article.card")).to_have_count(0)
    assert api.asked.count("GET /api/events") == 1
    await set_hidden(page, "true")
    asked = len(api.asked)
    await asyncio.sleep(1.5)
    assert len(api.asked) <= asked + 3  # one round may have been under way
    await set_hidden(page, "false")
    await until(lambda: len(api.asked) > asked + 3)


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
    api.silent = False
    await page.get_by_role("button", name="Try now").click()
    await expect(banner).to_be_hidden()
    await until(lambda: api.listeners == 1)
    api.refuses = True  # for the page fixture: failed loads were meant


async def test_a_pasted_link_becomes_an_address_for_players(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    box = page.get_by_role("textbox", name="Play a link")
    for pasted, query in (
        (f"acestream://{STREAM_ID}", f"id={STREAM_ID}"),
        (f"  {STREAM_ID.upper()} ", f"id={STREAM_ID}"),
        (f"acestream:?infohash={STREAM_ID}&index=2", f"infohash={STREAM_ID}&_idx=2"),
        (f"magnet:?xt=urn:btih:{STREAM_ID}&dn=x", f"infohash={STREAM_ID}"),
        (f"http://192.0.2.1:6878/ace/getstream?id={STREAM_ID}&pid=7", f"id={STREAM_ID}"),
        (f"http://192.0.2.1:6880/watch?id={STREAM_ID}", f"id={STREAM_ID}"),
        ("https://example.org/a.acelive?x=1&y=2", "url=https%3A%2F%2Fexample.org%2Fa.acelive%3Fx%3D1%26y%3D2"),
    ):
        await box.fill(pasted)
        await expect(page.locator(".play-address")).to_have_text(f"{api.url}ace/getstream?{query}")
        await expect(page.locator("#play-hint")).to_be_empty()
        watch = page.locator("#play").get_by_role("link", name="Watch")
        await expect(watch).to_have_attribute("href", f"{api.url}watch?{query}")


async def test_an_address_can_be_copied_and_taken_as_an_infohash(page: Page, api: FakeApi) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(api.url)
    await page.get_by_role("textbox", name="Play a link").fill(STREAM_ID)
    await expect(page.get_by_text("Playing now for 2 clients")).to_be_visible()
    await page.get_by_label("Infohash").check()
    await page.get_by_role("button", name="Copy address").click()
    await expect(page.locator(".toast")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == f"{api.url}ace/getstream?infohash={STREAM_ID}"


async def test_nonsense_is_refused_with_a_hint(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    for pasted, hint in (
        (STREAM_ID[:-1], "this one has 39"),
        (f"acestream://{STREAM_ID}f", "this one has 41"),
        ("z" * 40, "is made of the digits"),
        ("magnet:?dn=x", "no infohash"),
        ("javascript:alert(1)", "no AceStream link"),
    ):
        await page.get_by_role("textbox", name="Play a link").fill(pasted)
        await expect(page.locator("#play-hint")).to_contain_text(hint)
        await expect(page.locator(".play-result")).to_be_hidden()


async def test_an_ended_stream_says_why_and_leads_to_its_log(page: Page, api: FakeApi) -> None:
    ended = "e" * 40
    message = "The broadcast stopped arriving and could not be revived."
    api.recent = [EndedStream(ended, f"infohash:{ended}", "Cinema", NOON, 65.0, 0, "source_stalled", "swarm", message)]
    await page.goto(api.url)
    row = page.locator("#ended li")
    for words in ("Cinema", "swarm", "stopped arriving", message, "after 1 min 5 s"):
        await expect(row).to_contain_text(words)
    await row.get_by_role("link", name="Log: Cinema").click()
    await expect(page).to_have_url(f"{api.url}#/log/{ended}")
    await expect(page.locator(".log-view").get_by_label("Stream")).to_have_value(ended)  # the address changes first


async def test_a_starting_stream_shows_how_far_it_is(page: Page, api: FakeApi) -> None:
    stat = EngineStat(status="prebuf", progress=34, peers=5, speed_down_bps=1_000_000)
    api.streams = [
        make_stream(clients=0, state="starting", waiting=2, engine_stat=stat, title=None, bitrate_bps=None, codecs=[])
    ]
    await page.goto(api.url)
    card = page.locator("article.card")
    for words in ("Prebuffering 34 %", "5 peers", "2 waiting"):
        await expect(card).to_contain_text(words)
    await expect(card.get_by_role("heading", level=3)).to_have_text("Untitled 0a484827…8141")
    await expect(card.locator(".still-picture")).to_be_hidden()


async def test_a_card_tells_who_watches_and_how_well(page: Page, api: FakeApi) -> None:
    clients = [make_client(number) for number in range(5)]
    clients[1] = replace(clients[1], agent="mpv", token_name="Kitchen", skips=2, lag_s=25.0, behind=True)
    api.streams = [replace(make_stream(clients=7), clients=clients)]
    await page.goto(api.url)
    rows = page.locator("article.card .few-client")
    await expect(rows).to_have_count(5)
    for words in ("mpv", "Kitchen", "192.0.2.1:5000", "8.00", "25.0", "2 skips"):
        await expect(rows.nth(1)).to_contain_text(words)
    await expect(rows.nth(1).locator(".few-lag")).to_have_class("few-lag some")
    await expect(rows.nth(0)).not_to_contain_text("skip")
    await page.get_by_role("link", name="and 2 more").click()
    await expect(page.locator("tbody tr")).to_have_count(5)
    await expect(page.locator("tbody tr").nth(1).locator(".token-badge")).to_have_text("Kitchen")
    await expect(page.locator("tbody .token-badge")).to_have_count(1)


@pytest.mark.parametrize(
    ("values", "height"),
    [
        ([], 0),
        ([5], 5),
        ([48, 8, 8], 8),
        ([48, 48, 8, 8, 8, 8], 8),
        ([None, 48, 8, 8, 9, 8, None, 60, 8], 8),
        ([8] * 100 + [80] * 5, 80),
        ([80] * 5 + [8] * 100, 80),
    ],
)
async def test_a_burst_does_not_flatten_a_graph_and_what_lasts_is_seen(
    page: Page, api: FakeApi, values: list[int | None], height: int
) -> None:
    await page.goto(api.url)
    script = "async (values) => (await import(new URL('static/graph.js', document.baseURI))).lasting(values)"
    assert await page.evaluate(script, values) == height


async def test_a_history_that_cannot_be_written_is_told_on_the_first_page(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await expect(page.locator("article.card")).to_have_count(1)
    told = page.get_by_text("The history cannot be written: /state/aceproxy.db cannot be used: disk I/O error")
    await expect(told).to_be_hidden()
    api.store_problem = "/state/aceproxy.db cannot be used: disk I/O error"
    await expect(told).to_be_visible()
    api.store_problem = None
    await expect(told).to_be_hidden()


async def test_of_many_streams_one_is_found_by_its_title(page: Page, api: FakeApi) -> None:
    api.streams = [make_stream(f"{number:040x}", title=f"Channel {number}") for number in range(40)]
    await page.goto(api.url)
    cards = page.locator("article.card")
    await expect(cards).to_have_count(40)
    height = await cards.first.evaluate("(card) => card.offsetHeight")
    assert height < 190  # five of them on one screen
    await page.get_by_label("Find a stream").fill("channel 17")
    await expect(cards).to_have_count(1)
    await page.get_by_label("Find a stream").fill("no such")
    await expect(page.get_by_text("No stream matches.")).to_be_visible()
    api.streams = api.streams[:2]
    await expect(cards).to_have_count(2)
    await expect(page.get_by_label("Find a stream")).to_be_hidden()
