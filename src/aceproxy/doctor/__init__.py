"""`aceproxy doctor`: looks at everything that the program needs here, and says what to do about what is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console

from aceproxy import __version__
from aceproxy.doctor.engines import look_at_engines
from aceproxy.doctor.findings import Finding, Status
from aceproxy.doctor.folders import look_at_log, look_at_state, look_at_store
from aceproxy.doctor.machine import (
    look_at_clock,
    look_at_descriptors,
    look_at_ffmpeg,
    look_at_ipv6,
    look_at_memory,
    look_at_platform,
    look_at_port,
    look_at_trust,
    look_at_uring,
)
from aceproxy.settings import Settings

WELL, UNWELL = 0, 1  # exit statuses; a setting that cannot be used is 2, as everywhere


async def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """Look at everything, print what was found and return the exit status."""
    findings = [*look_at_system(settings), *await look_at_engines(settings)]
    is_well = all(finding.status is not Status.FAILURE for finding in findings)
    if as_json:
        told = {"version": __version__, "ok": is_well, "checks": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _show(findings)
    return WELL if is_well else UNWELL


def look_at_system(settings: Settings) -> list[Finding]:
    """Look at what needs no engine. Nothing is changed, and what is opened is closed again."""
    looks: list[Callable[[Settings], Finding]] = [
        look_at_platform, look_at_port, look_at_descriptors, look_at_memory, look_at_state, look_at_store, look_at_log,
        look_at_clock, look_at_ffmpeg, look_at_ipv6, look_at_uring, look_at_trust,
    ]  # fmt: skip
    return [look(settings) for look in looks]


def _show(findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    colours = {Status.OK: "green", Status.NOTE: "blue", Status.WARNING: "yellow", Status.FAILURE: "red"}
    for finding in findings:
        console.print(f"{finding.status:8}", style=colours[finding.status], end="")
        console.print(f"{finding.name}: {finding.message}", markup=False)
        if finding.advice:
            console.print(f"          {finding.advice}", markup=False)
    console.print(f"\n{verdict(findings)}", markup=False)


def verdict(findings: list[Finding]) -> str:
    """Say all in one line; a warning is no failure, but not well either."""
    bad = [finding.name for finding in findings if finding.status is Status.FAILURE]
    odd = [finding.name for finding in findings if finding.status is Status.WARNING]
    if bad:
        return f"Not well: {', '.join(bad)}."
    return f"Nothing is in the way; look at: {', '.join(odd)}." if odd else "All is well."
