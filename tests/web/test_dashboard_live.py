"""The dashboard on the whole program with simulated engines: what is clicked really happens, and nothing is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from aceproxy.app import App
from aceproxy.simulator import Simulator, SimulatorConfig
from aceproxy.streams.quality import Viewing
from tests.conftest import Answer, ask, running_app
from tests.waiting import until
from tests.web.browsing import fresh_page, no_refusals

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIEWS = {"": "article.card", "engines": ".engine-card", "history": "h1", "log": ".log-line", "access": ".who"}


@pytest_asyncio.fixture(loop_scope="module")
async def engine() -> AsyncIterator[Simulator]:
    """A simulated engine that starts at once."""
    async with Simulator(SimulatorConfig.fast()) as simulator:
        yield simulator


@pytest_asyncio.fixture(loop_scope="module")
async def app(engine: Simulator, tmp_path: Path) -> AsyncIterator[App]:
    """The program in front of it, with a state folder."""
    # client_stall_s: the client that plays reads nothing
    async with running_app(engines=[engine.url], state_dir=tmp_path / "state", client_stall_s=600) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def stream(app: App, engine: Simulator) -> AsyncIterator[Answer]:
    """A client that plays."""
    answer = await ask(app, f"/ace/getstream?id={engine.contents[0].content_id}", stream=True)
    assert answer.status == 200
    yield answer
    answer.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, app: App) -> AsyncIterator[Page]:
    """A page of a fresh profile. Fails the test on whatever the console tells as an error."""
    async with fresh_page(browser, no_errors_but_cut_off, no_refusals) as opened:
        yield opened


def no_errors_but_cut_off(page: Page, troubles: list[str]) -> None:
    """Note the console's errors; what a session is being sent ends with the session, and that is none."""

    def hear(kind: str, text: str) -> None:
        if kind == "error" and "ERR_INCOMPLETE_CHUNKED_ENCODING" not in text:
            troubles.append(text)

    page.on("console", lambda line: hear(line.type, line.text))


async def sign_in(page: Page, app: App) -> None:
    """Sign in as the link does that the first start prints."""
    await page.goto(f"http://127.0.0.1:{app.port}/sign-in#{app.credentials.secret.value}")
    await expect(page.locator("#account")).to_have_text("admin")


async def test_a_viewer_sees_every_page_without_an_error(page: Page, app: App, stream: Answer) -> None:
    for view, place in VIEWS.items():
        await page.goto(f"http://127.0.0.1:{app.port}/#/{view}")
        await expect(page.locator(place).first).to_be_visible()
    await page.goto(f"http://127.0.0.1:{app.port}/")
    await page.locator(".card-name a").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator(".event").first).to_be_visible()
    await expect(page.locator(".graph canvas")).to_have_count(4)
    await expect(page.locator(".hero .still-picture")).to_be_visible()


async def test_an_admin_disconnects_stops_and_finds_it_in_the_history(
    page: Page, app: App, engine: Simulator, stream: Answer
) -> None:
    await sign_in(page, app)
    await page.locator(".card-name a").click()
    await page.locator("tbody .kick").click()
    await page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
    await expect(page.get_by_text("No client is connected.")).to_be_visible()
    await expect(page.locator(".gone")).to_contain_text("disconnected by the operator")
    await asyncio.wait_for(stream.reader.read(), 10)  # the player was really ended
    await page.get_by_role("button", name="Stop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Stop stream").click()
    await expect(page.get_by_text("Nothing is playing yet")).to_be_visible()
    await until(lambda: all(playback.stopped_at is not None for playback in engine.playbacks))
    await expect(page.locator("#ended")).to_contain_text("stopped by the operator")
    await page.get_by_role("link", name="History").click()
    past = page.locator(".past").first
    await expect(past).to_contain_text(engine.contents[0].name)
    await expect(past).to_contain_text("stopped by the operator")
    played = Viewing(
        f"content_id:{engine.contents[0].content_id}", engine.url, title="Much seen", start_s=2.0, watched_s=600.0
    )
    app.links.add(played)  # what this test plays is too short to teach anything
    await page.get_by_role("link", name="Quality of links").click()
    await expect(page.locator(".link-card h2")).to_have_text("Much seen")
    await expect(page.locator(".link-engine")).to_contain_text(engine.url.removeprefix("http://"))
    await page.get_by_role("link", name="Past streams").click()
    await past.locator(".card-name a").click()
    await expect(page.locator(".event").first).to_contain_text("The stream ended")


async def test_an_admin_changes_settings_and_engines(page: Page, app: App) -> None:
    await sign_in(page, app)
    await page.get_by_role("link", name="Settings").click()
    limit = page.get_by_role("textbox", name="max_clients", exact=True)
    await limit.fill("321")
    await limit.press("Enter")
    await expect(page.locator(".setting", has=limit).locator(".badge")).to_have_text("changed here")
    assert app.live.current.max_clients == 321
    await page.get_by_role("link", name="Engines", exact=True).first.click()
    await page.get_by_role("button", name="Take out of service").click()
    await page.get_by_role("dialog").get_by_role("button", name="Take out of service").click()
    await expect(page.locator(".engine-card .chip")).to_have_text("draining")
    assert app.pool.snapshot()[0].draining
    async with Simulator(SimulatorConfig.fast()) as second:
        await page.get_by_label("Address").fill(second.url)
        await page.get_by_role("textbox", name="Name").fill("attic")
        await page.get_by_role("button", name="Add engine").click()
        attic = page.locator(".engine-card", has_text="attic")
        await expect(attic.locator(".chip")).to_have_text("up")
        await attic.get_by_role("button", name="Remove").click()
        await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        await expect(attic).to_have_count(0)
    assert [engine.label for engine in app.pool.snapshot()] == [app.pool.snapshot()[0].label]


async def test_an_admin_replaces_the_secret_and_stays_signed_in(page: Page, app: App) -> None:
    await sign_in(page, app)
    old = app.credentials.secret.value
    await page.goto(f"http://127.0.0.1:{app.port}/#/access")
    box = page.locator("section", has=page.get_by_role("heading", name="Admin secret"))
    await box.get_by_label("Present secret, or the password").fill(old)
    await box.get_by_role("button", name="Replace the secret").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replace the secret").click()
    link = box.locator("output")
    await expect(link).to_contain_text("/sign-in#")
    assert (await link.inner_text()).partition("#")[2] == app.credentials.secret.value != old
    await expect(page.locator("#account")).to_have_text("admin")
    await page.get_by_label("Name, such as").fill("TV")  # what is changed now is changed with the new session
    await page.get_by_role("button", name="Create token").click()
    await expect(page.locator(".token")).to_have_count(1)
    await page.goto(f"http://127.0.0.1:{app.port}/#/log")
    await page.goto(f"http://127.0.0.1:{app.port}/#/access")
    await expect(link).to_have_text("")
