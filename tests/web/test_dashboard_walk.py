"""A walk through all pages: every language, phone and desktop, dark and light, with pictures kept, read by axe."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped] # it ships no types
from playwright.async_api import Browser, Page, expect

from aceproxy.streams.snapshot import EndedStream, EngineStat, TimelineEvent
from tests.web.browsing import fresh_page, nothing_foreign
from tests.web.conftest import watch_for_trouble
from tests.web.fake_api import (
    NOON,
    STREAM_ID,
    FakeApi,
    make_ended_client,
    make_engine,
    make_line,
    make_link,
    make_past,
    make_setting,
    make_stream,
    make_token,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOTS = Path(__file__).resolve().parents[2] / "artifacts" / "pages"
VIEWS = {
    "overview": "article.card",
    f"stream/{STREAM_ID}": "tbody tr",
    "engines": ".engine-card",
    "history": ".past",
    "links": ".link-card",
    "log": ".log-line",
    "settings": ".setting",
    "access": ".token",
}
KEYS = """async (names) => {
  const leaves = (value, path) =>
    typeof value === "object"
      ? Object.entries(value).flatMap(([name, one]) => leaves(one, path + "." + name))
      : [path + ":" + typeof value + (typeof value === "function" ? value.length : "")];
  const told = {};
  for (const name of names) {
    told[name] = leaves((await import(new URL(`static/texts/${name}/index.js`, document.baseURI))).default, "").sort();
  }
  return told;
}"""
PRETENDED = """
import plain from "./plain.js";
const mark = (value) => {
  if (typeof value === "string") return value && `⟦${value}⟧`;
  if (typeof value === "function") return (...given) => mark(value(...given));
  if (Array.isArray(value)) return value.map(mark);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, mark(one)]));
};
export default { ...mark(plain), lang: plain.lang };
"""
UNMARKED = """() => {
  const names = "bdi, code, noscript, time, output, .account, .brand, .foot, .outside-text, .fact-player";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.data.trim();
    const free = node.parentElement.closest(names);
    if (/\\p{L}{2}/u.test(text) && !text.includes("⟦") && !free) found.push(text);
  }
  for (const node of document.body.querySelectorAll("[aria-label], [title], [placeholder]:not([name=url]), [alt]")) {
    for (const name of ["aria-label", "title", "placeholder", "alt"]) {
      const text = node.getAttribute(name) ?? "";
      if (node.matches(".gone-why, .ended-reason, .event-reason, .badge")) continue; // names as the API has them
      if (/\\p{L}{2}/u.test(text) && !text.includes("⟦") && node.tagName !== "TIME") found.push(`${name}: ${text}`);
    }
  }
  return found;
}"""


def fill(api: FakeApi) -> None:
    """Give every page something to show, the good and the bad."""
    first, second = "b" * 40, "c" * 40
    message = "The broadcast stopped arriving and could not be revived."
    api.streams = [
        make_stream(clients=3, ended_clients=[make_ended_client()]),
        make_stream(
            first,
            clients=0,
            title=None,
            state="starting",
            waiting=1,
            codecs=[],
            engine_stat=EngineStat(status="prebuf", progress=40, peers=4, speed_down_bps=500_000),
        ),
        make_stream(second, clients=1, title="Cinema", state="recovering", recoveries=2, last_byte_age_s=9.0),
    ]
    api.recent = [EndedStream(first, f"infohash:{first}", "Radio", NOON, 65.0, 0, "source_stalled", "swarm", message)]
    api.past = [make_past(2), make_past(1, stalls=0, recoveries=0, reason="linger_over", fault="none", message=None)]
    api.links = [
        make_link(engines=2),
        make_link(f"content_id:{second}", title="Cinema", score=0.41, stalls=3.2, stalled_s=64.0, speed_ratio=0.86),
        make_link(
            f"infohash:{first}",
            title=None,
            score=0.12,
            starts=0.0,
            failures=2.0,
            start_s=None,
            watched_s=0.0,
            speed_ratio=None,
            peers=None,
            last_reason="no_peers",
        ),
    ]
    api.engines = [
        make_engine(),
        make_engine(label="attic", url="http://192.0.2.7:6878", state="down", last_error="refused"),
    ]
    levels = ("debug", "info", "warning", "error")
    api.log = [
        make_line(f"{level} line of the log", level, STREAM_ID, number) for number, level in enumerate(levels, 1)
    ]
    kinds = (("start_asked", "none", None), ("live", "none", None), ("source_lost", "engine", "source_ended")) * 5
    api.events = [
        TimelineEvent(
            seq=n, at=NOON, after_s=1.0, kind=kind, fault=fault, reason=reason, message="", details={"peers": n}
        )
        for n, (kind, fault, reason) in enumerate(kinds, 1)
    ]
    api.settings = [
        make_setting("linger_s", 15.0, unit="s", minimum=0.0, effect="next_start"),
        make_setting("max_clients", 200, origin="a change at run time", default=5000, minimum=1),
        make_setting("stills", True),
        make_setting("listen", ":6880", origin="/etc/aceproxy.toml", changeable=False, effect="restart"),
    ]
    api.tokens = [make_token(clients=2), make_token("Kitchen", "admin", token_id="t2", last_used_at=NOON)]


async def visit(page: Page, api: FakeApi, view: str) -> None:
    """Open a page of the dashboard and wait until it shows something."""
    await page.goto(f"{api.url}#/{view}")
    await expect(page.locator(VIEWS[view]).first).to_be_visible()


async def read_by_axe(page: Page, view: str) -> None:
    """Fail if axe finds something that keeps people from using the page."""
    report = (await Axe().run(page)).response
    assert len(report["passes"]) > 15, view
    headings = {"page-has-heading-one", "heading-order"}
    assert headings.isdisjoint(one["id"] for one in report["violations"]), view
    serious = [one for one in report["violations"] if one["impact"] in ("serious", "critical")]
    told = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in serious]
    assert told == [], (view, json.dumps(told, indent=1))


@pytest.mark.parametrize(
    ("language", "width", "scheme"),
    [("en-GB", 1360, "dark"), ("en-GB", 390, "light"), ("it-IT", 1360, "light"), ("it-IT", 390, "dark")],
)
async def test_every_page_is_sound(browser: Browser, api: FakeApi, language: str, width: int, scheme: Any) -> None:
    fill(api)
    SHOTS.mkdir(parents=True, exist_ok=True)
    kind = "phone" if width < 600 else "desktop"
    size = {"width": width, "height": 900}
    hears = partial(watch_for_trouble, api), nothing_foreign(api.url)
    options = {"viewport": size, "color_scheme": scheme, "locale": language, "reduced_motion": "reduce"}
    async with fresh_page(browser, *hears, **options) as page:
        for view in VIEWS:
            await visit(page, api, view)
            name = f"{view.partition('/')[0]}-{kind}-{language[:2]}-{scheme}.png"
            await page.screenshot(path=SHOTS / name, full_page=True)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, view
            assert await page.evaluate("document.documentElement.lang") == language[:2]
            await read_by_axe(page, view)


async def test_long_texts_fit(browser: Browser, api: FakeApi) -> None:
    fill(api)
    long = "x" * 400
    api.streams = [make_stream(title=long, ended_clients=[make_ended_client(agent=long, address=long)])]
    api.engines = [make_engine(label=long, url=f"http://{long}", version=long, state="down", last_error=long)]
    api.past = [make_past(1, title=long, message=long)]
    api.links = [make_link(title=long), make_link(f"content_id:{long}", title=None, last_reason=long)]
    api.log = [make_line(long, stream=long)]
    api.tokens = [make_token(long)]
    async with fresh_page(browser, viewport={"width": 360, "height": 800}) as page:
        for view in VIEWS:
            await visit(page, api, view)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, view


async def test_the_overview_tells_of_clients_that_do_not_keep_up(page: Page, api: FakeApi) -> None:
    api.streams = [replace(make_stream(clients=0), client_count=3, late_clients=2)]  # as lists have it: no clients
    await page.goto(api.url)
    await expect(page.locator("article.card .verdict")).to_contain_text("2 clients do not keep up")


async def test_the_catalogues_have_the_same_names(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    told = await page.evaluate(KEYS, ["en", "it"])
    names = {one.split(":")[0] for one in told["en"]}
    server = (
        ".serverMessages.",
        ".serverDetails.",
        ".settingWords.",
        ".settingUnits.",
    )  # English needs none: it is what the server speaks
    assert names == {one.split(":")[0] for one in told["it"] if not one.startswith(server)}
    assert len(names) > 300


async def test_no_words_stand_outside_the_catalogues(page: Page, api: FakeApi) -> None:
    """A language is pretended whose words are all marked: whatever shows up without a mark is written in the code."""
    fill(api)
    plain = 'export { default } from "../en/index.js";'
    await page.route(
        "**/texts/it/index.js", lambda route: route.fulfill(body=PRETENDED, content_type="text/javascript")
    )
    await page.route("**/texts/it/plain.js", lambda route: route.fulfill(body=plain, content_type="text/javascript"))
    await page.add_init_script("localStorage.setItem('aceproxy.language', 'it')")
    for view in VIEWS:
        await visit(page, api, view)
        assert await page.evaluate(UNMARKED) == [], view
    api.refuses = True  # there is no stream behind the watch page here
    await page.goto(f"{api.url}watch?id={STREAM_ID}")
    await expect(page.locator("#elsewhere .play-address")).to_be_visible()
    assert await page.evaluate(UNMARKED) == []


async def test_language_and_look_are_chosen_and_kept(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await expect(page.get_by_role("link", name="Overview")).to_be_visible()
    await page.get_by_label("Look").select_option("light")
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    await page.get_by_label("Language").select_option("it")
    await expect(page.get_by_role("link", name="Quadro")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    await page.reload()
    await expect(page.get_by_label("Lingua")).to_have_value("it")


async def test_the_keyboard_reaches_everything(page: Page, api: FakeApi) -> None:
    await page.goto(api.url)
    await expect(page.locator("article.card")).to_have_count(1)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.get_by_role("link", name="Engines", exact=True).first.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="Engines")).to_be_visible()
    await expect(page.locator("#main")).to_be_focused()  # so that a reader begins with the new page
    await page.go_back()
    await expect(page.locator("article.card")).to_have_count(1)
