"""The program as the chaos run starts it: `python -m bench.chaos_proxy NAME=VALUE...`, each a setting.

The same objects as `aceproxy serve` builds. SIGUSR2 has it print one line of JSON with what it holds: tasks of the
event loop, threads, descriptors, children, memory. SIGUSR1 has it print where counters jumped, see `chaos_jumps`, and
which clients ended why, see `chaos_ends`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import psutil

from aceproxy.app import App
from aceproxy.calming import calm_allocator, calm_collector
from aceproxy.preparing import make_logs
from aceproxy.settings import load_settings
from aceproxy.streams.block import Block
from bench.chaos_ends import watch_ends
from bench.chaos_jumps import watch
from bench.heap import allocators, kinds_of_objects, memory

BEAT_S = 0.02
STUCK_S = 0.1
OBJECT_KINDS = 40


def descriptor_kinds() -> Counter[str]:
    """Count the open descriptors by what they are: sockets with their state, files by name."""
    states = {one.fd: f"socket {one.status}" for one in psutil.Process().net_connections()}
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            target = str(path.readlink())
            found[states.get(int(path.name), target.partition(":")[0])] += 1
    return found


def held() -> dict[str, object]:
    """Return what the process holds now. Call it on the event loop."""
    names = Counter((task.get_name().split(" ")[0] if task.get_name() else "?") for task in asyncio.all_tasks())
    kinds = descriptor_kinds()
    return {
        "tasks": sum(names.values()),
        "task_names": dict(names.most_common(12)),
        "threads": threading.active_count(),
        "descriptors": sum(kinds.values()),
        "descriptor_kinds": dict(kinds.most_common(12)),
        "children": len(psutil.Process().children()),
        "resident_bytes": psutil.Process().memory_info().rss,
        **memory(),
        **allocators(),
        "blocks": sum(isinstance(one, Block) for one in gc.get_objects()),
        "objects": kinds_of_objects(OBJECT_KINDS),
    }


class Watchdog:
    """Writes down what the event loop is doing whenever it has not turned for STUCK_S."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._main = threading.main_thread().ident or 0
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def beat(self) -> None:
        """Turn with the event loop, for ever."""
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(BEAT_S)

    def _watch(self) -> None:
        while True:
            time.sleep(STUCK_S / 2)
            late_s = time.monotonic() - self._beat_at
            if late_s > STUCK_S:
                frame = sys._current_frames().get(self._main)  # noqa: SLF001 - the only way to see another thread's frame
                lines = traceback.format_stack(frame)[-4:]
                print(f"stuck for {late_s:.2f} s:", "".join(lines), file=sys.stderr, flush=True)


async def serve(pairs: list[str]) -> None:
    """Serve until SIGTERM."""
    settings, _ = load_settings(dict(pair.split("=", 1) for pair in pairs), {})
    jumps, ends = watch(), watch_ends()
    logs = make_logs(settings)
    logs.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR2, lambda: print("held " + json.dumps(held()), flush=True))
    loop.add_signal_handler(
        signal.SIGUSR1, lambda: print("seen " + json.dumps({**jumps.told(), **ends.told()}), flush=True)
    )
    beating = asyncio.create_task(Watchdog().beat(), name="beat")
    try:
        async with App(settings, logs) as app:
            print(f"secret {app.secret.value}", flush=True)
            print(f"serves on {app.port}", flush=True)
            await ended.wait()
    finally:
        beating.cancel()
        logs.stop()


if __name__ == "__main__":
    calm_allocator()  # as `aceproxy serve` does
    calm_collector()
    asyncio.run(serve(sys.argv[1:]))
