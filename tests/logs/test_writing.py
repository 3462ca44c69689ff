"""The outputs: spelling, rotation, and files that cannot be written."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from aceproxy.logs import LogLine, Logs, as_text, stream_log
from aceproxy.logs import writing as module
from aceproxy.logs.writing import RotatedFile, spelling
from tests.waiting import until

log = logging.getLogger("aceproxy.test")
LINE = LogLine("2026-01-01T12:00:00.000Z", "warning", "aceproxy.test", "it is so", "abcdef0123456789", 1767268800123456)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_text_is_for_people_and_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    plain = "2026-01-01 12:00:00,123 WARNING aceproxy.test: [abcdef01] it is so"
    assert as_text(LINE) == plain
    assert spelling("text", io.StringIO())(LINE) == plain
    assert spelling("text", Terminal())(LINE) == plain.replace("WARNING", "\x1b[33mWARNING\x1b[0m")
    monkeypatch.setenv("NO_COLOR", "1")
    assert spelling("text", Terminal())(LINE) == plain


def test_json_on_the_output_is_one_object_a_line_without_secrets() -> None:
    stream = io.StringIO()
    logs = Logs("info", 10, stream, log_format="json")
    logs.start()
    stream_log(log, "abc").warning("with a\nbreak, “quotes” and token=abc123 in %s", "it")
    log.info("next")
    logs.stop(5)
    first, second = (json.loads(text) for text in stream.getvalue().splitlines())
    assert first["message"] == "with a | break, “quotes” and token=*** in it"
    assert (first["level"], first["stream"], second["stream"]) == ("warning", "abc", None)
    assert second["id"] > first["id"]


def test_records_have_growing_ids_even_when_the_clock_goes_back() -> None:
    logs = Logs("info", 10, io.StringIO())
    for created in (1000.0, 1000.0, 900.0, 1001.0):
        record = logging.LogRecord("aceproxy.test", logging.INFO, __file__, 1, "x", (), None)
        record.created = created
        logs.ring.handle(record)
    assert [line.id for line in logs.ring.tail(9)] == [1000_000000, 1000_000001, 1000_000002, 1001_000000]


def test_the_file_holds_what_the_ring_has_lost_and_a_new_start_goes_on_in_it(tmp_path: Path) -> None:
    path = tmp_path / "aceproxy.log"
    for start in range(2):
        logs = Logs("info", 10, io.StringIO(), path=path)
        logs.start()
        for number in range(50):
            log.info("record %d of start %d", number, start)
        logs.stop(5)
    told = [json.loads(text)["message"] for text in path.read_text().splitlines()]
    assert told == [f"record {number} of start {start}" for start in range(2) for number in range(50)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_file_is_rotated_and_the_oldest_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = RotatedFile(path, 100, 3)
    for number in range(10):
        assert file.write(f"{number}" * 59 + "\n", 1)
    file.close()
    assert [path.with_name(name).read_text()[0] for name in ("log", "log.1", "log.2")] == ["9", "8", "7"]
    assert len(list(tmp_path.iterdir())) == 3


def test_one_file_alone_is_begun_anew_when_it_is_full(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "log", 100, 1)
    for number in range(5):
        file.write(f"{number}" * 59 + "\n", 1)
    file.close()
    assert (tmp_path / "log").read_text() == "4" * 59 + "\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_somebody_moved_away_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    path = tmp_path / "log"
    file = RotatedFile(path, 10_000, 3)
    file.write("one\n", 1)
    path.rename(tmp_path / "moved")
    file.write("two\n", 1)
    file.close()
    assert (tmp_path / "moved").read_text() == "one\n"
    assert path.read_text() == "two\n"


def test_a_file_that_cannot_be_written_costs_records_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(module, "REOPEN_S", 0.0)
    folder = tmp_path / "logs"
    folder.mkdir()
    file = RotatedFile(folder / "log", 10_000, 3)
    file.write("one\n", 1)
    (folder / "log").unlink()
    folder.rmdir()
    assert file.write("two\nthree\n", 2)
    assert (file.dropped, file.last_error) == (2, "No such file or directory")
    folder.mkdir()
    file.write("four\n", 1)
    file.close()
    assert (folder / "log").read_text() == "four\n"
    assert file.last_error == ""


async def test_a_full_disk_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REOPEN_S", 0.0)
    logs = Logs("info", 10, io.StringIO(), path=tmp_path / "log")
    logs.start()
    writing = os.write

    def full(descriptor: int, body: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.info("lost")
    file = logs.file
    assert file is not None
    await until(lambda: file.dropped)
    monkeypatch.setattr(os, "write", writing)
    log.info("kept")
    await until(lambda: not file.last_error)
    logs.stop(5)
    written = [json.loads(text)["message"] for text in (tmp_path / "log").read_text().splitlines()]
    assert [text for text in written if "log file" not in text] == ["kept"]
    told = [line.message for line in logs.ring.tail(5)]
    assert told[0] == "lost"
    assert told[1].endswith("cannot be written: No space left on device; what is logged now is missing there")
    assert re.search(r"is written again; [12] records are missing there$", told[-1])


def test_a_record_that_was_written_in_part_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REOPEN_S", 0.0)
    file = RotatedFile(tmp_path / "log", 1000, 2)
    writing = os.write
    room = iter([4, 0])

    def nearly_full(descriptor: int, body: bytes) -> int:
        if left := next(room):
            return writing(descriptor, body[:left])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", nearly_full)
        file.write("lost record\n", 1)
    file.write("kept record\n", 1)
    file.close()
    assert (tmp_path / "log").read_text() == "lost\nkept record\n"
    assert file.dropped == 1


@pytest.mark.parametrize("name", ["nowhere/log", ".", "pipe"])
def test_a_place_that_is_no_file_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    if name == "pipe":
        os.mkfifo(tmp_path / name)
    with pytest.raises(OSError, match=r"."):
        Logs("info", 10, io.StringIO(), path=tmp_path / name)
