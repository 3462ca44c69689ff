"""The health check of containers: small, quick, and right about a program that hangs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest

from aceproxy import health
from aceproxy.simulator import Simulator
from tests.conftest import MakeApp
from tests.waiting import until


async def run(port: int, *arguments: str) -> int:
    return await asyncio.to_thread(health.main, list(arguments), {"ACEPROXY_LISTEN": f":{port}"})


async def test_a_program_that_answers_lives(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    await until(lambda: app.pool.snapshot()[0].state == "up")
    assert await run(app.port) == 0
    assert await run(app.port, "ready") == 0
    assert await run(app.port, "nonsense") == 2


async def test_without_an_engine_it_lives_and_is_not_ready(make_app: MakeApp) -> None:
    app = await make_app(engines=["http://127.0.0.1:9"])
    await until(lambda: app.pool.snapshot()[0].state == "down")
    assert await run(app.port) == 0
    assert await run(app.port, "ready") == 1


async def test_nothing_there_and_something_that_hangs_do_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.ask, "__defaults__", (0.2,))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await run(port) == 1
    assert await run(port) == 1


@pytest.mark.parametrize(
    ("listen", "place"),
    [
        (":6880", ("127.0.0.1", 6880)),
        ("*:1", ("127.0.0.1", 1)),
        ("0.0.0.0:2", ("127.0.0.1", 2)),
        ("[::]:3", ("127.0.0.1", 3)),
        ("[::1]:4", ("::1", 4)),
        ("192.0.2.1:5", ("192.0.2.1", 5)),
    ],
)
def test_it_asks_where_the_program_listens(listen: str, place: tuple[str, int]) -> None:
    assert health.place({"ACEPROXY_LISTEN": listen}) == place
    assert health.place({}) == ("127.0.0.1", 6880)


def test_it_imports_next_to_nothing() -> None:
    code = "import sys, aceproxy.health; print(len({'aiohttp', 'pydantic', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    assert done.stdout.strip() == b"0"
