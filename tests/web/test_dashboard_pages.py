"""The other pages of the dashboard: a stream, engines, history, log, settings, access."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.async_api import Page, expect

from aceproxy.streams.snapshot import EngineStat, StandbySnapshot, TimelineEvent
from tests.web.fake_api import (
    HOSTILE,
    NOON,
    STREAM_ID,
    FakeApi,
    make_client,
    make_ended_client,
    make_engine,
    make_line,
    make_past,
    make_setting,
    make_stream,
    make_token,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def make_event(number: int, kind: str, fault: str = "none", reason: str | None = None) -> TimelineEvent:
    return TimelineEvent(
        seq=number, at=NOON, after_s=1.0, kind=kind, fault=fault, reason=reason, message=kind, details={"peers": 3}
    )


async def test_the_page_of_a_stream_shows_everything_about_it(page: Page, api: FakeApi) -> None:
    api.streams = [make_stream(ended_clients=[make_ended_client()])]
    api.events = [make_event(1, "start_asked"), make_event(2, "source_lost", "engine", "source_ended")]
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    await expect(page.get_by_role("heading", level=1, name="Sport Uno")).to_be_visible()
    await expect(page.locator(".graph canvas")).to_have_count(4)
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(page.locator("tbody tr").first).to_contain_text("192.0.2.0:5000")
    await expect(page.locator(".event")).to_have_count(2)
    await expect(page.locator(".event").first).to_contain_text("Source lost")  # the newest first
    await expect(page.locator(".event").first).to_contain_text("the engine ended it")
    await expect(page.locator(".event").first.locator(".fault")).to_have_text("engine")
    await expect(page.locator(".gone")).to_contain_text("disconnected by the operator")
    await expect(page.locator(".facts")).to_contain_text(f"content_id:{STREAM_ID}")
    await expect(page.get_by_role("link", name="Watch")).to_have_attribute("href", f"{api.url}watch?id={STREAM_ID}")
    api.streams = []
    await expect(page.get_by_text("Sport Uno is not running any more.")).to_be_visible()


async def test_a_stream_page_tells_what_stands_by_and_how_far_it_is_behind(page: Page, api: FakeApi) -> None:
    beside = StandbySnapshot("http://127.0.0.1:6879", "standby", 0, True, 1 << 20, 4.2, None)
    api.streams = [make_stream(standby=beside)]
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    fact = page.locator(".fact", has_text="Stand-by")
    await expect(fact).to_contain_text("127.0.0.1:6879")
    await expect(fact).to_contain_text("ready · 4.2")
    await expect(fact).to_contain_text("behind")
    api.streams = [make_stream(standby=replace(beside, ready=False, behind_s=0.1))]
    await expect(fact).to_contain_text("starting")
    await expect(fact).not_to_contain_text("behind")
    api.streams = [make_stream()]
    await expect(fact).to_have_count(0)


async def test_an_engine_is_called_by_its_label_wherever_it_is_named(page: Page, api: FakeApi) -> None:
    address, url = "127.0.0.1:6878", "http://127.0.0.1:6878"
    api.engines = [make_engine(label="attic")]
    chosen = replace(make_event(1, "engine_chosen"), details={"engine": url, "link": "Sport Uno"})
    none = replace(make_event(2, "recovered"), details={"engine": "no engine"})
    api.events = [chosen, none]
    await page.goto(api.url)
    facts = page.locator(".card-facts")
    await expect(facts).to_contain_text("engine attic")
    await expect(facts).not_to_contain_text(address)
    await expect(facts).to_have_attribute("title", address)
    for start_anew in (False, True):
        await page.goto(f"{api.url}#/stream/{STREAM_ID}")
        if start_anew:  # the time line may be there before the engines are known
            await page.reload()
        await expect(page.locator(".facts")).to_contain_text(f"attic · {url}")
        told = page.locator(".event-details bdi")
        await expect(told.last).to_have_text("engine attic · link Sport Uno")
        await expect(told.last).to_have_attribute("title", address)
        await expect(told.first).to_have_text("engine no engine")
        await page.goto(api.url)
    api.engines = [make_engine()]
    await expect(facts).to_contain_text(f"engine {address}")
    await expect(facts).not_to_have_attribute("title", address)


async def test_the_time_line_comes_at_once_also_to_a_page_that_was_just_opened(page: Page, api: FakeApi) -> None:
    api.events = [make_event(1, "start_asked")]
    await page.add_init_script("performance.now = () => 5")  # as if all the page does took no time
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    await expect(page.locator(".event")).to_have_count(1)
    await expect(page.get_by_text("Nothing is known of this stream.")).to_be_hidden()


async def test_a_player_that_goes_is_nobodys_fault(page: Page, api: FakeApi) -> None:
    api.streams = [make_stream(ended_clients=[make_ended_client(reason="client_left", fault="client")])]
    api.events = [
        make_event(1, "client_left", "client", "client_left"),
        make_event(2, "client_left", "client", "skipped"),
    ]
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    await expect(page.locator(".event")).to_have_count(2)
    await expect(page.locator(".event .fault")).to_have_count(1)
    await expect(page.locator(".gone li")).to_have_count(1)
    await expect(page.locator(".gone .fault")).to_have_count(0)


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (CHROME, "Chrome 141 · Linux"),
        (f"{CHROME} Edg/141.0.1.2".replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64"), "Edge 141 · Windows"),
        (f"{IPHONE} Version/18.6 Mobile/15E148 Safari/604.1", "Safari 18 · iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", "Firefox 144 · Linux"),
        ("Mozilla/5.0 (compatible)", "Mozilla/5.0 (compatible)"),
        ("VLC/3.0.24 LibVLC/3.0.24", "VLC/3.0.24 LibVLC/3.0.24"),
        ("Kodi/21.2 (X11; Linux x86_64) Chrome/1", "Kodi/21.2 (X11; Linux x86_64) Chrome/1"),
        ("", "unnamed player"),
    ],
)
async def test_a_browser_is_called_by_its_name_and_a_player_as_it_calls_itself(
    page: Page, api: FakeApi, agent: str, name: str
) -> None:
    client = replace(make_client(0), agent=agent)
    api.streams = [make_stream(ended_clients=[make_ended_client(agent=agent)], clients=0)]
    api.streams[0].clients.append(client)
    event = replace(make_event(1, "client_joined"), details={"agent": agent or None, "client": "c1"})
    api.events = [event]
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    for place in ("tbody .agent", ".gone .agent"):
        await expect(page.locator(place)).to_have_text(name)
        tooltip = await page.locator(place).get_attribute("title")
        assert tooltip == (agent if name != agent and agent else None)
    await expect(page.locator(".event-details")).to_have_text(f"{name} · client c1" if agent else "client c1")


async def test_disconnecting_a_client_asks_first_and_then_deletes(page: Page, api: FakeApi) -> None:
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    await page.get_by_role("button", name="Disconnect VLC/1, 192.0.2.1:5000").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("VLC/1")
    assert api.changed == []
    await dialog.get_by_role("button", name="Disconnect").click()
    await expect(page.locator(".toast")).to_contain_text("Disconnected VLC/1")
    assert api.changed == [f"DELETE /api/aceproxy/streams/{STREAM_ID}/clients/c1"]


async def test_of_many_clients_only_some_are_shown_until_asked(page: Page, api: FakeApi) -> None:
    api.streams = [make_stream(clients=1000)]
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(50)
    await page.get_by_role("button", name="Show all 1,000").click()
    await expect(rows).to_have_count(1000)
    await page.get_by_role("button", name="Connected").click()
    await expect(rows.first).to_contain_text("VLC/999")
    await page.get_by_role("button", name="Show only 50").click()
    await expect(rows).to_have_count(50)


async def test_rows_of_clients_stay_where_they_are_while_they_are_used(page: Page, api: FakeApi) -> None:
    await page.goto(f"{api.url}#/stream/{STREAM_ID}")
    kick = page.get_by_role("button", name="Disconnect VLC/1, 192.0.2.1:5000")
    await kick.focus()
    api.streams = [make_stream(clients=2)]
    api.streams[0].clients[:] = [make_client(7), make_client(1)]
    await expect(page.locator("tbody tr")).to_contain_text(["VLC/1", "VLC/7"])
    await expect(kick).to_be_focused()


async def test_hostile_text_stays_text_on_every_page(page: Page, api: FakeApi) -> None:
    gone = make_ended_client(agent=HOSTILE, address=HOSTILE, reason=HOSTILE, fault=HOSTILE)
    api.streams = [make_stream(clients=0, title=HOSTILE, engine=HOSTILE, ended_clients=[gone])]
    api.streams[0].clients.append(replace(make_client(1), agent=HOSTILE, address=HOSTILE))
    event = make_event(1, HOSTILE, HOSTILE, HOSTILE)
    api.events = [replace(event, details={HOSTILE: HOSTILE})]
    api.past = [make_past(1, title=HOSTILE, reason=HOSTILE, fault=HOSTILE, message=HOSTILE)]
    api.engines = [make_engine(label=HOSTILE, url=HOSTILE, version=HOSTILE, last_error=HOSTILE, state="down")]
    api.log = [make_line(HOSTILE, stream=HOSTILE)]
    api.tokens = [make_token(HOSTILE, HOSTILE, created_at=HOSTILE, last_used_at=HOSTILE)]
    api.settings = [
        make_setting(
            "max_clients", HOSTILE, description=HOSTILE, unit=HOSTILE, origin=HOSTILE, kind=HOSTILE, effect=HOSTILE
        )
    ]
    for name, place in (
        (f"stream/{STREAM_ID}", ".stream-title"),
        ("engines", ".engine-host"),
        ("history", ".past .card-name"),
        ("log", ".log-message"),
        ("settings", ".setting-words > p:nth-child(2)"),
        ("access", ".token .agent"),
    ):
        await page.goto(f"{api.url}#/{name}")
        await expect(page.locator(place)).to_have_text(HOSTILE)
    assert await page.locator("img[src='x'], main script").count() == 0
    assert await page.title() != "owned"


async def test_without_an_engine_the_page_says_what_to_do(page: Page, api: FakeApi) -> None:
    api.engines = [make_engine(state="down", reachable=False, last_error="connection refused", last_ok_age_s=None)]
    api.streams = []
    await page.goto(api.url)
    await expect(page.locator("#health")).to_have_text("No engine up")
    await expect(page.get_by_text("so nothing can play yet")).to_be_visible()
    await page.get_by_role("link", name="How to get an engine going").click()
    await expect(page.locator(".engine-card")).to_contain_text("connection refused")
    for words in ("docker run", "--bind-all", "--engine http://", "aceproxy demo"):
        await expect(page.locator("details.help")).to_contain_text(words)
    await expect(page.locator("details.help code").first).to_be_visible()


async def test_engines_are_drained_added_and_removed(page: Page, api: FakeApi) -> None:
    await page.goto(f"{api.url}#/engines")
    dialog = page.get_by_role("dialog")
    await page.get_by_role("button", name="Take out of service").click()
    await expect(dialog).to_contain_text("1 running stream moves")
    await dialog.get_by_role("button", name="Take out of service").click()
    await expect(page.locator(".engine-card .chip")).to_have_text("draining")
    await page.get_by_role("button", name="Back into service").click()
    await expect(page.locator(".engine-card .chip")).to_have_text("up")
    await page.get_by_label("Address").fill("http://192.0.2.7:6878")
    await page.get_by_role("textbox", name="Name").fill("attic")
    await page.get_by_label("Weight").fill("two")
    await page.get_by_role("button", name="Add engine").click()
    await expect(page.get_by_role("alert")).to_contain_text("are numbers")
    await page.get_by_label("Weight").fill("2,5")
    await page.get_by_role("button", name="Add engine").click()
    await expect(page.locator(".engine-card")).to_have_count(2)
    assert api.bodies[-1] == {"url": "http://192.0.2.7:6878", "label": "attic", "weight": 2.5}
    attic = page.locator(".engine-card", has_text="attic")
    await attic.get_by_role("button", name="Remove").click()
    await dialog.get_by_role("button", name="Remove").click()
    await expect(attic).to_have_count(0)
    path = "/api/aceproxy/engines"
    first = f"{path}/127.0.0.1%3A6878"
    assert [one.replace("127.0.0.1:6878", "127.0.0.1%3A6878") for one in api.changed] == [
        f"POST {first}/drain",
        f"POST {first}/undrain",
        f"POST {path}",
        f"DELETE {path}/attic",
    ]


async def test_the_history_tells_how_it_went_page_by_page(page: Page, api: FakeApi) -> None:
    api.past = [make_past(number) for number in range(5, 0, -1)]
    api.past[4] = make_past(1, stalls=0, recoveries=0, reason="linger_over", fault="none")
    await page.goto(f"{api.url}#/history")
    rows = page.locator(".past")
    await expect(rows).to_have_count(2)
    for words in ("Film 5", "swarm", "stopped arriving", "after 1 min 5 s", "5.00 MB", "1 stall", "1 recovery"):
        await expect(rows.first).to_contain_text(words)
    await rows.first.get_by_text("1 viewer").click()
    await expect(rows.first).to_contain_text("Kodi/21")
    await page.get_by_role("button", name="Show older ones").click()
    await expect(rows).to_have_count(4)
    await page.get_by_role("button", name="Show older ones").click()
    await expect(rows).to_have_count(5)
    await expect(rows.last).to_contain_text("No stall, no skip.")
    await expect(page.get_by_role("button", name="Show older ones")).to_be_hidden()
    await page.get_by_role("button", name="Forget: Film 4").click()
    await page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    await expect(rows).to_have_count(4)
    assert api.changed == ["DELETE /api/aceproxy/history/4"]


async def test_the_log_is_filtered_followed_and_paused(page: Page, api: FakeApi) -> None:
    levels = ("debug", "info", "warning", "error")
    api.log = [make_line(f"{name} line", name, number=number) for number, name in enumerate(levels, 1)]
    api.log[3] = replace(api.log[3], stream=STREAM_ID)
    await page.goto(f"{api.url}#/log")
    lines = page.locator(".log-line")
    await expect(lines).to_have_count(3)  # info and up
    await page.get_by_label("Level").select_option("debug")
    await expect(lines).to_have_count(4)
    api.log = [*api.log, make_line("a new line", number=5)]
    await expect(lines).to_have_count(5)  # by itself
    await page.get_by_label("Text").fill("NEW")
    await expect(lines).to_have_text([re.compile("a new line")])
    await page.get_by_label("Text").fill("")
    await page.get_by_label("Stream").select_option(STREAM_ID)
    await expect(lines).to_have_text([re.compile("error line")])
    await expect(page).to_have_url(f"{api.url}#/log/{STREAM_ID}")
    await page.get_by_label("Stream").select_option("")
    await expect(lines).to_have_count(5)
    await page.get_by_role("button", name="Pause").click()
    api.log = [*api.log, make_line("later", number=6)]
    await page.get_by_role("button", name="Resume").click()
    await expect(lines).to_have_count(6)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()
    assert (await (await download.value).path()).read_text() == "the log\n"


async def test_settings_are_changed_where_they_can_be(page: Page, api: FakeApi) -> None:
    api.settings = [
        make_setting("max_clients", 100),
        make_setting("stills", True),
        make_setting("listen", ":6880", changeable=False, origin="/etc/aceproxy.toml"),
        make_setting("url_hosts", ["a.example"]),
    ]
    await page.goto(f"{api.url}#/settings")
    rows = page.locator(".setting")
    await expect(rows).to_have_count(3)  # those that can be changed
    await page.get_by_label("Only what can change now").uncheck()
    await expect(rows).to_have_count(4)
    await expect(rows.nth(2)).to_contain_text("file")
    await expect(rows.nth(2).get_by_role("textbox")).to_have_count(0)
    limit = page.get_by_role("textbox", name="max_clients")
    await limit.fill("200")
    await rows.first.get_by_role("button", name="Save").click()
    await expect(rows.first.locator(".badge")).to_have_text("changed here")
    api.refuses = True
    await limit.fill("-1")
    await limit.press("Enter")
    await expect(rows.first.get_by_role("alert")).to_contain_text("must be above 0")
    await page.get_by_role("checkbox", name="stills").uncheck()
    await expect(rows.nth(1).locator(".badge")).to_have_text("changed here")
    hosts = page.get_by_role("textbox", name="url_hosts")
    await hosts.fill("a.example, b.example")
    await hosts.press("Enter")
    await expect(rows.nth(3).locator(".badge")).to_have_text("changed here")
    await rows.first.get_by_role("button", name="Undo").click()
    await expect(page.locator(".toast").last).to_contain_text("max_clients is changed.")
    assert api.bodies == [
        {"max_clients": 200},
        {"max_clients": -1},
        {"stills": False},
        {"url_hosts": ["a.example", "b.example"]},
        {"max_clients": None},
    ]
    await page.get_by_role("searchbox").fill("hosts")
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="Read the file again").click()
    await expect(page.locator(".toast").last).to_contain_text("read again")


async def test_settings_are_for_admins(page: Page, api: FakeApi) -> None:
    api.role, api.signed_in = "viewer", False
    api.settings = [make_setting("max_clients", 100)]
    await page.goto(f"{api.url}#/settings")
    await expect(page.get_by_text("is for admins")).to_be_visible()
    assert "GET /api/settings" not in api.asked
    await page.locator("main").get_by_role("button", name="Sign in").click()
    await page.get_by_label("Password or admin secret").fill("right")
    await page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    await expect(page.locator(".setting")).to_have_count(1)


async def test_who_may_only_look_is_asked_to_sign_in_when_changing_something(page: Page, api: FakeApi) -> None:
    api.role, api.signed_in = "viewer", False
    await page.goto(api.url)
    await expect(page.locator("#account")).to_have_text("Sign in")
    await page.locator("button.stop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Stop stream").click()
    dialog = page.get_by_role("dialog", name="Sign in to change something")
    await dialog.get_by_label("Password or admin secret").fill("wrong")
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(dialog.get_by_role("alert")).to_be_visible()
    assert api.changed == []
    await dialog.get_by_label("Password or admin secret").fill("right")
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(page.locator("article.card")).to_have_count(0)
    assert api.changed == [f"DELETE /api/aceproxy/streams/{STREAM_ID}"]
    await expect(page.locator("#account")).to_have_text("admin")
    api.refuses = True


async def test_a_stranger_sees_nothing_but_the_way_in(page: Page, api: FakeApi) -> None:
    api.role, api.signed_in = None, False
    api.refuses = True
    await page.goto(api.url)
    await expect(page).to_have_url(f"{api.url}#/access")
    await expect(page.get_by_text("Sign in to see what plays.")).to_be_visible()
    await page.get_by_label("Password or admin secret").fill("right")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("you may change everything")).to_be_visible()
    await page.get_by_role("link", name="Overview").click()
    await expect(page.locator("article.card")).to_have_count(1)


async def test_a_page_tells_that_a_revoked_token_may_come_back(page: Page, api: FakeApi) -> None:
    api.tokens = [make_token("1", "TV")]
    api.disk_is_full = True
    await page.goto(f"{api.url}#/access")
    await page.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.locator("#toasts")).to_contain_text("a restart brings the token back")
    await expect(page.locator(".token")).to_have_count(0)


async def test_tokens_are_made_shown_once_and_revoked(page: Page, api: FakeApi) -> None:
    await page.goto(f"{api.url}#/access")
    await expect(page.get_by_text("There is no token.")).to_be_visible()
    await page.get_by_label("Name, such as").fill("TV")
    await page.get_by_label("Right").select_option("viewer")
    await page.get_by_role("button", name="Create token").click()
    await expect(page.get_by_label("The new token")).to_have_text("secret-token")
    await expect(page.locator(".token")).to_contain_text("not used yet")
    await page.get_by_role("link", name="Overview").click()
    await page.get_by_role("link", name="Access").click()
    await expect(page.get_by_label("The new token")).to_be_hidden()
    await page.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.locator(".token")).to_have_count(0)
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_text("you may look and watch")).to_be_visible()
    assert api.bodies[0] == {"name": "TV", "role": "viewer"}


async def test_the_password_is_set_and_removed_and_other_browsers_are_signed_out(page: Page, api: FakeApi) -> None:
    await page.goto(f"{api.url}#/access")
    box = page.locator("section", has=page.get_by_role("heading", name="Password"))
    dialog = page.get_by_role("dialog")
    api.refuses = True
    await box.get_by_label("New password").fill("new")
    await box.get_by_role("button", name="Set password").click()
    await expect(box.get_by_role("alert")).to_be_visible()
    await box.get_by_label("Present password").fill("right")
    await box.get_by_role("button", name="Set password").click()
    await expect(page.get_by_text("The password is set.")).to_be_visible()
    assert api.password == "new"
    await expect(box.get_by_label("New password")).to_be_empty()
    await box.get_by_role("button", name="Sign out everywhere else").click()
    await dialog.get_by_role("button", name="Sign out everywhere else").click()
    await expect(page.get_by_text("2 sessions ended.")).to_be_visible()
    await box.get_by_role("button", name="Remove password").click()
    await dialog.get_by_role("button", name="Remove password").click()
    await expect(box.get_by_label("Present password")).to_be_hidden()
    assert api.password is None


SPLIT_WORDS = """(names) => names.flatMap((name) => {
  const walker = document.createTreeWalker(name, NodeFilter.SHOW_TEXT);
  const split = [];
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    for (const word of text.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((one) => Math.round(one.top))).size > 1) split.push(word[0]);
    }
  }
  return split;
})"""


@pytest.mark.parametrize("language", ["en", "it"])
@pytest.mark.parametrize("count", [2, 12])
async def test_no_word_of_a_title_is_broken_to_make_room_for_buttons(
    page: Page, api: FakeApi, language: str, count: int
) -> None:
    titles = ["Channel 003", "An afternoon of uncommonly extraordinary broadcasts"]
    api.streams = [make_stream(f"{number:040x}", title=titles[number % 2]) for number in range(count)]
    await page.add_init_script(f"localStorage.setItem('aceproxy.language', '{language}')")
    await page.goto(f"{api.url}#/")
    await expect(page.locator(".card-name")).to_have_count(count)
    for width in (360, 900, 1217, 1280, 1600):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await page.locator(".card-name").evaluate_all(SPLIT_WORDS) == [], width


OUTSIDE = """nodes => nodes.flatMap((node) => {
  const right = node.closest(".station").getBoundingClientRect().right;
  const words = [];
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    for (const word of text.data.matchAll(/[^ ]+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (range.getBoundingClientRect().right > right + 0.5) words.push(word[0]);
    }
  }
  return words;
})"""


@pytest.mark.parametrize("language", ["en", "it"])
async def test_no_figure_of_a_card_runs_into_its_neighbour(page: Page, api: FakeApi, language: str) -> None:
    stat = EngineStat(status="dl", peers=142, speed_down_bps=56_730_000, speed_up_bps=56_310_000)
    api.streams = [make_stream(engine_stat=stat, inbound_bps=56_600_000.0, bitrate_bps=56_720_000.0)]
    await page.add_init_script(f"localStorage.setItem('aceproxy.language', '{language}')")
    await page.goto(f"{api.url}#/")
    await expect(page.locator(".station")).to_have_count(4)
    for width in (390, 740, 800, 961, 1100, 1200, 1217, 1300, 1360, 1400, 1920):
        await page.set_viewport_size({"width": width, "height": 900})
        figures = page.locator(".station-number, .station-detail")
        assert await figures.evaluate_all(OUTSIDE) == [], width
