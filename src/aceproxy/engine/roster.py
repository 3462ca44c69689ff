"""What was changed about the engines at run time, on disk, so that it outlasts a restart.

The settings say which engines there are. The file holds only the differences that the API made: engines added, engines
of the settings removed, engines drained or undrained. At a start they are applied to the settings of that day. Where
the two contradict each other the settings win: an added engine whose address or label the settings have by now is
dropped, and a removed one stays away only as long as the settings name it unchanged.

Reading and writing happen in a thread; the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aceproxy.engine.journal import replace_file
from aceproxy.entries import ENGINES_LIMIT, EngineEntry, without_doubles
from aceproxy.files import set_aside

FILE_LIMIT_BYTES = 1 << 18
RETRY_S = 5.0  # until a file that cannot be written is tried again

log = logging.getLogger(__name__)


class Changes(BaseModel):
    """The content of the file. `draining` says by label what differs from the settings or from a fresh engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    added: tuple[EngineEntry, ...] = Field((), max_length=ENGINES_LIMIT)
    removed: tuple[EngineEntry, ...] = Field((), max_length=ENGINES_LIMIT)
    draining: dict[str, bool] = Field(default_factory=dict, max_length=2 * ENGINES_LIMIT)


@dataclass(frozen=True, slots=True)
class Member:
    """One engine as it is to be: from the settings or added at run time, taking streams or not."""

    entry: EngineEntry
    at_run_time: bool
    draining: bool


def apply(configured: Sequence[EngineEntry], changes: Changes) -> list[Member]:
    """Return the engines there are, given the settings and the changes. Never more than ENGINES_LIMIT."""
    entries = [entry for entry in configured if entry not in changes.removed]
    kept = len(entries)
    for entry in changes.added:
        try:
            entries = list(without_doubles([*entries, entry]))
        except ValueError as error:
            log.warning("engine %s, added at run time, is dropped: %s", entry.label, error)
    return [
        Member(entry, number >= kept, changes.draining.get(entry.label, not entry.enabled))
        for number, entry in enumerate(entries)
    ]


def difference(configured: Sequence[EngineEntry], members: Sequence[Member]) -> Changes:
    """Return the changes that lead from the settings to these engines."""
    from_settings = {member.entry.url for member in members if not member.at_run_time}
    return Changes(
        added=tuple(member.entry for member in members if member.at_run_time),
        removed=tuple(entry for entry in configured if entry.url not in from_settings),
        draining={one.entry.label: one.draining for one in members if one.draining == one.entry.enabled},
    )


class Roster:
    """The file; two programs must not share one. All methods belong to the event loop."""

    def __init__(self, path: Path) -> None:
        """Keep the changes at `path`, whose folder must exist. Nothing is read or written yet."""
        self._path = path
        self._wanted: Changes | None = None  # what the file is to hold, None once it does
        self._writer: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._is_last_try = False

    async def load(self) -> Changes:
        """Return what the file holds. A missing, damaged or foreign file counts as no changes. Cancel-safe."""
        return await asyncio.to_thread(_read, self._path)

    def save(self, changes: Changes) -> None:
        """Keep these changes. Returns at once; the file follows, as soon as it can be written."""
        self._wanted = changes
        self._wake.set()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="roster")

    async def flush(self) -> None:
        """Wait until the file has what was saved before, or cannot be written. Cancel-safe; writing goes on."""
        self._is_last_try = True
        self._wake.set()
        try:
            while self._writer is not None:
                await asyncio.wait({self._writer})
        finally:
            self._is_last_try = False

    async def _write(self) -> None:
        is_failing = False
        try:
            while self._wanted is not None:
                changes, self._wanted = self._wanted, None
                self._wake.clear()
                try:
                    await asyncio.to_thread(replace_file, self._path, changes.model_dump_json(indent=2))
                except OSError as error:
                    if not is_failing:
                        log.warning("changes of the engines cannot be kept in %s: %s", self._path, error.strerror)
                    is_failing = True
                    if self._is_last_try:
                        return
                    if self._wanted is None:
                        self._wanted = changes
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(RETRY_S):
                            await self._wake.wait()
                else:
                    if is_failing:
                        log.info("changes of the engines are kept in %s again", self._path)
                    is_failing = False
        finally:
            self._writer = None


def _read(path: Path) -> Changes:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return Changes()
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error.strerror)
        return Changes()
    try:
        if len(raw) > FILE_LIMIT_BYTES:
            raise ValueError("too large")  # noqa: TRY301 - one way to say that it cannot be used
        return Changes.model_validate_json(raw)
    except (ValidationError, ValueError) as error:
        log.warning("%s cannot be used; %s (%s)", path, set_aside(path), str(error).partition("\n")[0])
        return Changes()
