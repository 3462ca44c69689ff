"""The log over HTTP: its end, its past, what follows, all of it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from aceproxy.app import App
from aceproxy.logs import stream_log
from aceproxy.web import log_routes as module
from tests.conftest import MakeApp, ask
from tests.waiting import until
from tests.web.listening import listen

log = logging.getLogger("aceproxy.test")


async def tail(app: App, query: str = "") -> Any:
    answer = await ask(app, f"/api/logs/tail?{query}")
    assert answer.status == 200, answer.body
    return answer.json


def messages(answer: Any) -> list[str]:
    return [line["message"] for line in answer["lines"]]


async def test_a_poller_gets_every_record_once_and_only_what_it_wants(make_app: MakeApp) -> None:
    app = await make_app()
    place = (await tail(app, "lines=1"))["newest"]
    for number in range(25):
        log.warning("record %d", number)
        log.info("not wanted")
    seen: list[str] = []
    while True:
        answer = await tail(app, f"after={place}&level=warning&lines=10")
        if not answer["lines"]:
            break
        seen += messages(answer)
        place = answer["newest"]
    assert seen == [f"record {number}" for number in range(25)]


async def test_an_answer_is_made_once_until_there_is_another_record_or_another_question(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app()
    made = 0
    whole = app.logs.newest

    def newest(*arguments: Any) -> Any:
        nonlocal made
        made += 1
        return whole(*arguments)

    log.warning("the first")
    monkeypatch.setattr(app.logs, "newest", newest)
    for number in range(5):
        before = made
        query = "lines=3&search=the&level=warning"
        assert messages(await tail(app, query))[-1] == ("the first" if not number else f"the next {number}")
        await tail(app, query)
        # what the program itself logs meanwhile is another record
        assert made - before <= 2
        log.warning("the next %d", number + 1)
        assert messages(await tail(app, query))[-1] == f"the next {number + 1}"
        assert messages(await tail(app, "lines=1&search=the&level=warning")) == [f"the next {number + 1}"]
    log.info("quiet now")
    total = app.logs.ring.total
    before = made
    first = await tail(app, "lines=100")
    assert await tail(app, "lines=100") == first
    assert made - before == 1 or app.logs.ring.total != total


async def test_filters_by_level_stream_and_text(make_app: MakeApp) -> None:
    app = await make_app()
    stream_log(log, "abcdef").error("Needle one")
    stream_log(log, "123456").error("needle two")
    log.info("needle three")
    assert messages(await tail(app, "search=needle")) == ["Needle one", "needle two", "needle three"]
    assert messages(await tail(app, "search=NEEDLE&level=error")) == ["Needle one", "needle two"]
    assert messages(await tail(app, "stream=abc")) == ["Needle one"]
    assert messages(await tail(app, "search=needle&stream=123456&level=critical")) == []


@pytest.mark.parametrize(
    "query",
    ["after=x", "after=-1", "before=%D9%A3", "after=1&before=2", "level=loud", "search=" + "x" * 201, "lines=1.5"],
)
async def test_what_is_not_allowed_is_refused(make_app: MakeApp, query: str) -> None:
    app = await make_app()
    answer = await ask(app, f"/api/logs/tail?{query}")
    assert (answer.status, answer.reason) == (400, "bad_parameter")


async def test_what_the_memory_has_lost_comes_from_the_files(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "aceproxy.log"
    app = await make_app(log_file=path, log_lines=10, log_file_bytes=64 << 10, log_file_count=4)
    for number in range(600):
        log.warning("record %d %s", number, "." * 100)
    await until(lambda: path.exists() and b"record 599" in path.read_bytes())
    assert path.with_name("aceproxy.log.1").exists()
    answer = await tail(app, "lines=500&level=warning&search=record")
    assert [message.split()[1] for message in messages(answer)] == [str(number) for number in range(100, 600)]
    older = await tail(app, f"lines=500&before={answer['oldest']}&search=record")
    assert [message.split()[1] for message in messages(older)] == [str(number) for number in range(100)]
    assert older["oldest"] is None
    first = older["lines"][0]["id"]
    after = await tail(app, f"lines=1000&after={first}&search=record")
    assert [message.split()[1] for message in messages(after)] == [str(number) for number in range(1, 600)]


async def test_a_file_that_cannot_be_read_in_time_does_not_hold_up_the_answer(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_S", 0.1)
    app = await make_app(log_file=tmp_path / "aceproxy.log", log_lines=10)
    release = threading.Event()
    app.logs.reading.submit(release.wait, 20)
    try:
        answer = await tail(app, "lines=100")
        assert answer["is_complete"] is False
        assert answer["returned_lines"] > 0
    finally:
        release.set()


async def test_new_records_are_told_to_who_listens(make_app: MakeApp) -> None:
    app = await make_app()
    log.warning("before")
    reader = await listen(app, "/api/logs/stream?level=warning", admin=True)
    await until(lambda: len(app.listeners) == 1)
    log.info("too quiet")
    log.error("one, token=abc123")
    log.error("two")
    assert [(await reader.next("line")).body["message"] for _ in range(2)] == ["one, token=***", "two"]
    reader.answer.close()


async def test_who_comes_back_misses_nothing(make_app: MakeApp) -> None:
    app = await make_app()
    log.error("seen")
    place = (await tail(app, "lines=1"))["newest"]
    log.error("missed")
    answer = await ask(
        app, "/api/logs/stream?level=error", headers=f"Last-Event-ID: {place}\r\n", stream=True, admin=True
    )
    text = (await asyncio.wait_for(answer.reader.readuntil(b"missed"), 30)).decode()
    assert "seen" not in text
    assert f"id: {app.logs.ring.tail(1)[0].id}\n" in text
    answer.close()


async def test_a_flood_that_memory_does_not_hold_is_told_as_a_gap(make_app: MakeApp) -> None:
    app = await make_app(log_lines=10)
    reader = await listen(app, "/api/logs/stream?search=flood", admin=True)
    await until(lambda: len(app.listeners) == 1)
    await asyncio.sleep(0)
    for number in range(500):
        log.info("flood %d", number)
    assert (await reader.next("dropped")).body["events"] >= 480
    assert (await reader.next("line")).body["message"] == "flood 490"
    reader.answer.close()


async def test_the_log_can_be_downloaded_from_memory_as_text_and_as_json(make_app: MakeApp) -> None:
    app = await make_app()
    log.error("to be found")
    text = await ask(app, "/api/logs/download", admin=True)
    assert text.headers["content-disposition"] == 'attachment; filename="aceproxy.log"'
    assert b"ERROR   aceproxy.test: to be found\n" in text.body
    answer = await ask(app, "/api/logs/download?format=json", admin=True)
    assert b'"message":"to be found"' in answer.body
    assert (await ask(app, "/api/logs/download?format=xml", admin=True)).reason == "bad_parameter"


async def test_the_download_holds_all_files_oldest_first(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "aceproxy.log"
    app = await make_app(log_file=path, log_lines=10, log_file_bytes=64 << 10, log_file_count=4)
    for number in range(600):
        log.warning("record %d %s", number, "." * 100)
    await until(lambda: path.exists() and b"record 599" in path.read_bytes())
    answer = await ask(app, "/api/logs/download?format=json", admin=True)
    lines = [json.loads(text) for text in answer.body.splitlines() if text.startswith(b"{")]
    told = [line["message"].split()[1] for line in lines if line["message"].startswith("record")]
    assert told == [str(number) for number in range(600)]
    assert "record 599" in (await ask(app, "/api/logs/download", admin=True)).body.decode()
