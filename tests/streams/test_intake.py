"""The intake: a source that sends faster than real time waits for whoever is furthest, and for nobody else."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from aceproxy.errors import Reason
from aceproxy.logs import stream_log
from aceproxy.mpegts.splice import Outcome
from aceproxy.streams.block import Block
from aceproxy.streams.intake import KEEP_ALIVE_PACKETS, Intake
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import RingLimits
from aceproxy.streams.timeline import EventKind, Timeline
from tests.mpegts.splicing import Reader, media
from tests.waiting import until

LIMITS = RingLimits(block_s=1.0, block_bytes=1 << 20, ring_s=10.0, ring_bytes=64 << 20, burst_s=1.0)


class Source:
    """A source that is told to stop and to go on."""

    paused = False
    has_parts = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


def send(intake: Intake, start_s: float, stop_s: float) -> None:
    """Let the source send."""
    data = media("light", start_s, stop_s)
    for at in range(0, len(data), 30_000):
        part = data[at : at + 30_000]
        intake.room()[: len(part)] = part
        intake.filled(len(part))


async def test_a_fast_source_waits_for_who_takes_segments_too(pump: Pump) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    intake = Intake(LIMITS, pump, 1.0, log, Timeline(time.monotonic))
    source = Source()
    intake.begin_source(source)
    send(intake, 0, 9)
    assert source.paused
    await asyncio.sleep(0)
    intake.ring.front = intake.ring.head // 3  # a transport stream's client, which reads slowly
    assert source.paused
    intake.ring.fetched = intake.ring.head * 9 // 10
    await until(lambda: not source.paused)
    intake.close()


async def test_null_packets_follow_while_a_source_is_silent_and_none_after_the_end(pump: Pump) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    intake = Intake(LIMITS, pump, 1.0, log, Timeline(time.monotonic))
    intake.begin_source(Source())
    send(intake, 0, 4)
    head = intake.ring.head
    intake.keep_alive()
    assert intake.ring.head == head + 188 * KEEP_ALIVE_PACKETS
    complete: list[tuple[Block, int]] = []
    intake.ring.on_cut.append(lambda block: complete.append((block, block.size)))
    intake.finish(Reason.ENDED)
    for _ in range(3):
        intake.keep_alive()  # a client is still reading
    assert [block.size for block, _ in complete] == [size for _, size in complete]
    assert complete[-1][0].end == intake.ring.head
    intake.close()


async def test_a_source_that_has_just_begun_is_not_taken_for_a_slow_one(pump: Pump) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    intake = Intake(LIMITS, pump, 1.0, log, Timeline(time.monotonic))
    source = Source()
    intake.begin_source(source)
    send(intake, 0, 0.5)  # all that there was time for before the rates are measured, once a second
    intake.sample(1.0)
    send(intake, 0.5, 9)
    assert source.paused
    intake.close()


async def test_a_source_at_the_pace_of_the_broadcast_is_never_paused(pump: Pump) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    intake = Intake(LIMITS, pump, 1.0, log, Timeline(time.monotonic))
    source = Source()
    intake.begin_source(source)
    for second in range(9):
        send(intake, second, second + 1)
        intake.sample(1.0)
        assert not source.paused
    assert not intake.ring.watch_front
    intake.close()


async def test_a_source_that_finds_its_place_waits_for_nobody(pump: Pump) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    intake = Intake(LIMITS, pump, 1.0, log, Timeline(time.monotonic))
    intake.begin_source(Source())
    send(intake, 0, 9)  # fast, and nobody has taken anything
    again = Source()
    intake.begin_source(again)
    send(intake, 0, 8.9)  # what was sent before; the clients are no nearer
    was_paused = again.paused
    send(intake, 8.9, 12)
    assert intake.flowing.is_set()
    assert (was_paused, again.paused) == (False, True)
    intake.close()


@pytest.mark.parametrize(("missing_s", "told"), [(12.0, "closed gap"), (50.0, "other clock")])
async def test_a_gap_of_the_same_clock_is_told_where_so_much_can_have_been_broadcast(
    pump: Pump, missing_s: float, told: str
) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    timeline = Timeline(time.monotonic)
    intake = Intake(LIMITS, pump, 1.0, log, timeline)
    intake.begin_source(Source())
    send(intake, 0, 3)
    intake.begin_source(Source())
    send(intake, 3 + missing_s, 6 + missing_s)
    spliced = timeline.events()[-1]
    assert spliced.details["outcome"] == told
    gap_s = spliced.details["gap_s"]
    assert isinstance(gap_s, float)
    assert (missing_s < gap_s < missing_s + 2) if told == "closed gap" else gap_s == 0
    intake.close()


async def test_what_comes_after_the_end_is_taken_from_the_reader_and_forgotten(pump: Pump) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    intake = Intake(LIMITS, pump, 1.0, log, Timeline(time.monotonic))
    source = Source()
    intake.begin_source(source)
    send(intake, 0, 3)
    received = intake.ingest.received_bytes
    room = intake.room()
    intake.close()
    room[:188] = bytes(188)  # a read that was under way
    intake.filled(188)
    send(intake, 3, 4)
    assert intake.ingest.received_bytes == received > 0
    assert not intake.ring.held_bytes
    assert not intake.ingest.newest()
    assert not len(intake.ingest.room()), "its buffer is gone"


def received(intake: Intake) -> bytes:
    """Return what is in the ring."""
    return b"".join(block.read(0, block.size) for block in intake.ring.blocks())


@pytest.mark.parametrize("cut", [0, 100], ids=["between packets", "within a packet"])
async def test_a_source_that_goes_on_elsewhere_after_a_silence_is_joined_like_another_one(
    pump: Pump, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    timeline = Timeline(time.monotonic)
    intake = Intake(LIMITS, pump, 1.0, log, timeline)
    intake.begin_source(Source())
    send(intake, 0, 3)
    rest = media("light", 3, 3.1)[:cut]
    intake.room()[:cut] = rest
    intake.filled(cut)
    monkeypatch.setattr("aceproxy.streams.intake.LULL_S", 0.0)
    send(intake, 5.5, 8)
    monkeypatch.setattr("aceproxy.streams.intake.LULL_S", 60.0)
    send(intake, 8, 9)
    intake.ingest.finish()
    seen = Reader().read(received(intake))
    assert seen.faults == []
    spliced = timeline.events()[-1]
    assert (spliced.kind, spliced.details["outcome"]) == (EventKind.SPLICED, "closed gap")
    gap_s = spliced.details["gap_s"]
    assert isinstance(gap_s, float)
    assert 2.3 < gap_s < 4
    intake.close()


async def test_a_source_that_goes_back_after_a_silence_is_left_to_who_guards_against_that(
    pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aceproxy.streams.intake.LULL_S", 0.0)
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    timeline = Timeline(time.monotonic)
    intake = Intake(LIMITS, pump, 1.0, log, timeline)
    intake.begin_source(Source())
    send(intake, 0, 6)
    before = intake.ingest.appended_bytes
    send(intake, 2, 5.5)
    assert not timeline.events()
    assert intake.repeating_s is not None
    assert intake.ingest.appended_bytes - before < 100_000
    intake.close()


async def test_a_source_that_was_silent_and_goes_on_where_it_was_is_not_touched(
    pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aceproxy.streams.intake.LULL_S", 0.0)
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    timeline = Timeline(time.monotonic)
    intake = Intake(LIMITS, pump, 1.0, log, timeline)
    intake.begin_source(Source())
    send(intake, 0, 6)
    intake.ingest.finish()
    sent = media("light", 0, 6)
    assert sent.endswith(received(intake)[-2_000_000:])
    assert not timeline.events()
    intake.close()


async def test_a_source_that_was_slow_to_begin_is_not_looked_at_for_what_it_skips(
    pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    intake = Intake(LIMITS, pump, 10.0, log, Timeline(time.monotonic))
    intake.begin_source(Source())
    send(intake, 0, 4)
    intake.begin_source(Source())
    looked_at: list[int] = []
    monkeypatch.setattr(intake.ingest, "skips", looked_at.append)  # leading pictures left out at a join look like one
    monkeypatch.setattr("aceproxy.streams.intake.LULL_S", 0.0)
    send(intake, 1, 2)
    monkeypatch.setattr("aceproxy.streams.intake.LULL_S", 60.0)
    send(intake, 2, 6)
    assert intake.ingest.splice is not None
    assert intake.ingest.splice.outcome is Outcome.SAME_BYTES
    assert not looked_at
    intake.close()


async def test_the_parts_of_a_list_have_counters_of_their_own(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aceproxy.streams.intake.LULL_S", 0.0)
    log = stream_log(logging.getLogger(__name__), "a" * 40)
    timeline = Timeline(time.monotonic)
    intake = Intake(LIMITS, pump, 1.0, log, timeline)
    source = Source()
    source.has_parts = True
    intake.begin_source(source)
    send(intake, 0, 3)
    send(intake, 5.5, 8)
    assert not timeline.events()
    intake.close()
