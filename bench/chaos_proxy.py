"""The program as the chaos run starts it: `python -m bench.chaos_proxy NAME=VALUE...`, each a setting.

The same objects as `aceproxy serve` builds. SIGUSR2 has it print one line of JSON with what it holds: tasks of the
event loop, threads, descriptors, resident bytes.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

import psutil

from aceproxy.app import App, make_logs
from aceproxy.settings import load_settings


def held() -> dict[str, object]:
    """Return what the process holds now. Call it on the event loop."""
    names = Counter((task.get_name().split(" ")[0] if task.get_name() else "?") for task in asyncio.all_tasks())
    return {
        "tasks": sum(names.values()),
        "task_names": dict(names.most_common(12)),
        "threads": threading.active_count(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "resident_bytes": psutil.Process().memory_info().rss,
    }


async def serve(pairs: list[str]) -> None:
    """Serve until SIGTERM."""
    settings, _ = load_settings(dict(pair.split("=", 1) for pair in pairs), {})
    logs = make_logs(settings)
    logs.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR2, lambda: print("held " + json.dumps(held()), flush=True))
    try:
        async with App(settings, logs) as app:
            print(f"serves on {app.port}", flush=True)
            await ended.wait()
    finally:
        logs.stop()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
