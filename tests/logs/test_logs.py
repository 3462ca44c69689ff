"""Logging: what is kept, what is hidden, and that no output can hold up the program."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.logs import MESSAGE_LIMIT, LogLine, Logs, RingHandler, redact, stream_log
from tests.waiting import until

log = logging.getLogger("aceproxy.test")
Make = Callable[..., Logs]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes logging that is running, and takes it down."""
    made: list[Logs] = []

    def start(level: str = "debug", lines: int = 100, stream: io.TextIOBase | None = None) -> Logs:
        logs = Logs(level, lines, stream or io.StringIO())  # type: ignore[arg-type]  # TextIOBase lacks TextIO's name
        logs.start()
        made.append(logs)
        return logs

    yield start
    for logs in made:
        logs.stop(0.1)


@contextmanager
def full_pipe() -> Iterator[io.TextIOWrapper]:
    """Yield the writing end of a pipe that takes nothing."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"." * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(writing, True)
    with os.fdopen(writing, "w") as stream:
        try:
            yield stream
        finally:
            os.close(reading)


def newest(logs: Logs) -> LogLine:
    """Return the newest record of the ring."""
    return logs.ring.tail(1)[0]


# --- the ring ---


def test_the_ring_keeps_only_the_newest_records(make: Make) -> None:
    logs = make(lines=10)
    for number in range(25):
        log.info("record %d", number)
    assert len(logs.ring) == 10
    assert [line.message for line in logs.ring.tail(100)] == [f"record {number}" for number in range(15, 25)]
    assert [line.message for line in logs.ring.tail(2)] == ["record 23", "record 24"]
    assert logs.ring.tail(0) == []


def test_a_record_is_told_with_its_time_level_logger_and_stream(make: Make) -> None:
    logs = make()
    log.warning("plain")
    line = newest(logs)
    assert (line.level, line.logger, line.message, line.stream) == ("warning", "aceproxy.test", "plain", None)
    assert len(line.time) == len("2026-01-01T12:00:00.000Z")
    assert line.time.endswith("Z")
    stream_log(log, "abc123").info("of a %s", "stream")
    assert (newest(logs).message, newest(logs).stream) == ("of a stream", "abc123")


def test_records_below_the_level_are_not_kept(make: Make) -> None:
    logs = make(level="warning")
    log.info("too quiet")
    assert len(logs.ring) == 0
    log.warning("loud enough")
    assert newest(logs).message == "loud enough"


def test_a_traceback_is_one_line_and_redacted(make: Make) -> None:
    logs = make()
    try:
        int("token=abc123")
    except ValueError:
        log.exception("it failed")
    message = newest(logs).message
    assert message.startswith("it failed | Traceback ")
    assert "ValueError: invalid literal" in message
    assert "token=***" in message
    assert "\n" not in message
    assert "abc123" not in message


def test_what_the_event_loop_complains_about_is_kept_as_well(make: Make) -> None:
    logs = make()
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    assert newest(logs).logger == "asyncio"


def test_a_bad_log_call_does_not_fail_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)  # as in logging's own handlers: told, if at all, on stderr
    ring = RingHandler(10)
    ring.handle(logging.LogRecord("aceproxy.test", logging.INFO, __file__, 1, "%d records", ("no number",), None))
    assert len(ring) == 0


def test_nothing_is_left_attached_after_the_end() -> None:
    root = logging.getLogger("aceproxy")
    before = list(root.handlers)
    logs = Logs("info", 10, io.StringIO())
    logs.start()
    assert root.handlers != before
    logs.stop()
    assert root.handlers == before
    assert root.propagate
    log.info("to nobody")
    assert len(logs.ring) == 0


# --- redaction ---


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("GET /x?token=abc123&y=1", "abc123"),
        ("password=abc123", "abc123"),
        ("PASSWD=abc123 rest", "abc123"),
        ("api_key=abc123", "abc123"),
        ("apikey=abc123", "abc123"),
        ("?access_token=abc123#f", "abc123"),
        ("pid=abc123", "abc123"),
        ('{"token": "abc123"}', "abc123"),
        ("Authorization: Bearer abc123", "abc123"),
        ("authorization=abc123", "abc123"),
        ("http://user:abc123@host/x", "abc123"),
        ("http://user:p@abc123@host/x", "abc123"),
        ("rtsp://abc123@host", "abc123"),
        ("Bearer abc123def", "abc123def"),
        ("Cookie: session=abc123; other=abc123", "abc123"),
        ("Set-Cookie: session=abc123; HttpOnly", "abc123"),
        ("X-CSRF-Token: abc123", "abc123"),
        ("csrf=abc123", "abc123"),
        ("the hash $argon2id$v=19$m=65536$abc123", "abc123"),
    ],
)
def test_secrets_are_hidden(text: str, hidden: str) -> None:
    assert hidden not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "client 0a1b (192.0.2.1, VLC/3.0) joined",
        "engine http://127.0.0.1:6878 is up, version 3.2.3",
        "PID 256: continuity error",
        "mail@example.org",
        "http://host/a@b?rapid=1",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_control_characters_and_line_ends_cannot_forge_a_record() -> None:
    assert redact("one\ntwo\rthree\x1b[31m\x00\x85\u2028end") == "one | two three [31m   end"
    assert redact("a\u202eb\u2066c") == "a b c"


@given(st.text(max_size=300))
def test_any_text_becomes_one_line(text: str) -> None:
    shown = redact(text)
    assert not any(ord(letter) < 32 and letter != "\t" for letter in shown)
    assert len(shown.splitlines()) <= 1


def test_long_texts_are_cut_whatever_they_are_made_of() -> None:
    began_at = time.process_time()
    for piece in ("x", "a.", "pid=", "a://", "://", "token=", "@", "authorization: "):
        assert len(redact(piece * 200_000)) <= MESSAGE_LIMIT + 1
    assert time.process_time() - began_at < 2.0


# --- output ---


async def test_records_reach_the_output(make: Make) -> None:
    stream = io.StringIO()
    make(stream=stream)
    log.info("to be seen, token=abc123")
    await until(lambda: "INFO    aceproxy.test: to be seen, token=***\n" in stream.getvalue())


def test_the_end_writes_what_is_queued() -> None:
    stream = io.StringIO()
    logs = Logs("info", 10, stream)
    logs.start()
    for number in range(500):
        log.info("record %d.", number)
    logs.stop(5.0)
    assert stream.getvalue().count("\n") == 500


def test_an_output_that_takes_nothing_never_blocks_logging_and_what_is_dropped_is_counted() -> None:
    with full_pipe() as stream:
        logs = Logs("info", 50, stream)
        logs.start()
        done = threading.Event()

        def write_much() -> None:
            for number in range(10_500):
                log.info("record %d", number)
            done.set()

        threading.Thread(target=write_much, daemon=True).start()
        assert done.wait(20), "logging waits for its output"
        assert 0 < logs.dropped <= 500
        assert newest(logs).message == "record 10499"
        began_at = time.monotonic()
        logs.stop(0.2)
        assert time.monotonic() - began_at < 2.0
    logs._writers[0].join(5)  # the pipe is gone now
    assert not logs._writers[0].is_alive()


EXIT_SCRIPT = """
import logging, sys, time
from aceproxy.logs import Logs
logs = Logs("info", 10)
logs.start()
for number in range(100):
    logging.getLogger("aceproxy.test").info("record %d", number)
while logs._writers[0].lines.qsize() == 100:
    time.sleep(0.005)  # until the writer has taken a record, with which it is stuck
logs.stop(0.2)
print("stopped", flush=True)
"""


def test_an_output_that_nobody_reads_does_not_hold_up_the_exit() -> None:
    with full_pipe() as stream:
        done = subprocess.run(
            [sys.executable, "-c", EXIT_SCRIPT], stdout=subprocess.PIPE, stderr=stream, timeout=30, check=False
        )
    assert done.stdout == b"stopped\n"
    assert done.returncode == 0


def test_an_output_that_is_gone_does_no_harm() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        logs = Logs("info", 10, stream)
        logs.start()
        log.info("into the void")
        logs.stop(2.0)
        assert not logs._writers[0].is_alive()
    assert newest(logs).message == "into the void"
