"""The newest records, in memory."""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable

from aceproxy.logs.lines import Filter, Found, LogLine, time_text
from aceproxy.logs.redaction import redact


class _Formatter(logging.Formatter):
    """Text of a record including its traceback, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class RingHandler(logging.Handler):
    """Makes lines of records, keeps the newest in memory and hands all of them on.

    Any thread may log; reading returns a copy and waits for nobody. `hand_on` must not wait either.
    """

    def __init__(self, lines: int, hand_on: Callable[[LogLine], None] | None = None) -> None:
        super().__init__()
        self.total = 0  # records since the start
        self.by_level: Counter[str] = Counter()
        self._lines: deque[LogLine] = deque(maxlen=lines)
        self._hand_on = hand_on
        self._last_id = 0
        self.setFormatter(_Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; one that cannot be formatted is our mistake and is told by logging itself."""
        try:
            line = self._line(record)
            self._lines.append(line)
            self.total += 1
            self.by_level[line.level] += 1
            if self._hand_on is not None:
                self._hand_on(line)
        except Exception:  # noqa: BLE001 - a bad log call must not fail its caller, as with logging's own handlers
            self.handleError(record)

    def _line(self, record: logging.LogRecord) -> LogLine:
        micros = int(record.created * 1e6)
        message = self.format(record)
        self._last_id = max(micros, self._last_id + 1)
        return LogLine(
            time=time_text(micros),
            level=record.levelname.lower(),
            logger=record.name,
            message=message,
            stream=getattr(record, "stream", None),
            id=self._last_id,
        )

    def resize(self, lines: int) -> None:
        """Keep another number of records from now on."""
        self.acquire()
        try:
            self._lines = deque(self._lines, maxlen=lines)
        finally:
            self.release()

    def copy(self) -> list[LogLine]:
        """Return the records, oldest first."""
        return list(self._lines)

    def after(self, place: int) -> list[LogLine]:
        """Return the records behind a place, oldest first."""
        kept = list(self._lines)
        return kept[bisect_right(kept, place, key=_id) :]

    @property
    def place(self) -> int:
        """The place behind the newest record."""
        return self._last_id

    def tail(self, lines: int) -> list[LogLine]:
        """Return at most the newest `lines` records, oldest first."""
        kept = list(self._lines)
        return kept[-lines:] if lines > 0 else []

    def __len__(self) -> int:
        return len(self._lines)


def newest_of(kept: list[LogLine], wanted: Filter, lines: int, before: int | None = None) -> Found:
    """Return the newest `lines` of the wanted among `kept`, of those before a place if one is given."""
    end = len(kept) if before is None else bisect_right(kept, before - 1, key=_id)
    found: list[LogLine] = []
    at = end
    while at > 0 and len(found) < lines:
        at -= 1
        if wanted.takes(kept[at]):
            found.append(kept[at])
    found.reverse()
    oldest = kept[at].id if at < end else before
    return Found(found, newest=kept[-1].id if kept else int(time.time() * 1e6), oldest=oldest if at > 0 else None)


def following(kept: list[LogLine], wanted: Filter, lines: int, after: int) -> Found:
    """Return the first `lines` of the wanted that follow a place."""
    begin = bisect_right(kept, after, key=_id)
    found: list[LogLine] = []
    at = begin
    while at < len(kept) and len(found) < lines:
        if wanted.takes(kept[at]):
            found.append(kept[at])
        at += 1
    newest = kept[at - 1].id if at > begin else after
    return Found(found, newest=newest, oldest=kept[begin].id if begin < len(kept) else after)


def _id(line: LogLine) -> int:
    return line.id
