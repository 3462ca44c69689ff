"""A small JSON file that is written in a thread, at most one write at a time, the newest value last."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from aceproxy.access.files import write_private

log = logging.getLogger(__name__)


class Shelf:
    """Keeps one JSON value in a file of its owner's alone; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._next: Any = None
        self._writing: asyncio.Task[None] | None = None

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
        """Write `value` soon. A write that fails is logged; what is in memory holds all the same."""
        if self._path is None:
            return
        self._next = value
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(self._path), name=f"keep {self._path.name}")

    async def close(self) -> None:
        """Wait until the newest value is in the file."""
        if self._writing is not None:
            await self._writing

    async def _write(self, path: Path) -> None:
        while self._next is not None:
            value, self._next = self._next, None
            try:
                await asyncio.to_thread(write_private, path, json.dumps(value, indent=1) + "\n")
            except OSError as error:
                log.warning("%s cannot be written: %s", path, error)
