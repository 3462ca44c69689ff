"""The store: one SQLite database, and the one thread that touches it.

Nobody waits for the disk. Writing is a job put into a bounded queue; reading is a job whose result is awaited, with a
limit. A job gets the connection, inside a transaction. What cannot be written now (a full disk, a file that another
program holds) is kept in memory, within bounds, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aceproxy.errors import AceProxyError, Reason
from aceproxy.store.opening import Opened, is_damage, is_of_the_moment, open_database, set_aside

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

QUEUE_LIMIT = 1000  # jobs that wait for the thread
UNSAVED_LIMIT = 1000  # jobs that could not be written and are tried again
BATCH_LIMIT = 200  # jobs of one transaction
RETRY_S = 15.0  # until what could not be written is tried again
READ_LIMIT_S = 3.0  # for an answer to `read`; longer than this nobody waits for a list

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """How the store is. `place` is `disk` or `memory`; `problem` is what keeps it from the disk now, or empty."""

    place: str
    problem: str
    unsaved: int
    dropped: int


@dataclass(frozen=True, slots=True)
class _Read:
    job: Job[Any]
    answer: asyncio.Future[Any]


class _Leave:
    """Asks the thread to write what is there and to end."""


class Store:
    """The database. Its methods belong to the event loop; jobs run in the store's thread."""

    def __init__(self, path: Path | None, retry_s: float = RETRY_S) -> None:
        """Prepare the database at `path` (in memory if None), whose folder must exist. Nothing is opened yet."""
        self._path = path
        self._retry_s = retry_s
        self._queue: queue.Queue[Job[object] | _Read | _Leave] = queue.Queue(maxsize=QUEUE_LIMIT)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._left: asyncio.Future[None] | None = None
        self._leave_when_empty = False
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        # written by the thread, read by anybody
        self._unsaved: deque[Job[object]] = deque()
        self._dropped = 0
        self._problem = ""
        self._place = "memory" if path is None else "disk"

    def start(self) -> None:
        """Begin the thread, which opens the database. Returns at once."""
        self._loop = asyncio.get_running_loop()
        self._left = self._loop.create_future()
        self._thread.start()

    def write_nowait(self, job: Job[object]) -> bool:
        """Have `job` change the database soon. False if too much is waiting; then it is dropped and counted.

        Jobs run in order. One that raises something of its own is logged and dropped, with what it did.
        """
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self._dropped += 1
            return False
        return True

    async def read(self, job: Job[T], limit_s: float = READ_LIMIT_S) -> T:
        """Return what `job` finds; it sees all that was written before. Cancel-safe.

        Raises AceProxyError STORE_UNAVAILABLE if the database does not answer in time or cannot be read.
        """
        assert self._loop is not None
        answer: asyncio.Future[T] = self._loop.create_future()
        try:
            self._queue.put_nowait(_Read(job, answer))
            async with asyncio.timeout(limit_s):
                return await answer
        except queue.Full:
            raise AceProxyError(Reason.STORE_UNAVAILABLE, "too much is waiting for the disk") from None
        except TimeoutError:
            raise AceProxyError(Reason.STORE_UNAVAILABLE, f"no answer in {limit_s:g} s") from None
        except sqlite3.Error as error:
            raise AceProxyError(Reason.STORE_UNAVAILABLE, str(error)) from error

    async def close(self, limit_s: float) -> bool:
        """Write what is waiting and end the thread; False if that takes longer than `limit_s`, which gives it up.

        Nobody waits for a disk that hangs: the thread is a daemon and ends with the process. Cancel-safe.
        """
        if self._left is None:
            return True
        try:
            self._queue.put_nowait(_Leave())
        except queue.Full:  # the thread hangs, or is far behind; it leaves when it has come to the end
            self._leave_when_empty = True
        done, _ = await asyncio.wait({self._left}, timeout=limit_s)
        if not done:
            log.warning("the store did not finish writing in %g s", limit_s)
        return bool(done)

    def snapshot(self) -> StoreSnapshot:
        """Return how the store is."""
        return StoreSnapshot(self._place, self._problem, len(self._unsaved), self._dropped)

    # --- in the thread ---

    def _run(self) -> None:
        try:
            opened = self._open()
            while True:
                opened, leave = self._turn(opened)
                if leave:
                    break
            opened.db.close()
        except Exception:
            log.exception("the store's thread failed")
            self._problem = "a mistake of the program; see the log"
        finally:
            self._call_loop(self._tell_left)

    def _tell_left(self) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(None)

    def _open(self) -> Opened:
        opened = open_database(self._path)
        self._problem, self._place = opened.problem, "memory" if opened.path is None else "disk"
        return opened

    def _turn(self, opened: Opened) -> tuple[Opened, bool]:
        """Take what is waiting, and see to it. Returns the database to go on with, and whether to leave."""
        leave = False
        for one in self._take():
            if isinstance(one, _Leave):
                leave = True
            elif isinstance(one, _Read):
                opened = self._answer(self._save(opened), one)
            else:
                self._unsaved.append(one)
        opened = self._save(opened)
        if leave and self._unsaved:
            log.warning("%d changes could not be written: %s", len(self._unsaved), self._problem)
        return opened, leave

    def _take(self) -> list[Job[object] | _Read | _Leave]:
        if self._leave_when_empty and self._queue.empty():
            return [_Leave()]
        try:
            taken = [self._queue.get(timeout=self._retry_s if self._unsaved else None)]
        except queue.Empty:
            return []
        with contextlib.suppress(queue.Empty):
            while len(taken) < BATCH_LIMIT:
                taken.append(self._queue.get_nowait())
        return taken

    def _answer(self, opened: Opened, read: _Read) -> Opened:
        """Give the asker what the job finds, or its failure. Returns the database to go on with."""
        try:
            found = read.job(opened.db)
        except Exception as error:  # noqa: BLE001 - it is the asker's to deal with
            failure = error
            self._call_loop(lambda: None if read.answer.done() else read.answer.set_exception(failure))
            if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
                return self._replace_damaged(opened, error)
        else:
            self._call_loop(lambda: None if read.answer.done() else read.answer.set_result(found))
        return opened

    def _call_loop(self, callback: Callable[[], object]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)

    def _save(self, opened: Opened) -> Opened:
        """Write what is unsaved in one transaction. Returns the database to go on with."""
        if not self._unsaved:
            return opened
        opened = self._look_after_file(opened)
        jobs = list(self._unsaved)
        try:
            _transact(opened.db, jobs)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                return self._replace_damaged(opened, error)
            if is_of_the_moment(error):
                self._keep_for_later(error)
                return opened
            self._save_one_by_one(opened, jobs)
        except Exception:  # noqa: BLE001 - logged for the job that raised it
            self._save_one_by_one(opened, jobs)
        self._unsaved.clear()
        if self._problem and opened.path is not None:
            log.info("the store can be written again")
            self._problem = ""
        return opened

    def _save_one_by_one(self, opened: Opened, jobs: list[Job[object]]) -> None:
        """One of the jobs is wrong: the others must not suffer for it."""
        for job in jobs:
            try:
                _transact(opened.db, [job])
            except Exception:
                log.exception("a change of the store failed")
                self._dropped += 1

    def _keep_for_later(self, error: sqlite3.Error) -> None:
        if not self._problem:
            log.warning("the store cannot be written now, it is tried again: %s", error)
        self._problem = str(error)
        while len(self._unsaved) > UNSAVED_LIMIT:
            self._unsaved.popleft()
            self._dropped += 1

    def _look_after_file(self, opened: Opened) -> Opened:
        """Begin a new file if ours was taken away: what is written into a file without a name is lost."""
        if opened.path is None or opened.path.exists():
            return opened
        log.warning("%s is gone; a new one is begun", opened.path)
        opened.db.close()
        return self._open()

    def _replace_damaged(self, opened: Opened, error: sqlite3.Error) -> Opened:
        """Set the damaged file aside and go on with a new one; what is unsaved goes there."""
        opened.db.close()
        if opened.path is not None:
            log.warning("%s is damaged (%s): it is set aside and a new one is begun", opened.path, error)
            with contextlib.suppress(OSError):
                set_aside(opened.path)
        fresh = self._open()
        with contextlib.suppress(sqlite3.Error):  # then it is tried again later
            _transact(fresh.db, list(self._unsaved))
            self._unsaved.clear()
        return fresh


def _transact(db: sqlite3.Connection, jobs: list[Job[object]]) -> None:
    """Run jobs in one transaction. Raises what they raise; then nothing of it is done."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            job(db)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # some failures have rolled back already
            db.execute("ROLLBACK")
        raise
