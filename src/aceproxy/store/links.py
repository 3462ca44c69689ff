"""The book of links: how well each has played on each engine, in memory, and kept in the store.

Asking it never waits. It is read from the disk once, at the start, and each change is written behind.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError
from aceproxy.store.store import Store
from aceproxy.streams.quality import SCORE_STEP, UNKNOWN, Quality, Viewing, fading, quality_of
from aceproxy.streams.snapshot import utc_text

DAY_S = 86_400.0
FORGET_HALF_LIVES = 10  # after which a thousandth is left
LOAD_LIMIT_S = 60.0  # for a slow disk; nothing waits for it
TEXT_LIMIT = 300  # characters of a key, an address or a title

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of one link on one engine, as of `updated_utc`."""

    key: str
    engine: str
    quality: Quality
    title: str | None
    last_reason: str | None
    updated_utc: datetime


class LinkBook:
    """Learns from viewings and ranks links. Belongs to the event loop."""

    def __init__(
        self, limit: int, half_life_days: float, wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Begin an empty book of at most `limit` pages; what is in it loses half of its weight in `half_life_days`."""
        self._limit = limit
        self._half_life_s = half_life_days * DAY_S
        self._wall_clock = wall_clock
        self._pages: OrderedDict[str, dict[str, Page]] = OrderedDict()  # by key, then engine; longest unchanged first
        self._count = 0
        self._store: Store | None = None

    # --- LinkExperience ---

    def add(self, viewing: Viewing) -> None:
        """Learn from a source that has ended."""
        told = quality_of(viewing)
        if told == UNKNOWN or self._limit == 0:
            return
        key, engine = viewing.key[:TEXT_LIMIT], viewing.engine[:TEXT_LIMIT]
        known = self._pages.get(key, {}).get(engine)
        before = self._faded(known) if known is not None else UNKNOWN
        title = viewing.title or self._title(key)
        page = Page(
            key=key,
            engine=engine,
            quality=before.plus(told),
            title=title[:TEXT_LIMIT] if title else None,
            last_reason=viewing.reason,
            updated_utc=self._wall_clock(),
        )
        self._put(page)
        self._write(lambda db: _write(db, page))

    def order(self, links: Sequence[Link]) -> list[Link]:
        """Return links of one broadcast, the most promising first; those that are about equal stay as they are."""
        return sorted(links, key=lambda link: -math.floor(self.score(link.key) / SCORE_STEP))

    def score(self, key: str, engine: str | None = None) -> float:
        """Say how promising a link is, on one engine or on any."""
        return self.quality(key, engine).score

    def suits(self, link: Link, engine: str) -> float:
        """Say whether an engine (by URL) is one for this link: 1 unless it has played worse there than is expected of a
        link of which nothing is known.
        """
        return min(1.0, self.score(link.key, engine) / UNKNOWN.score)

    # --- own ---

    def quality(self, key: str, engine: str | None = None) -> Quality:
        """Return what is known of a link now, faded; on one engine or on all together."""
        pages = self._pages.get(key, {})
        chosen = pages.values() if engine is None else [page for name, page in pages.items() if name == engine]
        total = UNKNOWN
        for page in chosen:
            total = total.plus(self._faded(page))
        return total

    def pages(self, key: str) -> list[Page]:
        """Return the pages of one link."""
        return list(self._pages.get(key, {}).values())

    @property
    def keys(self) -> list[str]:
        """The links of which something is known, the one that changed last first."""
        return list(reversed(self._pages))

    async def keep_in(self, store: Store) -> None:
        """Read what the store has, and write there from now on. Cancel-safe; a store that fails costs only memory."""
        self._store = store
        oldest = self._wall_clock() - timedelta(seconds=FORGET_HALF_LIVES * self._half_life_s)
        self._write(lambda db: _prune(db, self._limit, oldest))
        try:
            found = await store.read(_read_all, LOAD_LIMIT_S)
        except AceProxyError as error:
            log.warning("what is known of links could not be read: %s", error)
            return
        for page in found:
            learnt = self._pages.get(page.key, {}).get(page.engine)
            if learnt is None:
                self._put(page, newest=False)
            else:  # a viewing ended before the disk had answered
                both = Page(
                    page.key,
                    page.engine,
                    self._faded(page).plus(self._faded(learnt)),
                    learnt.title or page.title,
                    learnt.last_reason,
                    self._wall_clock(),
                )
                self._put(both)

    def _put(self, page: Page, *, newest: bool = True) -> None:
        pages = self._pages.setdefault(page.key, {})
        self._count += page.engine not in pages
        pages[page.engine] = page
        self._pages.move_to_end(page.key, last=newest)
        while self._count > self._limit:
            oldest, pages = self._pages.popitem(last=False)
            self._count -= len(pages)
            self._write(functools.partial(_forget, key=oldest))

    def _faded(self, page: Page) -> Quality:
        age_s = (self._wall_clock() - page.updated_utc).total_seconds()
        return page.quality.faded(fading(age_s, self._half_life_s))

    def _title(self, key: str) -> str | None:
        return next((page.title for page in self._pages.get(key, {}).values() if page.title), None)

    def _write(self, job: Callable[[sqlite3.Connection], object]) -> None:
        if self._store is not None:
            self._store.write_nowait(job)


# --- in the store's thread ---


def _write(db: sqlite3.Connection, page: Page) -> None:
    record = {"quality": asdict(page.quality), "title": page.title, "last_reason": page.last_reason}
    db.execute(
        "INSERT OR REPLACE INTO link_quality (key, engine, updated_at, record) VALUES (?, ?, ?, ?)",
        (page.key, page.engine, utc_text(page.updated_utc), json.dumps(record)),
    )


def _forget(db: sqlite3.Connection, key: str) -> None:
    db.execute("DELETE FROM link_quality WHERE key = ?", (key,))


def _prune(db: sqlite3.Connection, limit: int, oldest: datetime) -> None:
    db.execute("DELETE FROM link_quality WHERE updated_at < ?", (utc_text(oldest),))
    db.execute(
        "DELETE FROM link_quality WHERE (key, engine) NOT IN "
        "(SELECT key, engine FROM link_quality ORDER BY updated_at DESC LIMIT ?)",
        (limit,),
    )


def _read_all(db: sqlite3.Connection) -> list[Page]:
    """All pages, the one that changed last first."""
    rows = db.execute("SELECT key, engine, updated_at, record FROM link_quality ORDER BY updated_at DESC")
    return [page for row in rows if (page := _page(*row)) is not None]


def _page(key: str, engine: str, updated_at: str, record: str) -> Page | None:
    """One row, None where it makes no sense: what was kept must not keep the program from starting."""
    try:
        told: dict[str, Any] = json.loads(record)
        sums = {field.name: float(told["quality"].get(field.name, 0.0)) for field in fields(Quality)}
        if not all(math.isfinite(value) and value >= 0 for value in sums.values()):
            return None
        updated_utc = datetime.fromisoformat(updated_at).astimezone(UTC)
        return Page(key, engine, Quality(**sums), told.get("title"), told.get("last_reason"), updated_utc)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
