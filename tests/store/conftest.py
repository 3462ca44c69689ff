"""What the tests of the store share."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aceproxy.errors import REASONS, Reason
from aceproxy.store.store import Store
from aceproxy.streams.record import StreamRecord, Viewer
from aceproxy.streams.timeline import EventKind, Timeline

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MakeStore = Callable[..., Awaitable[Store]]


@pytest.fixture
async def make_store() -> AsyncIterator[MakeStore]:
    """Makes stores, and closes them at the end of the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(path: Path | None, retry_s: float = 0.05) -> Store:
            store = Store(path, retry_s)
            store.start()
            stack.push_async_callback(store.close, 10)
            return store

        yield make


def record(number: int, reason: Reason | None = Reason.LINGER_OVER, viewers: int = 2) -> StreamRecord:
    """A stream of the past, told apart by its number."""
    timeline = Timeline(lambda: 0.0, lambda: NOON)
    timeline.note(EventKind.START_ASKED, link="x")
    timeline.note(EventKind.CLIENT_JOINED, client="c")
    if reason is not None:
        timeline.note(EventKind.ENDED, reason=reason)
    return StreamRecord(
        record_id=f"record {number}",
        stream_id=f"{number:040x}",
        key=f"content_id:{number:040x}",
        title=f"Channel {number}",
        infohash=None,
        engine="http://127.0.0.1:6878",
        began_utc=NOON,
        lasted_s=10.0 * number,
        start_s=1.5,
        inbound_bytes=1000,
        outbound_bytes=2000,
        bitrate_bps=8e6,
        visits=viewers,
        peak_clients=viewers,
        viewers=tuple(
            Viewer(f"192.0.2.{one}", "VLC" if one % 2 else "mpv", 1, 60.0 - one, 1000, 0, Reason.CLIENT_LEFT)
            for one in range(viewers)
        ),
        stalls=1,
        stalled_s=4.0,
        recoveries=0,
        skips=0,
        reason=reason,
        fault=REASONS[reason].fault if reason is not None else None,
        message=REASONS[reason].message if reason is not None else None,
        events=tuple(timeline.events()),
    )


def note(text: str) -> Callable[[sqlite3.Connection], object]:
    """A job that writes one row, told by its text."""
    columns = "(record_id, began_at, seen_at, is_over, entry, events)"
    return lambda db: db.execute(f"INSERT INTO past_streams {columns} VALUES (?, '', '', 1, '{{}}', '[]')", (text,))


def texts(db: sqlite3.Connection) -> list[str]:
    """What such jobs have written, in order."""
    return [row[0] for row in db.execute("SELECT record_id FROM past_streams ORDER BY id")]
