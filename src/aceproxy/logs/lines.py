"""One record as everybody sees it, its two spellings, and which records somebody wants to see."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

LEVELS = ("debug", "info", "warning", "error", "critical")
_RANK = {level: rank for rank, level in enumerate(LEVELS)}
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}
_PLAIN = "\x1b[0m"
_TAG_LETTERS = 8  # of a stream's id, in front of the message


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record. `time` is ISO 8601 in UTC; `id` grows from record to record, over restarts as well.

    It is the time in microseconds since 1970, moved on where two records share one: a place in the log that stays
    valid when files are rotated.
    """

    time: str
    level: str
    logger: str
    message: str
    stream: str | None
    id: int = 0


def time_text(micros: int) -> str:
    """Write microseconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(micros / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(line: LogLine) -> str:
    """Write a record as one line of JSON."""
    return json.dumps(
        {
            "time": line.time,
            "level": line.level,
            "logger": line.logger,
            "message": line.message,
            "stream": line.stream,
            "id": line.id,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def as_text(line: LogLine, *, colours: bool = False) -> str:
    """Write a record for people: local time, level, logger, the beginning of the stream's id, message."""
    moment = datetime.fromtimestamp(line.id / 1e6, UTC).astimezone()
    tag = f"[{line.stream[:_TAG_LETTERS]}] " if line.stream else ""
    level = f"{line.level.upper():7}"
    if colours and line.level in _COLOURS:
        level = f"{_COLOURS[line.level]}{level}{_PLAIN}"
    shown = f"{moment:%Y-%m-%d %H:%M:%S},{moment.microsecond // 1000:03d}"
    return f"{shown} {level} {line.logger}: {tag}{line.message}"


def from_json(text: bytes) -> LogLine | None:
    """Read a line that `as_json` wrote; None if it is something else (a torn line, another program's)."""
    try:
        found: Any = json.loads(text)
        line = LogLine(
            time=found["time"],
            level=found["level"],
            logger=found["logger"],
            message=found["message"],
            stream=found["stream"],
            id=found["id"],
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    kinds = [type(one) for one in (line.time, line.level, line.logger, line.message, line.id)]
    is_ours = kinds == [str, str, str, str, int] and type(line.stream) in (str, type(None))
    return line if is_ours and line.level in LEVELS else None


@cache
def _told_levels(level: str) -> tuple[bytes, ...]:
    """Return how lines tell of this level and of those above it."""
    return tuple(f'"level":"{name}"'.encode() for name in LEVELS if _RANK[name] >= _RANK[level])


@lru_cache(16)
def _plain_words(search: str) -> tuple[bytes, ...]:
    """Return the words of a search that stand in JSON as they are, in lower case."""
    words = search.lower().split()
    return tuple(word.encode() for word in words if word.isascii() and not set(word) & set('"\\'))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are wanted: at least this level, of this stream (by the beginning of its id), with this text."""

    level: str = "debug"
    stream: str = ""
    search: str = ""

    def may_take(self, text: bytes) -> bool:
        """Whether a line that `as_json` wrote may be a wanted record: False is certain, and found without reading it.

        The words of a search are looked for one by one, since it may go over from the logger's name to the message.
        """
        if not text.isascii():
            return True  # letters that are not ASCII may be equal to others in lower case
        if self.level != "debug" and not any(level in text for level in _told_levels(self.level)):
            return False
        if self.stream.isalnum() and f'"stream":"{self.stream}'.encode() not in text:
            return False
        low = text.lower()
        return all(word in low for word in _plain_words(self.search))

    def takes(self, line: LogLine) -> bool:
        """Whether a record is wanted."""
        return (
            _RANK.get(line.level, 0) >= _RANK[self.level]
            and (not self.stream or (line.stream or "").startswith(self.stream))
            and (not self.search or self.search.lower() in f"{line.logger} {line.message}".lower())
        )


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: records, oldest first, and where to go on.

    `newest` is the place up to which was looked: asked again with `after=newest`, the next records follow without a
    gap. `oldest` is the place back to which was looked, None where there is nothing older. A search that reached its
    limit before it had found enough is not `is_complete`; asked again with `before=oldest` it goes on.
    """

    lines: list[LogLine]
    newest: int
    oldest: int | None
    is_complete: bool = True
