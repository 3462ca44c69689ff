"""What tests of several packages share: a simulated engine, the program in this process, and a simple player."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from aceproxy.app import App
from aceproxy.preparing import make_logs
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator, SimulatorConfig, broadcast
from aceproxy.simulator.clips import load_clip
from tests.players_table import ROOT, PlayersTable

pytest_plugins = ["tests.crashes", "tests.leftovers"]

hypothesis_settings.register_profile("unhurried", hypothesis_settings.default, deadline=None)
hypothesis_settings.load_profile("unhurried")  # a busy machine is no reason for a test to fail

MakeApp = Callable[..., Awaitable[App]]


@pytest.fixture(scope="session", autouse=True)
def _clips_are_read_once() -> Iterator[None]:
    """A clip never changes; every simulator of a run shares those that were read, which spares a tenth of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broadcast, "load_clip", cache(load_clip))
        yield


@contextlib.asynccontextmanager
async def running_app(**values: Any) -> AsyncIterator[App]:
    """The program on a free port, with settings by name."""
    settings = Settings.model_validate({"listen": "127.0.0.1:0", **values})
    logs = make_logs(settings)
    logs.start()
    try:
        async with App(settings, logs) as app:
            yield app
    finally:
        logs.stop()


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """A simulated engine that starts at once."""
    async with Simulator(SimulatorConfig.fast()) as simulator:
        yield simulator


@pytest.fixture
async def make_app(sim: Simulator) -> AsyncIterator[MakeApp]:
    """Makes the program, in front of the simulated engine unless other engines are given; settings by name."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**changes: Any) -> App:
            values = {"engines": [sim.url], "log_level": "debug", "retry_first_s": 0.1}
            return await stack.enter_async_context(running_app(**{**values, **changes}))

        yield make


@dataclass
class Answer:
    """An HTTP answer; `reader` is left open for a stream's body."""

    status: int
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    lines: list[str] = field(default_factory=list)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason of an error."""
        return str(self.json["error"]["reason"])

    def close(self) -> None:
        """Leave."""
        self.writer.transport.abort()


async def ask(
    app: App,
    target: str,
    method: str = "GET",
    *,
    headers: str = "",
    stream: bool = False,
    admin: bool | None = None,
    body: bytes | None = None,
    address: str | None = None,
    host: str = "test",
) -> Answer:
    """Make one request with an own connection. With `stream` the body of a 200 is left to be read.

    `admin`: with the admin secret; by default what changes something is asked so. `body` is sent as JSON. `address`:
    where to ask from (127.0.0.2, …) instead of 127.0.0.1.
    """
    if admin or (admin is None and method not in ("GET", "HEAD", "OPTIONS")):
        headers += f"Authorization: Bearer {app.secret.value}\r\n"
    if body is not None:
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    local = None if address is None else (address, 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", app.port, local_addr=local)
    try:
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        return await _exchange(reader, writer, head.encode() + (body or b""), stream)
    except BaseException:
        writer.transport.abort()
        raise


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, stream: bool) -> Answer:
    writer.write(request)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode()
    lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    status = int(lines[0].split()[1])
    body = b""
    if not (stream and status == 200):
        body = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return Answer(status, {name.lower(): value for name, value in fields.items()}, body, reader, writer)


@pytest.fixture
async def play() -> AsyncIterator[Callable[[App, str], Awaitable[Answer]]]:
    """Opens streams, and leaves them at the end of the test."""
    opened: list[Answer] = []

    async def start(app: App, target: str) -> Answer:
        answer = await ask(app, target, stream=True)
        opened.append(answer)
        return answer

    yield start
    for answer in opened:
        answer.close()


@pytest.fixture
def players_table(request: pytest.FixtureRequest) -> PlayersTable:
    """Return the table of players, for rows of this test."""
    return PlayersTable(request.node.path.relative_to(ROOT).as_posix())
