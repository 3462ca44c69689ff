"""What was changed about the engines at run time, on disk, so that it outlasts a restart.

The settings say which engines there are. The file holds only the differences that the API made: engines added, engines
of the settings removed, engines drained or undrained. At a start they are applied to the settings of that day. Where
the two contradict each other the settings win: an added engine whose address or label the settings have by now is
dropped, and a removed one stays away only as long as the settings name it unchanged.

Reading and writing happen in a thread; the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aceproxy.entries import ENGINES_LIMIT, EngineEntry, without_doubles
from aceproxy.files import set_aside
from aceproxy.shelf import Shelf

FILE_LIMIT_BYTES = 1 << 18

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
        self._shelf = Shelf(
            path, "changes of the engines cannot be kept in %s: %s", "changes of the engines are kept in %s again"
        )

    async def load(self) -> Changes:
        """Return what the file holds. A missing, damaged or foreign file counts as no changes. Cancel-safe."""
        return await asyncio.to_thread(_read, self._path)

    def save(self, changes: Changes) -> None:
        """Keep these changes. Returns at once; the file follows, as soon as it can be written."""
        self._shelf.keep(changes.model_dump(mode="json"))

    async def flush(self) -> None:
        """Wait until the file has what was saved before, or cannot be written. Cancel-safe; writing goes on."""
        await self._shelf.close()


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
