"""A real browser for tests of the pages. Every page of it fails its test on an error or a request to another host."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

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
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


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
        yield started
        await started.close()
