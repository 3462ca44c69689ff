"""The programs of the chaos run: the proxy, and what measures its API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.chaos_ends import read_ends
from bench.chaos_faults import Engines
from bench.processes import Child

ROOT = Path(__file__).resolve().parent.parent
RATE = 5.0  # requests a second to each route
SETTLE_S = 60.0  # until nothing may be left
STALL_S = 12.0
RING_S = 10.0
SETTINGS = {
    "log_level": "info", "linger_s": "1", "recover_s": "15", "start_timeout_s": "10", "answer_timeout_s": "4",
    "stat_timeout_s": "2", "quiet_s": "1", "stuck_s": "3", "silence_s": "8", "garbage_s": "2", "trickle_s": "4",
    "slow_s": "6", "keyframe_gap_s": "6", "loop_s": "8", "reopen_s": "5", "return_s": "5", "return_proof_s": "2",
    "retry_first_s": "0.5", "engine_probe_s": "1", "bad_link_memory_s": "2", "keyframe_wait_s": "2",
    "client_stall_s": f"{STALL_S:g}", "ring_s": f"{RING_S:g}", "head_timeout_s": "5", "hls_silence_s": "6",
    "recording_linger_s": "2", "session_idle_s": "4",
}  # fmt: skip


class Proxy:
    """The program under test, in a process of its own."""

    def __init__(self, engines: Engines, folder: Path) -> None:
        """Start it. Raises ProcessError."""
        urls = ",".join(f"http://127.0.0.1:{port}" for port in engines.ports)
        state = folder / "state"
        own = {"listen": "127.0.0.1:0", "engines": urls, "state_dir": str(state)}
        pairs = [f"{name}={value}" for name, value in {**SETTINGS, **own}.items()]
        self.log = folder / "proxy.log"
        self._child = Child("proxy", [sys.executable, "-m", "bench.chaos_proxy", *pairs], self.log)
        self.port = int(self._child.wait_line("serves on ", 30).split()[-1])
        self.secret = self._child.wait_line("secret ", 1).split()[-1]

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON of a route. Raises OSError."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def held(self) -> dict[str, Any]:
        """Return what the process holds now."""
        return self._tell(signal.SIGUSR2, "held ")

    def seen(self) -> dict[str, Any]:
        """Return where counters jumped and why clients ended, see `chaos_jumps` and `chaos_ends`."""
        return {**self._tell(signal.SIGUSR1, "seen "), "ends": read_ends(self._child.lines)}

    def log_errors(self) -> list[str]:
        """Return the lines of its log that tell a mistake of the program, twenty at most."""
        marks = (" ERROR ", " CRITICAL ", "Traceback (")
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if any(mark in line for mark in marks)][:20]

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


async def held_at_last(proxy: Proxy, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return what the proxy holds once that is little `enough`, or after SETTLE_S: lists of streams that are over, for
    instance, can be had for a while.
    """
    deadline_at = time.monotonic() + SETTLE_S
    while True:
        found = await asyncio.to_thread(proxy.held)
        if enough(found) or time.monotonic() > deadline_at:
            return found
        await asyncio.sleep(1.0)


async def probe(port: int, seconds: float, routes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Measure the API from a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.probing", str(port), str(RATE), str(seconds), *routes,
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    out, _ = await process.communicate()
    found: dict[str, dict[str, float]] = json.loads(out)
    return found


async def control(seconds: float) -> dict[str, float]:
    """Measure a server that does nothing, as the API is measured."""
    command = [sys.executable, "-m", "bench.chaos_control"]
    with tempfile.TemporaryDirectory() as folder, Child("control", command, Path(folder) / "log") as child:
        port = int((await asyncio.to_thread(child.wait_line, "serves on ", 20)).split()[-1])
        found = await probe(port, seconds, ("/",))
    return found["/"]
