"""The schema of the store, as the steps that lead to it.

`PRAGMA user_version` says how many of them a file has been through. A step is never changed once it was released; what
is to change comes as a further one, added at the end. Each step runs in a transaction of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

Migration = tuple[str, ...]  # SQL statements

MIGRATIONS: tuple[Migration, ...] = (
    (  # 1: past streams, and how links have played
        """
        CREATE TABLE past_streams (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            record_id TEXT NOT NULL UNIQUE,
            began_at TEXT NOT NULL,
            seen_at TEXT NOT NULL,
            is_over INTEGER NOT NULL,
            entry TEXT NOT NULL,
            events TEXT NOT NULL
        )
        """,
        "CREATE INDEX past_streams_open ON past_streams (is_over) WHERE is_over = 0",
        """
        CREATE TABLE link_quality (
            key TEXT NOT NULL,
            engine TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (key, engine)
        ) WITHOUT ROWID
        """,
    ),
)


class NewerSchemaError(Exception):
    """The file was written by a newer version of this program."""


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring a database to the newest schema; returns how many steps were made.

    `db` must be in autocommit mode. A step that fails leaves the database as it was before that step. Raises
    NewerSchemaError, sqlite3.Error.
    """
    made = 0
    while True:
        db.execute("BEGIN IMMEDIATE")  # another program may be at it at the same moment
        try:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(migrations):
                raise NewerSchemaError(f"its schema is {version}, this program knows {len(migrations)}")  # noqa: TRY301
            if version < len(migrations):
                for statement in migrations[version]:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version + 1}")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        if version == len(migrations):
            return made
        made += 1
