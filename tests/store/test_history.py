"""The history: what is kept of streams, in which order, for how long."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from aceproxy.errors import Reason
from aceproxy.store import history
from aceproxy.store.migrations import migrate
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.told import told
from tests.store.conftest import NOON, record


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """An empty database in memory."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db)
    yield db
    db.close()


def fill(db: sqlite3.Connection, count: int) -> None:
    for number in range(1, count + 1):
        history.write(db, record(number), NOON + timedelta(days=number), with_addresses=True)


def titles(found: list[history.PastStream]) -> list[str | None]:
    return [stream.title for stream in found]


def test_an_entry_has_what_the_stream_told(db: sqlite3.Connection) -> None:
    history.write(db, record(7), NOON, with_addresses=True)
    (kept,) = history.page(db, 10)
    assert (kept.title, kept.lasted_s, kept.start_s, kept.reason, kept.fault) == (
        "Channel 7",
        70.0,
        1.5,
        "linger_over",
        "none",
    )
    assert (kept.is_over, kept.began_at, kept.seen_at) == (True, "2026-11-22T12:00:00.000Z", "2026-11-22T12:00:00.000Z")
    assert [(viewer.address, viewer.agent, viewer.watched_s) for viewer in kept.viewers] == [
        ("192.0.2.0", "mpv", 60.0),
        ("192.0.2.1", "VLC", 59.0),
    ]
    found = history.one(db, kept.id)
    assert found is not None
    assert found[0] == kept
    assert [event.kind for event in found[1]] == ["start_asked", "ended"]  # what clients did is not kept
    assert history.one(db, kept.id + 1) is None


def test_pages_follow_each_other_without_gap_or_repeat(db: sqlite3.Connection) -> None:
    fill(db, 25)
    seen: list[str | None] = []
    before: int | None = None
    while page := history.page(db, 10, before):
        seen += titles(page)
        before = page[-1].id
        if len(seen) == 10:  # one more comes in between: it belongs before the first page
            history.write(db, record(99), NOON, with_addresses=True)
    assert seen == [f"Channel {number}" for number in range(25, 0, -1)]


def test_a_running_stream_is_noted_again_in_its_own_place(db: sqlite3.Connection) -> None:
    history.write(db, record(1, reason=None), NOON, with_addresses=True)
    history.write(db, record(2), NOON, with_addresses=True)
    assert history.page(db, 10)[1].is_over is False
    history.write(db, replace(record(1), visits=9), NOON + timedelta(minutes=1), with_addresses=True)
    second, first = history.page(db, 10)
    assert titles([second, first]) == ["Channel 2", "Channel 1"]
    assert (first.is_over, first.visits, first.seen_at) == (True, 9, "2026-11-22T12:01:00.000Z")


def test_addresses_are_not_kept_where_they_are_not_wanted(db: sqlite3.Connection) -> None:
    history.write(db, record(1, viewers=5), NOON, with_addresses=False)
    raw = "".join(str(value) for row in db.execute("SELECT * FROM past_streams") for value in row)
    assert "192.0.2." not in raw
    (kept,) = history.page(db, 1)
    assert {(viewer.agent, viewer.address, viewer.visits) for viewer in kept.viewers} == {
        ("mpv", "", 3),
        ("VLC", "", 2),
    }


def test_no_more_are_kept_than_wanted_and_none_that_are_too_old(db: sqlite3.Connection) -> None:
    fill(db, 20)
    assert history.prune(db, 20, None) == 0
    assert history.prune(db, 5, None) == 15
    assert titles(history.page(db, 50)) == [f"Channel {number}" for number in range(20, 15, -1)]
    assert history.prune(db, 5, NOON + timedelta(days=18)) == 2
    assert titles(history.page(db, 50)) == ["Channel 20", "Channel 19", "Channel 18"]
    assert history.prune(db, 0, None) == 3
    history.write(db, record(50), NOON, with_addresses=True)
    assert history.page(db, 1)[0].id == 21  # numbers are not used again, so a page cannot begin in the middle


def test_streams_that_a_crash_cut_off_get_an_end(db: sqlite3.Connection) -> None:
    history.write(db, record(1, reason=None), NOON, with_addresses=True)
    history.write(db, record(2), NOON, with_addresses=True)
    assert history.close_interrupted(db) == 1
    ended, cut_off = history.page(db, 10)
    assert (cut_off.is_over, cut_off.reason, cut_off.fault) == (True, "interrupted", "proxy")
    assert cut_off.seen_at == "2026-11-22T12:00:00.000Z"  # when it was last known to run
    assert ended.reason == "linger_over"
    assert history.close_interrupted(db) == 0


def test_one_can_be_forgotten(db: sqlite3.Connection) -> None:
    fill(db, 3)
    assert history.forget(db, 2)
    assert not history.forget(db, 2)
    assert titles(history.page(db, 10)) == ["Channel 3", "Channel 1"]


def test_what_an_older_version_wrote_can_still_be_read(db: sqlite3.Connection) -> None:
    columns = "(record_id, began_at, seen_at, is_over, entry, events)"
    db.execute(
        f"INSERT INTO past_streams {columns} VALUES ('x', '', '', 1, ?, '[]')",
        (json.dumps({"title": "Old", "key": "content_id:1", "a_field_of_old": 1}),),
    )
    (kept,) = history.page(db, 1)
    assert (kept.title, kept.reason, kept.viewers) == ("Old", None, [])


def test_events_kept_with_a_stream_are_bounded(db: sqlite3.Connection) -> None:
    timeline = Timeline(lambda: 0.0, lambda: NOON)
    for _ in range(200):
        timeline.note(EventKind.RECOVERED)
    ended = timeline.note(EventKind.ENDED, reason=Reason.STOPPED)
    history.write(db, replace(record(1), events=tuple(timeline.events())), NOON, with_addresses=True)
    found = history.one(db, 1)
    assert found is not None
    assert len(found[1]) == history.EVENTS_LIMIT
    assert found[1][-1] == told(ended)
