"""`aceproxy demo`: the program with a simulated engine, for a first minute without any engine."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from aceproxy.app import App
from aceproxy.logs import Logs
from aceproxy.settings import Settings

START_LIMIT_S = 20.0
STOP_LIMIT_S = 3.0
PREBUFFER_S = 1.5  # short, for a picture at once; a real engine takes longer
TRANSPORT_HOSTS = "*.example"  # where the simulator's transport files are said to lie; nothing is ever fetched


@dataclass(frozen=True, slots=True)
class DemoEngine:
    """The simulated engine: its address and what it plays, as its control route tells."""

    url: str
    contents: list[dict[str, Any]]


async def run_demo(
    settings: Settings, logs: Logs, channels: int, asked: asyncio.Event, say: Callable[[str], object]
) -> None:
    """Run a simulated engine in a process of its own and the proxy in front of it, until `asked` is set.

    A process of its own, as with a real engine: what it computes is not felt by the proxy. Raises OSError if an
    address is taken or the simulator does not start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "aceproxy.simulator", "--listen", "127.0.0.1:0", "--channels", str(channels)),
        *("--prebuffer", str(PREBUFFER_S)),
        "--end-with-stdin",  # so that it never outlives us, however we end
        start_new_session=True,  # Ctrl-C is for us; the engine must still be there for the stops
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        engine = await _wait_for_engine(process)
        changes = {"engines": (engine.url,), "url_hosts": (*settings.url_hosts, TRANSPORT_HOSTS)}
        async with App(Settings.model_validate({**settings.model_dump(), **changes}), logs) as app:
            for line in _words(engine, app.port, app.sign_in_link):
                say(line)
            ended = asyncio.create_task(process.wait())
            asking = asyncio.create_task(asked.wait())
            await asyncio.wait({ended, asking}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            asking.cancel()
    finally:
        await _end(process)


async def _wait_for_engine(process: asyncio.subprocess.Process) -> DemoEngine:
    """Read the engine's address from its first line, and what it plays from its control route."""
    assert process.stdout is not None
    async with asyncio.timeout(START_LIMIT_S):
        first = (await process.stdout.readline()).decode()
        if not first:
            raise OSError("the engine simulator did not start")
        url = first.split()[-1]
        state = await asyncio.to_thread(_read_json, f"{url}/simulator/state")
    return DemoEngine(url, state["contents"])


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


def _words(engine: DemoEngine, port: int, sign_in_link: str | None) -> list[str]:
    """What the newcomer reads: one link a line, whole, so that it can be copied from anywhere."""
    base = f"http://127.0.0.1:{port}"
    lines = ["", "AceProxy runs with a simulated engine. Open one of these in VLC, mpv, Kodi or ffplay:", ""]
    lines += [
        f"{base}/ace/getstream?id={content['content_id']}   {content['name']}"
        for content in engine.contents
        if content["live"]
    ]
    lines += ["", f"{base}/   the dashboard", f"{engine.url}/simulator/   the simulated engine, and how to break it"]
    if sign_in_link is not None:
        lines += ["", f"{sign_in_link}   sign in as admin"]
    return [*lines, "", "Ctrl-C ends it."]
