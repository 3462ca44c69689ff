"""Reading the log: from its end, from a place, across rotated files and restarts, and never more than allowed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aceproxy.logs import LEVELS, Filter, Found, LogLine, as_json, from_json
from aceproxy.logs import reading as module
from aceproxy.logs.reading import LogFiles
from aceproxy.logs.ring import following, newest_of

ALL = Filter()
END = 1 << 62


def line(number: int, level: str = "info", stream: str | None = None, message: str = "") -> LogLine:
    return LogLine("2026-01-01T00:00:00.000Z", level, "aceproxy.test", message or f"record {number}", stream, number)


def write(path: Path, lines: list[LogLine]) -> None:
    path.write_text("".join(as_json(one) + "\n" for one in lines), encoding="utf-8")


@pytest.fixture
def three_files(tmp_path: Path) -> LogFiles:
    """300 records, in three files of unequal length; every tenth is a warning, every seventh is of a stream."""
    lines = [
        line(10 * n, "warning" if n % 10 == 0 else "info", f"{n % 7:040x}" if n % 7 == 0 else None)
        for n in range(1, 301)
    ]
    write(tmp_path / "log.2", lines[:150])
    write(tmp_path / "log.1", lines[150:160])
    write(tmp_path / "log", lines[160:])
    return LogFiles(tmp_path / "log", 5)


def ids(lines: list[LogLine]) -> list[int]:
    return [one.id for one in lines]


def test_the_newest_records_come_from_the_end_and_go_on_in_older_files(three_files: LogFiles) -> None:
    found = three_files.newest(ALL, 145, END)
    assert ids(found.lines) == [10 * n for n in range(156, 301)]
    assert found.oldest == 1560
    older = three_files.newest(ALL, 1000, 1560)
    assert ids(older.lines) == [10 * n for n in range(1, 156)]
    assert older.oldest is None


def test_paging_back_with_a_filter_meets_every_wanted_record_once(three_files: LogFiles) -> None:
    wanted = Filter(level="warning")
    seen: list[int] = []
    place: int | None = END
    while place is not None:
        found = three_files.newest(wanted, 7, place)
        seen = ids(found.lines) + seen
        place = found.oldest
    assert seen == [10 * n for n in range(10, 301, 10)]


@pytest.mark.parametrize("place", [0, 9, 10, 15, 1500, 1505, 1600, 2999, 3000, 5000])
def test_what_follows_a_place_is_found_wherever_it_is(three_files: LogFiles, place: int) -> None:
    found = three_files.following(ALL, 20, place, END)
    assert ids(found.lines) == [10 * n for n in range(1, 301) if 10 * n > place][:20]
    again = three_files.following(ALL, 1000, found.newest, END)
    assert ids(found.lines) + ids(again.lines) == [10 * n for n in range(1, 301) if 10 * n > place]


def test_filters_are_level_stream_and_text() -> None:
    one = line(1, "warning", "abcdef", "The engine is DOWN")
    assert Filter("warning").takes(one)
    assert not Filter("error").takes(one)
    assert Filter(stream="abc").takes(one)
    assert not Filter(stream="bc").takes(one)
    assert Filter(search="engine is down").takes(one)
    assert Filter(search="aceproxy.test").takes(one)
    assert not Filter(search="up").takes(one)
    assert not Filter(stream="abc").takes(line(2))


@given(
    st.text(max_size=30).filter(lambda text: not any("\ud800" <= one <= "\udfff" for one in text)),
    st.sampled_from(["aceproxy.streams", "x"]),
    st.sampled_from(["debug", "info", "error"]),
    st.sampled_from([None, "abc0", "ABC0"]),
    st.data(),
)
def test_a_line_that_is_wanted_is_never_passed_over_unread(
    message: str, logger: str, level: str, stream: str | None, data: st.DataObject
) -> None:
    one = LogLine("t", level, logger, message, stream, 7)
    told = f"{logger} {message}"
    begin = data.draw(st.integers(0, len(told)))
    part = told[begin : data.draw(st.integers(begin, len(told)))]
    search = data.draw(st.sampled_from([part, part.upper(), part.lower(), "absent"]))
    wanted = Filter(data.draw(st.sampled_from(LEVELS)), data.draw(st.sampled_from(["", "abc", "é", "a b"])), search)
    assert wanted.may_take(as_json(one).encode()) or not wanted.takes(one)


def test_most_lines_that_are_not_wanted_are_not_taken_apart() -> None:
    text = as_json(line(1, "info", "abcdef", "The engine is DOWN")).encode()
    assert Filter("info", "abc", "engine is down").may_take(text)
    assert not Filter("warning").may_take(text)
    assert not Filter(stream="abd").may_take(text)
    assert not Filter(search="engine is up").may_take(text)


def test_lines_that_are_not_ours_take_no_more_time_than_a_search_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEARCH_S", 0.05)
    path = tmp_path / "log"
    path.write_bytes(as_json(line(1)).encode() + b"\n" + b'{"of":"another program"}\n' * 2_000_000)
    files = LogFiles(path, 1)
    for found in (files.newest(ALL, 10, END), files.following(ALL, 10, 1, END), files.newest(ALL, 10, 5)):
        assert found.lines == []
        assert not found.is_complete


def test_lines_that_are_not_ours_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    body = as_json(line(1)) + "\nrubbish\n{}\n\x00\xff[1]\n" + as_json(line(2)) + "\n" + "x" * 100_000
    path.write_bytes(
        body.encode() + b"\n\xff\xfe\n" + as_json(line(3)).encode() + b"\n" + as_json(line(4)).encode()[:30]
    )
    files = LogFiles(path, 1)
    assert ids(files.newest(ALL, 10, END).lines) == [1, 2, 3]
    assert ids(files.newest(ALL, 10, 3).lines) == [1, 2]
    assert ids(files.following(ALL, 10, 0, END).lines) == [1, 2, 3]
    assert b"".join(files.pieces()).count(b"\n") >= 5


@given(st.binary(max_size=300))
def test_any_bytes_are_a_line_of_ours_or_none(body: bytes) -> None:
    found = from_json(body)
    assert found is None or isinstance(found, LogLine)


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"time":1}', '{"time":"","level":"x","logger":"","message":"","stream":null,"id":1}']
)
def test_hostile_lines_are_none(body: str) -> None:
    assert from_json(body.encode()) is None


@given(
    st.text(max_size=50), st.text(max_size=50).filter(lambda text: not any("\ud800" <= one <= "\udfff" for one in text))
)
def test_what_is_written_is_read_as_it_was(logger: str, message: str) -> None:
    one = LogLine("t", "info", logger.encode(errors="replace").decode(), message, None, 7)
    assert from_json(as_json(one).encode()) == one
    assert "\n" not in as_json(one)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 500), unique=True, max_size=60).map(sorted), st.integers(0, 501), st.integers(1, 20))
def test_the_file_answers_as_the_ring_does(numbers: list[int], place: int, count: int) -> None:
    import tempfile

    kept = [line(number) for number in numbers]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        write(path, kept)
        files = LogFiles(path, 1)
        wanted = Filter(search="1")
        assert files.newest(wanted, count, place).lines == newest_of(kept, wanted, count, place).lines
        assert files.following(wanted, count, place, END).lines == following(kept, wanted, count, place).lines


def test_a_search_that_finds_nothing_stops_at_its_limit_and_says_where_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEARCH_BYTES", 100_000)
    path = tmp_path / "log"
    write(path, [line(1, message="the needle"), *(line(number) for number in range(2, 5000))])
    files = LogFiles(path, 1)
    wanted = Filter(search="needle")
    found = files.newest(wanted, 10, END)
    steps = 1
    while (place := found.oldest) is not None:
        assert found.lines == []
        found = files.newest(wanted, 10, place)
        steps += 1
        assert found.is_complete is (found.oldest is None)
        assert found.oldest is None or found.oldest < place
    assert ids(found.lines) == [1]
    assert steps > 3


def test_the_end_of_a_gigabyte_and_any_place_in_it_are_found_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEARCH_S", 60.0)  # of a clock that goes on while others have the processor
    path = tmp_path / "log"
    with path.open("wb") as file:  # a gigabyte that takes no room: lines at both ends and in the middle, holes between
        for share in range(11):
            file.seek(share * 100_000_000)
            file.write(b"\n" + b"".join(as_json(line(share * 1000 + n + 1)).encode() + b"\n" for n in range(100)))
    assert path.stat().st_size > 1_000_000_000
    files = LogFiles(path, 1)
    began_at = time.process_time()
    assert ids(files.newest(ALL, 50, END).lines) == list(range(10_051, 10_101))
    assert ids(files.following(ALL, 2, 5_050, END).lines) == [5_051, 5_052]
    assert time.process_time() - began_at < 5.0  # nearly all of it to get through holes, which no log has


def test_a_large_real_log_is_as_fast_as_a_small_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    block = "".join(as_json(line(0, message="x" * 150)) + "\n" for _ in range(1000))
    with path.open("w") as file:
        for share in range(300):
            file.write(block.replace('"id":0', f'"id":{share + 1}'))
    size = path.stat().st_size
    assert size > 70_000_000
    files = LogFiles(path, 1)
    calls: list[Callable[[], Found]] = [
        lambda: files.newest(ALL, 100, END),
        lambda: files.newest(ALL, 100, 150),
        lambda: files.following(ALL, 100, 149, END),
    ]
    for call in calls:
        began_at = time.process_time()
        assert len(call().lines) == 100
        assert time.process_time() - began_at < 0.1
    os.truncate(path, 0)


def test_without_a_file_there_is_nothing_and_no_error(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "log", 3)
    assert files.newest(ALL, 5, END).lines == []
    assert files.following(ALL, 5, 0, END).lines == []
    assert list(files.pieces()) == []


def test_everything_comes_in_order_in_pieces_of_whole_lines(three_files: LogFiles, tmp_path: Path) -> None:
    pieces = list(three_files.pieces())
    assert all(piece.endswith(b"\n") for piece in pieces)
    told = [json.loads(text)["id"] for text in b"".join(pieces).splitlines()]
    assert told == [10 * n for n in range(1, 301)]
