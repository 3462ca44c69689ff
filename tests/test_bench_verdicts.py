"""What the benchmark makes of its figures: ratios of runs that were made one after the other."""

from __future__ import annotations

from bench.figures import summarize
from bench.measuring import Run
from bench.scenarios import ALL, chosen
from bench.targets import COALESCE, PROXY
from bench.verdicts import verdicts


def run(scenario: str, target: str, cpu_s: float, error: str = "") -> Run:
    """A run in which 2 GB were delivered in 10 s."""
    load = {"window_bytes": 2e9, "window_s": 10.0, "own_cpu_s": 1.0, "served": 1, "clean_starts": 1, "skips_clean": 0}
    faults = dict.fromkeys(
        ("sync_lost", "foreign", "cc_errors", "repeats", "skips_dirty", "refused", "failed", "ended_early"), 0
    )
    return Run(scenario, target, load=load | faults, cpu_s=cpu_s, error=error)


def ratio(runs: list[Run], what: str) -> float | None:
    """The value of the requirement that is called so."""
    return next((one.value for one in verdicts(summarize(runs), 8e6) if one.what == what), None)


def test_ratio_is_taken_of_each_round_so_that_a_machine_that_slows_down_changes_nothing() -> None:
    rounds = [(1.1, 1.0), (2.2, 2.0), (3.6, 3.0)]
    runs = [one for own, other in rounds for one in (run("fan1000", PROXY, own), run("fan1000", COALESCE, other))]
    found = ratio(runs, f"fan1000: CPU per GB, to {COALESCE}")
    assert found is not None
    assert abs(found - 1.1) < 1e-9


def test_a_failed_run_leaves_its_round_out_and_is_told() -> None:
    runs = [
        run("fan1000", PROXY, 9.0, error="the load ended early"),
        run("fan1000", COALESCE, 1.0),
        run("fan1000", PROXY, 2.4),
        run("fan1000", COALESCE, 2.0),
    ]
    found = ratio(runs, f"fan1000: CPU per GB, to {COALESCE}")
    assert found is not None
    assert abs(found - 1.2) < 1e-9
    assert ratio(runs, "runs that failed") == 1


def test_what_is_compared_stands_together_and_has_full_rings() -> None:
    compared = [one.name for one in ALL if one.fill_s]
    assert compared == ["fan100", "streams20x5", "streams100x1", "fan300", "fan1000"]
    names = [one.name for one in ALL]
    at = names.index(compared[0])
    assert names[at : at + len(compared)] == compared
    assert all(one.measure_s >= 8 for one in chosen([], quick=True) if one.fill_s)
