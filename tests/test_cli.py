"""The command line: what it says, what it refuses, and with which status it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aceproxy import __version__
from aceproxy.access.passwords import verify
from aceproxy.cli import cli

PROGRAM = Path(sys.executable).parent / "aceproxy"
COMMANDS = ("serve", "demo", "simulate-engine", "check", "doctor", "password", "secret")
LIMIT_S = 20.0


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what would change the settings or the look of the output."""
    for name in list(os.environ):
        if name.startswith("ACEPROXY_") or name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(cli, list(arguments))


# --- help and version ---


@pytest.mark.parametrize("arguments", [("--help",), ("-h",)])
def test_the_help_names_all_commands(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", result.output), command


def test_no_command_at_all_is_answered_with_the_help() -> None:
    result = run()
    assert result.exit_code == 2
    assert "serve" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"aceproxy {command}" in result.output
    assert "<bool>" not in result.output  # a switch takes no value


def test_the_version_is_told() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"aceproxy {__version__}\n")


# --- refusals ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--listen", "nonsense"], "listen (from the command line): 'nonsense' is not HOST:PORT"),
        (["serve", "--engine", "ftp://x"], "engines (from the command line): 'ftp://x' is not an engine's address"),
        (["serve", "--log-level", "loud"], "log_level (from the command line): one of debug, info"),
        (["serve", "--set", "linger_s"], "--set 'linger_s' is not NAME=VALUE"),
        (["serve", "--set", "lingers=1"], "unknown setting 'lingers' in the command line; did you mean linger_s?"),
        (["serve", "--set", "linger_s=-1"], "linger_s (from the command line): "),
        (["serve", "--config", "/nowhere/x.toml"], "cannot read /nowhere/x.toml: "),
        (["demo", "--set", "nothing=1"], "unknown setting 'nothing'"),
        (["check", "a" * 40, "--set", "engines="], "engines (from the command line): "),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_one_sentence(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith("aceproxy: ")
    assert words in result.output
    assert result.output.count("\n") == 1


def test_a_bad_variable_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACEPROXY_RING_S", "long")
    result = run("serve")
    assert result.exit_code == 2
    assert "ring_s (from the environment): " in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["servve"],
        ["serve", "--lissten", ":1"],
        ["serve", "extra"],
        ["demo", "--channels", "-1"],
        ["check"],
        ["check", "a" * 40, "--seconds", "0"],
        ["simulate-engine", "--listen", "127.0.0.1:port"],
        ["simulate-engine", "--fault", "no-such-fault"],
    ],
)
def test_what_the_command_line_does_not_know_is_refused(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_link_that_cannot_be_read_is_refused_without_an_engine() -> None:
    result = run("check", "no link at all", "--engine", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "The link is not one that AceStream knows." in result.output


def test_a_check_without_an_engine_fails_with_the_reason() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else can take it
        engine = f"http://127.0.0.1:{closed.getsockname()[1]}"
        result = run("check", "a" * 40, "--engine", engine, "--json")
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert (report["plays"], report["reason"], report["engine"]) == (False, "engine_unreachable", engine)


def test_an_address_that_is_taken_is_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [PROGRAM, "serve", "--listen", address], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    assert done.returncode == 2
    assert f"aceproxy: cannot serve on {address}: Address already in use; `aceproxy doctor` tells more" in done.stderr
    assert "Traceback" not in done.stderr


# --- serving ---


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serve with settings from a file, `--set` and a flag; return the process and its port."""
    config = tmp_path / "aceproxy.toml"
    config.write_text('listen = "127.0.0.1:1"\nengine_max_streams = 7\nlog_level = "error"\n')
    arguments = ["--config", str(config), "--listen", "127.0.0.1:0", "--engine", "http://127.0.0.1:9"]
    arguments += ["--engine", "http://127.0.0.1:10", "--set", "log_level = info", "--set", "engine_max_streams=3"]
    with subprocess.Popen([PROGRAM, "serve", *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            first = next(line for line in process.stderr if "serves on port" in line)
            found = re.search(r"serves on port (\d+)", first)
            assert found is not None
            yield process, int(found[1])
        finally:
            if process.poll() is None:
                process.kill()


def test_flags_and_set_reach_the_program_and_beat_the_file(served: tuple[subprocess.Popen[str], int]) -> None:
    _, port = served
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=LIMIT_S) as answer:
        health = json.load(answer)
    assert health["version"] == __version__
    assert [(engine["url"], engine["capacity"]) for engine in health["engines"]] == [
        ("http://127.0.0.1:9", 3),
        ("http://127.0.0.1:10", 3),
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(served: tuple[subprocess.Popen[str], int], number: signal.Signals) -> None:
    process, _ = served
    process.send_signal(number)
    assert process.wait(LIMIT_S) == 0


# --- password ---


def test_a_password_is_set_from_standard_input_and_removed(tmp_path: Path) -> None:
    place = f"state_dir={tmp_path}"
    result = CliRunner().invoke(cli, ["password", "--set", place], input="correct horse battery\n")
    assert result.exit_code == 0, result.output
    assert "correct horse" not in result.output
    kept = tmp_path / "password"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert verify(kept.read_text().strip(), "correct horse battery")
    assert run("password", "--set", place, "--remove").exit_code == 0
    assert not kept.exists()


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        ([], "correct horse battery\n", "state_dir"),
        (["--set", "state_dir=/dev/null/x"], "correct horse battery\n", "cannot be written"),
        (["--set", "state_dir=/tmp"], "short\n", "at least 10 characters"),
        (["--set", "state_dir=/tmp"], "", "no password"),
    ],
)
def test_a_password_that_cannot_be_set_is_refused_in_one_sentence(arguments: list[str], given: str, words: str) -> None:
    result = CliRunner().invoke(cli, ["password", *arguments], input=given)
    assert result.exit_code == 2
    assert words in result.output
