"""The intake: a source that sends faster than real time waits for whoever is furthest, and for nobody else."""

from __future__ import annotations

import asyncio
import logging
import time

from aceproxy.logs import stream_log
from aceproxy.streams.intake import Intake
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import RingLimits
from aceproxy.streams.timeline import Timeline
from tests.mpegts.splicing import media
from tests.waiting import until

LIMITS = RingLimits(block_s=1.0, block_bytes=1 << 20, ring_s=10.0, ring_bytes=64 << 20, burst_s=1.0)


class Source:
    """A source that is told to stop and to go on."""

    paused = False

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
