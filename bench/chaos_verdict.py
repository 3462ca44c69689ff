"""What is wrong with the outcome of a chaos run."""

from __future__ import annotations

from typing import Any

from bench.chaos_jumps import UNKNOWN
from bench.chaos_players import NAMELESS

CONTROL_P99_MS = 15.0  # of a server that does nothing; from there on the machine is too busy to judge the API
MEMORY_SLACK_BYTES = 32 << 20  # histories fill up in the first minutes, and between them stays what splices took
SLACK = {"tasks": 4, "threads": 8, "descriptors": 12, "children": 0, "blocks": 0}
# threads: of the executor, filled on demand
Found = dict[str, Any]


def failures(found: Found, api_limit_ms: float) -> list[str]:
    """Return what is wrong."""
    return [*_ends(found), *_players(found), *found["wrongs"], *_left_over(found), *_slow(found, api_limit_ms)]


def _ends(found: Found) -> list[str]:
    """What the program counted does not fit, or a client ended for a mistake of it."""
    stats, wrong = found["stats"], []
    if stats["total_clients"]:
        wrong.append(f"{stats['total_clients']} clients are left")
    tables = ("clients_closed_by_reason", "closed_by_reason")
    wrong += [f"{stats[table]['internal']} times internal in {table}" for table in tables if "internal" in stats[table]]
    wrong += [f"the log has: {line}" for line in found["log_errors"]]
    return wrong


def _players(found: Found) -> list[str]:
    """What clients saw that nobody may see."""
    tally, seen = found["tally"], found["seen"]
    wrong = [f"{name}: {tally[name]}" for name in ("out_of_sync", "gave_up") if tally[name]]
    for name in ("jumps_by_cause", "ring_jumps_by_cause"):
        count = found[name].get(UNKNOWN, 0)
        wrong += [f"{count} jumps without a cause in {name}"] if count else []
    nameless = sum(count for words, count in seen.items() if words.endswith(NAMELESS))
    if nameless:
        wrong.append(f"{nameless} requests failed without a reason")
    return wrong


def left_over(before: Found, after: Found) -> list[str]:
    """Return what is held after the run, and was not before."""
    return [
        f"{name}: {before[name]} before, {after[name]} after"
        for name, slack in SLACK.items()
        if after[name] > before[name] + slack
    ]


def _left_over(found: Found) -> list[str]:
    before, after = found["before"], found["after"]
    wrong = left_over(before, after)
    if found["playbacks_left"]:
        wrong.append(f"{found['playbacks_left']} playbacks are left open")
    grown = after["private_dirty_bytes"] - before["private_dirty_bytes"]
    if found["is_long"] and grown > MEMORY_SLACK_BYTES:
        wrong.append(f"private memory has grown by {grown >> 20} MiB")
    return wrong


def _slow(found: Found, limit_ms: float) -> list[str]:
    """Return what is wrong with the API's latency; nothing but failures where the machine was too busy."""
    api, control = found["api_ms"], found["control_ms"]
    wrong = [f"{route}: {times['errors']} requests failed" for route, times in api.items() if times["errors"]]
    if control["p99"] > CONTROL_P99_MS:
        print(f"the machine is too busy to judge the API: a server that does nothing has p99 {control['p99']:.1f} ms")
        return wrong
    slow = [(route, times["p99"]) for route, times in api.items() if times["p99"] > limit_ms]
    return wrong + [f"{route}: p99 {p99:.1f} ms" for route, p99 in slow]
