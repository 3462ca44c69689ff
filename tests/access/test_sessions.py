"""Sessions: signed, bounded, ended by time, kept over a restart without anything that could be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aceproxy.access.roles import Role
from aceproxy.access.sessions import KEPT_SESSIONS, Sessions
from aceproxy.shelf import Shelf


class Clock:
    """A wall clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def make(clock: Clock, path: Path | None = None, key: bytes = b"k" * 32) -> Sessions:
    """Sessions that end after an hour without use, and after ten hours."""
    return Sessions(Shelf(path), key, idle_s=3600, limit_s=36_000, clock=clock)


def test_a_cookie_finds_its_session_and_no_other_cookie_does() -> None:
    sessions = make(Clock())
    session, cookie = sessions.open(Role.ADMIN, "admin", "secret")
    assert sessions.find(cookie) is session
    other = make(Clock(), key=b"x" * 32).open(Role.ADMIN, "admin", "secret")[1]
    for wrong in (other, "", cookie + "A", cookie[:-1], cookie.partition(".")[0], "ü" * 10, "a" * 10_000, "." * 50):
        assert sessions.find(wrong) is None
    sessions.close(session)
    assert sessions.find(cookie) is None


def test_an_idle_session_ends_and_a_used_one_ends_at_the_limit() -> None:
    clock = Clock()
    sessions = make(clock)
    idle = sessions.open(Role.ADMIN, "admin", "secret")[1]
    used = sessions.open(Role.ADMIN, "admin", "secret")[1]
    for _ in range(11):
        clock.now += 3000
        found = sessions.find(used)
        assert found is not None
    assert sessions.find(idle) is None
    clock.now += 3600
    assert sessions.find(used) is None
    assert len(sessions) == 0


def test_a_clock_that_is_set_back_does_not_prolong_a_session() -> None:
    clock = Clock()
    sessions = make(clock)
    cookie = sessions.open(Role.ADMIN, "admin", "secret")[1]
    clock.now -= 86_400
    assert sessions.find(cookie) is None


def test_the_number_of_sessions_is_bounded_and_the_idlest_gives_way() -> None:
    clock = Clock()
    sessions = make(clock)
    first = sessions.open(Role.VIEWER, "", "secret")[1]
    second = sessions.open(Role.VIEWER, "", "secret")[1]
    clock.now += 1
    assert sessions.find(first) is not None
    for _ in range(KEPT_SESSIONS - 1):
        sessions.open(Role.VIEWER, "", "secret")
    assert len(sessions) == KEPT_SESSIONS
    assert sessions.find(second) is None
    assert sessions.find(first) is not None


async def test_sessions_outlive_a_restart_and_their_file_tells_no_cookie(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    clock = Clock()
    shelf = Shelf(path)
    sessions = Sessions(shelf, b"k" * 32, 3600, 36_000, clock)
    session, cookie = sessions.open(Role.ADMIN, "admin", "secret")
    ended = sessions.open(Role.ADMIN, "admin", "secret")
    sessions.close(ended[0])
    await shelf.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert cookie.partition(".")[0] not in path.read_text()
    again = make(clock, path)
    found = again.find(cookie)
    assert found is not None
    assert (found.role, found.name, found.proof) == (session.role, session.name, session.proof)
    assert again.csrf(found) == sessions.csrf(session)
    assert again.find(ended[1]) is None


@pytest.mark.parametrize(
    "kept", ["", "{", "null", "{}", "[1, null, [], [1, 2]]", json.dumps([["d", "king", "", "", 1, 1]]), "\x00"]
)
async def test_a_damaged_file_is_a_beginning(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(kept)
    sessions = make(Clock(), path)
    assert len(sessions) == 0
    cookie = sessions.open(Role.ADMIN, "admin", "secret")[1]
    assert sessions.find(cookie) is not None
    await sessions._shelf.close()


async def test_what_cannot_be_written_is_told_and_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path / "missing" / "sessions.json")
    sessions = Sessions(shelf, b"k" * 32, 3600, 36_000, Clock())
    cookie = sessions.open(Role.ADMIN, "admin", "secret")[1]
    await shelf.close()
    assert "cannot be written" in caplog.text
    assert sessions.find(cookie) is not None


async def test_the_newest_of_many_values_is_the_one_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "value.json")
    for number in range(50):
        shelf.keep([number])
    await shelf.close()
    assert Shelf(tmp_path / "value.json").load() == [49]


def test_every_session_has_a_csrf_value_of_its_own() -> None:
    sessions = make(Clock())
    values = {sessions.csrf(sessions.open(Role.ADMIN, "admin", "secret")[0]) for _ in range(3)}
    assert len(values) == 3
    assert all(len(value) == 64 for value in values)
