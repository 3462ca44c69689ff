"""Reading a rotated log file from its end, from a place, and never more of it than allowed. For a thread.

Lines stand in the order of their ids, so a place is found by halving: a gigabyte costs thirty short reads. Lines that
are not ours are passed over. What is read at once is bounded in bytes and in time, and the answer says where to go on.
The thread rests again and again (`Pace`), and lines that cannot be wanted are not taken apart.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aceproxy.logs.lines import Filter, Found, LogLine, from_json
from aceproxy.logs.pace import Pace
from aceproxy.logs.writing import file_names

PIECE_BYTES = 64 << 10
LINE_BYTES = 32 << 10  # the longest line of ours is 2000 characters and some words
SEARCH_BYTES = 8 << 20  # looked through for one answer at most
SEARCH_S = 0.5


@dataclass(slots=True)
class Budget:
    """How much may still be looked at, and how fast."""

    bytes_left: int
    until_at: float
    pace: Pace

    @classmethod
    def fresh(cls) -> Budget:
        """A whole one."""
        return cls(SEARCH_BYTES, time.monotonic() + SEARCH_S, Pace())

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be looked at."""
        return self.bytes_left <= 0 or self.is_late

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.until_at


class LogFiles:
    """The files of a rotated log. Every call opens them anew: they may be rotated at any time."""

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._count = count

    def newest(self, wanted: Filter, lines: int, before: int) -> Found:
        """Return the newest `lines` of the wanted that stand before a place; see `Found`. Raises OSError."""
        found: list[LogLine] = []
        budget = Budget.fresh()
        place = before
        with _opened(self._path, self._count) as files:
            for file in files:
                end, passed = _find(file, before - 1, budget), b""
                for text in _backwards(file, end, budget):
                    passed = text
                    line = from_json(text) if wanted.may_take(text) else None
                    if line is not None and wanted.takes(line):
                        place = min(place, line.id)
                        found.append(line)
                        if len(found) >= lines:
                            return Found(found[::-1], before, place)
                last = from_json(passed)
                place = min(place, last.id) if last is not None else place
                if budget.is_spent:
                    return Found(found[::-1], before, place, is_complete=False)
        return Found(found[::-1], before, None)

    def following(self, wanted: Filter, lines: int, after: int, before: int) -> Found:
        """Return the first `lines` of the wanted that stand between two places. Raises OSError."""
        found: list[LogLine] = []
        budget = Budget.fresh()
        place = after
        with _opened(self._path, self._count) as files:
            for file in reversed(files):
                for line in _forwards(file, _find(file, after, budget), budget):
                    if line.id >= before:
                        return Found(found, place, after)
                    place = max(place, line.id)
                    if wanted.takes(line):
                        found.append(line)
                        if len(found) >= lines:
                            return Found(found, place, after)
                if budget.is_spent:
                    return Found(found, place, after, is_complete=False)
        return Found(found, place, after)

    def pieces(self) -> Iterator[bytes]:
        """Yield everything that is there now, oldest first, in pieces of whole lines. Raises OSError."""
        with _opened(self._path, self._count) as files:
            ends = [_size(file) for file in files]
            for file, end in reversed(list(zip(files, ends, strict=True))):
                file.seek(0)
                left, rest = end, b""
                while left > 0 and (piece := file.read(min(4 * PIECE_BYTES, left))):
                    left -= len(piece)
                    whole, newline, rest = (rest + piece).rpartition(b"\n")
                    if newline:
                        yield whole + newline
                    rest = rest[-LINE_BYTES:]


@contextlib.contextmanager
def _opened(path: Path, count: int) -> Iterator[list[BinaryIO]]:
    """Open what is there, the newest first."""
    with contextlib.ExitStack() as stack:
        files: list[BinaryIO] = []
        for name in file_names(path, count):
            with contextlib.suppress(FileNotFoundError):
                files.append(stack.enter_context(name.open("rb")))
        yield files


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _find(file: BinaryIO, after: int, budget: Budget) -> int:
    """Return where the first line begins whose id is larger than `after`; the end if there is none.

    Lines that are not ours take time; when that is over, the budget is spent and a place before the wanted one is
    returned.
    """
    low, high = 0, _size(file)
    while low < high:
        middle = (low + high) // 2
        file.seek(middle)
        if middle > low:
            file.seek(middle - 1)
            file.readline(LINE_BYTES)
        line, end = _next_line(file, high, budget)
        if budget.is_late:
            budget.bytes_left = 0  # what would be read from here is not what was asked for
            return low
        if line is None:
            high = middle  # no line of ours begins between the middle and the old end
        elif line.id <= after:
            low = end
        else:
            high = middle
    return low


def _next_line(file: BinaryIO, limit: int, budget: Budget) -> tuple[LogLine | None, int]:
    """Return the first line of ours that begins before `limit`, and where it ends."""
    at = file.tell()
    while at < limit:
        text = file.readline(LINE_BYTES)
        if not text:
            break
        at += len(text)
        line = from_json(text)
        if line is not None:
            return line, at
        budget.pace.breathe()
        if budget.is_late:
            break
    return None, at


def _forwards(file: BinaryIO, begin: int, budget: Budget) -> Iterator[LogLine]:
    """Yield lines from a place on, as long as the budget lasts."""
    file.seek(begin)
    while not budget.is_spent and (text := file.readline(LINE_BYTES)):
        line = from_json(text)
        if line is not None:
            yield line
        budget.pace.breathe()
        budget.bytes_left -= len(text)


def _backwards(file: BinaryIO, end: int, budget: Budget) -> Iterator[bytes]:
    """Yield lines as they stand there from a place back, the newest first, as long as the budget lasts."""
    at, rest = end, b""
    while at > 0:
        if budget.is_spent:
            return
        count = min(PIECE_BYTES, at)
        at -= count
        file.seek(at)
        rest, *whole = (file.read(count) + rest).split(b"\n")
        rest = rest[-LINE_BYTES:]
        for text in reversed(whole):
            if text:
                yield text
            budget.pace.breathe()
        budget.bytes_left -= count
    if rest:
        yield rest
