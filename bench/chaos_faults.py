"""The trouble of the chaos run: each fault of the simulated engine alone, then random pairs, and engines that die or
stand still.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from aceproxy.simulator import FAULTS
from bench.processes import Child, free_port, wait_port

KILL, STOP = "kill -9", "SIGSTOP"
OF_PROCESSES = (KILL, STOP)
DAMAGING = frozenset(  # what is sent while one of these lasts need not be decodable
    ("encrypted", "garbage", "garbage-between", "garbage-first", "clock-jumps", "clock-stuck", "one-packet-per-second",
     "no-keyframes", "mp4-bytes", "second-reader", "loop", "repeats", "slow-media")
)  # fmt: skip
QUICK_VALUES = {  # seconds after which a fault sets in, or that it lasts: it would be over before otherwise
    "stall-after": "0", "frozen-after": "0", "forgotten-after": "0", "rst-after": "0", "eof-after": "0",
    "session-vanishes": "1", "slow-start": "3", "down": "2", "loop": "3", "repeats": "3", "clock-jumps": "0",
    "drip-answers": "0.002",
}  # fmt: skip
LIMIT_S = 5.0
DROUGHT = "stall-after"  # on every engine: nobody has anything


@dataclass(frozen=True, slots=True)
class Trouble:
    """One fault on some engines; `infohash` None: on all contents."""

    name: str
    engines: tuple[int, ...]
    infohash: str | None

    def __str__(self) -> str:
        """Say it on one line."""
        where = f"@{self.infohash[:8]}" if self.infohash else ""
        return f"{self.name}{where} on {','.join(map(str, self.engines))}"


class Engines:
    """Simulated engines of one swarm, on ports of their own."""

    def __init__(self, count: int, channels: int, folder: Path, clips: Path | None = None) -> None:
        """Start them; with `clips` they have the channel of `chaos_engine`. Raises ProcessError."""
        self.ports = [free_port() for _ in range(count)]
        self.damaged_until_at = -math.inf  # monotonic: until when what they send need not be decodable
        self.droughts: list[tuple[float, float]] = []  # monotonic: from when to when none of them sent anything
        self._program = ["-m", "aceproxy.simulator"] if clips is None else ["-m", "bench.chaos_engine", str(clips)]
        self._channels = channels
        self._folder = folder
        self._children = [self._start(number) for number in range(count)]

    def _start(self, number: int) -> Child:
        port = self.ports[number]
        command = [sys.executable, *self._program, "--fast", "--in-step", "--channels", str(self._channels)]
        child = Child(
            f"engine {number}",
            [*command, "--listen", f"127.0.0.1:{port}"],
            self._folder / f"engine-{number}.log",
        )
        wait_port(child, port, 20)
        return child

    def ask(self, number: int, method: str, path: str, body: object = None) -> dict[str, object]:
        """Make one request to an engine's control routes. Raises OSError."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self.ports[number]}{path}", data=data, method=method)
        with urlopen(request, timeout=LIMIT_S) as answer:
            found: dict[str, object] = json.loads(answer.read())
        return found

    def contents(self) -> list[dict[str, object]]:
        """Return what they broadcast."""
        found = self.ask(0, "GET", "/simulator/state")["contents"]
        assert isinstance(found, list)
        return found

    def running(self) -> int:
        """Return how many playbacks are open on all of them."""
        total = 0
        for number in range(len(self.ports)):
            playbacks = self.ask(number, "GET", "/simulator/state")["playbacks"]
            assert isinstance(playbacks, list)
            total += sum(one["stopped_s_ago"] is None for one in playbacks)
        return total

    def was_damaged(self, since_at: float) -> bool:
        """Whether what they have sent since a moment need not be right."""
        return since_at < self.damaged_until_at

    def kill(self, number: int) -> None:
        """Kill an engine without a word."""
        os.kill(self._children[number].pid, signal.SIGKILL)
        self._children[number].end()

    def stop(self, number: int) -> None:
        """Have an engine stand still: its connections stay, and take what the system holds for them."""
        os.kill(self._children[number].pid, signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        """Have it go on."""
        os.kill(self._children[number].pid, signal.SIGCONT)

    def revive(self, number: int) -> None:
        """Start a killed engine again, on its port."""
        self._children[number] = self._start(number)

    def end(self) -> None:
        """End all."""
        for child in self._children:
            child.end()


def plan(
    rng: random.Random, engines: int, infohashes: list[str], *, alone: bool = True
) -> Iterator[tuple[Trouble, ...]]:
    """Yield what goes wrong: every fault alone, in random order, then random pairs for ever."""
    names = [*FAULTS, *OF_PROCESSES]
    rng.shuffle(names)
    for name in names if alone else ():
        yield (_trouble(rng, name, engines, infohashes),)
    while True:
        one, other = rng.sample(names, 2)
        yield _trouble(rng, one, engines, infohashes), _trouble(rng, other, engines, infohashes)


def _trouble(rng: random.Random, name: str, engines: int, infohashes: list[str]) -> Trouble:
    hit = tuple(range(engines)) if rng.random() < 0.2 else (rng.randrange(engines),)
    is_wide = name in OF_PROCESSES or FAULTS[name].engine_wide
    return Trouble(name, hit, None if is_wide or rng.random() < 0.5 else rng.choice(infohashes))


async def make(engines: Engines, troubles: tuple[Trouble, ...], hold_s: float, calm_s: float) -> None:
    """Let it happen for `hold_s`, mend it, and leave `calm_s` of peace."""
    hit: dict[str, set[int]] = {KILL: set(), STOP: set()}
    for trouble in troubles:
        if trouble.name in DAMAGING:
            engines.damaged_until_at = time.monotonic() + hold_s
        for number in trouble.engines:
            if trouble.name in hit:
                hit[trouble.name].add(number)
            else:
                await asyncio.to_thread(_set, engines, number, trouble)
    for number in hit[KILL]:
        await asyncio.to_thread(engines.kill, number)
    for number in hit[STOP] - hit[KILL]:
        engines.stop(number)
    await asyncio.sleep(hold_s)
    for number in hit[STOP] - hit[KILL]:
        engines.go_on(number)
    for number in hit[KILL]:
        await asyncio.to_thread(engines.revive, number)
    for number in range(len(engines.ports)):
        await asyncio.to_thread(_clear, engines, number)
    await asyncio.sleep(calm_s)


async def make_drought(engines: Engines, hold_s: float, calm_s: float) -> None:
    """Let the swarm stand still for `hold_s`: no engine sends anything of any broadcast. Leave `calm_s` of peace."""
    everywhere = range(len(engines.ports))
    for number in everywhere:
        await asyncio.to_thread(_set, engines, number, Trouble(DROUGHT, tuple(everywhere), None))
    began_at = time.monotonic()
    await asyncio.sleep(hold_s)
    engines.droughts.append((began_at, time.monotonic()))
    for number in everywhere:
        await asyncio.to_thread(_clear, engines, number)
    await asyncio.sleep(calm_s)


def _set(engines: Engines, number: int, trouble: Trouble) -> None:
    order = {"name": trouble.name, "value": QUICK_VALUES.get(trouble.name), "infohash": trouble.infohash, "times": None}
    try:
        engines.ask(number, "POST", "/simulator/faults", order)
    except OSError:
        return  # another fault of the pair has closed its port


def _clear(engines: Engines, number: int) -> None:
    for _ in range(3):
        try:
            engines.ask(number, "DELETE", "/simulator/faults")
        except OSError:
            continue
        return
