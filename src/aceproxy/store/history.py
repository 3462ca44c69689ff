"""The table of past streams: writing, reading page by page, forgetting.

Every function gets the connection and runs in the store's thread. An entry is kept as JSON in a column: nothing asks
for a part of it, and it grows without a change of the schema. What an older version wrote lacks fields; they are None.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from aceproxy.errors import REASONS, Reason
from aceproxy.streams.record import StreamRecord
from aceproxy.streams.snapshot import TimelineEvent, utc_text
from aceproxy.streams.timeline import KINDS
from aceproxy.streams.told import told

EVENTS_LIMIT = 60  # events kept with a past stream, its clients' left out


@dataclass(frozen=True, slots=True)
class PastViewer:
    """All visits of one player to one stream. `address` is empty where addresses are not kept."""

    address: str
    agent: str
    visits: int
    watched_s: float
    sent_bytes: int
    skips: int
    last_reason: str | None


@dataclass(frozen=True, slots=True)
class PastStream:
    """A stream of the past, or one that still runs, as it was last noted. `id` grows with every stream."""

    id: int
    stream_id: str
    key: str
    title: str | None
    infohash: str | None
    engine: str | None
    began_at: str
    seen_at: str
    is_over: bool
    lasted_s: float
    start_s: float | None
    inbound_bytes: int
    outbound_bytes: int
    bitrate_bps: float | None
    visits: int
    peak_clients: int
    stalls: int
    stalled_s: float
    recoveries: int
    skips: int
    reason: str | None
    fault: str | None
    message: str | None
    viewers: list[PastViewer]


def write(db: sqlite3.Connection, record: StreamRecord, now_utc: datetime, *, with_addresses: bool) -> None:
    """Note a stream as it is now, in the place of what was noted of it before."""
    entry = {
        name: value
        for name, value in asdict(record).items()
        if name not in ("record_id", "began_utc", "viewers", "events")
    }
    entry["viewers"] = _viewers(record, with_addresses)
    events = [asdict(told(event)) for event in record.events if not KINDS[event.kind].of_client]
    db.execute(
        """
        INSERT INTO past_streams (record_id, began_at, seen_at, is_over, entry, events) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (record_id) DO UPDATE SET
            seen_at = excluded.seen_at, is_over = excluded.is_over, entry = excluded.entry, events = excluded.events
        """,
        (
            record.record_id,
            utc_text(record.began_utc),
            utc_text(now_utc),
            record.reason is not None,
            json.dumps(entry),
            json.dumps(events[-EVENTS_LIMIT:]),
        ),
    )


def _viewers(record: StreamRecord, with_addresses: bool) -> list[dict[str, Any]]:
    """The viewers as they are kept; without addresses those with one agent are one."""
    if with_addresses:
        return [asdict(viewer) for viewer in record.viewers]
    merged: dict[str, dict[str, Any]] = {}
    for viewer in record.viewers:
        known = merged.get(viewer.agent)
        if known is None:
            merged[viewer.agent] = asdict(viewer) | {"address": ""}
            continue
        for name in ("visits", "watched_s", "sent_bytes", "skips"):
            known[name] += getattr(viewer, name)
        known["last_reason"] = viewer.last_reason
    return list(merged.values())


def page(db: sqlite3.Connection, limit: int, before: int | None = None) -> list[PastStream]:
    """Return at most `limit` streams, the newest first; with `before` only those whose id is lower."""
    rows = db.execute(
        "SELECT id, began_at, seen_at, is_over, entry FROM past_streams WHERE id < ? ORDER BY id DESC LIMIT ?",
        (before if before is not None else 2**62, limit),
    )
    return [_past_stream(*row) for row in rows]


def one(db: sqlite3.Connection, number: int) -> tuple[PastStream, list[TimelineEvent]] | None:
    """Return one stream with its events, or None."""
    row = db.execute(
        "SELECT id, began_at, seen_at, is_over, entry, events FROM past_streams WHERE id = ?", (number,)
    ).fetchone()
    if row is None:
        return None
    return _past_stream(*row[:5]), [TimelineEvent(**event) for event in json.loads(row[5])]


def forget(db: sqlite3.Connection, number: int) -> bool:
    """Forget one stream, or say that there is none."""
    return db.execute("DELETE FROM past_streams WHERE id = ?", (number,)).rowcount > 0


def prune(db: sqlite3.Connection, rows: int, older_than: datetime | None) -> int:
    """Forget all but the newest `rows`, and what was last seen before `older_than`. Returns how many were forgotten.

    What carries a time in the future is not old, whatever the clock said then.
    """
    found = db.execute(
        "DELETE FROM past_streams WHERE id <= (SELECT id FROM past_streams ORDER BY id DESC LIMIT 1 OFFSET ?)", (rows,)
    ).rowcount
    if older_than is not None:
        found += db.execute("DELETE FROM past_streams WHERE seen_at < ?", (utc_text(older_than),)).rowcount
    return found


def close_interrupted(db: sqlite3.Connection) -> int:
    """Give those that were running when the program was killed their end. Returns how many there were."""
    row = REASONS[Reason.INTERRUPTED]
    found = db.execute("SELECT id, entry FROM past_streams WHERE is_over = 0").fetchall()
    for number, entry in found:
        told = json.loads(entry) | {"reason": Reason.INTERRUPTED, "fault": row.fault, "message": row.message}
        db.execute("UPDATE past_streams SET is_over = 1, entry = ? WHERE id = ?", (json.dumps(told), number))
    return len(found)


_ENTRY_FIELDS = tuple(
    field.name for field in fields(PastStream) if field.name not in ("id", "began_at", "seen_at", "is_over", "viewers")
)


def _past_stream(number: int, began_at: str, seen_at: str, is_over: int, entry: str) -> PastStream:
    told = json.loads(entry)
    return PastStream(
        id=number,
        began_at=began_at,
        seen_at=seen_at,
        is_over=bool(is_over),
        viewers=[PastViewer(**viewer) for viewer in told.get("viewers", [])],
        **{name: told.get(name) for name in _ENTRY_FIELDS},
    )
