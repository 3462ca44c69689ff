"""Pages of a real browser for the tests of pages, each in a fresh profile, and what such a test must not see."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from playwright.async_api import Browser, Page

PAGE_MS = 30_000  # what takes a browser a second may take long on a machine that is busy with other tests

Hear = Callable[[Page, list[str]], None]


@contextlib.asynccontextmanager
async def fresh_page(browser: Browser, *hears: Hear, **options: Any) -> AsyncIterator[Page]:
    """Give a page of a fresh profile, not opened yet; fails on errors of its scripts and on what `hears` note.

    `options` are those of a browser's context: size of the window, language, colours.
    """
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options})
    opened = await context.new_page()
    opened.set_default_timeout(PAGE_MS)
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    for hear in hears:
        hear(opened, troubles)
    try:
        yield opened
    finally:
        await context.close()
    assert troubles == []


def no_script_errors(page: Page, troubles: list[str]) -> None:
    """Note errors on the console, but for answers that are no success: the browser reports each of them."""

    def hear(kind: str, text: str) -> None:
        if kind == "error" and "Failed to load" not in text:
            troubles.append(text)

    page.on("console", lambda line: hear(line.type, line.text))


def no_dialogs(page: Page, troubles: list[str]) -> None:
    """Note dialogs."""
    page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))


def no_refusals(page: Page, troubles: list[str]) -> None:
    """Note every answer that is no success."""
    page.on("response", lambda got: troubles.append(f"{got.status} {got.url}") if got.status >= 400 else None)


def nothing_foreign(own: str) -> Hear:
    """Return what notes requests to other places than `own`."""

    def hear(page: Page, troubles: list[str]) -> None:
        def see(address: str) -> None:
            if not address.startswith((own, "blob:", "data:")):
                troubles.append(f"foreign: {address}")

        page.on("request", lambda call: see(call.url))

    return hear
