"""Opening the store's file, whatever state it is in.

A file that is damaged is set aside and a new one is begun. Where there can be no file (a folder that cannot be written,
a file of a newer version) the store is in memory. Nothing here is for the event loop: every call may wait for the disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aceproxy.store.migrations import MIGRATIONS, NewerSchemaError, migrate

BUSY_S = 2.0  # wait for another program that is writing the same file
TAKEN_PAUSE_S = 0.02  # between two tries to open a file that another program is just opening
CACHE_KIB = 512
WAL_LIMIT_BYTES = 4 << 20  # what the write-ahead log is cut to when it is empty
BROKEN_KEPT = 3  # damaged files that are kept beside the store

_OF_THE_MOMENT = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)

FILE_NAME = "aceproxy.db"  # in state_dir

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database. `path` is None for one in memory, then `problem` says why if there was to be a file."""

    db: sqlite3.Connection
    path: Path | None
    problem: str = ""


def open_database(path: Path | None) -> Opened:
    """Open the database at `path`, or one in memory. Never raises for what a disk or a file can do."""
    if path is None:
        return Opened(_open_in_memory(), None)
    try:
        try:
            return Opened(_open_in_turn(path), path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            log.warning("%s is damaged (%s): it is set aside and a new one is begun", path, error)
            set_aside(path)
            return Opened(_open_file(path), path)
    except NewerSchemaError as error:
        problem = f"{path} was written by a newer version: {error}"
    except (sqlite3.Error, OSError) as error:
        problem = f"{path} cannot be used: {error}"
    log.warning("history is kept in memory only: %s", problem)
    return Opened(_open_in_memory(), None, problem)


def look_at_database(path: Path) -> str:
    """Say what keeps an existing database from being used; empty where nothing does. Changes nothing. For a thread."""
    if not os.access(path, os.R_OK | os.W_OK):
        return "it cannot be read and written by this user"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                return f"it was written by a newer version (schema {version})"
            found = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if found is None or found[0] == "ok" else str(found[0])


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error says that the file itself is broken, not the disk or the moment."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_of_the_moment(error: sqlite3.Error) -> bool:
    """Whether the same may succeed later: the disk is full or failing, or another program holds the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_MOMENT


def set_aside(path: Path) -> None:
    """Move a damaged file, with what belongs to it, out of the way; of such files only the newest are kept.

    Raises OSError.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path.rename(path.with_name(f"{path.name}.broken-{stamp}"))
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
    for old in sorted(path.parent.glob(f"{path.name}.broken-*"))[:-BROKEN_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()


def _open_in_memory() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    migrate(db)
    return db


def _open_in_turn(path: Path) -> sqlite3.Connection:
    """Open a file that another program may just be opening; raises as `_open_file`.

    SQLite does not wait for the lock under which the first one changes to a write-ahead log.
    """
    until_at = time.monotonic() + BUSY_S
    while True:
        try:
            return _open_file(path)
        except sqlite3.OperationalError as error:
            is_taken = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not is_taken or time.monotonic() >= until_at:
                raise
        time.sleep(TAKEN_PAUSE_S)


def _open_file(path: Path) -> sqlite3.Connection:
    """Open, check and migrate. Raises OSError, sqlite3.Error, NewerSchemaError."""
    # SQLite would make the file readable for everybody; it gives the others beside it the permissions of this one
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        db.execute("PRAGMA trusted_schema = OFF")
        found = db.execute("PRAGMA quick_check(1)").fetchone()
        if found is not None and found[0] != "ok":
            raise _damaged(str(found[0]))  # noqa: TRY301 - closed below like any other
        migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _damaged(words: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(words)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
