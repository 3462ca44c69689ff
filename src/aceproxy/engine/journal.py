"""Open playbacks on disk, so that those which a crash left behind are stopped at the next start.

A small JSON file, replaced as a whole: a reader sees the old content or the new, never half of it. Reading and writing
happen in a thread; the event loop never waits for the disk. A lost journal costs nothing but a playback that the
engine ends by itself a little later, so nothing here ever fails loudly.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import re
from pathlib import Path

from aceproxy.engine.api import Playback

JOURNAL_LIMIT = 1000  # playbacks in the file; the oldest are dropped
FILE_LIMIT_BYTES = 1 << 20
_TEXT_LIMIT = 2000
_PID = re.compile(r"[A-Za-z0-9-]{1,64}")
_FORMAT = 1

log = logging.getLogger(__name__)


class Journal:
    """The journal of one program; two programs must not share a file. All methods belong to the event loop."""

    def __init__(self, path: Path) -> None:
        """Keep the journal at `path`, whose folder must exist. Nothing is read or written yet."""
        self._path = path
        self._open: dict[str, Playback] = {}
        self._left: dict[str, Playback] | None = None  # what was found on disk; None until it has been read
        self._closed_early: set[str] = set()
        self._reading = asyncio.Lock()
        self._dirty = False
        self._writer: asyncio.Task[None] | None = None

    def opened(self, playback: Playback) -> None:
        """Note a playback as open. Returns at once; the file follows."""
        self._open[playback.pid] = playback
        self._write_soon()

    def closed(self, playback: Playback) -> None:
        """Note that a playback was stopped or is gone. Returns at once; the file follows."""
        self._open.pop(playback.pid, None)
        if self._left is None:
            self._closed_early.add(playback.pid)
        else:
            self._left.pop(playback.pid, None)
        self._write_soon()

    async def leftovers(self) -> list[Playback]:
        """Return the playbacks that an earlier run left open and that were not closed since.

        A missing, damaged or foreign file counts as empty, with a line in the log. Cancel-safe.
        """
        async with self._reading:
            if self._left is None:
                found = await asyncio.to_thread(_read, self._path)
                self._left = {
                    playback.pid: playback
                    for playback in found
                    if playback.pid not in self._closed_early and playback.pid not in self._open
                }
                self._closed_early.clear()
        return list(self._left.values())

    async def flush(self) -> None:
        """Wait until the file has what was noted before. Cancel-safe; writing goes on."""
        while self._writer is not None:
            await asyncio.wait({self._writer})

    def _write_soon(self) -> None:
        self._dirty = True
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="journal")

    async def _write_all(self) -> None:
        try:
            await self.leftovers()  # a write must not lose what has not been read yet
            while self._dirty:
                self._dirty = False
                left = list((self._left or {}).values())
                playbacks = [*left, *self._open.values()][-JOURNAL_LIMIT:]
                text = json.dumps({"format": _FORMAT, "playbacks": [dataclasses.asdict(one) for one in playbacks]})
                await asyncio.to_thread(replace_file, self._path, text)
        except OSError as error:
            log.warning("open playbacks cannot be kept in %s: %s", self._path, error.strerror)
        finally:
            self._writer = None


def replace_file(path: Path, text: str) -> None:
    """Write `text` beside the file, readable by the owner only, and put it in its place."""
    beside = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


def _read(path: Path) -> list[Playback]:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error.strerror)
        return []
    records = _records(raw)
    if records is None:
        log.warning("%s is ignored: not a journal", path)
        return []
    found = [playback for record in records[:JOURNAL_LIMIT] if (playback := _playback(record)) is not None]
    if len(found) < len(records):
        log.warning("%s: %d records are ignored", path, len(records) - len(found))
    return found


def _records(raw: bytes) -> list[object] | None:
    if len(raw) > FILE_LIMIT_BYTES:
        return None
    try:
        kept = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or kept.get("format") != _FORMAT or not isinstance(kept.get("playbacks"), list):
        return None
    records: list[object] = kept["playbacks"]
    return records


def _playback(record: object) -> Playback | None:
    """Read one record; None for anything that this program cannot have written."""
    if not isinstance(record, dict):
        return None
    record = {"is_list": False, **record}  # earlier versions had none
    if set(record) != {field.name for field in dataclasses.fields(Playback)} or not isinstance(record["is_list"], bool):
        return None
    texts = ("engine_url", "pid", "playback_url", "session_id", "key")
    maybe = ("stat_url", "command_url", "infohash")
    if not all(isinstance(record[name], str) for name in texts):
        return None
    if not all(record[name] is None or isinstance(record[name], str) for name in maybe):
        return None
    if any(isinstance(value, str) and len(value) > _TEXT_LIMIT for value in record.values()):
        return None
    if not _PID.fullmatch(record["pid"]) or not isinstance(record["is_encrypted"], bool):
        return None
    if record["is_live"] is not None and not isinstance(record["is_live"], bool):
        return None
    return Playback(**record)
