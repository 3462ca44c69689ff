"""Signing in with a real browser, on the whole program; and markup from outside in every view of the dashboard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from aceproxy.app import App
from aceproxy.simulator import Content, Simulator, SimulatorConfig
from tests.conftest import ask, running_app
from tests.web.browsing import fresh_page, no_dialogs, no_script_errors

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARKUP = "\"'><img src=x onerror=hacked=1><script>hacked=1</script>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Simulator]:
    """A simulated engine whose channel has markup for a name."""
    async with Simulator(SimulatorConfig.fast(contents=(Content(MARKUP, "light"),))) as simulator:
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(engine: Simulator) -> AsyncIterator[App]:
    """The program in front of it."""
    async with running_app(engines=[engine.url], stat_poll_s=0.2) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of a fresh profile. Fails the test on any error of a script, what the policy blocks included."""
    async with fresh_page(browser, no_script_errors, no_dialogs) as opened:
        yield opened


def address(app: App, path: str = "") -> str:
    """Return an address of the program."""
    return f"http://127.0.0.1:{app.port}/{path}"


async def role(page: Page) -> str:
    """Return who the page is to the program."""
    told: dict[str, str] = await page.evaluate("fetch('api/session').then((answer) => answer.json())")
    return told["role"]


async def test_the_link_of_the_first_start_signs_in_and_leaves_no_trace(page: Page, app: App) -> None:
    assert app.sign_in_link is not None
    await page.goto(app.sign_in_link)
    await page.wait_for_url(address(app))
    assert await role(page) == "admin"
    assert await page.evaluate("document.cookie") == ""
    await page.goto(address(app, "sign-in"))
    assert app.secret.value not in await page.evaluate("location.href + JSON.stringify(localStorage)")


async def test_a_wrong_secret_is_told_and_the_link_works_in_the_same_tab(page: Page, app: App) -> None:
    await page.goto(address(app, "sign-in"))
    await page.fill("#secret", MARKUP)
    await page.click("#button")
    await expect(page.locator("#problem")).to_contain_text("is not right")
    assert await role(page) == "viewer"
    await page.goto(app.sign_in_link or "")
    await page.wait_for_url(address(app))
    assert await role(page) == "admin"


async def test_the_page_to_sign_in_speaks_the_language_that_was_chosen(page: Page, app: App) -> None:
    await page.goto(address(app, "sign-in"))
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    await page.evaluate("localStorage.setItem('aceproxy.language', 'it')")
    await page.reload()
    await expect(page.get_by_role("button", name="Entra")).to_be_visible()
    await expect(page.get_by_label("Password, segreto di amministrazione o token")).to_be_focused()
    await expect(page.locator("html")).to_have_attribute("lang", "it")


async def test_markup_in_names_agents_and_engine_answers_stays_text_in_every_view(
    page: Page, app: App, engine: Simulator
) -> None:
    target = f"/ace/getstream?id={engine.contents[0].content_id}"
    playing = await ask(app, target, stream=True, headers=f"User-Agent: {MARKUP}\r\n")
    with closing(playing):
        await asyncio.wait_for(playing.reader.readexactly(188), 30)
        await ask(app, "/api/tokens", "POST", body=json.dumps({"name": MARKUP}).encode())
        await page.goto(app.sign_in_link or "")
        await page.wait_for_url(address(app))
        await expect(page.locator("#nav a").first).to_be_visible()  # the page draws it when it knows who is there
        links = await page.eval_on_selector_all("#nav a", "(links) => links.map((one) => one.hash)")
        stream = f"#/stream/{app.hub.streams[0].stream_id}"
        assert {"#/overview", "#/log", "#/access"} < set(links)
        for view in (*links, stream):
            await page.evaluate("(hash) => { location.hash = hash; }", view)
            if view in ("#/overview", "#/access", stream):  # there the markup is shown, as text
                await expect(page.locator("#main")).to_contain_text("onerror=hacked")
            await page.wait_for_timeout(400)  # what would run at once, runs now; nothing tells that nothing did
            assert await page.evaluate("typeof hacked") == "undefined", view
            assert await page.locator("img[onerror]").count() == 0, view
