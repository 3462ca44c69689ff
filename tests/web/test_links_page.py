"""The page about the quality of links: what viewing has taught, on each engine."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.web.fake_api import HOSTILE, STREAM_ID, FakeApi, make_engine, make_link

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINKS = "/api/aceproxy/links"


async def test_a_link_tells_how_it_plays_on_each_engine(page: Page, api: FakeApi) -> None:
    api.links = [
        make_link(engines=2, speed_ratio=0.86, stalls=3.0, stalled_s=64.0, failures=1.0, last_reason="no_peers")
    ]
    await page.goto(f"{api.url}#/links")
    card = page.locator(".link-card")
    await expect(card.get_by_role("heading", level=2, name="Sport Uno")).to_be_visible()
    await expect(card.locator(".link-engine")).to_have_count(2)
    row = card.locator(".link-engine").first
    for words in (
        "192.0.2.1:6878",
        "Starts in2.4 s",
        "Speed86 % of the bitrate",
        "3, 1 min 4 s in all",
        "1 of 5 failed",
    ):
        await expect(row).to_contain_text(words)
    for words in ("Peers38", "Watched2 h", "last seen", "last trouble: no peers"):
        await expect(row).to_contain_text(words)
    await expect(card.get_by_role("link", name="Watch: Sport Uno")).to_have_attribute(
        "href", f"{api.url}watch?id={STREAM_ID}"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "plays well"),
        ({"score": 0.4}, "so-so"),
        ({"score": 0.1}, "plays badly"),
        ({"score": 0.2, "starts": 0.0, "failures": 2.0}, "does not start"),
        ({"starts": 0.2}, "long ago"),
    ],
)
async def test_the_grade_of_a_link_is_a_word(page: Page, api: FakeApi, changes: Any, words: str) -> None:
    api.links = [make_link(**changes)]
    await page.goto(f"{api.url}#/links")
    await expect(page.locator(".link-head .chip")).to_have_text(words)


async def test_links_are_found_and_put_in_order(page: Page, api: FakeApi) -> None:
    api.links = [
        make_link(title="Middle", score=0.5),
        make_link("content_id:" + "b" * 40, title="Worst", score=0.1),
        make_link("content_id:" + "c" * 40, title="Best", score=0.9),
    ]
    await page.goto(f"{api.url}#/history")
    await page.get_by_role("navigation", name="History").get_by_role("link", name="Quality of links").click()
    names = page.locator(".link-card h2")
    await expect(names).to_have_text(["Middle", "Worst", "Best"])
    await expect(page.locator("#nav a[aria-current=page]")).to_have_text("History")
    await page.get_by_label("Order").select_option("worst")
    await expect(names).to_have_text(["Worst", "Middle", "Best"])
    await page.get_by_label("Order").select_option("best")
    await expect(names).to_have_text(["Best", "Middle", "Worst"])
    await page.get_by_label("Find a title or a link").fill("bbbb")
    await expect(names).to_have_text(["Worst"])
    await page.get_by_label("Find a title or a link").fill("nothing like it")
    await expect(page.get_by_text("No link matches the filter.")).to_be_visible()


async def test_many_links_come_some_at_a_time(page: Page, api: FakeApi) -> None:
    api.links = [make_link(f"content_id:{number:040x}", title=f"Link {number}") for number in range(60)]
    await page.goto(f"{api.url}#/links")
    await expect(page.locator(".link-card")).to_have_count(40)
    await expect(page.get_by_text("40 of 60 shown")).to_be_visible()
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".link-card")).to_have_count(60)


async def test_nothing_known_and_nothing_answered_are_told(page: Page, api: FakeApi) -> None:
    await page.goto(f"{api.url}#/links")
    await expect(page.get_by_text("Nothing is known of any link yet")).to_be_visible()
    api.without.add(LINKS)
    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text("The quality of links cannot be shown")
    await expect(page.get_by_text("Nothing is known of any link yet")).to_be_hidden()


async def test_markup_in_a_link_stays_text(page: Page, api: FakeApi) -> None:
    api.links = [make_link(f"url:{HOSTILE}", title=HOSTILE, last_reason=HOSTILE)]
    await page.goto(f"{api.url}#/links")
    await expect(page.locator(".link-card h2")).to_have_text(HOSTILE)
    assert await page.title() != "owned"


async def test_an_engine_is_called_by_its_label(page: Page, api: FakeApi) -> None:
    api.engines = [make_engine(url="http://192.0.2.2:6878", label="attic")]
    api.links = [make_link(engines=2)]
    await page.goto(f"{api.url}#/links")
    names = page.locator(".link-engine-name")
    await expect(names).to_have_text(["192.0.2.1:6878", "attic"])
    await expect(names.last).to_have_attribute("title", "192.0.2.2:6878")
