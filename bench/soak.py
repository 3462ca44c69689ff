"""A soak: clients of one kind come and go for long, and what the proxy holds is written down. `--help` tells how.

Each line of the table is a moment at which everybody is there; the last one is after all have left. The engines have no
faults but with `--faults`, which sets one of them every half a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.chaos_engine import dolby
from bench.chaos_fates import Fates
from bench.chaos_faults import Engines, make, plan
from bench.chaos_files import FileCrowd
from bench.chaos_hls import HlsCrowd
from bench.chaos_odd import OddCrowd
from bench.chaos_operators import Operators
from bench.chaos_players import PlayerCrowd
from bench.chaos_programs import Proxy, settled
from bench.chaos_stage import stage
from bench.chaos_visitors import FILE, SLOW_BPS, links

HOLD_S = 5.0
CALM_S = 25.0
GIVEN_BACK_S = 12.0  # within which a closed stream's memory is back with the system
COLUMNS = ("private_dirty", "python_used", "python_held", "c_used", "c_free", "c_mapped")


class Visitor(Protocol):
    """A crowd of some kind."""

    async def run(self) -> None: ...
    def leave(self) -> None: ...


class Guests:
    """Makes the crowds of a run, by kind."""

    def __init__(self, proxy: Proxy, engines: Engines, truth: bytes, count: int, seed: int) -> None:
        self.fates = Fates()
        self._proxy = proxy
        self._engines = engines
        self._truth = truth
        self._count = count
        self._random = random.Random(seed)
        self._seed = seed
        self.kinds: dict[str, Callable[[], Iterator[Visitor]]] = {
            "players": self._players, "recordings": self._recordings, "hls": self._hls, "sound": self._sound,
            "odd": self._odd, "operators": self._operators,
        }  # fmt: skip

    def _crowd(self, queries: list[str], count: int, kind: str) -> PlayerCrowd:
        return PlayerCrowd(self._proxy.port, queries, count, self._seed, self.fates, kind)

    def _players(self) -> Iterator[Visitor]:
        yield self._crowd(links(self._engines, self._random), self._count, "player")

    def _recordings(self) -> Iterator[Visitor]:
        film = next(str(one["content_id"]) for one in self._engines.contents() if one["name"] == FILE)
        yield FileCrowd(self._proxy.port, film, self._truth, self._count, self._random, self.fates)

    def _hls(self) -> Iterator[Visitor]:
        queries = links(self._engines, self._random)
        yield HlsCrowd(self._proxy.port, queries, self._count, self._random, self.fates)

    def _sound(self) -> Iterator[Visitor]:
        queries = [f"id={dolby().content_id}&audio=aac"]
        yield self._crowd(queries, self._count, "sound")
        yield HlsCrowd(self._proxy.port, queries, max(1, self._count // 4), self._random, self.fates)

    def _odd(self) -> Iterator[Visitor]:
        pictures = links(self._engines, self._random, least_bps=SLOW_BPS)
        yield OddCrowd(self._proxy.port, pictures, self._count, self._random, self.fates)

    def _operators(self) -> Iterator[Visitor]:
        yield Operators(self._proxy.port, self._proxy.secret, self._engines.ports, self._random, self.fates)
        yield self._crowd(links(self._engines, self._random), 2, "player")


async def run(options: argparse.Namespace, folder: Path) -> None:
    """Make the whole run."""
    async with stage(options.engines, options.channels, folder) as there:
        guests = Guests(there.proxy, there.engines, there.truth, options.count, options.seed)
        await _soak(options, there.engines, there.proxy, guests)


async def _soak(options: argparse.Namespace, engines: Engines, proxy: Proxy, guests: Guests) -> None:
    crowds = [crowd for kind in options.kinds for crowd in guests.kinds[kind]()]
    began_at = time.monotonic()
    heads = ("s", *COLUMNS, "objects", "tasks", "fds", "threads")
    print("".join(f"{head:>14}" for head in heads), flush=True)
    held = await _look(proxy, 0.0)
    tasks = [asyncio.create_task(crowd.run()) for crowd in crowds]
    if options.faults:
        tasks.append(asyncio.create_task(_trouble(engines, random.Random(options.seed), options.minutes * 60)))
    while time.monotonic() - began_at < options.minutes * 60:
        await asyncio.sleep(options.every)
        before, held = held, await _look(proxy, time.monotonic() - began_at)
        if options.objects:
            _tell_growth(before["objects"], held["objects"])
    for crowd in crowds:
        crowd.leave()
    await asyncio.gather(*tasks)
    await settled(proxy, engines)
    await asyncio.sleep(GIVEN_BACK_S)
    held = await _look(proxy, time.monotonic() - began_at)
    print("held " + json.dumps(held))
    print("seen " + json.dumps(dict(sorted(guests.fates.seen.items()))))
    for words, times in guests.fates.wrongs.items():
        print(f"WRONG {words} ({times} times)")


async def _look(proxy: Proxy, at_s: float) -> dict[str, Any]:
    """Print and return what the proxy holds now."""
    held = await asyncio.to_thread(proxy.held)
    sizes = [f"{held[f'{name}_bytes'] / (1 << 20):.1f}" for name in COLUMNS]
    counts = [sum(held["objects"].values()), held["tasks"], held["descriptors"], held["threads"]]
    print("".join(f"{cell:>14}" for cell in (f"{at_s:.0f}", *sizes, *counts)), flush=True)
    return held


def _tell_growth(before: dict[str, int], after: dict[str, int]) -> None:
    grown = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0) + 20}
    print("    " + ", ".join(f"{name} +{count}" for name, count in list(grown.items())[:12]), flush=True)


async def _trouble(engines: Engines, rng: random.Random, seconds: float) -> None:
    infohashes = [str(one["infohash"]) for one in engines.contents() if one["live"]]
    until_at = time.monotonic() + seconds - HOLD_S - CALM_S
    for troubles in plan(rng, len(engines.ports), infohashes):
        if time.monotonic() >= until_at:
            return
        await make(engines, troubles, HOLD_S, CALM_S)


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition(".")[0])
    kinds = ("players", "recordings", "hls", "sound", "odd", "operators")
    parser.add_argument("kinds", nargs="+", choices=kinds, help="who comes and goes")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two lines (60)")
    parser.add_argument("--count", type=int, default=8, help="of each kind at any time (8)")
    parser.add_argument("--engines", type=int, default=2)
    parser.add_argument("--channels", type=int, default=1, help="further test channels (1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", action="store_true", help="set a fault of the engines every half a minute")
    parser.add_argument("--objects", action="store_true", help="tell which objects have become more")
    return parser


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="aceproxy-soak-") as own_folder:
        asyncio.run(run(arguments().parse_args(), Path(own_folder)))
