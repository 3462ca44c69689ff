"""The program's logging as a whole: set up, taken down, looked into."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from aceproxy.logs.lines import Filter, Found, LogLine, as_json
from aceproxy.logs.reading import LogFiles
from aceproxy.logs.ring import RingHandler, following, newest_of
from aceproxy.logs.writing import RotatedFile, StreamOutput, Writer, spelling

LOGGERS = ("aceproxy", "asyncio", "aiohttp")  # whose records are ours to keep and to write
END = 1 << 62  # a place behind every record
DEFAULT_FILE_BYTES = 10 << 20
DEFAULT_FILE_COUNT = 5


class Logs:
    """The program's logging, set up by `start` and taken down by `stop`."""

    def __init__(
        self,
        level: str,
        lines: int,
        stream: TextIO | None = None,
        *,
        log_format: str = "text",
        path: Path | None = None,
        file_bytes: int = DEFAULT_FILE_BYTES,
        file_count: int = DEFAULT_FILE_COUNT,
    ) -> None:
        """Prepare logging at `level`, keeping `lines` records in memory.

        Records go to `stream` (standard error by default), spelt as `log_format` says (text or json), and as JSON to
        the file `path`, if one is given. Raises OSError if that cannot be written.
        """
        shown = stream if stream is not None else sys.stderr
        self.ring = RingHandler(lines, self._hand_on)
        self._level = level.upper()
        self._writers = [Writer(StreamOutput(shown), spelling(log_format, shown))]
        self._files: LogFiles | None = None
        if path is not None:
            file = RotatedFile(path, file_bytes, file_count)
            file.open()
            self._writers.append(Writer(file, as_json, "log-file"))
            self._files = LogFiles(path, file_count)
        # One thread for all reading of files: a search must not use more than one core, whoever asks how often.
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="log-reader")

    def start(self) -> None:
        """Attach to the loggers of the program and of the libraries it runs on."""
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(self._level if name == "aceproxy" else "WARNING")
            logger.propagate = False
            logger.addHandler(self.ring)
        for writer in self._writers:
            writer.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Detach, and write what is queued as long as that takes no longer than `timeout_s` for each output."""
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.propagate = True
            logger.removeHandler(self.ring)
        for writer in self._writers:
            writer.finish(timeout_s)
        self._reading.shutdown(wait=False, cancel_futures=True)

    def set_level(self, level: str) -> None:
        """Keep and write records of at least this level from now on."""
        self._level = level.upper()
        logging.getLogger("aceproxy").setLevel(self._level)

    def _hand_on(self, line: LogLine) -> None:
        for writer in self._writers:
            writer.put(line)

    @property
    def dropped(self) -> int:
        """Records that were not written because an output did not keep up (the ring has them all the same)."""
        return sum(writer.dropped for writer in self._writers) + (self.file.dropped if self.file else 0)

    @property
    def file(self) -> RotatedFile | None:
        """The file that is written, if there is one."""
        output = self._writers[-1].output
        return output if isinstance(output, RotatedFile) else None

    @property
    def reading(self) -> ThreadPoolExecutor:
        """The thread in which `older`, `between` and `pieces` are to be called."""
        return self._reading

    def newest(self, wanted: Filter, lines: int, before: int | None = None) -> tuple[Found, Callable[[], Found] | None]:
        """Return the newest wanted records that are in memory, and how to get the rest from the file if it may help.

        The second part is to be called in the thread `reading`; it raises OSError.
        """
        kept = self.ring.copy()
        found = newest_of(kept, wanted, lines, before)
        files = self._files
        if files is None:
            return found, None
        place = kept[0].id if kept else END
        if before is not None:
            place = min(place, before)
        if len(found.lines) >= lines:
            return (found if found.oldest is not None else replace(found, oldest=place)), None

        def rest() -> Found:
            older = files.newest(wanted, lines - len(found.lines), place)
            return Found([*older.lines, *found.lines], found.newest, older.oldest, older.is_complete)

        return found, rest

    def following(self, wanted: Filter, lines: int, after: int) -> tuple[Found, Callable[[], Found] | None]:
        """Return the first wanted records behind a place; where they are no longer in memory, how to get them."""
        kept = self.ring.copy()
        files = self._files
        begin = kept[0].id if kept else END
        if files is None or after >= begin:
            return following(kept, wanted, lines, after), None

        def all_of_it() -> Found:
            older = files.following(wanted, lines, after, begin)
            if len(older.lines) >= lines or not older.is_complete or not kept:
                return older
            newer = following(kept, wanted, lines - len(older.lines), begin - 1)
            return Found([*older.lines, *newer.lines], newer.newest, after)

        return following(kept, wanted, lines, after), all_of_it

    def pieces(self) -> Iterator[bytes]:
        """Yield the whole log as lines of JSON, oldest first: the files, or what is in memory if there are none."""
        if self._files is not None:
            yield from self._files.pieces()
            return
        kept = self.ring.copy()
        for at in range(0, len(kept), 500):
            yield "".join(f"{as_json(line)}\n" for line in kept[at : at + 500]).encode()
