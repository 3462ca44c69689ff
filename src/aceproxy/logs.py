"""Logging: a ring of recent records for the API, redaction, and output that never blocks the event loop.

Records carry the stream they belong to (`extra={"stream": …}`, or `stream_log`). Writing to the terminal happens in a
thread of its own, behind a bounded queue: a terminal or pipe that nobody reads must not stop a stream.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import re
import sys
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

RETRY_S = 0.05  # until a full output is tried again
MESSAGE_LIMIT = 2000  # characters of one record that are kept
LOGGERS = ("aceproxy", "asyncio", "aiohttp")  # whose records are ours to keep and to write

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_SECRET = re.compile(
    r"(?i)\b(token|password|passwd|secret|api_?key|access_token|pid|sid)([\"']?\s{0,3}[=:]\s{0,3}[\"']?)([^\s&\"'#,}]+)"
)
_AUTHORIZATION = re.compile(r"(?i)\b(authorization\s{0,3}[=:]\s{0,3})(\w{1,20}\s{1,3})?[^\s,]+")
_USERINFO = re.compile(r"://[^/\s?#]{1,500}@")


def redact(text: str) -> str:
    """Return `text` without secrets, without control characters (a log line stays one line) and bounded in length."""
    text = text[: 4 * MESSAGE_LIMIT]
    text = _AUTHORIZATION.sub(r"\1***", text)
    text = _SECRET.sub(r"\1\2***", text)
    text = _USERINFO.sub("://***@", text)
    text = _UNSAFE.sub(" ", text.replace("\n", " | "))
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "…"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record as the API shows it. `time` is ISO 8601 in UTC."""

    time: str
    level: str
    logger: str
    message: str
    stream: str | None


class StreamLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records belong to one stream."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the stream to the record's extras."""
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs


def stream_log(logger: logging.Logger, stream: str) -> StreamLog:
    """Return `logger` bound to a stream id."""
    return StreamLog(logger, {"stream": stream, "tag": f"[{stream[:8]}] "})


class _Formatter(logging.Formatter):
    """Text of a record including its traceback, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class RingHandler(logging.Handler):
    """Keeps the newest records in memory. Any thread may log; reading returns a copy and waits for nobody."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines: deque[LogLine] = deque(maxlen=lines)
        self.setFormatter(_Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; one that cannot be formatted is our mistake and is told by logging itself."""
        try:
            self._lines.append(self._line(record))
        except Exception:  # noqa: BLE001 - a bad log call must not fail its caller, as with logging's own handlers
            self.handleError(record)

    def _line(self, record: logging.LogRecord) -> LogLine:
        moment = datetime.fromtimestamp(record.created, UTC)
        return LogLine(
            time=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            level=record.levelname.lower(),
            logger=record.name,
            message=self.format(record),
            stream=getattr(record, "stream", None),
        )

    def tail(self, lines: int) -> list[LogLine]:
        """Return at most the newest `lines` records, oldest first."""
        kept = list(self._lines)
        return kept[-lines:] if lines > 0 else []

    def __len__(self) -> int:
        return len(self._lines)


class _DroppingQueueHandler(logging.handlers.QueueHandler):
    """Hands records to the writer's queue; when that is full they are counted instead of waited for."""

    def __init__(self, records: queue.Queue[Any]) -> None:
        super().__init__(records)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # the writer is a thread of this process: nothing needs to be pickled

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Writer(threading.Thread):
    """Writes records from a queue to a text stream; ends on None.

    A daemon that shares no lock with anybody: it writes to the stream's descriptor itself, so that a terminal or pipe
    that takes nothing can hold up neither the program nor its exit.
    """

    def __init__(self, records: queue.Queue[Any], stream: TextIO) -> None:
        super().__init__(name="log-writer", daemon=True)
        self._records = records
        self._stream = stream
        self._formatter = _Formatter("%(asctime)s %(levelname)-7s %(name)s: %(tag)s%(message)s", defaults={"tag": ""})

    def run(self) -> None:
        try:
            descriptor: int | None = self._stream.fileno()
        except (OSError, ValueError):
            descriptor = None  # a stream in memory
        while (record := self._records.get()) is not None:
            line = self._formatter.format(record) + "\n"
            try:
                if descriptor is None:
                    self._stream.write(line)
                else:
                    _write_all(descriptor, line.encode(errors="backslashreplace"))
            except OSError:
                return  # the output is gone; the ring has everything all the same


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however long it takes; also to an output that somebody made non-blocking."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            time.sleep(RETRY_S)


class Logs:
    """The program's logging, set up by `start` and taken down by `stop`."""

    def __init__(self, level: str, lines: int, stream: TextIO | None = None) -> None:
        """Prepare logging at `level`, keeping `lines` records; text goes to `stream` (standard error by default)."""
        self.ring = RingHandler(lines)
        self._level = level.upper()
        self._records: queue.Queue[Any] = queue.Queue(maxsize=10_000)
        self._queue_handler = _DroppingQueueHandler(self._records)
        self._handlers: tuple[logging.Handler, ...] = (self.ring, self._queue_handler)
        self._writer = _Writer(self._records, stream if stream is not None else sys.stderr)

    def start(self) -> None:
        """Attach to the loggers of the program and of the libraries it runs on."""
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(self._level if name == "aceproxy" else "WARNING")
            logger.propagate = False
            for handler in self._handlers:
                logger.addHandler(handler)
        self._writer.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Detach, and write what is queued as long as that takes no longer than `timeout_s`."""
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.propagate = True
            for handler in self._handlers:
                logger.removeHandler(handler)
        if not self._writer.is_alive():
            return
        try:
            self._records.put(None, timeout=timeout_s)
        except queue.Full:
            return  # nobody reads our output; the thread is a daemon and ends with the process
        self._writer.join(timeout_s)

    @property
    def dropped(self) -> int:
        """Records that were not written because the output did not keep up (the ring has them all the same)."""
        return self._queue_handler.dropped
