"""What the server says is shown in the language of the page."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from aceproxy import streams
from aceproxy.errors import REASONS, AceProxyError, Reason
from aceproxy.streams.snapshot import EndedStream, TimelineEvent
from aceproxy.streams.timeline import EventKind
from tests.web.fake_api import NOON, STREAM_ID, FakeApi, make_engine, make_past, make_setting

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = """async (told) => {
  const { serverWords } = await import(new URL("static/server_words.js", document.baseURI));
  return told.map((one) => serverWords(one));
}"""
DETAIL = "no answer within 5 s"
Details = dict[str, str | int | float | bool | None]
IN_ITALIAN = "nessuna risposta entro 5 s"


async def open_in(page: Page, api: FakeApi, language: str, view: str = "") -> None:
    await page.add_init_script(f"localStorage.setItem('aceproxy.language', '{language}')")
    await page.goto(f"{api.url}#/{view}")


async def words(page: Page, told: list[dict[str, Any]]) -> list[str]:
    found: list[str] = await page.evaluate(WORDS, told)
    return found


async def test_every_reason_is_told_in_italian_with_its_detail(page: Page, api: FakeApi) -> None:
    """As errors have it, and as streams that ended have it: only as a sentence with the detail in brackets behind."""
    await open_in(page, api, "it")
    errors = [
        {"reason": reason, "message": AceProxyError(reason, DETAIL).message, "detail": DETAIL} for reason in Reason
    ]
    ended = [{"reason": one["reason"], "message": one["message"]} for one in errors]
    found = await words(page, errors)
    assert found == await words(page, ended)
    for reason, text in zip(Reason, found, strict=True):
        assert text.endswith(f" ({IN_ITALIAN})"), reason
        assert REASONS[reason].message not in text
    plain = await words(page, [{"reason": reason, "message": REASONS[reason].message} for reason in Reason])
    assert plain == [text.removesuffix(f" ({IN_ITALIAN})") for text in found]


async def test_details_are_told_part_by_part(page: Page, api: FakeApi) -> None:
    details = {
        "2 of 3 engines answer.": "Rispondono 2 motori su 3.",
        "stat: no answer within 5 s": f"stat: {IN_ITALIAN}",
        "attic: no connection in time; cellar: closed without an answer": (
            "attic: nessun collegamento in tempo; cellar: chiuso senza una risposta"
        ),
        "buffering 12 %, 1 peer": "riempimento del buffer 12 %, 1 peer",
        'the body is not an object such as {"linger_s": 30}': 'il corpo non è un oggetto come {"linger_s": 30}',
        "what an engine says (in its own words)": "what an engine says (in its own words)",
        "<b>: no connection in time": "<b>: nessun collegamento in tempo",
        "; , : ": "; , : ",
    }
    await open_in(page, api, "it")
    told = await words(page, [{"reason": "engine_error", "message": "", "detail": detail} for detail in details])
    assert told == [f"Il motore ha risposto con un errore. ({own})" for own in details.values()]


async def test_what_is_not_known_stays_as_the_server_said_it(page: Page, api: FakeApi) -> None:
    await open_in(page, api, "it")
    assert await words(page, [{"reason": "of_tomorrow", "message": "Something new. (5)"}]) == ["Something new. (5)"]
    await open_in(page, api, "en")
    await page.reload()
    message = AceProxyError(Reason.NO_PEERS, DETAIL).message
    assert await words(page, [{"reason": "no_peers", "message": message, "detail": DETAIL}]) == [message]


async def test_the_pages_speak_italian_of_failures(page: Page, api: FakeApi) -> None:
    message = AceProxyError(Reason.ENGINE_TIMEOUT, DETAIL).message
    reason = Reason.ENGINE_TIMEOUT
    api.engines = [make_engine(state="down", last_error=DETAIL)]
    api.recent = [EndedStream(STREAM_ID, f"id:{STREAM_ID}", "Radio", NOON, 65.0, 0, reason, "engine", message)]
    api.past = [make_past(1, reason=reason, message=message)]
    details: Details = {"detail": DETAIL}
    api.events = [
        TimelineEvent(
            seq=1, at=NOON, after_s=1, kind="engine_failed", fault="engine", reason=reason, message="", details=details
        )
    ]
    await open_in(page, api, "it")
    await expect(page.locator("#ended .ended-message")).to_have_text(
        f"Il motore ha preso la richiesta ma non ha risposto in tempo; forse è bloccato. ({IN_ITALIAN})"
    )
    await expect(page.locator("#engines .engine-trouble")).to_contain_text(IN_ITALIAN)
    for view, place in (("history", ".past .ended-message"), (f"stream/{STREAM_ID}", ".event-details")):
        await page.goto(f"{api.url}#/{view}")
        await expect(page.locator(place)).to_contain_text(IN_ITALIAN)


async def test_a_refusal_is_told_in_italian(page: Page, api: FakeApi) -> None:
    api.refuses = True
    api.without.add(f"/api/aceproxy/streams/{STREAM_ID}")
    await open_in(page, api, "it")
    await page.get_by_role("button", name="Ferma").click()
    await page.get_by_role("dialog").get_by_role("button", name="Ferma lo stream").click()
    await expect(page.locator("#toasts")).to_contain_text("A questo indirizzo non")


async def test_settings_are_told_and_found_in_italian(page: Page, api: FakeApi) -> None:
    api.settings = [make_setting("linger_s", 15.0), make_setting("of_tomorrow", 1)]
    await open_in(page, api, "it", "settings")
    words = page.locator(".setting-words")
    await expect(words.first).to_contain_text("Per quanto si tiene uno stream senza client")
    await expect(words.last).to_contain_text("What of_tomorrow is.")  # one that the catalogue does not know yet
    await page.get_by_role("searchbox").fill("senza client")
    await expect(words).to_have_count(1)


async def test_units_of_settings_are_told_in_italian(page: Page, api: FakeApi) -> None:
    api.settings = [make_setting("history_days", 90.0, unit="days"), make_setting("linger_s", 15.0, unit="s")]
    await open_in(page, api, "it", "settings")
    rows = page.locator(".setting")
    await expect(rows.first).to_contain_text("90 giorni")
    await expect(rows.first.locator(".setting-field")).to_contain_text("giorni")
    await expect(rows.last).to_contain_text("15 s")


CATALOGUES = """async () => {
  const names = async (language) => {
    const { default: all } = await import(new URL(`static/texts/${language}/dashboard.js`, document.baseURI));
    return [all.eventKinds, all.eventDetails, all.eventValues].map((one) => Object.keys(one));
  };
  return [await names("en"), await names("it")];
}"""


def details_of_events() -> set[str]:
    """Return the names of all details that events are noted with, from the source."""
    found: set[str] = set()
    for path in Path(streams.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("timeline.note", "story.note", "self.note")
            ):
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return found - {"reason", "fault"}


async def test_every_event_and_each_of_its_details_has_words(page: Page, api: FakeApi) -> None:
    noted = details_of_events()
    assert {"engine", "outcome", "purpose", "peers", "agent"} <= noted  # or this looks for them in a wrong way
    await page.goto(api.url)
    for kinds, details, values in await page.evaluate(CATALOGUES):
        assert set(EventKind) - set(kinds) == set()
        assert noted - {"agent"} - set(details) == set()  # an agent stands for itself
        assert set(values) <= set(details)


async def test_how_a_source_was_joined_and_what_a_spare_is_for_is_told_in_words(page: Page, api: FakeApi) -> None:
    told: Details = {
        "outcome": "same bytes",
        "overlap_s": 9.3,
        "skipped_bytes": 6_580_000,
        "gap_s": 0.0,
        "behind_s": None,
    }
    api.events = [
        TimelineEvent(seq=1, at=NOON, after_s=1.0, kind="spliced", fault="none", reason=None, message="", details=told),
        TimelineEvent(
            seq=2,
            at=NOON,
            after_s=1.0,
            kind="trying_beside",
            fault="none",
            reason=None,
            message="",
            details={"purpose": "move"},
        ),
    ]
    await open_in(page, api, "it", f"stream/{STREAM_ID}")
    tried, joined = page.locator(".event").nth(0), page.locator(".event").nth(1)
    await expect(joined.locator(".event-details")).to_have_text(
        "per gli stessi byte · già inviati prima 9,3\xa0s · tralasciati 6,58\xa0MB"
    )
    await expect(tried).to_contain_text("Accanto si prova un altro motore o link")
    await expect(tried.locator(".event-details")).to_have_text("per prendere il posto")
