"""Where records go: one thread for each output, behind a bounded queue, so that no output can hold up anybody."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TextIO

from aceproxy.logs.lines import LogLine, as_json, as_text

QUEUE_LINES = 10_000
BATCH_LINES = 200  # written by one call at most
RETRY_S = 0.05  # until a full terminal or pipe is tried again
REOPEN_S = 5.0  # until a file that cannot be written is tried again
LOOK_S = 1.0  # between two looks whether somebody has moved the file away

log = logging.getLogger(__name__)

Spell = Callable[[LogLine], str]


class Output(Protocol):
    """Something that takes text."""

    def write(self, text: str, count: int) -> bool:
        """Write `count` lines; False if nothing can ever be written again."""

    def close(self) -> None:
        """Nothing follows."""


class StreamOutput:
    """A terminal or pipe: written through its descriptor, so that no lock is shared with anybody."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):
            self._descriptor = None  # a stream in memory

    def write(self, text: str, count: int) -> bool:
        """See Output."""
        del count
        try:
            if self._descriptor is None:
                self._stream.write(text)
            else:
                _write_all(self._descriptor, text.encode(errors="backslashreplace"))
        except OSError:
            return False  # the output is gone; the ring has everything all the same
        return True

    def close(self) -> None:
        """See Output."""


class RotatedFile:
    """A file that becomes `.1` when it is full, `.1` becomes `.2`, and so on; `count` files in all.

    What cannot be written (the disk is full, the folder is gone) is counted and not waited for; the log itself says
    when that begins and when it is over. A file that somebody moved away is begun anew. Used by one thread.
    """

    def __init__(self, path: Path, limit_bytes: int, count: int) -> None:
        self.path = path
        self.dropped = 0
        self.last_error = ""
        self._missing = 0  # records since the file could not be written
        self._limit_bytes = limit_bytes
        self._count = count
        self._descriptor: int | None = None
        self._size = 0
        self._next_look_at = 0.0

    def write(self, text: str, count: int) -> bool:
        """See Output."""
        body = text.encode(errors="backslashreplace")
        try:
            if not self._ready(len(body)):
                self._miss(count)
                return True
            assert self._descriptor is not None
            _write_all(self._descriptor, body)
            self._size += len(body)
        except OSError as error:
            self._next_look_at = time.monotonic() + REOPEN_S
            self._failed(error.strerror or str(error))
            self._miss(count)
            self.close()
        else:
            self._succeeded()
        return True

    def _miss(self, count: int) -> None:
        self.dropped += count
        self._missing += count

    def _failed(self, words: str) -> None:
        if not self.last_error:
            log.warning("the log file %s cannot be written: %s; what is logged now is missing there", self.path, words)
        self.last_error = words

    def _succeeded(self) -> None:
        if self.last_error:
            log.warning("the log file %s is written again; %d records are missing there", self.path, self._missing)
            self.last_error, self._missing = "", 0

    def close(self) -> None:
        """See Output."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _ready(self, more_bytes: int) -> bool:
        """Open or rotate the file where needed; False while it is left alone after an error."""
        now = time.monotonic()
        if self._descriptor is None:
            if now < self._next_look_at:
                return False
            self.open()
        elif now >= self._next_look_at:
            self._next_look_at = now + LOOK_S
            if not self._is_in_place():
                self.close()
                self.open()
        if self._size and self._size + more_bytes > self._limit_bytes:
            self.close()
            self._rotate()
            self.open()
        return True

    def open(self) -> None:
        """Append to the file from now on. It is for its owner only, since records hold addresses. Raises OSError.

        A record of which only a part is there (the disk was full, the power failed) is ended: it would spoil the next.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.path, flags, 0o600)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise OSError(0, "it is not an ordinary file")
        self._descriptor, self._size = descriptor, found.st_size
        if self._size and os.pread(descriptor, 1, self._size - 1) != b"\n":
            with contextlib.suppress(OSError):  # then what follows cannot be written either
                _write_all(descriptor, b"\n")
                self._size += 1
        self._next_look_at = time.monotonic() + LOOK_S

    def _is_in_place(self) -> bool:
        assert self._descriptor is not None
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def _rotate(self) -> None:
        names = file_names(self.path, self._count)
        if len(names) == 1:
            self.path.unlink(missing_ok=True)
        for older, newer in zip(reversed(names), list(reversed(names))[1:], strict=False):
            if newer.exists():
                newer.replace(older)


def file_names(path: Path, count: int) -> list[Path]:
    """Return the names of a rotated file, the newest first."""
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, count))]


class Writer(threading.Thread):
    """Writes lines from a queue to one output; ends on None, or when the output is gone. A daemon."""

    def __init__(self, output: Output, spell: Spell, name: str = "log-writer") -> None:
        super().__init__(name=name, daemon=True)
        self.dropped = 0
        self.output = output
        self.lines: queue.Queue[LogLine | None] = queue.Queue(maxsize=QUEUE_LINES)
        self._spell = spell

    def put(self, line: LogLine) -> None:
        """Queue a line; when the queue is full it is counted instead. Never waits."""
        try:
            self.lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def run(self) -> None:
        """Write until the end."""
        try:
            while (first := self.lines.get()) is not None:
                batch, is_last = self._more([first])
                text = "".join(f"{self._spell(line)}\n" for line in batch)
                if not self.output.write(text, len(batch)) or is_last:
                    return
        finally:
            self.output.close()

    def _more(self, batch: list[LogLine]) -> tuple[list[LogLine], bool]:
        """Take what else is queued; True if that was the last."""
        while len(batch) < BATCH_LINES:
            try:
                line = self.lines.get_nowait()
            except queue.Empty:
                break
            if line is None:
                return batch, True
            batch.append(line)
        return batch, False

    def finish(self, timeout_s: float) -> None:
        """Write what is queued as long as that takes no longer than `timeout_s`."""
        if not self.is_alive():
            return
        until_at = time.monotonic() + timeout_s
        try:
            self.lines.put(None, timeout=timeout_s)
        except queue.Full:
            return  # nobody reads our output; the thread is a daemon and ends with the process
        self.join(max(0.0, until_at - time.monotonic()))


def spelling(log_format: str, stream: TextIO) -> Spell:
    """Say how lines are spelt on a terminal or pipe: `text` (with colours on a terminal) or `json`."""
    if log_format == "json":
        return as_json
    colours = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb" and stream.isatty()
    return lambda line: as_text(line, colours=colours)


def _write_all(descriptor: int, body: bytes) -> None:
    """Write all of `body`, however long it takes; also to an output that somebody made non-blocking."""
    while body:
        try:
            body = body[os.write(descriptor, body) :]
        except BlockingIOError:
            time.sleep(RETRY_S)
