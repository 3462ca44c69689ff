"""Logging: structured records in memory, on the terminal and in a file; none of them ever waited for.

Records carry the stream they belong to (`extra={"stream": …}`, or `stream_log`). They are made into lines and redacted
once, by whoever logs; writing happens in threads of their own, behind bounded queues: a terminal that nobody reads or
a disk that is full must not stop a stream.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from aceproxy.logs.lines import LEVELS, Filter, Found, LogLine, as_json, as_text, from_json
from aceproxy.logs.logs import Logs
from aceproxy.logs.redaction import MESSAGE_LIMIT, redact
from aceproxy.logs.ring import RingHandler

__all__ = [
    "LEVELS",
    "MESSAGE_LIMIT",
    "Filter",
    "Found",
    "LogLine",
    "Logs",
    "RingHandler",
    "StreamLog",
    "as_json",
    "as_text",
    "from_json",
    "redact",
    "stream_log",
]


class StreamLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records belong to one stream."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the stream to the record's extras."""
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs


def stream_log(logger: logging.Logger, stream: str) -> StreamLog:
    """Return `logger` bound to a stream id."""
    return StreamLog(logger, {"stream": stream})
