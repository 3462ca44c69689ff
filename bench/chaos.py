"""A chaos run: engines that fail in every way there is, while clients of all kinds come and go. `--help` tells how.

Passes if every client that ended has a recorded reason that fits what it saw, none of them `internal`; no client got a
broken packet, list, segment or byte of a file, or waited without an end; the API answered in time all along; and once
all is over nothing is left: no task, descriptor, thread, child process or playback more than before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.chaos_fates import Fates
from bench.chaos_faults import Engines, make, make_drought, plan
from bench.chaos_jumps import UNKNOWN
from bench.chaos_players import PlayerCrowd
from bench.chaos_programs import Proxy, control, held_at_last, probe, settled
from bench.chaos_stage import stage
from bench.chaos_verdict import failures, left_over
from bench.chaos_visitors import Visitors, links

ROUTES = ("/api/health", "/api/aceproxy/stats", "/api/aceproxy/streams", "/api/logs/tail")
DROUGHT_STEPS = 20  # of trouble, after each of which the swarm stands still
DROUGHT_S = 16.0  # longer than who does not read may stay, shorter than what a stream waits for its source
LONG_S = 60.0  # of trouble, from which on memory is judged
GIVEN_BACK_S = 8.0  # within which a closed stream's memory is back with the system


async def trouble(engines: Engines, seconds: float, hold_s: float, rng: random.Random, *, pairs: bool) -> int:
    """Make trouble for so long; return how many steps there were."""
    infohashes = [str(one["infohash"]) for one in engines.contents() if one["live"]]
    until_at, steps = time.monotonic() + seconds, 0
    for troubles in plan(rng, len(engines.ports), infohashes, alone=not pairs):
        if time.monotonic() >= until_at:
            return steps
        print(f"{seconds - until_at + time.monotonic():6.1f} s  {' and '.join(map(str, troubles))}", flush=True)
        await make(engines, troubles, hold_s, hold_s / 3)
        steps += 1
        if steps % DROUGHT_STEPS == DROUGHT_STEPS // 2 and time.monotonic() + DROUGHT_S < until_at:
            print(f"{seconds - until_at + time.monotonic():6.1f} s  the swarm stands still", flush=True)
            await make_drought(engines, DROUGHT_S, hold_s / 3)
    return steps


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make the whole run; return what was found."""
    rng = random.Random(options.seed)
    async with stage(options.engines, options.channels, folder, options.keep_log) as there:
        engines, proxy = there.engines, there.proxy
        await _warm_up(options, engines, proxy)
        visitors = Visitors(proxy, engines, there.truth, options.players, options.seed + 1, has_dolby=there.has_dolby)
        return {"seed": options.seed, **await _run(options, rng, engines, proxy, visitors)}


async def _warm_up(options: argparse.Namespace, engines: Engines, proxy: Proxy) -> None:
    """Have a few players for a while, so that what is loaded and grown once is there before anything is measured."""
    some = PlayerCrowd(
        proxy.port, links(engines, random.Random(0)), min(10, options.players), options.seed, Fates(), "first"
    )
    task = asyncio.create_task(some.run())
    await asyncio.sleep(options.warm_up)
    some.leave()
    await task
    await settled(proxy, engines)


async def _run(
    options: argparse.Namespace, rng: random.Random, engines: Engines, proxy: Proxy, visitors: Visitors
) -> dict[str, Any]:
    before = await asyncio.to_thread(proxy.held)
    playing = asyncio.create_task(visitors.run())
    probing = asyncio.create_task(probe(proxy.port, options.seconds, ROUTES))
    controlling = asyncio.create_task(control(options.seconds))
    steps = await trouble(engines, options.seconds, options.hold, rng, pairs=options.pairs)
    latencies, idle_ms = await probing, await controlling
    visitors.leave()
    await playing
    await settled(proxy, engines)
    await visitors.play_file()
    playbacks = await settled(proxy, engines)
    is_long = options.seconds >= LONG_S
    await asyncio.sleep(GIVEN_BACK_S if is_long else 0)
    after = await held_at_last(proxy, lambda held: not left_over(before, held))
    stats = await asyncio.to_thread(proxy.get, "/api/aceproxy/stats")
    told = await visitors.told()
    ring_jumps = told.pop("ring_jumps")
    return {
        "before": before,
        "steps": steps,
        "is_long": is_long,
        "after": after,
        "playbacks_left": playbacks,
        "stats": stats,
        **told,
        "ring_jumps_by_cause": dict(Counter(cause for *_, cause in ring_jumps)),
        "unexplained": [jump for *jump, cause in ring_jumps if cause == UNKNOWN][:20],
        "log_errors": proxy.log_errors(),
        "api_ms": latencies,
        "control_ms": idle_ms,
    }


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").partition(".")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="of trouble (600)")
    parser.add_argument("--hold", type=float, default=4.5, help="seconds that each trouble lasts (4.5)")
    parser.add_argument("--seed", type=int, default=None, help="to repeat a run; printed")
    parser.add_argument("--players", type=int, default=30, help="ordinary ones at any time (30); half as many odd ones")
    parser.add_argument("--engines", type=int, default=3)
    parser.add_argument("--channels", type=int, default=3, help="further test channels (3)")
    parser.add_argument("--warm-up", type=float, default=8.0, help="seconds of peace before anything is measured (8)")
    parser.add_argument("--api-ms", type=float, default=50.0, help="limit of the API's p99 (50)")
    parser.add_argument("--pairs", action="store_true", help="random pairs from the start, no fault alone")
    parser.add_argument("--keep-log", default="", metavar="FILE", help="where to copy the proxy's log")
    return parser


def main() -> int:
    """Run; return 0 if all is well, 1 if not."""
    options = arguments().parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="aceproxy-chaos-") as folder:
        found = asyncio.run(run(options, Path(folder)))
    wrong = failures(found, options.api_ms)
    print("found " + json.dumps(found))
    for line in wrong:
        print(f"WRONG {line}")
    print("FAIL" if wrong else "ok")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
