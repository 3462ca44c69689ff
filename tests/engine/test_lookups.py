"""Questions to an engine that play nothing: few at a time, the same one once, remembered for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest

from aceproxy.engine import lookups
from aceproxy.engine.lookups import AT_ONCE, WAITING_LIMIT, Lookups
from aceproxy.engine.pool import EnginePool
from aceproxy.errors import AceProxyError, Reason
from tests.waiting import until


class Engines:
    """A pool of one engine that answers when it is told to, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.go = asyncio.Event()
        self.error: AceProxyError | None = None

    def api_for_lookups(self) -> Engines:
        return self

    async def call(self, _: str, params: Mapping[str, str]) -> object:
        self.asked.append(params["q"])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.go.wait()
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        return params["q"].upper()


@pytest.fixture
def engines() -> Engines:
    return Engines()


def make(engines: Engines) -> Lookups:
    return Lookups(cast("EnginePool", engines))


async def test_few_are_asked_at_a_time_and_too_many_are_refused(engines: Engines) -> None:
    asking = make(engines)
    tasks = [asyncio.create_task(asking.ask("/search", {"q": f"q{number}"})) for number in range(WAITING_LIMIT)]
    await until(lambda: engines.at_once == AT_ONCE)
    with pytest.raises(AceProxyError) as caught:
        await asking.ask("/search", {"q": "one more"})
    assert caught.value.reason is Reason.TOO_MANY_CLIENTS
    engines.go.set()
    assert await asyncio.gather(*tasks) == [f"Q{number}" for number in range(WAITING_LIMIT)]
    assert engines.most_at_once == AT_ONCE


async def test_the_same_question_is_asked_once_and_remembered(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = make(engines)
    same = [asyncio.create_task(asking.ask("/search", {"q": "a", "page": "0"})) for _ in range(5)]
    await until(lambda: engines.at_once == 1)
    same.pop().cancel()  # one leaves; the others get their answer
    engines.go.set()
    assert await asyncio.gather(*same) == ["A"] * 4
    assert await asking.ask("/search", {"page": "0", "q": "a"}) == "A"
    assert engines.asked == ["a"]
    await asking.ask("/server/api", {"q": "a", "page": "0"})
    assert engines.asked == ["a", "a"]
    monkeypatch.setattr(lookups, "REMEMBERED_S", 0.0)
    await asking.ask("/search", {"q": "b"})
    await asking.ask("/search", {"q": "b"})
    assert engines.asked == ["a", "a", "b", "b"]


async def test_what_is_remembered_is_bounded_and_failures_are_not(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = make(engines)
    engines.go.set()
    monkeypatch.setattr(lookups, "REMEMBERED_LIMIT", 2)
    for word in ("a", "b", "c", "c", "a"):
        await asking.ask("/search", {"q": word})
    assert engines.asked == ["a", "b", "c", "a"]
    engines.error = AceProxyError(Reason.ENGINE_TIMEOUT)
    for _ in range(2):
        with pytest.raises(AceProxyError):
            await asking.ask("/search", {"q": "bad"})
    assert engines.asked[-2:] == ["bad", "bad"]


async def test_closing_gives_up_what_is_being_asked(engines: Engines) -> None:
    asking = make(engines)
    waiting = asyncio.create_task(asking.ask("/search", {"q": "a"}))
    await until(lambda: engines.at_once == 1)
    await asking.close()
    with pytest.raises(AceProxyError) as caught:
        await waiting
    assert caught.value.reason is Reason.SHUTDOWN
    assert engines.at_once == 0
