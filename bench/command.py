"""The bench's command line: choose, run, judge, write."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

from bench.building import ROOT, BuildError, build
from bench.figures import figures_of, summarize
from bench.measuring import Run, run_once
from bench.reporting import draw, page, write, write_docs
from bench.scenarios import ALL, Scenario, chosen
from bench.self_check import self_check
from bench.targets import DEFAULT_COMMAND, NGINX, PROXY, Setup
from bench.verdicts import verdicts

USAGE_STATUS = 2
ENDED_STATUS = 143


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure a proxy in front of a fake engine.")
    parser.add_argument("--scenario", action="append", nargs="+", default=[], metavar="NAME", help="default: all")
    parser.add_argument("--repeat", type=int, help="times that each run is made; medians count (3, quick: 1)")
    parser.add_argument("--command", default=DEFAULT_COMMAND, help="how to start the proxy; {listen}, {engine} are set")
    parser.add_argument(
        "--quick", action="store_true", help="short windows, one hour for a day; one run if no --repeat"
    )
    parser.add_argument("--no-references", action="store_true", help="only the proxy")
    parser.add_argument("--bitrate", type=float, default=8e6, help="bit/s of each stream (8e6)")
    parser.add_argument("--output", type=Path, default=ROOT / "artifacts" / "bench", help="folder for the results")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md and its plots as well")
    parser.add_argument("--self-check", action="store_true", help="see that the load finds damage, and leave")
    parser.add_argument("--list", action="store_true", help="list the scenarios and leave")
    return parser


def main() -> int:
    """Run the bench. Returns 0 if all requirements that were measured are met, 1 if not, 2 if it cannot run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED_STATUS))  # through all `with`s: nothing is left running
    parser = arguments()
    options = parser.parse_args()
    if options.list:
        for one in ALL:
            print(f"{one.name:14} {one.about}")
        return 0
    try:
        scenarios = chosen([name for group in options.scenario for name in group], quick=options.quick)
        programs = build()
        if options.self_check:
            return self_check(programs)
    except (ValueError, BuildError) as error:
        print(f"bench: {error}")
        return USAGE_STATUS
    repeats = options.repeat or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory(prefix="aceproxy-bench-") as folder:
        setup = Setup(programs, options.command, Path(folder), options.bitrate)
        runs = _run_all(setup, scenarios, repeats, references=not options.no_references)
    return _conclude(runs, options.bitrate, options.command, repeats, options.output, docs=options.docs)


def _run_all(setup: Setup, scenarios: list[Scenario], repeats: int, *, references: bool) -> list[Run]:
    """Make all runs. What is compared takes turns, the targets of a scenario as well as the scenarios, so that what
    else the machine does hits all of them.
    """
    runs: list[Run] = []
    for _, compared in groupby(scenarios, key=lambda one: bool(one.fill_s) or one.name):
        turns = list(compared)
        for repeat in range(1 if turns[0].once else repeats):
            for scenario in turns:
                targets = [kind for kind in scenario.targets if kind == PROXY or (references and _available(kind))]
                runs.extend(_run(setup, scenario, kind, repeat) for kind in targets)
    return runs


def _run(setup: Setup, scenario: Scenario, kind: str, repeat: int) -> Run:
    began_at = time.monotonic()
    run = run_once(setup, scenario, kind)
    _tell(run, repeat, time.monotonic() - began_at)
    return run


def _available(kind: str) -> bool:
    return (
        kind != NGINX
        or shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") is not None
    )


def _tell(run: Run, repeat: int, took_s: float) -> None:
    """Print a line about a run that is over."""
    figures = figures_of(run)
    shown = {
        "CPU s/GB": figures.get("cpu_s_per_gb"),
        "GB": figures.get("delivered_gb"),
        "age p99": figures.get("age_ms_p99"),
        "silence p99": figures.get("stall_ms_p99"),
        "faults": figures.get("faults"),
        "others' CPU %": figures.get("others_percent"),
    }
    words = ", ".join(f"{name} {value:.3g}" for name, value in shown.items() if value is not None)
    print(f"{run.scenario:14} {run.target:11} #{repeat + 1} {took_s:5.1f} s  {run.error or words}", flush=True)


def _conclude(runs: list[Run], bitrate_bps: float, command: str, repeats: int, output: Path, *, docs: bool) -> int:
    summaries = summarize(runs)
    judged = verdicts(summaries, bitrate_bps)
    plots = draw(runs, summaries)
    text = page(summaries, judged, list(plots), command, repeats)
    write(output, runs, summaries, text, plots)
    if docs:
        write_docs(text, plots)
    for verdict in judged:
        value = "-" if verdict.value is None else f"{verdict.value:.3g}"
        limit = "" if verdict.limit is None else f"({'>=' if verdict.least else '<='} {verdict.limit:.3g})"
        print(f"{verdict.word:4} {verdict.what}: {value} {verdict.unit} {limit}".rstrip())
    print(f"written to {output}")
    return 0 if all(verdict.word != "FAIL" for verdict in judged) else 1
