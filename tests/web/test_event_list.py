"""The time line on the page of a stream: tries that are counted on while somebody looks."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from aceproxy.streams.snapshot import TimelineEvent
from tests.web.fake_api import NOON, STREAM_ID, FakeApi

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNTIL = """([event, later]) => {
  const at = new Date(Date.parse(event) + later * 1000);
  return at.toLocaleTimeString("en-GB");
}"""


def tried(seq: int, times: int, until_s: float) -> TimelineEvent:
    details: dict[str, str | int | float | bool | None] = {"times": times, "until_s": until_s} if times > 1 else {}
    return TimelineEvent(
        seq=seq, at=NOON, after_s=1.0, kind="not_yet", fault="none", reason=None, message="", details=details
    )


def collected(seq: int) -> TimelineEvent:
    return TimelineEvent(
        seq=seq, at=NOON, after_s=1.0, kind="prebuffering", fault="none", reason=None, message="",
        details={"engine_status": "prebuf", "progress": 84},
    )  # fmt: skip


async def test_a_try_that_is_shown_is_counted_on_and_tells_until_when(page: Page, api: FakeApi) -> None:
    api.events = [collected(1), tried(2, 3, 61.0)]
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    newest, first = page.locator(".event").nth(0), page.locator(".event").nth(1)
    await expect(first.locator(".event-details")).to_have_text("status prebuf · progress 84 %")
    until = await page.evaluate(UNTIL, [NOON, 60])
    await expect(newest.locator(".event-details")).to_have_text(f"3 times · until {until}")
    api.events = [collected(1), tried(2, 4, 71.0)]
    until = await page.evaluate(UNTIL, [NOON, 70])
    await expect(newest.locator(".event-details")).to_have_text(f"4 times · until {until}", timeout=30_000)
    await expect(page.locator(".event")).to_have_count(2)


def stalled(seq: int, kind: str, **details: float) -> TimelineEvent:
    return TimelineEvent(
        seq=seq, at=NOON, after_s=1.0, kind=kind, fault="none", reason=None, message="", details={**details}
    )


async def test_stalls_that_follow_one_another_stay_one_pair_while_somebody_looks(page: Page, api: FakeApi) -> None:
    began, ended = stalled(2, "stall_began", silent_s=3.0), stalled(3, "stall_ended", lasted_s=4.0)
    api.events = [collected(1), began, ended, stalled(4, "stall_began", silent_s=3.0, times=2)]
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    await expect(page.locator(".event")).to_have_count(4)
    api.events = [collected(1), began, stalled(5, "stall_ended", lasted_s=5.0, times=2, longest_s=5.0, total_s=9.0)]
    await expect(page.locator(".event")).to_have_count(3, timeout=30_000)
    newest = page.locator(".event").nth(0)
    await expect(newest).to_contain_text("Data comes again")
    await expect(newest.locator(".event-details")).to_have_text("lasted 5.0 s · 2 times · longest 5.0 s · in all 9.0 s")
