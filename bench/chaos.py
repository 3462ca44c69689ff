"""A chaos run: engines that fail in every way there is, while players come and go. `python3 dev.py chaos --help`.

Passes if every client that ended has a recorded reason, none of them `internal`; no player got a broken packet or
waited for headers without an end; the API answered in time all along; and once all is over nothing is left: no task,
descriptor, thread or playback more than before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.chaos_faults import Engines, make, plan
from bench.chaos_jumps import UNKNOWN, causes_of
from bench.chaos_players import Crowd
from bench.processes import Child

ROOT = Path(__file__).resolve().parent.parent
ROUTES = ("/api/health", "/api/aceproxy/stats", "/api/aceproxy/streams", "/api/logs/tail")
CONTROL_P99_MS = 15.0  # of a server that does nothing; from there on the machine is too busy to judge the API
RATE = 5.0  # requests a second to each route
SETTLE_S = 60.0  # until nothing may be left
SETTINGS = {
    "log_level": "info", "linger_s": "1", "recover_s": "15", "start_timeout_s": "10", "answer_timeout_s": "4",
    "stat_timeout_s": "2", "quiet_s": "1", "stuck_s": "3", "silence_s": "8", "garbage_s": "2", "trickle_s": "4",
    "slow_s": "6", "keyframe_gap_s": "6", "loop_s": "8", "reopen_s": "5", "return_s": "5", "return_proof_s": "2",
    "retry_first_s": "0.5", "engine_probe_s": "1", "bad_link_memory_s": "2", "keyframe_wait_s": "2",
}  # fmt: skip
LONG_S = 60.0  # of trouble, from which on memory is judged
GIVEN_BACK_S = 8.0  # within which a closed stream's memory is back with the system
MEMORY_SLACK_BYTES = 40 << 20  # histories fill up; of streams that are over nothing may stay
SLACK = {"tasks": 4, "threads": 8, "descriptors": 12}  # threads: of the default executor, which is filled on demand


class Proxy:
    """The program under test, in a process of its own."""

    def __init__(self, engines: Engines, folder: Path) -> None:
        urls = ",".join(f"http://127.0.0.1:{port}" for port in engines.ports)
        pairs = [f"{name}={value}" for name, value in {**SETTINGS, "listen": "127.0.0.1:0", "engines": urls}.items()]
        self.log = folder / "proxy.log"
        self._child = Child("proxy", [sys.executable, "-m", "bench.chaos_proxy", *pairs], self.log)
        self.port = int(self._child.wait_line("serves on ", 30).split()[-1])

    def get(self, path: str) -> dict[str, object]:
        """Return the JSON of a route. Raises OSError."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            found: dict[str, object] = json.loads(answer.read())
        return found

    def held(self) -> dict[str, Any]:
        """Return what the process holds now."""
        return self._tell(signal.SIGUSR2, "held ")

    def jumps(self) -> dict[str, Any]:
        """Return where counters jumped, see `chaos_jumps`."""
        return self._tell(signal.SIGUSR1, "jumps ")

    def _tell(self, number: signal.Signals, word: str) -> dict[str, Any]:
        seen = len(self._child.lines)
        os.kill(self._child.pid, number)
        deadline_at = time.monotonic() + 10
        while time.monotonic() < deadline_at:
            for line in self._child.lines[seen:]:
                if line.startswith(word):
                    found: dict[str, Any] = json.loads(line.removeprefix(word))
                    return found
            time.sleep(0.02)
        raise TimeoutError("the proxy's event loop does not answer a signal")

    def keep_log(self, path: str) -> None:
        """Copy its log, if there is a path."""
        if path:
            Path(path).write_bytes(self.log.read_bytes())

    def end(self) -> None:
        """End it."""
        self._child.end()


async def settled(proxy: Proxy, engines: Engines) -> int:
    """Wait until no stream is left and no playback open; return how many playbacks are."""
    deadline_at = time.monotonic() + SETTLE_S
    while True:
        stats = await asyncio.to_thread(proxy.get, "/api/aceproxy/stats")
        left = await asyncio.to_thread(engines.running)
        if (not stats["total_streams"] and not left) or time.monotonic() > deadline_at:
            await asyncio.sleep(1)
            return left
        await asyncio.sleep(0.2)


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
    return steps


def links(engines: Engines, rng: random.Random) -> list[str]:
    """Return what players ask for: each live channel plain, with a fallback, and with a standby."""
    ids = [str(one["content_id"]) for one in engines.contents() if one["live"]]
    found = []
    for one in ids:
        found += [f"id={one}", f"id={one}&fallback={rng.choice(ids)}"]
    return [*found, f"id={ids[0]}&standby=1"]


async def probe(port: int, seconds: float, routes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Measure the API from a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.probing", str(port), str(RATE), str(seconds), *routes,
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    out, _ = await process.communicate()
    found: dict[str, dict[str, float]] = json.loads(out)
    return found


async def run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Make the whole run; return what was found."""
    rng = random.Random(options.seed)
    engines = Engines(options.engines, options.channels, folder)
    try:
        proxy = Proxy(engines, folder)
        try:
            return await _run(options, rng, engines, proxy)
        finally:
            proxy.end()
            proxy.keep_log(options.keep_log)
    finally:
        engines.end()


async def _run(options: argparse.Namespace, rng: random.Random, engines: Engines, proxy: Proxy) -> dict[str, object]:
    queries = links(engines, rng)
    warming = Crowd(proxy.port, queries, min(10, options.players), options.seed)
    task = asyncio.create_task(warming.run())
    await asyncio.sleep(options.warm_up)
    warming.leave()
    await task
    await settled(proxy, engines)
    before = await asyncio.to_thread(proxy.held)
    served_before = await asyncio.to_thread(proxy.get, "/api/aceproxy/stats")
    crowd = Crowd(proxy.port, queries, options.players, options.seed + 1)
    playing = asyncio.create_task(crowd.run())
    probing = asyncio.create_task(probe(proxy.port, options.seconds, ROUTES))
    control = asyncio.create_task(_control(options.seconds))
    steps = await trouble(engines, options.seconds, options.hold, rng, pairs=options.pairs)
    latencies, idle_ms = await probing, await control
    crowd.leave()
    await playing
    playbacks = await settled(proxy, engines)
    await asyncio.sleep(GIVEN_BACK_S if options.seconds >= LONG_S else 0)
    after = await asyncio.to_thread(proxy.held)
    stats = await asyncio.to_thread(proxy.get, "/api/aceproxy/stats")
    jumps = await asyncio.to_thread(proxy.jumps)
    tally = {name: getattr(crowd.tally, name) for name in crowd.tally.__slots__ if name != "jumped"}
    return {
        "seed": options.seed,
        "steps": steps,
        "is_long": options.seconds >= LONG_S,
        "before": before,
        "after": after,
        "playbacks_left": playbacks,
        "stats": stats,
        "warm_up": served_before,
        "tally": tally,
        "jumps_by_cause": causes_of(crowd.tally.jumped, jumps),
        "ring_jumps_by_cause": dict(Counter(cause for *_, cause in jumps["jumps"])),
        "unexplained": [jump for *jump, cause in jumps["jumps"] if cause == UNKNOWN][:20],
        "api_ms": latencies,
        "control_ms": idle_ms,
    }


async def _control(seconds: float) -> dict[str, float]:
    """Measure a server that does nothing, as the API is measured."""
    command = [sys.executable, "-m", "bench.chaos_control"]
    with tempfile.TemporaryDirectory() as folder, Child("control", command, Path(folder) / "log") as child:
        port = int((await asyncio.to_thread(child.wait_line, "serves on ", 20)).split()[-1])
        found = await probe(port, seconds, ("/",))
    return found["/"]


def failures(found: dict[str, object], api_limit_ms: float) -> list[str]:
    """Return what is wrong with the outcome of a run."""
    wrong: list[str] = []
    stats, warm, tally, before, after = (dict(found[name]) for name in ("stats", "warm_up", "tally", "before", "after"))  # type: ignore[call-overload]  # made above
    ended = sum(stats["clients_closed_by_reason"].values())
    if ended != stats["clients_served"]:
        wrong.append(f"{stats['clients_served']} clients were served, {ended} ended with a reason")
    tables = ("clients_closed_by_reason", "closed_by_reason")
    wrong += [f"{stats[table]['internal']} times internal in {table}" for table in tables if "internal" in stats[table]]
    cut_for = sum(count for reason, count in stats["clients_closed_by_reason"].items() if reason != "client_left")
    cut_for -= sum(count for reason, count in warm["clients_closed_by_reason"].items() if reason != "client_left")
    if tally["cut"] > cut_for:
        wrong.append(f"{tally['cut']} players were cut off, only {cut_for} for a recorded reason")
    wrong += [f"{name}: {tally[name]}" for name in ("out_of_sync", "gave_up") if tally[name]]
    for name in ("jumps_by_cause", "ring_jumps_by_cause"):
        count = dict(found[name]).get(UNKNOWN, 0)  # type: ignore[call-overload]  # made above
        wrong += [f"{count} jumps without a cause in {name}"] if count else []
    nameless = tally["refused"].get("an error without a reason", 0) + tally["refused"].get("cut before the headers", 0)
    if nameless:
        wrong.append(f"{nameless} requests failed without a reason")
    wrong += [
        f"{name}: {before[name]} before, {after[name]} after"
        for name, slack in SLACK.items()
        if after[name] > before[name] + slack
    ]
    if found["playbacks_left"]:
        wrong.append(f"{found['playbacks_left']} playbacks are left open")
    grown = after["private_dirty_bytes"] - before["private_dirty_bytes"]
    if found["is_long"] and grown > MEMORY_SLACK_BYTES:
        wrong.append(f"private memory has grown by {grown >> 20} MiB")
    return wrong + _slow(found, api_limit_ms)


def _slow(found: dict[str, object], limit_ms: float) -> list[str]:
    """Return what is wrong with the API's latency; nothing but failures where the machine was too busy."""
    api, control = found["api_ms"], found["control_ms"]
    assert isinstance(api, dict)
    assert isinstance(control, dict)
    wrong = [f"{route}: {times['errors']} requests failed" for route, times in api.items() if times["errors"]]
    if control["p99"] > CONTROL_P99_MS:
        print(f"the machine is too busy to judge the API: a server that does nothing has p99 {control['p99']:.1f} ms")
        return wrong
    slow = [(route, times["p99"]) for route, times in api.items() if times["p99"] > limit_ms]
    return wrong + [f"{route}: p99 {p99:.1f} ms" for route, p99 in slow]


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").partition(".")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="of trouble (600)")
    parser.add_argument("--hold", type=float, default=4.5, help="seconds that each trouble lasts (4.5)")
    parser.add_argument("--seed", type=int, default=None, help="to repeat a run; printed")
    parser.add_argument("--players", type=int, default=40, help="at any time (40)")
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
