"""Logging: a ring of recent records for the API, redaction, and output that never blocks the event loop.

Records carry the stream they belong to (`extra={"stream": …}`, or `stream_log`). Writing to the terminal happens in a
thread of its own, behind a bounded queue: a terminal or pipe that nobody reads must not stop a stream.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import re
import sys
import threading
from collections import deque
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

MESSAGE_LIMIT = 2000  # characters of one record that are kept
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_SECRET = re.compile(r"(?i)\b(token|password|passwd|secret|api_?key|authorization|access_token|pid|sid)=([^\s&\"'#]+)")
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@")


def redact(text: str) -> str:
    """Return `text` without secrets, without control characters (a log line stays one line) and bounded in length."""
    text = _SECRET.sub(r"\1=***", text)
    text = _USERINFO.sub(r"\1***@", text)
    text = _CONTROL.sub(" ", text.replace("\n", " | "))
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
    return StreamLog(logger, {"stream": stream})


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
        """Keep one record."""
        moment = datetime.fromtimestamp(record.created, UTC)
        self._lines.append(
            LogLine(
                time=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                level=record.levelname.lower(),
                logger=record.name,
                message=self.format(record),
                stream=getattr(record, "stream", None),
            )
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
    """Writes records from a queue to a stream; ends on None. A daemon: a blocked terminal never holds up the exit."""

    def __init__(self, records: queue.Queue[Any], handler: logging.Handler) -> None:
        super().__init__(name="log-writer", daemon=True)
        self._records = records
        self._handler = handler

    def run(self) -> None:
        while (record := self._records.get()) is not None:
            self._handler.handle(record)


class Logs:
    """The program's logging, set up by `start` and taken down by `stop`."""

    def __init__(self, level: str, lines: int, stream: TextIO | None = None) -> None:
        """Prepare logging at `level`, keeping `lines` records; text goes to `stream` (standard error by default)."""
        self.ring = RingHandler(lines)
        self._level = level.upper()
        self._records: queue.Queue[Any] = queue.Queue(maxsize=10_000)
        self._queue_handler = _DroppingQueueHandler(self._records)
        target = logging.StreamHandler(stream if stream is not None else sys.stderr)
        target.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        self._writer = _Writer(self._records, target)
        self._root = logging.getLogger("aceproxy")

    def start(self) -> None:
        """Attach to the program's own logger."""
        self._root.setLevel(self._level)
        self._root.propagate = False
        self._root.addHandler(self.ring)
        self._root.addHandler(self._queue_handler)
        self._writer.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Detach, and write what is queued as long as that takes no longer than `timeout_s`."""
        self._root.removeHandler(self.ring)
        self._root.removeHandler(self._queue_handler)
        self._root.propagate = True
        try:
            self._records.put(None, timeout=timeout_s)
        except queue.Full:
            return  # nobody reads our output; the thread is a daemon and ends with the process
        self._writer.join(timeout_s)

    @property
    def dropped(self) -> int:
        """Records that were not written because the output did not keep up (the ring has them all the same)."""
        return self._queue_handler.dropped
