"""What a test of a page asks a real browser: whether something holds, and whether the picture moves."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page

LIMIT_S = 30.0  # for what takes a browser a second: the machine may be slow, and busy with other tests
POLL_S = 0.05
GRAB = """() => {
  const video = document.querySelector("video");
  if (!video) return [0, ""];
  const canvas = new OffscreenCanvas(64, 36);
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 64, 36);
  return [video.currentTime, Array.from(context.getImageData(0, 0, 64, 36).data).join()];
}"""


async def holds(page: Page, expression: str, limit_s: float = LIMIT_S) -> None:
    """Wait until a JavaScript expression is true (the page's policy forbids Playwright's own way, an `eval`)."""
    deadline_at = asyncio.get_running_loop().time() + limit_s
    while not await page.evaluate(expression):
        if asyncio.get_running_loop().time() > deadline_at:
            pytest.fail(f"not within {limit_s:g} s in the page: {expression}")
        await asyncio.sleep(POLL_S)


async def new_picture(page: Page, beyond_s: float, *shown: str, limit_s: float = LIMIT_S) -> tuple[float, str]:
    """Wait until the player's time is past `beyond_s` and its picture is none of `shown`; return both.

    The picture is waited for as well as the time: broadcasts of the simulator repeat themselves every few seconds, and
    a browser that gets too little of the processor shows a picture for longer than it is due.
    """
    deadline_at = asyncio.get_running_loop().time() + limit_s
    while True:
        at_s, picture = await page.evaluate(GRAB)
        if at_s > beyond_s and picture not in shown:
            return at_s, picture
        if asyncio.get_running_loop().time() > deadline_at:
            pytest.fail(f"no new picture beyond {beyond_s:g} s within {limit_s:g} s; the player is at {at_s:g} s")
        await asyncio.sleep(POLL_S)


async def moving(page: Page) -> None:
    """Return when the picture has moved: time goes on, and two pictures differ."""
    began_s, first = await new_picture(page, 0.2)
    await new_picture(page, began_s + 0.5, first)
