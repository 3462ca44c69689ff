"""How long an opening is waited for, by what the engine says of it."""

from __future__ import annotations

import asyncio

import pytest

from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.patience import open_while_promising
from tests.waiting import until


class Opening:
    """An opening that is under way until it is told to end."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.changed = asyncio.Event()
        self.is_over = asyncio.Event()
        self.cancelled = False

    def say(self, status: str) -> None:
        """Let the engine tell something."""
        self.status = status
        self.changed.set()

    async def run(self) -> None:
        """Open."""
        try:
            await self.is_over.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def waited_for(self, patience_s: float, delivery_s: float = 0.01) -> asyncio.Task[None]:
        """Begin to wait for it."""
        waiting = open_while_promising(self.run(), lambda: self.status, self.changed, patience_s, delivery_s)
        return asyncio.get_running_loop().create_task(waiting)


async def test_an_opening_of_which_nothing_is_heard_is_given_up() -> None:
    opening = Opening()
    with pytest.raises(AceProxyError) as caught:
        await opening.waited_for(0.01)
    assert caught.value.reason is Reason.NO_DATA
    assert opening.cancelled


async def test_one_that_collects_data_is_waited_for_until_it_does_so_no_more() -> None:
    opening = Opening()
    opening.say("prebuf")
    waiting = opening.waited_for(0.0)
    for _ in range(20):
        opening.say("check")
        await asyncio.sleep(0)
    assert not waiting.done()
    opening.say("dl")  # it says that it plays, and nothing comes
    await until(waiting.done)
    assert isinstance(waiting.exception(), AceProxyError)
    assert opening.cancelled


async def test_one_that_has_just_collected_enough_is_not_left_before_it_could_deliver() -> None:
    opening = Opening()
    opening.say("prebuf")
    waiting = opening.waited_for(0.0, delivery_s=60.0)
    await asyncio.sleep(0)
    opening.say("dl")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    opening.is_over.set()
    await waiting
    assert not opening.cancelled


async def test_one_that_collects_and_loses_it_again_and_again_is_left() -> None:
    opening = Opening()
    waiting = opening.waited_for(0.0, delivery_s=0.05)
    for _ in range(400):
        opening.say("prebuf")
        await asyncio.sleep(0)
        opening.say("dl")
        await asyncio.sleep(0.005)
        if waiting.done():
            break
    assert waiting.done()
    assert isinstance(waiting.exception(), AceProxyError)


async def test_one_that_plays_from_the_first_word_on_has_the_ordinary_time() -> None:
    opening = Opening()
    opening.say("dl")
    with pytest.raises(AceProxyError) as caught:
        await opening.waited_for(0.01, delivery_s=60.0)
    assert caught.value.reason is Reason.NO_DATA


async def test_one_that_succeeds_late_or_fails_is_what_is_told() -> None:
    opening = Opening()
    opening.say("buf")
    waiting = opening.waited_for(0.0)
    await asyncio.sleep(0)
    opening.is_over.set()
    await waiting

    async def fail() -> None:
        raise AceProxyError(Reason.NO_PEERS)

    with pytest.raises(AceProxyError) as caught:
        await open_while_promising(fail(), lambda: None, asyncio.Event(), 10.0)
    assert caught.value.reason is Reason.NO_PEERS


async def test_who_gives_up_waiting_ends_the_opening() -> None:
    opening = Opening()
    opening.say("buf")
    waiting = opening.waited_for(0.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert opening.cancelled
