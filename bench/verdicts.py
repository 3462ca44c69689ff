"""The requirements: what the figures must be, and whether they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from bench.figures import Summary
from bench.scenarios import CHANNEL, ROUTES
from bench.targets import CHUNK, COALESCE, DIRECT, NGINX, PROXY, RECEIVE

Lookup = Callable[..., float | None]
STEADY = ("fan1", "fan10", "fan100", "fan300", "fan1000", "streams20x5", "streams100x1", "late", "api-1000")
OTHERS = ("unlimited4", "unlimited50", "slow20of100", "churn200", "zap", "day", "api-trouble")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One requirement. `value` is None where nothing was measured for it, `limit` where it only is to be known."""

    what: str
    value: float | None
    limit: float | None
    unit: str = ""
    least: bool = False

    @property
    def word(self) -> str:
        """PASS, FAIL, or INFO for what is not judged."""
        if self.value is None or self.limit is None:
            return "INFO"
        return "PASS" if (self.value >= self.limit if self.least else self.value <= self.limit) else "FAIL"


def verdicts(summaries: list[Summary], bitrate_bps: float) -> list[Verdict]:
    """Judge what was measured."""
    table = {(one.scenario, one.target): one.figures for one in summaries}

    def value(scenario: str, name: str, target: str = PROXY) -> float | None:
        return table.get((scenario, target), {}).get(name)

    costs = {(one.scenario, one.target): one.costs for one in summaries}

    def ratio(scenario: str, target: str, to_scenario: str, to_target: str) -> float | None:
        return _cost_ratio(costs.get((scenario, target), []), costs.get((to_scenario, to_target), []))

    errors = sum(len(one.errors) for one in summaries)
    found = [Verdict("runs that failed", errors, 0)]
    for group in (_cost(ratio), _hls(value), _delivery(value, bitrate_bps), _delay(value), _api(value), _memory(value)):
        found.extend(verdict for verdict in group if verdict.value is not None)
    return found


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _cost_ratio(costs: list[float | None], others: list[float | None]) -> float | None:
    """Return the median of the ratios of runs that were made one after the other; None where there is no such pair."""
    pairs = [one / other for one, other in zip(costs, others, strict=False) if one is not None and other]
    return median(pairs) if pairs else None


def _cost(ratio: Callable[[str, str, str, str], float | None]) -> Iterator[Verdict]:
    """Judge what is paid for a GB; `ratio` takes scenario and target of the one, and of the other."""
    for scenario in ("fan300", "fan1000"):
        for target, limit in ((COALESCE, 1.15), (CHUNK, 0.6), (NGINX, 1.6)):
            yield Verdict(f"{scenario}: CPU per GB, to {target}", ratio(scenario, PROXY, scenario, target), limit, "x")
    for scenario in ("streams20x5", "streams100x1"):
        yield Verdict(f"{scenario}: CPU per GB, to fan100", ratio(scenario, PROXY, "fan100", PROXY), 1.5, "x")
        # each GB is read from an engine once per stream: what that costs where nothing else is done
        least = ratio(scenario, COALESCE, "fan100", COALESCE)
        yield Verdict(f"{scenario}: the same of {COALESCE}", least, None, "x")
        to_other = ratio(scenario, PROXY, scenario, COALESCE)
        yield Verdict(f"{scenario}: CPU per GB, to {COALESCE}", to_other, None, "x")
        received = ratio(scenario, RECEIVE, "fan100", PROXY)
        yield Verdict(f"{scenario}: {RECEIVE}, to fan100", received, None, "x")
    for scenario in ("fan300", "fan1000"):
        yield Verdict(f"{scenario}: CPU per GB, to fan100", ratio(scenario, PROXY, "fan100", PROXY), 1.1, "x")


def _hls(value: Lookup) -> Iterator[Verdict]:
    one, many = value("hls1", "cpu_ms_per_s"), value("hls300", "cpu_ms_per_s")
    yield Verdict("hls1: AceProxy's processor time for a viewer behind nginx", one, None, "ms/s")
    yield Verdict("hls300: AceProxy's processor time for all of them", many, None, "ms/s")
    yield Verdict("hls300: the same, to hls1", _ratio(many, one), 1.3, "x")
    yield Verdict("hls300-direct: the same without a cache", value("hls300-direct", "cpu_ms_per_s"), None, "ms/s")
    for scenario in ("hls1", "hls300", "hls300-direct"):
        yield Verdict(f"{scenario}: longest stall of a viewer", value(scenario, "stall_ms_max"), 0, "ms")
        yield Verdict(f"{scenario}: lists and segments refused, missing or broken", value(scenario, "faults"), 0)


def _delivery(value: Lookup, bitrate_bps: float) -> Iterator[Verdict]:
    for scenario in STEADY:
        # a window of some seconds may cut one batch of 100 ms off at its end
        yield Verdict(
            f"{scenario}: slowest client", value(scenario, "rate_mbps_min"), bitrate_bps / 1e6 * 0.96, "Mbit/s", True
        )
        yield Verdict(f"{scenario}: p99 of the clients' longest silence", value(scenario, "stall_ms_p99"), 250, "ms")
        yield Verdict(f"{scenario}: skips", value(scenario, "skips"), 0)
    yield Verdict("slow20of100: p99 of the 80's longest silence", value("slow20of100", "stall_ms_p99"), 250, "ms")
    yield Verdict("slow20of100: slow ones listed with lag or skips", value("slow20of100", "slow_listed"), 20, "", True)
    for scenario in (*STEADY, *OTHERS):
        yield Verdict(f"{scenario}: broken packets, gaps, refusals", value(scenario, "faults"), 0)
        yield Verdict(f"{scenario}: starts not at PAT, PMT, keyframe", value(scenario, "unclean_starts"), 0)
    for scenario in ("churn200", "zap"):
        left, idle = value(scenario, "after_descriptors"), value(scenario, "idle_descriptors")
        more = left - idle if left is not None and idle is not None else None
        yield Verdict(f"{scenario}: descriptors left open", more, 40)
    yield Verdict("zap: playbacks not stopped in the end", value("zap", "playbacks_left"), 0)


def _delay(value: Lookup) -> Iterator[Verdict]:
    through, direct = value("fan1000", "age_ms_p99"), value("fan1000", "age_ms_p99", DIRECT)
    added = through - direct if through is not None and direct is not None else None
    yield Verdict("fan1000: p99 of the delay that is added", added, 150, "ms")
    yield Verdict("late: p50 to the first byte", value("late", "join_first_byte_ms_p50"), 5, "ms")
    yield Verdict("late: p99 to the first byte", value("late", "join_first_byte_ms_p99"), 50, "ms")


def _api(value: Lookup) -> Iterator[Verdict]:
    for scenario in ("api-1000", "api-trouble"):
        for route in ROUTES:
            shown = route.replace(CHANNEL, "{key}")
            yield Verdict(f"{scenario}: {shown} p50", value(scenario, f"p50 {route}"), 3, "ms")
            yield Verdict(f"{scenario}: {shown} p99", value(scenario, f"p99 {route}"), 15, "ms")
            yield Verdict(f"{scenario}: {shown} errors", value(scenario, f"errors {route}"), 0)


def _memory(value: Lookup) -> Iterator[Verdict]:
    for scenario in ("fan1", "fan10", "fan100"):
        idle = value(scenario, "idle_pss_mb")
        if idle is not None:
            yield Verdict("memory (PSS) with nothing playing", idle, 60, "MB")
            break
    yield Verdict("streams100x1: memory per stream beside its ring", _per_stream(value), 2, "MB")
    few, many = value("fan10", "busy_private_mb"), value("fan1000", "busy_private_mb")
    per_client = (many - few) * 1e6 / 990 / 1024 if few is not None and many is not None else None
    yield Verdict("fan1000: memory per client, to fan10", per_client, 16, "KiB")
    slow, even = value("slow20of100", "busy_private_mb"), value("fan100", "busy_private_mb")
    more = slow - even if slow is not None and even is not None else None
    yield Verdict("slow20of100: memory beside the ring, to fan100", more, 2, "MB")
    yield Verdict("day: media that went through", value("day", "volume_gb"), None, "GB")
    yield Verdict("day: time that took", value("day", "volume_s"), None, "s")
    for part in ("begin", "middle", "end"):
        yield Verdict(f"day: memory (PSS) beside the ring, {part}", value("day", f"pss_{part}_mb"), None, "MB")
    yield Verdict(
        "day: growth of memory (PSS) beside the ring, first to last third", value("day", "pss_growth_mb"), 3, "MB"
    )
    yield Verdict("day: most that the ring held", value("day", "ring_highest_mb"), 80, "MB")


def _per_stream(value: Lookup) -> float | None:
    busy, idle = value("streams100x1", "busy_private_mb"), value("streams100x1", "idle_pss_mb")
    return (busy - idle) / 100 if busy is not None and idle is not None else None
