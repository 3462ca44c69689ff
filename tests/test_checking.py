"""`aceproxy check` and the question to a running proxy, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aceproxy import asking
from aceproxy.app import App
from aceproxy.asking import StreamThere, find_stream, proxy_url
from aceproxy.checking import FAILS, NOT_UNDERSTOOD, PLAYS, check_link
from aceproxy.engine.links import Link, LinkKind, parse_link
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]
Check = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def check(sim: Simulator) -> Check:
    """Checks a link on the simulated engine; returns the status and the report."""

    async def call(
        link: str, proxy: str | None, *, infohash: bool = False, **values: Any
    ) -> tuple[int, dict[str, Any]]:
        settings = Settings.model_validate({"engines": [sim.url], "start_timeout_s": 5, "retry_first_s": 0.1, **values})
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = await check_link(settings, link, infohash=infohash, watch_s=0.5, as_json=True, proxy=proxy)
        report: dict[str, Any] = json.loads(printed.getvalue())
        return status, report

    return call


def address(app: App) -> str:
    return f"http://127.0.0.1:{app.port}"


@pytest.mark.parametrize("begun_as", ["id", "infohash"])
@pytest.mark.parametrize("checked_as", ["id", "infohash", "digits", "magnet", "file"])
async def test_what_the_proxy_plays_is_not_touched_whatever_it_is_called(
    sim: Simulator, make_app: MakeApp, play: Play, check: Check, begun_as: str, checked_as: str
) -> None:
    app = await make_app()
    content = sim.contents[0]
    names = {"id": content.content_id, "infohash": content.infohash}
    answer = await play(app, f"/ace/getstream?{begun_as}={names[begun_as]}")
    await answer.reader.readexactly(188 * 100)
    link, infohash = {
        "id": (content.content_id, False),
        "infohash": (content.infohash, True),
        "digits": (content.infohash, False),  # an infohash taken for a content id
        "magnet": (f"magnet:?xt=urn:btih:{content.infohash}", False),
        "file": (f"acestream:?infohash={content.infohash}&index=1", False),
    }[checked_as]
    status, report = await check(link, address(app), infohash=infohash)
    assert (status, report["plays"], report["is_watched"], report["state"], report["clients"]) == (
        PLAYS,
        True,
        True,
        "live",
        1,
    )
    assert len(sim.playbacks) == 1
    assert sim.playbacks[0].stop_reason is None
    await answer.reader.readexactly(188 * 1000)


async def test_another_broadcast_is_checked_on_the_engine_and_stopped_there(
    sim: Simulator, make_app: MakeApp, play: Play, check: Check
) -> None:
    app = await make_app()
    await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    status, report = await check(sim.contents[1].content_id, address(app))
    assert (status, report["plays"], report["is_watched"], report["note"]) == (PLAYS, True, False, None)
    assert [(playback.infohash, playback.stop_reason) for playback in sim.playbacks] == [
        (sim.contents[0].infohash, None),
        (sim.contents[1].infohash, "stopped"),
    ]


async def test_a_stream_that_is_only_starting_is_not_touched_either(
    sim: Simulator, make_app: MakeApp, check: Check
) -> None:
    app = await make_app()
    sim.set_fault("never-starts")
    content = sim.contents[0]
    waiting = asyncio.ensure_future(ask(app, f"/ace/getstream?id={content.content_id}", stream=True))
    await until(lambda: sim.playbacks)
    status, report = await check(content.content_id, address(app))
    assert (status, report["plays"], report["reason"], report["is_watched"]) == (FAILS, False, "starting", True)
    assert len(sim.playbacks) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_what_may_be_the_same_and_cannot_be_told_apart_is_left_alone(
    sim: Simulator, make_app: MakeApp, play: Play, check: Check
) -> None:
    app = await make_app()
    await play(app, f"/ace/getstream?infohash={sim.contents[0].infohash}")
    status, report = await check("a" * 40, address(app))  # the engine does not know it, so it tells no infohash
    assert (status, report["reason"], report["plays"]) == (FAILS, "proxy_not_asked", False)
    assert "under another name" in report["message"]
    assert len(sim.playbacks) == 1


async def test_a_proxy_that_does_not_answer_means_that_nothing_is_started(
    sim: Simulator, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ASK_LIMIT_S", 0.2)
    link = sim.contents[0].content_id
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        status, report = await check(link, url)
    assert (status, report["reason"]) == (FAILS, "proxy_not_asked")
    assert "no answer in 0.2 s" in report["message"]
    # nobody where one was named; somebody who is no AceProxy
    for other, words in ((url, "(Connection refused)"), (sim.url, "(it answers with status 404)")):
        status, report = await check(link, other)
        assert (status, report["reason"], report["proxy"]) == (FAILS, "proxy_not_asked", other)
        assert report["message"].endswith(words)
    assert len(sim.playbacks) == 0


async def test_without_a_proxy_at_the_address_of_the_settings_the_check_goes_on_and_says_so(
    sim: Simulator, check: Check
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else can take it
        listen = f"127.0.0.1:{closed.getsockname()[1]}"
        status, report = await check(sim.contents[0].content_id, None, listen=listen)
    assert (status, report["plays"], report["proxy"]) == (PLAYS, True, None)
    assert f"No AceProxy answers at http://{listen}" in report["note"]


async def test_a_proxy_that_wants_to_know_who_asks_is_given_the_secret_of_its_folder(
    sim: Simulator, make_app: MakeApp, check: Check, tmp_path: Path
) -> None:
    app = await make_app(trusted_networks=[], state_dir=tmp_path)
    content = sim.contents[0]
    answer = await ask(app, f"/ace/getstream?id={content.content_id}", admin=True, stream=True)
    assert answer.status == 200
    here = f"127.0.0.1:{app.port}"
    status, report = await check(content.content_id, None, listen=here)
    assert (status, report["reason"]) == (FAILS, "proxy_not_asked")
    assert "401" in report["message"]
    status, report = await check(content.content_id, None, listen=here, state_dir=str(tmp_path))
    assert (status, report["is_watched"]) == (PLAYS, True)
    assert len(sim.playbacks) == 1
    answer.close()


@pytest.mark.parametrize("given", ["ftp://x", "http://host/path", "http://user@host:1", "host name:1", "http://h?x"])
async def test_what_is_no_address_of_a_proxy_is_refused(
    sim: Simulator, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.model_validate({"engines": [sim.url]})
    status = await check_link(settings, "a" * 40, infohash=False, watch_s=1, as_json=True, proxy=given)
    assert status == NOT_UNDERSTOOD
    assert "is not an address" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("listen", "given", "wanted"),
    [
        (":6880", None, "http://127.0.0.1:6880"),
        ("0.0.0.0:81", None, "http://127.0.0.1:81"),
        ("192.0.2.1:81", None, "http://192.0.2.1:81"),
        ("[::1]:81", None, "http://[::1]:81"),
        (":6880", "none", None),
        (":6880", "host:80/", "http://host:80"),
        (":6880", "https://host", "https://host"),
    ],
)
def test_the_address_of_the_proxy_is_the_one_given_or_that_of_the_settings(
    listen: str, given: str | None, wanted: str | None
) -> None:
    assert proxy_url(Settings.model_validate({"listen": listen}), given) == wanted


def test_a_stream_is_found_by_every_name_and_no_other_is() -> None:
    link = parse_link("a" * 40)
    stream = StreamThere(
        key=f"content_id:{'a' * 40}#2", aliases=[f"infohash:{'b' * 40}"], infohash="b" * 40, state="live"
    )
    assert find_stream([stream], link, None) is stream
    assert find_stream([stream], Link(LinkKind.INFOHASH, "b" * 40), None) is stream
    assert find_stream([stream], Link(LinkKind.INFOHASH, "a" * 40), None) is stream
    assert find_stream([stream], parse_link("c" * 40), "b" * 40) is stream
    assert find_stream([stream], parse_link("c" * 40), "d" * 40) is None
    assert find_stream([stream], Link(LinkKind.URL, "http://h/x"), None) is None
