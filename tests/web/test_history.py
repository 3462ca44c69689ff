"""`/api/aceproxy/history`: from a player that watches to the entry that tells of it, also after restart or crash."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aceproxy.app import STORE_CLOSE_S, App
from aceproxy.simulator import Simulator
from aceproxy.store.recorder import MEMORY_ROWS
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]


async def history(app: App, query: str = "", path: str = "") -> Any:
    answer = await ask(app, f"/api/aceproxy/history{path}{query}")
    assert answer.status == 200, answer.body
    return answer.json


async def watch_once(app: App, sim: Simulator, number: int = 0, agent: str = "VLC/3.0", keep: int = 0) -> None:
    """Watch a channel for a moment and leave; returns when its stream is over and only `keep` others run."""
    answer = await ask(
        app, f"/ace/getstream?id={sim.contents[number].content_id}", headers=f"User-Agent: {agent}\r\n", stream=True
    )
    assert answer.status == 200
    await answer.reader.readexactly(188 * 500)
    answer.close()
    await until(lambda: len(app.hub.streams) == keep)


async def test_a_stream_that_is_over_is_in_the_history_with_those_who_watched(
    sim: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(linger_s=0.1)
    await watch_once(app, sim)
    told = await history(app)
    assert told["next_before"] is None
    assert told["store"] == {"place": "memory", "problem": None, "unsaved": 0, "dropped": 0}
    (entry,) = told["streams"]
    assert entry["stream_id"] == sim.contents[0].content_id
    assert (entry["reason"], entry["fault"], entry["is_over"]) == ("linger_over", "none", True)
    assert entry["engine"] == sim.url
    assert 0 < entry["start_s"] < entry["lasted_s"]
    assert entry["inbound_bytes"] > 0
    assert entry["outbound_bytes"] >= 188 * 500
    (viewer,) = entry["viewers"]
    assert (viewer["agent"], viewer["visits"], viewer["last_reason"]) == ("VLC/3.0", 1, "client_left")
    assert viewer["sent_bytes"] == entry["outbound_bytes"]
    detail = await history(app, path=f"/{entry['id']}")
    assert detail["stream"] == entry
    assert detail["events"][0]["kind"] == "start_asked"
    assert detail["events"][-1]["kind"] == "ended"


async def test_the_history_is_there_after_a_restart_also_of_what_ran_at_the_shutdown(
    sim: Simulator, make_app: MakeApp, play: Play, tmp_path: Path
) -> None:
    app = await make_app(state_dir=tmp_path)
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188 * 500)
    await app.close()

    (entry,) = (await history(await make_app(state_dir=tmp_path)))["streams"]
    assert (entry["reason"], entry["fault"]) == ("shutdown", "proxy")
    assert entry["viewers"][0]["last_reason"] == "shutdown"
    assert entry["viewers"][0]["sent_bytes"] >= 188 * 500


async def test_a_running_stream_is_noted_once_in_a_while_and_a_crash_gives_it_an_end(
    sim: Simulator, make_app: MakeApp, play: Play, tmp_path: Path
) -> None:
    app = await make_app(state_dir=tmp_path / "state")
    answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")
    await answer.reader.readexactly(188 * 500)
    app.recorder.checkpoint()
    (running,) = (await history(app))["streams"]
    assert (running["is_over"], running["reason"], running["visits"]) == (False, None, 1)
    assert running["viewers"][0]["last_reason"] is None
    await app.store.close(10)  # what comes later is lost, as in a crash
    left = shutil.copytree(tmp_path / "state", tmp_path / "left")

    (entry,) = (await history(await make_app(state_dir=left)))["streams"]
    assert (entry["reason"], entry["fault"], entry["is_over"]) == ("interrupted", "proxy", True)
    assert entry["id"] == running["id"]


async def test_a_start_that_failed_is_in_the_history_with_its_reason(make_app: MakeApp) -> None:
    app = await make_app()
    assert (await ask(app, f"/ace/getstream?id={'a' * 40}")).status == 404
    (entry,) = (await history(app))["streams"]
    assert (entry["reason"], entry["fault"], entry["start_s"], entry["viewers"]) == (
        "content_not_found",
        "swarm",
        None,
        [],
    )


async def test_pages_are_read_from_the_newest_to_the_oldest(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(bad_link_memory_s=0)
    for number in range(5):
        assert (await ask(app, f"/ace/getstream?id={str(number) * 40}")).status == 404
    first = await history(app, "?limit=2")
    second = await history(app, f"?limit=2&before={first['next_before']}")
    third = await history(app, f"?limit=2&before={second['next_before']}")
    ids = [entry["stream_id"][0] for page in (first, second, third) for entry in page["streams"]]
    assert ids == ["4", "3", "2", "1", "0"]
    assert third["next_before"] is None
    assert (await history(app, "?limit=0"))["streams"] == []
    assert len((await history(app, "?limit=999999"))["streams"]) == 5


@pytest.mark.parametrize("query", ["?limit=x", "?limit=-1", "?before=1.5", "?limit=1&before=", "?before=%27"])
async def test_strange_pages_are_refused(make_app: MakeApp, query: str) -> None:
    app = await make_app()
    answer = await ask(app, f"/api/aceproxy/history{query}")
    assert (answer.status, answer.reason) == (400, "bad_parameter")


async def test_where_addresses_are_not_wanted_the_history_has_none(
    sim: Simulator, make_app: MakeApp, tmp_path: Path
) -> None:
    app = await make_app(linger_s=0.1, history_addresses=False, state_dir=tmp_path)
    await watch_once(app, sim)
    (entry,) = (await history(app))["streams"]
    assert [(viewer["address"], viewer["agent"]) for viewer in entry["viewers"]] == [("", "VLC/3.0")]
    await app.close()
    content = bytes_of_store(tmp_path)
    assert b'"address": ""' in content
    assert b'"address": "127.0.0.1"' not in content


def bytes_of_store(folder: Path) -> bytes:
    """All that stands in the files of the store."""
    return b"".join(path.read_bytes() for path in folder.glob("aceproxy.db*"))


@pytest.mark.parametrize("setting", [{"history_rows": 0}, {"history_days": 0}])
async def test_no_history_is_kept_where_none_is_wanted_and_what_was_there_is_forgotten(
    sim: Simulator, make_app: MakeApp, tmp_path: Path, setting: dict[str, int]
) -> None:
    app = await make_app(state_dir=tmp_path)
    assert (await ask(app, f"/ace/getstream?id={'a' * 40}")).status == 404
    assert len((await history(app))["streams"]) == 1
    await app.close()
    app = await make_app(state_dir=tmp_path, linger_s=0.1, **setting)
    await watch_once(app, sim)
    assert (await history(app))["streams"] == []


async def test_history_that_is_turned_off_at_run_time_is_forgotten_at_once(make_app: MakeApp) -> None:
    app = await make_app(bad_link_memory_s=0)
    unknown = f"/ace/getstream?id={'a' * 40}"
    assert (await ask(app, unknown)).status == 404
    assert len((await history(app))["streams"]) == 1
    assert (await ask(app, "/api/settings", "PATCH", body=b'{"history_days": 0}')).status == 200
    assert (await history(app))["streams"] == []
    assert (await ask(app, unknown)).status == 404
    assert (await history(app))["streams"] == []
    assert (await ask(app, "/api/settings", "PATCH", body=b'{"history_days": 1}')).status == 200
    assert (await ask(app, unknown)).status == 404
    assert len((await history(app))["streams"]) == 1


async def test_in_memory_the_history_is_short(make_app: MakeApp) -> None:
    app = await make_app(bad_link_memory_s=0, log_level="error")
    columns = "(record_id, began_at, seen_at, is_over, entry, events)"
    old = f"INSERT INTO past_streams {columns} VALUES (?, '', '9999', 1, '{{}}', '[]')"
    rows = [(str(number),) for number in range(MEMORY_ROWS + 5)]
    app.store.write_nowait(lambda db: db.executemany(old, rows))
    assert (await ask(app, f"/ace/getstream?id={'a' * 40}")).status == 404
    ids = await app.store.read(lambda db: [row[0] for row in db.execute("SELECT id FROM past_streams ORDER BY id")])
    assert len(ids) == MEMORY_ROWS
    assert ids[-1] == MEMORY_ROWS + 6


async def test_who_is_no_admin_sees_that_others_watched_but_not_from_where(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(linger_s=0.1, trusted_proxies=["127.0.0.1"])
    target = f"/ace/getstream?id={sim.contents[0].content_id}"
    answer = await ask(app, target, headers="X-Forwarded-For: 192.168.7.7\r\n", stream=True)
    await answer.reader.readexactly(188 * 500)
    answer.close()
    await until(lambda: not app.hub.streams)
    seen = (await ask(app, "/api/aceproxy/history", admin=False)).body
    assert b"192.168.7.7" not in seen
    assert b"hidden-" in seen
    assert b"192.168.7.7" in (await ask(app, "/api/aceproxy/history", admin=True)).body


async def test_a_disk_that_hangs_is_felt_by_nobody_but_who_asks_for_the_history(
    sim: Simulator, make_app: MakeApp, play: Play, tmp_path: Path
) -> None:
    app = await make_app(state_dir=tmp_path, linger_s=0.1)
    hanging = threading.Event()
    try:
        app.store.write_nowait(lambda _: hanging.wait(30))
        asked = asyncio.ensure_future(ask(app, "/api/aceproxy/history"))
        answer = await play(app, f"/ace/getstream?id={sim.contents[0].content_id}")  # starts as ever
        slowest_s = 0.0
        while not asked.done():
            await answer.reader.readexactly(188 * 100)  # plays as ever
            began_at = time.monotonic()
            assert (await ask(app, "/api/aceproxy/streams")).json["total_clients"] == 1
            assert (await ask(app, "/api/aceproxy/links")).status == 200
            slowest_s = max(slowest_s, time.monotonic() - began_at)
        refused = await asked
        assert (refused.status, refused.reason) == (503, "store_unavailable")
        assert slowest_s < 3
        await watch_once(app, sim, 1, keep=1)  # ends as ever
        began_at = time.monotonic()
        await app.close()
        assert STORE_CLOSE_S - 0.5 < time.monotonic() - began_at < STORE_CLOSE_S + 10
    finally:
        hanging.set()
    await until(lambda: not app.store._thread.is_alive())
    entries = (await history(await make_app(state_dir=tmp_path)))["streams"]  # nothing was lost, the disk came back
    assert {entry["reason"] for entry in entries} == {"shutdown", "linger_over"}


async def test_one_entry_can_be_forgotten(make_app: MakeApp) -> None:
    app = await make_app()
    assert (await ask(app, f"/ace/getstream?id={'a' * 40}")).status == 404
    (entry,) = (await history(app))["streams"]
    target = f"/api/aceproxy/history/{entry['id']}"
    assert (await ask(app, target, "DELETE")).json == {"forgotten": True, "id": entry["id"]}
    again = await ask(app, target, "DELETE")
    assert (again.status, again.reason) == (404, "not_found")
    assert (await history(app))["streams"] == []
