"""Old data in a loop: nobody is sent it, and what a later source brings is not taken for it."""

from __future__ import annotations

import logging
import time
from itertools import pairwise

import pytest

from aceproxy.logs import stream_log
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.streams.intake import Intake
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import RingLimits
from aceproxy.streams.timeline import Timeline
from tests.mpegts.splicing import clip, media
from tests.streams.test_intake import Source, send
from tests.web.test_streams_over_http import video_dts

LIMITS = RingLimits(block_s=1.0, block_bytes=1 << 20, ring_s=30.0, ring_bytes=64 << 20, burst_s=1.0)


@pytest.fixture
def intake(pump: Pump) -> Intake:
    """An intake that looks for a place for a moment only."""
    return Intake(LIMITS, pump, 0.5, stream_log(logging.getLogger(__name__), "a" * 40), Timeline(time.monotonic))


def sent_s(intake: Intake) -> float:
    """Return how much has gone to the ring, after seeing that it is unbroken."""
    data = b"".join(block.read(0, block.size) for block in intake.ring.blocks())
    checker = ContinuityChecker()
    checker.feed(data)
    assert not checker.errors
    times = video_dts(data)
    assert {later - earlier for earlier, later in pairwise(times)} == {3600}
    return len(times) / 25


def test_what_a_loop_brought_that_was_new_is_new_when_another_source_brings_it(intake: Intake) -> None:
    intake.begin_source(Source())
    send(intake, 0, 8)
    send(intake, 4, 10)  # goes two seconds beyond what was sent, with keyframes
    assert intake.repeating_s is not None
    assert sent_s(intake) <= 8.0
    intake.begin_source(Source())
    send(intake, 7, 14)
    assert not intake.ingest.guard.holding
    assert sent_s(intake) > 13.5


def test_a_source_behind_the_clock_of_a_loop_that_was_dropped_has_not_jumped_back(intake: Intake) -> None:
    intake.begin_source(Source())
    send(intake, 0, 8)
    send(intake, 4, 12)
    intake.begin_source(Source())
    send(intake, 7.5, 9)
    assert not intake.ingest.guard.holding
    assert sent_s(intake) > 8.5


@pytest.mark.parametrize("back_s", [0.5, 0.64, 0.8, 0.88, 1.12, 1.48, 2.04])
def test_a_loop_about_as_long_as_a_group_of_pictures_shows_nothing_twice(intake: Intake, back_s: float) -> None:
    """The newest time stamp of what arrives at once may be after the one before, though the clock stepped back."""
    intake.begin_source(Source())
    send(intake, 0, 8)
    for _ in range(5):
        send(intake, 8 - back_s, 8)
    assert intake.repeating_s is not None
    assert sent_s(intake) <= 8.0
    intake.begin_source(Source(), only_new=True)
    send(intake, 7, 12)
    assert sent_s(intake) > 11.5


def test_a_random_access_point_that_came_with_the_jump_but_before_it_does_not_decide_what_follows_it(
    intake: Intake,
) -> None:
    """They come in one read: a new picture, and right behind it what was sent before."""
    one = clip("light")
    stop_s = one.entry_point(8).offset / one.bytes_per_s + 0.15
    intake.begin_source(Source())
    send(intake, 0, stop_s - 0.4)
    at_once = media("light", stop_s - 0.4, stop_s) + media("light", stop_s - 1.3, stop_s - 0.9)
    intake.room()[: len(at_once)] = at_once
    intake.filled(len(at_once))
    assert intake.ingest.guard.holding
    assert sent_s(intake) <= stop_s
    send(intake, stop_s - 0.9, stop_s)
    intake.begin_source(Source())
    send(intake, stop_s - 1, stop_s + 4)
    assert sent_s(intake) > stop_s + 3.5


async def test_of_an_engine_that_has_looped_nothing_is_begun_that_was_sent_before(intake: Intake) -> None:
    intake.begin_source(Source())
    send(intake, 0, 10)
    intake.begin_source(Source(), only_new=True)
    until_at = time.monotonic() + 30
    while not intake.flowing.is_set() and time.monotonic() < until_at:
        send(intake, 3, 5)
    went_over_old = intake.goes_over_old
    assert went_over_old
    assert sent_s(intake) <= 10.0
    intake.begin_source(Source())  # another engine may be behind
    until_at = time.monotonic() + 30
    while not intake.flowing.is_set() and time.monotonic() < until_at:
        send(intake, 3, 4)
    assert not intake.goes_over_old


def test_of_an_engine_that_has_looped_a_jump_back_is_a_repeat_though_that_place_was_never_sent(intake: Intake) -> None:
    intake.begin_source(Source())
    send(intake, 0, 8)
    intake.begin_source(Source(), only_new=True)
    send(intake, 10, 13)  # what lies between was missed
    before = intake.ring.head
    send(intake, 8, 13)
    assert intake.repeating_s is not None
    assert intake.ring.head - before < 20_000, "but for the picture that was waiting for its end"
    intake.begin_source(Source(), only_new=True)
    send(intake, 12, 16)
    assert not intake.ingest.guard.holding
    assert intake.ring.head - before > 200_000
