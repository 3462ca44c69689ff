"""The simulator as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from aceproxy.simulator import Fault, SimulatorConfig
from aceproxy.simulator.command import parse_arguments
from aceproxy.simulator.contents import DEFAULT_CONTENTS

LIMIT_S = 20


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A running simulator process."""
    command = [sys.executable, "-m", "aceproxy.simulator", "--listen", "127.0.0.1:0", "--channels", "2", "--fast"]
    command += ["--fault", "list-403", "--end-with-stdin"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as running:
        yield running
        running.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, None])
def test_it_tells_its_address_and_channels_and_ends_when_asked(
    process: subprocess.Popen[str], how: signal.Signals | None
) -> None:
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    lines = [process.stdout.readline() for _ in range(len(DEFAULT_CONTENTS) + 2)]
    for content, line in zip(DEFAULT_CONTENTS, lines, strict=False):
        assert line.split(maxsplit=0)[0].startswith(content.name)
        assert line.split()[-2:] == [f"acestream://{content.content_id}", content.infohash]
    assert lines[-1].startswith("Channel 002")
    with urlopen(f"{address}/simulator/state", timeout=LIMIT_S) as answer:
        assert b"list-403" in answer.read()
    if how is None:
        assert process.stdin is not None
        process.stdin.close()
    else:
        process.send_signal(how)
    assert process.wait(LIMIT_S) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_arguments_become_a_configuration() -> None:
    config, end_with_stdin = parse_arguments(
        ["--listen", "[::1]:7000", "--channels", "4", "--fault", "loop=3", "--fault", "hung", "--prebuffer", "2.5"]
    )
    expected = SimulatorConfig(
        host="::1", port=7000, channels=4, faults=(Fault("loop", "3"), Fault("hung")), prebuffer_s=2.5
    )
    assert (config, end_with_stdin) == (expected, False)
    assert parse_arguments([])[0] == SimulatorConfig(port=6878)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "6878"], "HOST:PORT"),
        (["--listen", "x:99999"], "HOST:PORT"),
        (["--fault", "stal-after"], "stall-after"),
        (["--channels", "many"], "invalid int"),
    ],
)
def test_mistakes_are_told(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(arguments)
    assert words in capsys.readouterr().err
