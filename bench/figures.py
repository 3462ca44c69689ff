"""From the documents of runs to the figures that are compared: flat, by name, medians over repeats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.measuring import Run
from bench.targets import RECEIVE

Figures = dict[str, float]
FAULTS = ("sync_lost", "foreign", "cc_errors", "repeats", "skips_dirty", "refused", "failed", "ended_early")
MB = 1e6


@dataclass(slots=True)
class Summary:
    """The medians of one scenario against one target. `errors` are the runs that failed.

    `costs`: CPU seconds per GB of each run, in their order; None where it failed.
    """

    scenario: str
    target: str
    figures: Figures
    runs: int
    errors: list[str] = field(default_factory=list)
    costs: list[float | None] = field(default_factory=list)


def figures_of(run: Run) -> Figures:
    """Return the figures of one run; what was not measured is missing. Units are in the names."""
    found: Figures = {}
    load = run.load
    if not load:
        return found
    found["delivered_gb"] = run.delivered_gb
    found["others_percent"] = 100 * run.others_cpu_s / load["window_s"]
    found["cpu_ms_per_s"] = 1e3 * run.cpu_s / load["window_s"]
    if run.cache_cpu_s is not None and run.delivered_gb:
        found["cache_cpu_s_per_gb"] = run.cache_cpu_s / run.delivered_gb
    if run.counted_gb:
        found["cpu_s_per_gb"] = run.cpu_s / run.counted_gb
    if run.target == RECEIVE:
        return found
    if run.delivered_gb:
        found["load_cpu_s_per_gb"] = load["own_cpu_s"] / run.delivered_gb
        found["cpu_percent"] = 100 * run.cpu_s / load["window_s"]
        found["gb_per_s"] = run.delivered_gb / load["window_s"]
    _take(found, load, "rate_bps", "rate_mbps", ("min", "p50"), 1e-6)
    _take(found, load, "slow_rate_bps", "slow_rate_mbps", ("min",), 1e-6)
    for name in ("stall_ms", "age_ms", "first_byte_ms", "join_first_byte_ms", "join_first_key_ms"):
        _take(found, load, name, name, ("p50", "p99", "max"), 1.0)
    found["faults"] = sum(load[name] for name in FAULTS)
    found["skips"] = load["skips_clean"]
    found["served"] = load["served"]
    found["unclean_starts"] = load["served"] - load["clean_starts"]
    _take_usage(found, run)
    for route, times in run.probes.items():
        for name in ("p50", "p99", "max", "errors", "late_p99"):
            found[f"{name} {route}"] = times[name]
    return found


def _take(found: Figures, load: dict[str, Any], name: str, shown: str, which: Iterable[str], scale: float) -> None:
    values = load.get(name)
    if values and values["count"]:
        for one in which:
            found[f"{shown}_{one}"] = values[one] * scale


def _take_usage(found: Figures, run: Run) -> None:
    if run.idle is not None:
        found["idle_pss_mb"] = run.idle.pss_bytes / MB
        found["idle_descriptors"] = run.idle.descriptors
    if run.busy is not None:
        ring_bytes = run.ring_bytes or 0  # what the proxy says that it holds of media
        found["busy_pss_mb"] = (run.busy.pss_bytes - ring_bytes) / MB
        found["busy_private_mb"] = (run.busy.private_bytes - ring_bytes) / MB
        found["threads"] = run.busy.threads
        found["descriptors"] = run.busy.descriptors
    if run.ring_bytes is not None:
        found["ring_mb"] = run.ring_bytes / MB
    if run.slow_listed is not None:
        found["slow_listed"] = run.slow_listed
    if run.after is not None:
        found["after_descriptors"] = run.after.descriptors
        found["after_pss_mb"] = run.after.pss_bytes / MB
    if run.engine:
        found["playbacks_started"] = run.engine["starts"]
        found["playbacks_left"] = run.engine["starts"] - run.engine["stops"]
    if len(run.series) >= 4:
        # the first fifth is for growing: allocators and the ring fill up
        pss = [(sample["pss_bytes"] - sample["ring_bytes"]) / MB for sample in run.series[len(run.series) // 5 :]]
        third = max(1, len(pss) // 3)
        last = run.series[-1]
        found["volume_gb"], found["volume_s"] = last["sent_gb"], last["at_s"]
        for name, part in (("begin", pss[:third]), ("middle", pss[third:-third]), ("end", pss[-third:])):
            if part:
                found[f"pss_{name}_mb"] = median(part)
        found["pss_growth_mb"] = median(pss[-third:]) - median(pss[:third])
        found["ring_highest_mb"] = max(sample["ring_bytes"] for sample in run.series) / MB


def summarize(runs: Iterable[Run]) -> list[Summary]:
    """Return the medians of the runs, by scenario and target in the order of their first run."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.scenario, run.target), []).append(run)
    return [_median(scenario, target, group) for (scenario, target), group in groups.items()]


def _median(scenario: str, target: str, group: list[Run]) -> Summary:
    values: dict[str, list[float]] = {}
    costs: list[float | None] = []
    for run in group:
        figures = {} if run.error else figures_of(run)
        costs.append(figures.get("cpu_s_per_gb"))
        for name, value in figures.items():
            values.setdefault(name, []).append(value)
    # one bad run must show: faults are summed, never averaged away
    figures = {name: sum(found) if name == "faults" else median(found) for name, found in values.items()}
    return Summary(scenario, target, figures, len(group), [run.error for run in group if run.error], costs)
