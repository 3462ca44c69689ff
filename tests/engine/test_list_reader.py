"""A source that is a list: what counts as its silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from aceproxy.engine.fetching import Fetcher
from aceproxy.engine.list_reader import COVER, COVER_LIMIT_S, ListReader
from aceproxy.engine.playlist import MediaList, Segment
from tests.waiting import until


class OneSegment:
    """An origin that has one segment and never another."""

    async def chunks(self, url: str, limit_bytes: int, timeout_s: float) -> AsyncGenerator[bytes, None]:
        """Fetch the segment."""
        yield bytes(188)

    async def text(self, url: str, limit_bytes: int, timeout_s: float) -> tuple[str, str]:
        """Ask for the list again: no answer."""
        await asyncio.Event().wait()
        raise AssertionError("never")


class Bin:
    """A sink that keeps nothing."""

    def __init__(self) -> None:
        self._room = memoryview(bytearray(1024))

    def room(self) -> memoryview:
        """See ByteSink."""
        return self._room

    def filled(self, count: int) -> None:
        """See ByteSink."""


async def silence_s(target_s: float, passed_s: float, monkeypatch: pytest.MonkeyPatch) -> float:
    """Tell for how long a list counts as silent, so long after its only segment."""
    segments = (Segment(1, "http://origin.example/1.ts", target_s),)
    first = MediaList(segments, target_s, is_complete=False)
    reader = ListReader(cast("Fetcher", OneSegment()), "http://origin.example/a.m3u8", first, Bin())
    try:
        await until(reader.started.is_set)
        loop = asyncio.get_running_loop()
        now = reader._last_byte_at + passed_s
        with monkeypatch.context() as patched:
            patched.setattr(loop, "time", lambda: now)
            return now - reader.last_byte_at
    finally:
        reader.close()


async def test_between_two_segments_a_list_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await silence_s(6.0, 6.0, monkeypatch) == 0
    assert await silence_s(6.0, 6.0 * COVER, monkeypatch) == 0


async def test_after_that_it_is_whatever_target_it_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await silence_s(6.0, 6.0 * COVER + 4.0, monkeypatch) == pytest.approx(4.0)
    assert await silence_s(120.0, COVER_LIMIT_S + 4.0, monkeypatch) == pytest.approx(4.0)
