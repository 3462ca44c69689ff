"""A real browser for tests of the pages. Every page of it fails its test on an error or a request to another host.

Chromium without a window of its own (`chromium-headless-shell`) is the same browser for a page, for half of the work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright, expect

from aceproxy.web import still_maker
from aceproxy.web.answers import add_security_headers
from aceproxy.web.pages import PageRoutes
from tests.web.browsing import PAGE_MS, fresh_page, nothing_foreign
from tests.web.fake_api import FakeApi

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
STILL_S = 60.0  # for one picture, which is made with low priority: on a busy machine that takes its time
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]


def find_chromium() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(autouse=True)
def _unhurried_stills(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that takes long is no failure, after which none is tried for half a minute."""
    monkeypatch.setattr(still_maker, "MAKE_S", STILL_S)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of a file; a machine without one skips them, the CI must not."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("the CI needs Chromium for the tests of the pages")
        pytest.skip("no Chromium on this machine")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=ARGS)
        expect.set_options(timeout=PAGE_MS)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def api() -> AsyncIterator[FakeApi]:
    """The real pages with their real headers, and a pretended API, on a port of their own."""
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
    fake.silent = True  # or the event streams would keep the server from ending
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, api: FakeApi) -> AsyncIterator[Page]:
    """A page of a fresh profile, not opened yet. Fails the test on any error or foreign request of the page."""
    async with fresh_page(browser, partial(watch_for_trouble, api), nothing_foreign(api.url)) as opened:
        yield opened


def watch_for_trouble(api: FakeApi, page: Page, troubles: list[str]) -> None:
    """Note the errors of a page.

    What the pretended server refuses on purpose is no trouble: the browser reports every such answer by itself.
    """

    def hear(kind: str, text: str) -> None:
        refused = api.silent or api.without or api.role != "admin" or api.refuses
        if kind != "error" or ("Failed to load resource" in text and refused):
            return
        troubles.append(f"console: {text}")

    page.on("console", lambda line: hear(line.type, line.text))
