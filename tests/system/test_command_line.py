"""The command line: `check`, help, version, and configuration that is not understood."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.programs import ACEPROXY, Engine, Program, wait_for

Keep = Callable[[Program], Program]
Run = Callable[..., Program]
Refused = Callable[[list[list[str]]], list[Program]]
LIMIT_S = 30.0
UNKNOWN = "0123456789" * 4


@pytest.fixture
def run(programs: Keep, tmp_path: Path) -> Run:
    """Return a function that runs `aceproxy ARGUMENTS` to its end."""

    def call(*arguments: str, env: dict[str, str] | None = None, limit_s: float = LIMIT_S) -> Program:
        program = programs(Program([ACEPROXY, *arguments], tmp_path / "run", env={"COLUMNS": "200", **(env or {})}))
        program.wait(limit_s)
        assert "Traceback" not in program.err
        return program

    return call


@pytest.fixture
def refused(programs: Keep, tmp_path: Path) -> Refused:
    """Return a function that runs several commands at once and makes sure that each one is refused with status 2."""

    def call(commands: list[list[str]]) -> list[Program]:
        started = [programs(Program([ACEPROXY, *words], tmp_path / "refused")) for words in commands]
        for words, program in zip(commands, started, strict=True):
            assert (program.wait(LIMIT_S), words) == (2, words)
            assert "Traceback" not in program.err
        return started

    return call


def check(run: Run, engine_url: str, link: str, *more: str) -> Program:
    """Run `aceproxy check` with short limits."""
    limits = ("--set", "start_timeout_s=5", "--set", "answer_timeout_s=2")
    return run("check", link, "--engine", engine_url, "--seconds", "2", *limits, *more)


@pytest.mark.parametrize("form", ["link", "content_id"])
def test_check_tells_codecs_resolution_and_bitrate_and_stops_the_playback(run: Run, engine: Engine, form: str) -> None:
    done = check(run, engine.url, str(engine.contents["Clock One"][form]))
    assert done.process.returncode == 0, done.out + done.err
    assert "plays" in done.out
    assert re.search(r"video h264 .*1280x720 25 fps", done.out)
    assert re.search(r"audio aac .*48000 Hz", done.out)
    rate = re.search(r"bitrate +([0-9.]+) Mbit/s", done.out)
    assert rate is not None
    assert engine.infohash_of("Clock One") in done.out
    wait_for(lambda: not engine.running(), "the stop of the playback", 2)
    assert len(engine.playbacks()) == 1
    assert len(re.findall(r"0 continuity, 0 bytes outside", done.out)) == 1


def test_check_in_json_is_one_object_with_the_true_bitrate(run: Run, engine: Engine) -> None:
    done = check(run, engine.url, engine.infohash_of("Clock Two"), "--infohash", "--json", "--seconds", "4")
    assert done.process.returncode == 0, done.out + done.err
    report: dict[str, Any] = json.loads(done.out)
    assert (report["plays"], report["reason"], report["is_live"]) == (True, None, True)
    assert report["infohash"] == engine.infohash_of("Clock Two")
    assert {stream["codec"] for stream in report["streams"]} == {"h264", "aac"}
    video = next(stream for stream in report["streams"] if stream["kind"] == "video")
    assert (video["width"], video["height"]) == (1280, 720)
    real_bps = engine.contents["Clock Two"]["bitrate_bps"]
    assert 0.8 * real_bps < report["bitrate_bps"] < 1.25 * real_bps
    assert report["peers"] == 17
    assert report["answer_s"] <= report["first_byte_s"]


def test_check_of_an_unknown_id_is_1_with_the_reason(run: Run, engine: Engine) -> None:
    done = check(run, engine.url, UNKNOWN)
    assert done.process.returncode == 1
    assert "content_not_found" in done.out
    assert engine.playbacks() == []


def test_check_without_an_engine_or_with_a_dead_broadcast_is_1(run: Run, engine: Engine) -> None:
    engine.set_fault("never-starts", name="Light One")
    dead = check(run, engine.url, engine.id_of("Light One"), "--set", "start_timeout_s=2")
    assert (dead.process.returncode, "no_peers" in dead.out) == (1, True)
    wait_for(lambda: not engine.running(), "the stop of the playback", 2)
    engine.end()
    off = check(run, engine.url, engine.id_of("Light Two"))
    assert (off.process.returncode, "engine_unreachable" in off.out) == (1, True)


def test_check_of_nonsense_is_2(refused: Refused, engine: Engine) -> None:
    links = ("nonsense", "abc123", "acestream://xyz", "magnet:?dn=x", "a" * 9000, "\x1b[31m")
    for done in refused([["check", link, "--engine", engine.url] for link in links]):
        assert done.err.strip()
        assert "\x1b" not in done.err
    assert engine.playbacks() == []


def test_help_and_version(programs: Keep, tmp_path: Path) -> None:
    commands = ("serve", "demo", "check", "simulate-engine")
    asked = [["--version"], ["--help"], *([command, "--help"] for command in commands)]
    version, text, *others = [programs(Program([ACEPROXY, *words], tmp_path / "help")) for words in asked]
    for program in (version, text, *others):
        assert program.wait(LIMIT_S) == 0
    assert re.fullmatch(r"aceproxy \d+\.\d+\.\d+\S*", version.out.strip())
    for command, program in zip(commands, others, strict=True):
        assert command in text.out
        assert f"aceproxy {command}" in program.out
    assert programs(Program([ACEPROXY, "playy"], tmp_path / "help")).wait(LIMIT_S) == 2


def test_an_unknown_setting_is_refused_with_the_nearest_one(run: Run, refused: Refused, tmp_path: Path) -> None:
    commands = [["serve"], ["demo"], ["check", UNKNOWN]]
    for done in refused([[*command, "--set", "linger=3"] for command in commands]):
        assert "unknown setting 'linger' in the command line; did you mean linger_s?" in done.err
    config = tmp_path / "settings.toml"
    config.write_text('lissten = "127.0.0.1:0"\n')
    for done in refused([[*command, "--config", str(config)] for command in commands]):
        assert f"unknown setting 'lissten' in {config}; did you mean listen?" in done.err
    variable = run("serve", env={"ACEPROXY_RING_SECONDS": "3"})
    assert variable.process.returncode == 2
    assert "unknown setting ACEPROXY_RING_SECONDS in the environment" in variable.err
    assert "RING_S" in variable.err.replace("RING_SECONDS", "")
    named = run("serve", env={"ACEPROXY_CONFIG": str(config)})
    assert (named.process.returncode, "did you mean listen" in named.err) == (2, True)


def test_bad_values_are_refused_in_a_sentence(refused: Refused, tmp_path: Path) -> None:
    pairs = ("ring_s=-1", "ring_s=abc", "listen=nowhere", "engines=ftp://x", "log_level=loud", "ring_s", "=3")
    for pair, done in zip(pairs, refused([["serve", "--set", pair] for pair in pairs]), strict=True):
        assert pair.partition("=")[0] in done.err
        assert len(done.err.strip().splitlines()) == 1
    broken = tmp_path / "broken.toml"
    broken.write_text("ring_s = = 3\n")
    missing = tmp_path / "missing.toml"
    toml, nowhere, fault = refused(
        [
            ["serve", "--config", str(broken)],
            ["serve", "--config", str(missing)],
            ["simulate-engine", "--fault", "stal-after=5"],
        ]
    )
    assert "not valid TOML" in toml.err
    assert str(missing) in nowhere.err
    assert "stall-after" in fault.err


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    programs: Keep, engine: Engine, tmp_path: Path
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('listen = "127.0.0.1:1"\nengines = ["http://127.0.0.1:1"]\nlog_level = "debug"\n')
    command: list[str | Path] = [ACEPROXY, "serve", "--config", str(config), "--listen", "127.0.0.1:0"]
    started = programs(Program(command, tmp_path / "serve", env={"ACEPROXY_ENGINES": engine.url}))
    started.find(rf"serves on port (\d+); engines: {re.escape(engine.url)}\n")


def test_simulate_engine_tells_its_address_and_channels(programs: Keep, tmp_path: Path) -> None:
    command: list[str | Path] = [ACEPROXY, "simulate-engine", "--listen", "127.0.0.1:0", "--channels", "2"]
    started = programs(Program(command, tmp_path / "engine"))
    started.find(r"(http://127\.0\.0\.1:\d+)")
    started.find(r"Channel 002 +(acestream://[0-9a-f]{40})")
    started.process.terminate()
    assert started.wait(5) == 0
