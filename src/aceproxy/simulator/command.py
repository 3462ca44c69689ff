"""The simulator as a process of its own: `python -m aceproxy.simulator`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from aceproxy.simulator.config import SimulatorConfig
from aceproxy.simulator.faults import Fault, FaultError
from aceproxy.simulator.server import Simulator


def run_simulator(config: SimulatorConfig, *, end_with_stdin: bool = False) -> None:
    """Run a simulator until SIGINT or SIGTERM; print its address and its channels first.

    With `end_with_stdin` it ends as well when standard input does, so that it never outlives who started it. Blocks;
    owns its event loop. Raises OSError when the port is taken.
    """
    asyncio.run(_run(config, end_with_stdin))


async def _run(config: SimulatorConfig, end_with_stdin: bool) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    if end_with_stdin:
        loop.add_reader(sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else ended.set())
    async with Simulator(config) as simulator:
        sys.stdout.write("\n".join(introduction(simulator)) + "\n")
        sys.stdout.flush()
        await ended.wait()


def introduction(simulator: Simulator) -> list[str]:
    """Return one line with the address and one for each content: name, link, infohash."""
    width = max((len(content.name) for content in simulator.contents), default=0)
    lines = [f"engine simulator at {simulator.url}"]
    lines += [f"{content.name:<{width}}  {content.link}  {content.infohash}" for content in simulator.contents]
    return lines


def parse_arguments(arguments: Sequence[str]) -> tuple[SimulatorConfig, bool]:
    """Return what a command line asks for: the configuration, and whether to end with standard input.

    Leaves the process on a mistake.
    """
    parser = argparse.ArgumentParser(prog="python -m aceproxy.simulator", description="An AceStream engine, simulated.")
    parser.add_argument("--listen", default="127.0.0.1:6878", metavar="HOST:PORT", help="default 127.0.0.1:6878")
    parser.add_argument("--channels", type=int, default=0, metavar="N", help="so many more channels")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[=VALUE][*TIMES][@INFOHASH]")
    parser.add_argument("--prebuffer", type=float, metavar="SECONDS", help="default 6")
    parser.add_argument("--fast", action="store_true", help="start at once, for tests")
    parser.add_argument("--in-step", action="store_true", help="send what other engines in step send at the same time")
    parser.add_argument("--behind", type=float, default=0.0, metavar="SECONDS", help="so much later than those in step")
    parser.add_argument("--allow-remote", action="store_true", help="answer callers from anywhere")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when standard input does")
    given = parser.parse_args(arguments)
    host, _, port = given.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        parser.error("--listen takes HOST:PORT")
    try:
        faults = tuple(Fault.parse(text) for text in given.fault)
    except FaultError as error:
        parser.error(str(error))
    config = SimulatorConfig.fast() if given.fast else SimulatorConfig()
    if given.prebuffer is not None:
        config = replace(config, prebuffer_s=given.prebuffer)
    chosen = replace(
        config,
        host=host.strip("[]"),
        port=int(port),
        channels=given.channels,
        faults=faults,
        allow_remote=given.allow_remote,
        in_step=given.in_step,
        behind_s=given.behind,
    )
    return chosen, bool(given.end_with_stdin)


def main() -> None:
    """Run from the command line."""
    config, end_with_stdin = parse_arguments(sys.argv[1:])
    run_simulator(config, end_with_stdin=end_with_stdin)
