"""The journal of open playbacks: it survives a crash, and no content of its file can do harm."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from pathlib import Path

import pytest

from aceproxy.engine.api import Playback
from aceproxy.engine.journal import JOURNAL_LIMIT, Journal


def playback(pid: str) -> Playback:
    base = "http://127.0.0.1:6878"
    return Playback(base, pid, f"{base}/ace/r/a/b", f"{base}/s", f"{base}/c", None, "id", None, False, "key")


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def mode(path: Path) -> int | None:
    return path.stat().st_mode if path.exists() else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "playbacks.json"


async def test_a_missing_file_is_an_empty_journal(path: Path, nothing_leaks: None) -> None:
    assert await Journal(path).leftovers() == []
    assert mode(path) is None


async def test_open_playbacks_are_left_over_for_the_next_run(path: Path) -> None:
    first = Journal(path)
    for pid in "abc":
        first.opened(playback(pid))
    first.closed(playback("b"))
    await first.flush()
    second = Journal(path)
    assert await second.leftovers() == [playback("a"), playback("c")]
    second.closed(playback("a"))
    assert await second.leftovers() == [playback("c")]
    await second.flush()
    assert await Journal(path).leftovers() == [playback("c")]


async def test_writing_before_reading_loses_nothing(path: Path) -> None:
    first = Journal(path)
    first.opened(playback("old"))
    first.opened(playback("closed"))
    await first.flush()
    second = Journal(path)
    second.opened(playback("new"))
    second.closed(playback("closed"))
    await second.flush()
    assert await second.leftovers() == [playback("old")]
    assert await Journal(path).leftovers() == [playback("old"), playback("new")]


async def test_the_file_is_for_its_owner_only_and_whole_at_any_moment(path: Path) -> None:
    journal = Journal(path)
    journal.opened(playback("a"))
    await journal.flush()
    assert (mode(path) or 0o777) & 0o077 == 0
    for number in range(50):
        journal.opened(playback(f"p{number}"))
        await asyncio.sleep(0)
        json.loads(await asyncio.to_thread(path.read_text))
    await journal.flush()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


async def test_the_journal_is_bounded(path: Path) -> None:
    journal = Journal(path)
    for number in range(JOURNAL_LIMIT + 10):
        journal.opened(playback(f"p{number}"))
    await journal.flush()
    left = await Journal(path).leftovers()
    assert len(left) == JOURNAL_LIMIT
    assert left[-1] == playback(f"p{JOURNAL_LIMIT + 9}")


GOOD = dataclasses.asdict(playback("good"))
BAD: list[dict[str, object]] = [
    {},
    {**GOOD, "pid": "a b"},
    {**GOOD, "pid": 5},
    {**GOOD, "extra": 1},
    {**GOOD, "command_url": 5},
    {**GOOD, "command_url": "x" * 5000},
    {**GOOD, "is_live": "yes"},
    {**GOOD, "is_encrypted": None},
]


async def test_records_that_cannot_be_ours_are_ignored_one_by_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(path, json.dumps({"format": 1, "playbacks": [*BAD, GOOD, 5, None, "x"]}).encode())
    with caplog.at_level(logging.WARNING):
        assert await Journal(path).leftovers() == [playback("good")]
    assert f"{len(BAD) + 3} records are ignored" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"format": 2, "playbacks": []}', b'{"format": 1, "playbacks": 5}',
        b"[" * 100_000, b'{"format": 1, "playbacks": [', b"x" * (2 << 20), b"9" * 5000,
    ],
    ids=range(11),
)  # fmt: skip
async def test_a_file_that_is_no_journal_is_ignored_and_replaced(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, content)
    journal = Journal(path)
    with caplog.at_level(logging.WARNING):
        assert await journal.leftovers() == []
    assert "ignored" in caplog.text
    journal.opened(playback("a"))
    await journal.flush()
    assert await Journal(path).leftovers() == [playback("a")]


async def test_a_folder_that_is_missing_costs_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "missing" / "playbacks.json")
    with caplog.at_level(logging.WARNING):
        journal.opened(playback("a"))
        await journal.flush()
    assert "cannot be kept" in caplog.text


async def test_a_path_that_cannot_be_read_costs_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert await Journal(tmp_path).leftovers() == []
    assert "cannot be read" in caplog.text
