"""The doctor: what it finds, what it advises, and that it tells the truth about ports, limits, folders and engines."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aceproxy.cli import cli
from aceproxy.doctor import engines, folders, machine, verdict
from aceproxy.doctor.findings import Finding, Status
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator
from aceproxy.store.opening import FILE_NAME, open_database
from tests.conftest import MakeApp


def make(**values: Any) -> Settings:
    return Settings.model_validate(values)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something listens that is not ours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside, no colours."""
    for name in list(os.environ):
        if name.startswith("ACEPROXY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")


# --- this machine ---


def test_a_free_port_is_free_and_nothing_is_left_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = make(listen=f"127.0.0.1:{port}")
    for _ in range(2):
        assert machine.look_at_port(settings).status is Status.OK


def test_whether_one_call_sends_to_many_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden:
        def __init__(self) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(machine, "Uring", Forbidden)
    found = machine.look_at_uring(make())
    assert (found.status, "Operation not permitted" in found.message) == (Status.NOTE, True)
    assert machine.look_at_uring(make(io_uring=False)).status is Status.OK


def test_a_port_that_is_taken_is_told_with_a_way_to_find_who_has_it(taken: int) -> None:
    found = machine.look_at_port(make(listen=f"127.0.0.1:{taken}"))
    assert found.status is Status.FAILURE
    assert f"sport = :{taken}" in found.advice


async def test_a_port_that_we_serve_ourselves_is_well(make_app: MakeApp) -> None:
    app = await make_app()
    found = await asyncio.to_thread(machine.look_at_port, make(listen=f"127.0.0.1:{app.port}"))
    assert (found.status, "AceProxy" in found.message) == (Status.OK, True)


def test_an_address_that_is_not_ours_is_told() -> None:
    found = machine.look_at_port(make(listen="192.0.2.1:6880"))
    assert found.status is Status.FAILURE
    assert "ip address" in found.advice


def test_descriptors_are_counted_for_the_clients_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    found = machine.look_at_descriptors(make(max_clients=5000))
    assert found.status is Status.WARNING
    assert "about 1898 clients" in found.message
    assert "10300" in found.advice
    assert machine.look_at_descriptors(make(max_clients=1000)).status is Status.OK
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert machine.look_at_descriptors(make()).status is Status.FAILURE
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert machine.look_at_descriptors(make()).status is Status.OK


@pytest.mark.parametrize(
    ("free_mib", "status"), [(100, Status.FAILURE), (300, Status.WARNING), (4000, Status.OK), (None, Status.NOTE)]
)
def test_memory_is_counted_in_streams(monkeypatch: pytest.MonkeyPatch, free_mib: int | None, status: Status) -> None:
    monkeypatch.setattr(machine, "available_bytes", lambda: None if free_mib is None else free_mib << 20)
    assert machine.look_at_memory(make()).status is status


def test_the_memory_of_a_container_counts_where_it_is_less(tmp_path: Path) -> None:
    proc = tmp_path / "meminfo"
    proc.write_text("MemTotal: 9000000 kB\nMemAvailable: 4000000 kB\n")
    assert machine.available_bytes(proc, tmp_path) == 4_000_000 << 10
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert machine.available_bytes(proc, tmp_path) == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_bytes(proc, tmp_path) == 4_000_000 << 10
    assert machine.available_bytes(tmp_path / "nothing", tmp_path / "nothing") is None


def test_the_state_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert folders.look_at_state(make(state_dir=tmp_path)).status is Status.OK
    assert list(tmp_path.iterdir()) == []
    tmp_path.chmod(0o755)
    found = folders.look_at_state(make(state_dir=tmp_path))
    assert (found.status, f"chmod 700 {tmp_path}" in found.advice) == (Status.WARNING, True)
    assert "will be made" in folders.look_at_state(make(state_dir=tmp_path / "new" / "er")).message
    assert folders.look_at_state(make()).status is Status.NOTE
    assert folders.look_at_state(make(state_dir="/proc/nothing")).status is Status.FAILURE


def test_a_history_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    settings = make(state_dir=tmp_path)
    assert folders.look_at_store(make()).status is Status.OK
    assert "will be made" in folders.look_at_store(settings).message
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / FILE_NAME
    open_database(path).db.close()
    assert folders.look_at_store(settings).status is Status.OK
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")
        db.commit()
    assert "newer version (schema 999)" in folders.look_at_store(settings).message
    path.write_bytes(b"no database at all " * 100)
    damaged = folders.look_at_store(settings)
    assert (damaged.status, "not a database" in damaged.message) == (Status.FAILURE, True)
    assert path.read_bytes() == b"no database at all " * 100


def test_the_log_file_needs_a_folder_and_room(tmp_path: Path) -> None:
    assert folders.look_at_log(make(log_file=tmp_path / "log")).status is Status.OK
    assert folders.look_at_log(make(log_file=tmp_path / "gone" / "log")).status is Status.FAILURE
    large = make(log_file=tmp_path / "log", log_file_bytes=10**12, log_file_count=100)
    assert folders.look_at_log(large).status is Status.WARNING


def test_a_history_is_not_well_in_a_folder_that_is_none(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for folder in (blocked, blocked / "state"):
        settings = make(state_dir=folder)
        assert folders.look_at_state(settings).status is Status.FAILURE
        found = folders.look_at_store(settings)
        assert (found.status, "will be made" in found.message) == (Status.FAILURE, False)
    assert folders.look_at_store(make(state_dir=tmp_path / "new" / "state")).status is Status.OK


@pytest.mark.parametrize("name", ["/dev/full", "/dev/null", "folder"])
def test_a_log_file_that_is_no_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    found = folders.look_at_log(make(log_file=tmp_path / name))
    assert found.status is Status.FAILURE
    assert "not a file" in found.message


def test_a_log_file_that_is_there_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("a line")
    assert folders.look_at_log(make(log_file=path, log_file_bytes=65536)).status is Status.OK
    assert path.read_text() == "a line"


def test_a_clock_from_before_the_installation_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.look_at_clock(make()).status in (Status.OK, Status.NOTE)
    assert machine.is_clock_kept() in (True, False, None)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert machine.look_at_clock(make()).status is Status.FAILURE


def test_without_ffmpeg_there_are_no_pictures_and_that_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert machine.look_at_ffmpeg(make()).status is Status.NOTE


def test_trust_in_everybody_is_told() -> None:
    assert machine.look_at_trust(make(trusted_networks="0.0.0.0/0")).status is Status.WARNING
    assert machine.look_at_trust(make()).status is Status.OK


# --- engines ---


async def look(url: str, **values: Any) -> Finding:
    return (await engines.look_at_engines(make(engines=[url], **values)))[0]


async def test_an_engine_that_answers_is_told_with_its_version(sim: Simulator) -> None:
    found = await look(sim.url)
    assert found.status is Status.OK
    assert "version 3.2.3" in found.message


async def test_an_engine_that_is_not_there_is_told_with_how_to_start_one() -> None:
    found = await look("http://127.0.0.1:9")
    assert found.status is Status.FAILURE
    assert "docker run" in found.advice


async def test_an_engine_that_hangs_is_told_apart(taken: int) -> None:
    found = await look(f"http://127.0.0.1:{taken}", stat_timeout_s=0.2)
    assert (found.status, "restart" in found.advice) == (Status.FAILURE, True)


async def test_what_is_no_engine_is_told_apart(make_app: MakeApp) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        found = await look(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert (found.status, "AceStream engine?" in found.advice) == (Status.FAILURE, True)


# --- the command ---


def test_the_command_says_what_is_wrong_and_leaves_with_one(taken: int) -> None:
    result = CliRunner().invoke(cli, ["doctor", "--engine", "http://127.0.0.1:9", "--listen", f"127.0.0.1:{taken}"])
    assert result.exit_code == 1
    assert "failure port: " in result.output
    assert "Not well: port, engine http://127.0.0.1:9." in result.output


def test_with_a_warning_not_all_is_called_well() -> None:
    well, odd = Finding("port", Status.OK, "free"), Finding("log", Status.WARNING, "no room", "make some")
    assert verdict([well, Finding("clock", Status.NOTE, "who knows")]) == "All is well."
    assert verdict([well, odd]) == "Nothing is in the way; look at: log."


def test_the_command_tells_json_to_programs() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--engine", "http://127.0.0.1:9", "--json"])
    told = json.loads(result.output)
    assert told["ok"] is False
    names = [check["name"] for check in told["checks"]]
    assert names[:3] == ["system", "port", "descriptors"]
    assert all(check["status"] in list(Status) for check in told["checks"])
    assert [check for check in told["checks"] if check["status"] == "failure" and not check["advice"]] == []


def test_a_setting_that_cannot_be_used_is_two() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--set", "linger_s=-1"])
    assert result.exit_code == 2
