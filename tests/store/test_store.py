"""The store against what disks, files and other programs do."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aceproxy.errors import AceProxyError, Reason
from aceproxy.store.migrations import MIGRATIONS, NewerSchemaError, migrate
from aceproxy.store.opening import BROKEN_KEPT, open_database, set_aside
from aceproxy.store.store import QUEUE_LIMIT, Store
from tests.store.conftest import MakeStore, note, texts
from tests.waiting import until


def set_aside_in(folder: Path) -> list[Path]:
    """The damaged files that were set aside."""
    return list(folder.glob("store.db.broken-*"))


def empty(folder: Path) -> None:
    """Take all files away."""
    for one in folder.iterdir():
        one.unlink()


def begin_writer(path: Path) -> subprocess.Popen[str]:
    """Begin a program that writes numbered rows and prints those it knows to be written."""
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)


async def test_what_is_written_is_read_and_there_at_the_next_start(tmp_path: Path, make_store: MakeStore) -> None:
    path = tmp_path / "store.db"
    store = await make_store(path)
    for text in "abc":
        assert store.write_nowait(note(text))
    assert await store.read(texts) == ["a", "b", "c"]
    assert await store.close(10)
    assert await (await make_store(path)).read(texts) == ["a", "b", "c"]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_without_a_file_everything_works_in_memory(make_store: MakeStore) -> None:
    store = await make_store(None)
    store.write_nowait(note("a"))
    assert await store.read(texts) == ["a"]
    snapshot = store.snapshot()
    assert (snapshot.place, snapshot.problem) == ("memory", "")


async def test_closing_writes_what_is_waiting(tmp_path: Path, make_store: MakeStore) -> None:
    path = tmp_path / "store.db"
    store = await make_store(path)
    wanted = [str(number) for number in range(500)]
    for text in wanted:
        store.write_nowait(note(text))
    assert await store.close(10)
    assert await (await make_store(path)).read(texts) == wanted


async def test_a_disk_that_hangs_holds_up_nobody_and_the_queue_is_bounded(make_store: MakeStore) -> None:
    store = await make_store(None)
    begun, hanging = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        begun.set()
        hanging.wait(30)

    try:
        store.write_nowait(hang)
        await until(begun.is_set)  # or the thread might take some of what follows as well
        began_at = time.monotonic()
        taken = sum(store.write_nowait(note(str(number))) for number in range(2 * QUEUE_LIMIT))
        assert taken <= QUEUE_LIMIT + 1
        assert store.snapshot().dropped == 2 * QUEUE_LIMIT - taken
        with pytest.raises(AceProxyError) as refused:
            await store.read(texts)
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        assert await store.close(0.1) is False
        assert time.monotonic() - began_at < 10  # nobody has waited for the 30 s
    finally:
        hanging.set()
    await until(lambda: not store._thread.is_alive())  # when the disk is back it writes what it has and ends


async def test_a_reader_does_not_wait_longer_than_its_limit(make_store: MakeStore) -> None:
    store = await make_store(None)
    hanging = threading.Event()
    store.write_nowait(lambda _: hanging.wait(30))
    with pytest.raises(AceProxyError) as refused:
        await store.read(texts, limit_s=0.05)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    hanging.set()
    assert await store.read(texts) == []  # the late answer to the one that gave up disturbs nobody


async def test_what_does_not_fit_on_a_full_disk_is_written_when_there_is_room_again(
    tmp_path: Path, make_store: MakeStore
) -> None:
    store = await make_store(tmp_path / "store.db")
    pages = await store.read(lambda db: int(db.execute("PRAGMA page_count").fetchone()[0]))
    await store.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    big = "x" * 20_000
    store.write_nowait(note(big))
    store.write_nowait(note("after"))
    await until(lambda: store.snapshot().problem)
    assert "full" in store.snapshot().problem
    assert await store.read(texts) == []  # reading goes on
    await store.read(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    await until(lambda: not store.snapshot().problem)
    assert await store.read(texts) == [big, "after"]
    assert store.snapshot().unsaved == 0


async def test_a_change_that_is_wrong_is_dropped_and_the_others_are_made(make_store: MakeStore) -> None:
    store = await make_store(None)
    hanging = threading.Event()
    store.write_nowait(lambda _: hanging.wait(30))  # so that all of these are one transaction
    store.write_nowait(note("a"))
    store.write_nowait(lambda db: db.execute("INSERT INTO no_such_table VALUES (1)"))
    store.write_nowait(lambda _: 1 // 0)
    store.write_nowait(note("a"))  # a second one with that id
    store.write_nowait(note("b"))
    hanging.set()
    assert await store.read(texts) == ["a", "b"]
    assert store.snapshot().dropped == 3


@pytest.mark.parametrize("content", [b"this is no database" * 100, os.urandom(8192)], ids=["text", "noise"])
async def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, make_store: MakeStore, content: bytes) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    store = await make_store(path)
    store.write_nowait(note("a"))
    assert await store.read(texts) == ["a"]
    assert store.snapshot().place == "disk"
    assert [one.read_bytes() for one in set_aside_in(tmp_path)] == [content]


async def test_a_file_that_breaks_while_it_is_used_is_set_aside_and_nothing_new_is_lost(
    tmp_path: Path, make_store: MakeStore
) -> None:
    path = tmp_path / "store.db"
    store = await make_store(path)
    for number in range(300):
        store.write_nowait(note(f"{number} {'x' * 500}"))
    await store.read(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    size = path.stat().st_size
    with path.open("r+b") as file:  # another program writes rubbish over all but the first page
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    await store.read(lambda db: db.execute("PRAGMA cache_size = 0").fetchone())
    for number in range(300, 310):
        store.write_nowait(note(str(number)))

    async def recovered() -> bool:
        try:
            return await store.read(texts) == [str(number) for number in range(300, 310)]
        except AceProxyError:
            return False

    async with asyncio.timeout(10):
        while not await recovered():  # noqa: ASYNC110 - what is waited for happens in a file
            await asyncio.sleep(0.01)
    assert len(set_aside_in(tmp_path)) == 1


def test_of_damaged_files_only_the_newest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for number in range(BROKEN_KEPT + 3):
        path.write_text(str(number))
        set_aside(path)
    kept = sorted(one.read_text() for one in tmp_path.iterdir())
    assert kept == [str(number) for number in range(3, BROKEN_KEPT + 3)]


async def test_a_place_that_cannot_be_used_means_memory_and_a_problem_that_is_told(
    tmp_path: Path, make_store: MakeStore
) -> None:
    path = tmp_path / "store.db"
    path.mkdir()
    store = await make_store(path)
    store.write_nowait(note("a"))
    assert await store.read(texts) == ["a"]
    snapshot = store.snapshot()
    assert snapshot.place == "memory"
    assert str(path) in snapshot.problem


READ_ONLY = """
import os, pathlib, sys, sqlite3
from aceproxy.store.opening import open_database
if os.geteuid() == 0:
    os.setuid(65534)
opened = open_database(pathlib.Path(sys.argv[1]))
opened.db.execute("SELECT count(*) FROM past_streams")
print("memory" if opened.path is None else "disk", opened.problem)
"""


@pytest.mark.parametrize("there_already", [True, False])
def test_a_folder_that_cannot_be_written_means_memory(tmp_path: Path, there_already: bool) -> None:
    path = tmp_path / "state" / "store.db"
    path.parent.mkdir()
    if there_already:
        open_database(path).db.close()
        path.chmod(0o444)
    path.parent.chmod(0o555)
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", READ_ONLY, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("memory ")
    assert str(path) in done.stdout


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path, make_store: MakeStore) -> None:
    path = tmp_path / "store.db"
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    before = path.read_bytes()
    store = await make_store(path)
    assert await store.read(texts) == []
    assert store.snapshot().place == "memory"
    assert "newer version" in store.snapshot().problem
    await store.close(10)
    found = sqlite3.connect(path)
    assert found.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    found.close()
    assert len(path.read_bytes()) == len(before)


async def test_a_file_that_is_taken_away_is_begun_anew(tmp_path: Path, make_store: MakeStore) -> None:
    path = tmp_path / "store.db"
    store = await make_store(path)
    store.write_nowait(note("a"))
    assert await store.read(texts) == ["a"]
    empty(tmp_path)
    store.write_nowait(note("b"))
    assert await store.read(texts) == ["b"]
    assert path.exists()


def test_programs_that_begin_a_file_at_the_same_time_share_it(tmp_path: Path) -> None:
    def begin(number: int) -> Path | None:
        together.wait()
        opened = open_database(tmp_path / f"{number}.db")
        opened.db.close()
        return opened.path

    for number in range(40):
        together = threading.Barrier(4)
        with ThreadPoolExecutor(4) as threads:
            assert set(threads.map(begin, [number] * 4)) == {tmp_path / f"{number}.db"}


async def test_two_programs_that_share_a_file_both_write_all_they_have(tmp_path: Path, make_store: MakeStore) -> None:
    path = tmp_path / "store.db"
    first, second = await make_store(path), await make_store(path)
    for number in range(100):
        first.write_nowait(note(f"first {number}"))
        second.write_nowait(note(f"second {number}"))
        if number % 10 == 0:
            await asyncio.sleep(0)
    await first.read(texts)
    await second.read(texts)
    found = await first.read(texts)
    assert len(found) == 200
    for name in ("first", "second"):
        assert [text for text in found if text.startswith(name)] == [f"{name} {number}" for number in range(100)]


WRITER = """
import asyncio, pathlib, sys
from aceproxy.store.store import Store
from tests.store.conftest import note

async def write():
    store = Store(pathlib.Path(sys.argv[1]))
    store.start()
    number = 0
    while True:
        store.write_nowait(note(f"{number} {'x' * 300}"))
        if number % 7 == 0:
            await store.read(lambda db: None)
            print(number, flush=True)
        number += 1

asyncio.run(write())
"""


async def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_written(
    tmp_path: Path, make_store: MakeStore
) -> None:
    path = tmp_path / "store.db"
    kept = 0
    for _ in range(3):
        writer = begin_writer(path)
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 150:
            pass
        writer.send_signal(signal.SIGKILL)
        told = [int(line) for line in writer.stdout.read().splitlines() if line] or [150]
        writer.wait()
        writer.stdout.close()
        store = await make_store(path)
        found = await store.read(texts)
        assert store.snapshot().problem == ""
        numbers = [int(text.split()[0]) for text in found]
        assert numbers == list(range(len(numbers)))  # a beginning of what was written, without a gap
        assert numbers[-1] >= told[-1]
        assert await store.read(lambda db: db.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
        await store.read(lambda db: db.execute("DELETE FROM past_streams").rowcount)
        await store.close(10)
        kept += len(numbers)
    assert kept > 450


def test_an_older_schema_is_brought_up_step_by_step_and_a_step_that_fails_leaves_the_last() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    steps = (("CREATE TABLE a (x)",), ("CREATE TABLE b (x)", "INSERT INTO b VALUES (1)"))
    assert migrate(db, steps[:1]) == 1
    assert migrate(db, steps) == 1
    assert migrate(db, steps) == 0
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, (*steps, ("CREATE TABLE c (x)", "nonsense")))
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert [row[0] for row in db.execute("SELECT name FROM sqlite_master ORDER BY name")] == ["a", "b"]
    with pytest.raises(NewerSchemaError):
        migrate(db, steps[:1])
    db.close()


async def test_the_thread_ends_with_the_store(make_store: MakeStore) -> None:
    store: Store = await make_store(None)
    assert any(thread.name == "store" for thread in threading.enumerate())
    await store.close(10)
    await until(lambda: not any(thread is store._thread for thread in threading.enumerate()))
