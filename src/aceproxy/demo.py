"""`aceproxy demo`: the program with simulated engines, for a first minute without any engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from aceproxy.app import App
from aceproxy.live import THE_START, Load
from aceproxy.logs import Logs
from aceproxy.settings import checked_settings

START_LIMIT_S = 20.0
STOP_LIMIT_S = 3.0
PREBUFFER_S = 1.5  # short, for a picture at once; a real engine takes longer
TRANSPORT_HOSTS = "*.example"  # where the simulator's transport files are said to lie; nothing is ever fetched


@dataclass(frozen=True, slots=True)
class DemoEngine:
    """A simulated engine: its process, its address and what it plays, as its control route tells."""

    process: asyncio.subprocess.Process
    label: str
    url: str
    contents: list[dict[str, Any]]


async def run_demo(
    read: Load, logs: Logs, channels: int, engines: int, asked: asyncio.Event, say: Callable[[str], object]
) -> None:
    """Run simulated engines in processes of their own and the proxy in front of them, until `asked` is set.

    Processes of their own, as with real engines: what they compute is not felt by the proxy, and one can be killed
    while the other goes on. Ends too when the last engine has ended. `read` reads the settings from where they are
    given. Raises OSError if an address is taken or a simulator does not start, SettingsError.
    """
    async with contextlib.AsyncExitStack() as stack:
        processes = [await _start_engine(stack, channels) for _ in range(engines)]
        running = [await _wait_for_engine(process, f"demo-{at}") for at, process in enumerate(processes, 1)]
        entries = [{"url": engine.url, "label": engine.label} for engine in running]

        def load() -> tuple[dict[str, Any], dict[str, str]]:
            values, origin = read()
            hosts = checked_settings(values, origin).url_hosts
            changes = {"engines": entries, "url_hosts": (*hosts, TRANSPORT_HOSTS)}
            return {**values, **changes}, {**origin, **dict.fromkeys(changes, THE_START)}

        settings = checked_settings(*await asyncio.to_thread(load))
        async with App(settings, logs, load) as app:
            for line in _words(running, app.port, app.sign_in_link):
                say(line)
            await _until_over(running, asked, say)


async def _until_over(running: list[DemoEngine], asked: asyncio.Event, say: Callable[[str], object]) -> None:
    """Wait until leaving is asked or no engine is left; tell of each one that ends."""
    ends = {asyncio.create_task(engine.process.wait()): engine for engine in running}
    asking = asyncio.create_task(asked.wait())
    try:
        while ends and not asking.done():
            done, _ = await asyncio.wait({*ends, asking}, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in ends if task in done]:
                engine = ends.pop(task)
                rest = f"; {len(ends)} left." if ends else ". It was the last one, and the demo ends with it."
                say(f"The engine {engine.label} has ended{rest}")
    finally:
        for task in (*ends, asking):
            task.cancel()


async def _start_engine(stack: contextlib.AsyncExitStack, channels: int) -> asyncio.subprocess.Process:
    """Start a simulator; it is ended with `stack`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "aceproxy.simulator", "--listen", "127.0.0.1:0", "--channels", str(channels)),
        *("--prebuffer", str(PREBUFFER_S)),
        "--end-with-stdin",  # so that it never outlives us, however we end
        start_new_session=True,  # Ctrl-C is for us; the engine must still be there for the stops
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    stack.push_async_callback(_end, process)
    return process


async def _wait_for_engine(process: asyncio.subprocess.Process, label: str) -> DemoEngine:
    """Read the engine's address from its first line, and what it plays from its control route."""
    assert process.stdout is not None
    async with asyncio.timeout(START_LIMIT_S):
        first = (await process.stdout.readline()).decode()
        if not first:
            raise OSError("the engine simulator did not start")
        url = first.split()[-1]
        state = await asyncio.to_thread(_read_json, f"{url}/simulator/state")
    return DemoEngine(process, label, url, state["contents"])


def _read_json(url: str) -> dict[str, Any]:
    with urlopen(url, timeout=2) as answer:  # noqa: S310 - our own child on loopback
        state: dict[str, Any] = json.load(answer)
        return state


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _words(engines: list[DemoEngine], port: int, sign_in_link: str | None) -> list[str]:
    """What the newcomer reads: one link a line, whole, so that it can be copied from anywhere."""
    base = f"http://127.0.0.1:{port}"
    what = "a simulated engine" if len(engines) == 1 else f"{len(engines)} simulated engines"
    lines = ["", f"AceProxy runs with {what}. Open one of these in VLC, mpv, Kodi or ffplay:", ""]
    lines += [
        f"{base}/ace/getstream?id={content['content_id']}   {content['name']}"
        for content in engines[0].contents
        if content["live"]
    ]
    lines += ["", f"{base}/   the dashboard"]
    if len(engines) == 1:
        lines += [f"{engines[0].url}/simulator/   the simulated engine, and how to break it"]
    else:
        lines += [f"{one.url}/simulator/   engine {one.label}, and how to break it" for one in engines]
        lines += ["", "To see what happens when an engine dies, play something and kill the engine it comes from:", ""]
        lines += [f"kill -9 {one.process.pid}   {one.label}" for one in engines]
    if sign_in_link is not None:
        lines += ["", f"{sign_in_link}   sign in as admin"]
    return [*lines, "", "Ctrl-C ends it."]
