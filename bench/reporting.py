"""The results as a page of Markdown with plots, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.building import ROOT
from bench.figures import Summary
from bench.measuring import Run
from bench.plotting import Points, bars, lines
from bench.scenarios import ALL, CHANNEL, ROUTES
from bench.targets import CHUNK, COALESCE, DIRECT, NGINX, PROXY, RECEIVE
from bench.verdicts import Verdict

NAMES = {
    PROXY: "AceProxy",
    COALESCE: "C, coalescing",
    CHUNK: "C, chunk by chunk",
    NGINX: "nginx, static file",
    RECEIVE: "C, only receiving",
}
FIGURES_MARK = "<!-- figures -->\n"
COLUMNS = (
    ("CPU s/GB", "cpu_s_per_gb", ".3f"),
    ("CPU %", "cpu_percent", ".1f"),
    ("GB", "delivered_gb", ".2f"),
    ("slowest, Mbit/s", "rate_mbps_min", ".2f"),
    ("silence p99, ms", "stall_ms_p99", ".0f"),
    ("age p50, ms", "age_ms_p50", ".1f"),
    ("age p99, ms", "age_ms_p99", ".1f"),
    ("first byte p50, ms", "first_byte_ms_p50", ".1f"),
    ("joiner p50, ms", "join_first_byte_ms_p50", ".1f"),
    ("joiner p99, ms", "join_first_byte_ms_p99", ".1f"),
    ("faults", "faults", ".0f"),
    ("skips", "skips", ".0f"),
    ("PSS beside the ring, MB", "busy_pss_mb", ".1f"),
    ("ring, MB", "ring_mb", ".1f"),
    ("nginx CPU s/GB", "cache_cpu_s_per_gb", ".3f"),
    ("load CPU s/GB", "load_cpu_s_per_gb", ".3f"),
    ("others' CPU %", "others_percent", ".0f"),
)


def machine() -> dict[str, Any]:
    """Say on what this ran."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = models[0] if models else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        "date_utc": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
    }


def _commit() -> str:
    """Return the commit that is measured, with a mark where the tree differs from it."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()


def page(
    summaries: Sequence[Summary], judged: Sequence[Verdict], plots: Sequence[str], command: str, repeats: int
) -> str:
    """Return the page."""
    on = machine()
    about = {one.name: one.about for one in ALL}
    intro = (
        f"Measured {on['date_utc']} UTC on {on['cores']} cores ({on['cpu']}), Linux {on['kernel']}, "
        f"Python {on['python']}, commit {on['commit']}; medians of {repeats}. Start command: `{command}`. CPU is user "
        "and system time of the "
        "whole process tree within the measured window, per 10^9 bytes that clients received. Ages are those of "
        "packets as they reach a client. Others' CPU is what else the machine did meanwhile: the more, the less the "
        "figures mean. The API is asked in the scenarios that begin with `api` alone, so answering it is in no ratio; "
        "the references answer none. What sends, plays and asks is neither the target's CPU nor others'."
    )
    parts = [
        intro,
        "",
        "## Requirements",
        "",
        *_table(("", "requirement", "measured", "limit"), [_verdict_row(verdict) for verdict in judged]),
        "",
        "## Figures",
        "",
        *_table(
            ("scenario", "target", *(title for title, _, _ in COLUMNS)),
            [(about[one.scenario], NAMES.get(one.target, one.target), *_cells(one)) for one in summaries],
        ),
        "",
    ]
    rows = _route_rows(summaries)
    if rows:
        parts += ["## The API", "", *_table(("scenario", "route", "p50, ms", "p99, ms", "longest, ms"), rows), ""]
    for plot in plots:
        parts += [f"![{plot.removesuffix('.svg')}]({plot})", ""]
    errors = [f"- {one.scenario}, {one.target}: {error}" for one in summaries for error in one.errors]
    return "\n".join([*parts, *(["## Failed runs", "", *errors, ""] if errors else [])])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _verdict_row(verdict: Verdict) -> tuple[str, ...]:
    value = "-" if verdict.value is None else f"{verdict.value:.3g} {verdict.unit}".strip()
    sign = "≥" if verdict.least else "≤"
    limit = "" if verdict.limit is None else f"{sign} {verdict.limit:.3g} {verdict.unit}".strip()
    return verdict.word, verdict.what, value, limit


def _cells(summary: Summary) -> list[str]:
    return [format(summary.figures[name], form) if name in summary.figures else "" for _, name, form in COLUMNS]


def _route_rows(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    return [
        (
            one.scenario,
            f"`{route.replace(CHANNEL, '{key}')}`",
            *(f"{one.figures[f'{name} {route}']:.1f}" for name in ("p50", "p99", "max")),
        )
        for one in summaries
        for route in ROUTES
        if f"p50 {route}" in one.figures
    ]


def write(folder: Path, runs: Sequence[Run], summaries: Sequence[Summary], text: str, plots: dict[str, str]) -> None:
    """Write page, plots and all raw figures to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance.md").write_text(text)
    for name, svg in plots.items():
        (folder / name).write_text(svg)
    document = {
        "machine": machine(),
        "summaries": [{"scenario": one.scenario, "target": one.target, "figures": one.figures} for one in summaries],
        "runs": [run.as_document() for run in runs],
    }
    (folder / "results.json").write_text(json.dumps(document, indent=1))


def write_docs(text: str, plots: dict[str, str]) -> None:
    """Write the page of the documentation: what was measured, between what people wrote about it."""
    folder = ROOT / "docs" / "performance"
    folder.mkdir(exist_ok=True)
    for name, svg in plots.items():
        (folder / name).write_text(svg)
    told = (ROOT / "bench" / "notes.md").read_text()
    before, _, after = told.partition(FIGURES_MARK)
    figures = text.replace("](", "](performance/") if plots else text
    (ROOT / "docs" / "performance.md").write_text(before + figures.rstrip() + "\n" + after)


def draw(runs: Sequence[Run], summaries: Sequence[Summary]) -> dict[str, str]:
    """Draw what there is figures for; returns SVG by file name."""
    plots: dict[str, str] = {}
    table = {(one.scenario, one.target): one.figures for one in summaries}
    names = list(dict.fromkeys(one.scenario for one in summaries))
    own = [name for name in names if "cpu_s_per_gb" in table.get((name, PROXY), {}) and not name.startswith("api")]
    fans = [name for name in own if (name, COALESCE) in table]
    if fans:
        series = {
            NAMES[target]: [table.get((name, target), {}).get("cpu_s_per_gb") for name in fans]
            for target in (PROXY, COALESCE, CHUNK, NGINX)
        }
        plots["cpu-references.svg"] = bars("Processor time per delivered GB", "CPU s/GB", fans, series)
    if own:
        cost = {NAMES[PROXY]: [table[name, PROXY]["cpu_s_per_gb"] for name in own]}
        plots["cpu-scenarios.svg"] = bars("Processor time per delivered GB, by scenario", "CPU s/GB", own, cost)
    ages = {NAMES.get(kind, kind): _age_curve(runs, kind) for kind in (PROXY, COALESCE, DIRECT)}
    ages = {name: points for name, points in ages.items() if points}
    if ages:
        plots["age.svg"] = lines("Age of packets at 1000 clients", "% of packets", "ms, or younger", ages, x_most=200)
    plots.update(_draw_day(runs))
    plots.update(_draw_api(table))
    return plots


def _age_curve(runs: Sequence[Run], kind: str) -> Points:
    """Return the share of packets by age of the last such run at 1000 clients."""
    points: list[tuple[float, float]] = []
    for run in runs:
        if run.scenario == "fan1000" and run.target == kind and run.load and run.load["age_ms"]["count"]:
            seen, points = 0, [(0.0, 0.0)]
            for upper_ms, count in run.load["age_ms"]["buckets"]:
                seen += count
                points.append((upper_ms, 100 * seen / run.load["age_ms"]["count"]))
    return points


def _draw_day(runs: Sequence[Run]) -> dict[str, str]:
    for run in reversed(runs):
        if run.scenario == "day" and run.series:
            series: dict[str, Points] = {
                "memory (PSS)": [(one["sent_gb"], one["pss_bytes"] / 1e6) for one in run.series],
                "of that the ring": [(one["sent_gb"], one["ring_bytes"] / 1e6) for one in run.series],
            }
            return {"day.svg": lines("Memory over a day of media", "MB", "GB received", series)}
    return {}


def _draw_api(table: dict[tuple[str, str], dict[str, float]]) -> dict[str, str]:
    names = [name for name in ("api-1000", "api-trouble") if f"p99 {ROUTES[0]}" in table.get((name, PROXY), {})]
    if not names:
        return {}
    series = {
        f"{name} {which}": [table[name, PROXY].get(f"{which} {route}") for route in ROUTES]
        for name in names
        for which in ("p50", "p99")
    }
    return {
        "api.svg": bars(
            "Latency of the API", "ms", [route.replace(CHANNEL, "{key}").partition("?")[0] for route in ROUTES], series
        )
    }
