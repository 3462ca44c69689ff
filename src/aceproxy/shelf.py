"""A small JSON file that is written in a thread, at most one write at a time, the newest value last."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path
from typing import Any

from aceproxy.files import set_aside, write_private

WRITE_LIMIT_S = 10.0  # for which somebody who asks waits until the newest value is written
RETRY_S = 5.0  # until what could not be written is tried again: the disk was full, or read-only

FAILING = "%s cannot be written, a restart would find what it holds now: %s"

log = logging.getLogger(__name__)


class Shelf:
    """Keeps one JSON value in a file of its owner's alone; without a path it keeps nothing."""

    def __init__(self, path: Path | None, failing: str = FAILING, again: str = "%s is written again") -> None:
        """`failing` and `again` are what the log says, of the path (and the problem), once each time."""
        self._path = path
        self._failing_words, self._again_words = failing, again
        self._next: Any = None
        self._writing: asyncio.Task[None] | None = None
        self._is_closing = False
        self._wake = asyncio.Event()  # ends the wait between two tries
        self._asking: list[asyncio.Future[str]] = []  # who waits for what comes of the next write

    def load(self) -> Any:
        """Return what is kept, None if there is nothing that can be read; for the start, since it reads the file."""
        if self._path is None:
            return None
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            log.warning("%s is no JSON, so it begins empty; %s (%s)", self._path, set_aside(self._path), error)
        except OSError as error:
            log.warning("%s cannot be read, so it begins empty: %s", self._path, error)
        return None

    def keep(self, value: Any) -> None:
        """Write `value` soon. It holds in memory at once; a write that fails is logged, and tried until it succeeds.

        Otherwise what was revoked while the disk was full would be back after a restart.
        """
        if self._path is None:
            return
        self._next = value
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(self._path), name=f"keep {self._path.name}")

    async def problem(self) -> str:
        """Wait until what was given to `keep` just now is written, and say why it could not be; empty if it was.

        Tries at once, though the last write has failed. Waits for WRITE_LIMIT_S at most. Cancel-safe.
        """
        if self._writing is None or self._writing.done():
            return ""
        asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asking.append(asked)
        self._wake.set()
        try:
            async with asyncio.timeout(WRITE_LIMIT_S):
                return await asked
        except TimeoutError:
            return f"not written within {WRITE_LIMIT_S:.0f} s"

    async def close(self) -> None:
        """Wait until the newest value is in the file; what cannot be written is tried once more and then left.

        Cancel-safe; writing goes on.
        """
        self._is_closing = True
        self._wake.set()
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def _write(self, path: Path) -> None:
        is_failing = False
        while self._next is not None:
            value, self._next = self._next, None
            asking, self._asking = self._asking, []
            self._wake.clear()
            is_last_try = self._is_closing
            problem = await asyncio.to_thread(_problem_of_writing, path, value)
            # who began to ask during the last write had their value in it
            _answer([*asking, *(self._asking if self._next is None else [])], problem)
            if not problem:
                if is_failing:
                    log.info(self._again_words, path)
                is_failing = False
                continue
            if not is_failing:
                log.warning(self._failing_words, path, problem)
            is_failing = True
            if is_last_try:
                return
            if self._next is None:
                self._next = value
            if not self._is_closing:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._wake.wait()


def _problem_of_writing(path: Path, value: Any) -> str:
    """Write the file, and say why that is not possible; empty if it is written. For a thread."""
    try:
        write_private(path, json.dumps(value, indent=1) + "\n")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _answer(asking: list[asyncio.Future[str]], problem: str) -> None:
    for asked in asking:
        if not asked.done():
            asked.set_result(problem)
