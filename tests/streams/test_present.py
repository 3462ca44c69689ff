"""How a spare comes into the place of the present source, where many streams do that at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from aceproxy.engine.links import parse_link
from aceproxy.logs import stream_log
from aceproxy.streams.intake import Intake
from aceproxy.streams.present import Present
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import RingLimits
from aceproxy.streams.spare import Purpose, Spare, TailSink
from aceproxy.streams.timeline import Timeline
from tests.mpegts.splicing import media
from tests.waiting import until

LIMITS = RingLimits(block_s=1.0, block_bytes=1 << 20, ring_s=10.0, ring_bytes=64 << 20, burst_s=1.0)
Make = Callable[[], tuple[Present, Intake]]


class Waiting:
    """A source that runs beside another one."""

    paused = False
    title = "A title"
    closed = False
    engine_url = "http://other"

    def keep(self) -> None:
        """Be a spare no longer."""

    def pause(self) -> None:
        """Send nothing for a while; in the end all is there anyway."""

    def resume(self) -> None:
        """Go on."""

    def close(self) -> None:
        """End."""
        self.closed = True


@pytest.fixture
def turns() -> asyncio.Lock:
    """The turns of all streams."""
    return asyncio.Lock()


@pytest.fixture
def make(pump: Pump, turns: asyncio.Lock) -> Iterator[Make]:
    """Make streams' present sources, of which nothing is left but what was sent."""
    intakes: list[Intake] = []

    def make_one() -> tuple[Present, Intake]:
        log, timeline = stream_log(logging.getLogger(__name__), "a" * 40), Timeline(time.monotonic)
        intake = Intake(LIMITS, pump, 1.0, log, timeline)
        intakes.append(intake)
        upstream: Any = SimpleNamespace(turns=turns)
        consumer: Any = None
        give(intake, media("light", 0, 4))
        return Present([parse_link("a" * 40)], {}, upstream, intake, consumer, timeline, log), intake

    yield make_one
    for intake in intakes:
        intake.close()


def give(sink: Intake | TailSink, data: bytes) -> None:
    """Let a source send."""
    for at in range(0, len(data), 40_000):
        part = data[at : at + 40_000]
        sink.room()[: len(part)] = part
        sink.filled(len(part))


def spare_with(data: bytes) -> Spare:
    """Return a spare that was sent so much."""
    source: Any = Waiting()
    spare = Spare(source, TailSink(8 << 20), 0, Purpose.STANDBY)
    spare.opened_at = 0.0  # long ago
    give(spare.sink, data)
    return spare


async def test_streams_that_change_their_source_together_take_turns_and_the_loop_turns_between_their_steps(
    make: Make, turns: asyncio.Lock
) -> None:
    streams = [make() for _ in range(4)]
    changes = [asyncio.ensure_future(one.take(spare_with(media("light", 1, 6)))) for one, _ in streams]
    begun_most = passes = 0
    while not all(one.done() for one in changes):
        await asyncio.sleep(0)
        passes += 1
        pending = [one for (one, _), change in zip(streams, changes, strict=True) if one.source and not change.done()]
        begun_most = max(begun_most, len(pending))
    assert begun_most == 1
    assert passes > 4 * 2  # beginning, and leaving out with what was kept, of each stream
    assert not turns.locked()
    for change, (one, intake) in zip(changes, streams, strict=True):
        change.result()
        assert one.source is not None
        assert intake.ingest.appended_bytes > len(media("light", 0, 5))  # it has gone on, with nothing twice
        assert intake.ingest.appended_bytes <= len(media("light", 0, 6))


async def test_who_is_closed_while_it_waits_for_its_turn_leaves_no_source_behind(
    make: Make, turns: asyncio.Lock
) -> None:
    present, _ = make()
    spare = spare_with(media("light", 1, 6))
    await turns.acquire()
    change = asyncio.ensure_future(present.take(spare))
    await until(lambda: bool(turns._waiters))
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    assert present.engine_url is None
    source: Any = spare.source
    assert source.closed
    turns.release()
    await present.take(again := spare_with(media("light", 1, 6)))  # the turn is not lost
    assert present.source is again.source
    present.close()


async def test_of_a_spare_with_another_clock_only_what_came_of_late_is_sent(make: Make) -> None:
    present, intake = make()
    before = intake.ingest.appended_bytes
    spare = spare_with(b"")
    hour = 3600 * 90_000
    now = time.monotonic()
    for second in range(12):
        give(spare.sink, media("light", second, second + 1, hour))
    count = len(spare.sink._times)
    spare.sink._times = deque(now - 12 + 12 * index / count for index in range(count))  # as if sent in real time
    await present.take(spare)
    intake.ingest.finish()
    sent = intake.ingest.appended_bytes - before
    assert len(media("light", 11, 12)) / 2 < sent < len(media("light", 7, 12)), "viewers are not thrown back"
