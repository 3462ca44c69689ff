"""A small JSON file that is written in a thread, at most one write at a time, the newest value last."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path
from typing import Any

from aceproxy.access.files import write_private

RETRY_S = 5.0  # until what could not be written is tried again: the disk was full, or read-only

log = logging.getLogger(__name__)


class Shelf:
    """Keeps one JSON value in a file of its owner's alone; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._next: Any = None
        self._writing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def load(self) -> Any:
        """Return what is kept, None if there is nothing that can be read; for the start, since it reads the file."""
        if self._path is None:
            return None
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
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

    async def close(self) -> None:
        """Wait until the newest value is in the file; what cannot be written is tried once more and then left."""
        self._closing.set()
        if self._writing is not None:
            await self._writing

    async def _write(self, path: Path) -> None:
        is_failing = False
        while self._next is not None:
            value, self._next = self._next, None
            is_last_try = self._closing.is_set()
            try:
                await asyncio.to_thread(write_private, path, json.dumps(value, indent=1) + "\n")
            except OSError as error:
                if not is_failing:
                    log.warning("%s cannot be written, a restart would find what it holds now: %s", path, error)
                is_failing = True
                if is_last_try:
                    return
                if self._next is None:
                    self._next = value
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._closing.wait()
            else:
                if is_failing:
                    log.info("%s is written again", path)
                is_failing = False
