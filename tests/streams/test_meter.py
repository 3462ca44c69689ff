"""The meter of a source: one viewing, told once, with what was said about the loss right after the end."""

from __future__ import annotations

import asyncio

import pytest

from aceproxy.errors import Reason
from aceproxy.streams.meter import WORTH_TELLING_S, Meter
from aceproxy.streams.quality import Viewing
from aceproxy.streams.snapshot import EngineStat

ENGINE = "http://127.0.0.1:6878"


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A meter, its clock, and what it told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[Viewing] = []
        self.meter = Meter(self.told.append, self.clock)

    def run(self, seconds: int, *, silent: bool = False, stat: EngineStat | None = None) -> None:
        """Look once a second."""
        last_byte_at = self.clock.now
        for _ in range(seconds):
            self.clock.now += 1
            seen = stat or EngineStat(status="dl", peers=10, speed_down_bps=4_000_000)
            self.meter.look(last_byte_at if silent else self.clock.now, seen, 5e6, "Clock One")

    async def end(self) -> Viewing:
        """Close, twice, and return the one viewing."""
        self.meter.close()
        self.meter.close()
        await asyncio.sleep(0)
        (viewing,) = self.told
        return viewing


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_a_viewing_has_what_was_measured(watched: Watched) -> None:
    watched.meter.begin("content_id:a", ENGINE, 1.5)
    watched.run(60)
    watched.run(10, silent=True)
    watched.run(30)
    viewing = await watched.end()
    assert (viewing.key, viewing.engine, viewing.title, viewing.start_s) == ("content_id:a", ENGINE, "Clock One", 1.5)
    assert viewing.watched_s == 100.0
    assert viewing.stalls == 1
    assert viewing.stalled_s == 10.0
    assert viewing.speed_ratio == pytest.approx(0.8)
    assert viewing.peers == pytest.approx(10)
    assert viewing.reason is None


async def test_what_is_said_about_the_loss_after_the_end_still_counts_and_the_first_fault_wins(
    watched: Watched,
) -> None:
    watched.meter.begin("k", ENGINE, 1.0)
    watched.run(2)
    watched.meter.lost(Reason.LINGER_OVER)
    watched.meter.close()
    watched.meter.lost(Reason.SOURCE_STALLED)
    watched.meter.lost(Reason.SOURCE_ENDED)
    viewing = await watched.end()
    assert viewing.reason is Reason.SOURCE_STALLED


@pytest.mark.parametrize(("seconds", "told"), [(int(WORTH_TELLING_S) - 1, 0), (int(WORTH_TELLING_S) + 1, 1)])
async def test_zapping_tells_nothing(watched: Watched, seconds: int, told: int) -> None:
    watched.meter.begin("k", ENGINE, 1.0)
    watched.run(seconds)
    watched.meter.close()
    await asyncio.sleep(0)
    assert len(watched.told) == told


async def test_a_source_that_never_delivered_tells_only_its_failures(watched: Watched) -> None:
    watched.meter.failed("k", ENGINE, Reason.NO_PEERS)
    watched.run(10)
    assert await watched.end() == Viewing("k", ENGINE, reason=Reason.NO_PEERS)


async def test_a_ratio_is_at_most_one_and_unknown_where_the_engine_tells_nothing(watched: Watched) -> None:
    watched.meter.begin("k", ENGINE, 1.0)
    watched.run(10, stat=EngineStat())
    viewing = await watched.end()
    assert (viewing.speed_ratio, viewing.peers) == (None, None)
    fast = Watched()
    fast.meter.begin("k", ENGINE, 1.0)
    fast.run(10, stat=EngineStat(speed_down_bps=10**12))
    assert (await fast.end()).speed_ratio == 1.0
