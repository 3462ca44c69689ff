"""When a silent source is left for a standby that goes on, and when it is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pytest

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.streams.gaps import Gaps
from aceproxy.streams.overtaking import AGAIN_S, KNOWN_S, SILENT_S, Overtaking
from aceproxy.streams.source import Source
from aceproxy.streams.spare import Spare
from tests.mpegts.test_behind import clocked

STEP_S = 0.05


@dataclass
class Sender:
    """A source as far as it is looked at: it sends a clock whenever it is `on`, `behind_s` after the broadcast."""

    behind_s: float = 0.0
    paused: bool = False
    last_byte_at: float | None = None
    gaps: Gaps = field(default_factory=Gaps)
    newest: bytes = b""

    def send(self, now: float, media_s: float) -> None:
        """Send what was broadcast up to `media_s`."""
        self.last_byte_at = now
        self.gaps.arrived(now)
        self.newest = clocked(256, int((media_s - self.behind_s) * CLOCK_HZ))


class Beside:
    """A standby that is ready, and its sink in one."""

    def __init__(self, source: Sender) -> None:
        self.source = source
        self.sink = self
        self.is_ready = self.is_at_pace = True

    def newest(self, _count: int) -> bytes:
        """See TailSink."""
        return self.source.newest


class Pair:
    """A source and its standby, in a time of their own."""

    def __init__(self, standby_behind_s: float = 0.0) -> None:
        self.now = 1000.0
        self.source, self.other = Sender(), Sender(standby_behind_s)
        self.beside = Beside(self.other)
        self.overtaking = Overtaking(lambda: self.source.newest)

    def run(self, seconds: float, *, period_s: float = 0.1, source: bool = True, other: bool = True) -> float | None:
        """Let time pass; both send all they have every `period_s` if they send at all. Return when it was overtaken."""
        began_at = self.now
        next_at = self.now
        while self.now < began_at + seconds:
            if self.now >= next_at:
                next_at += period_s
                if source:
                    self.source.send(self.now, self.now)
                if other:
                    self.other.send(self.now, self.now)
            if self.look():
                return self.now - began_at
            self.now += STEP_S
        return None

    def look(self) -> bool:
        """Compare them as a look does."""
        beside, source = cast("Spare", cast("Any", self.beside)), cast("Source", cast("Any", self.source))
        due_at = self.overtaking.due_at(source, beside, self.now)
        found = self.overtaking.has_overtaken(source, beside, self.now)
        assert not found or (due_at is not None and due_at <= self.now)
        return found


def test_a_source_that_falls_silent_is_left_soon_while_its_standby_goes_on() -> None:
    pair = Pair()
    assert pair.run(20.0) is None
    after_s = pair.run(20.0, source=False)
    assert after_s is not None
    assert SILENT_S - 0.11 <= after_s <= SILENT_S + 0.1


@pytest.mark.parametrize("standby_behind_s", [0.0, 2.5, -2.5])
def test_a_swarm_that_stands_still_is_no_reason_though_one_engine_is_behind_the_other(standby_behind_s: float) -> None:
    pair = Pair(standby_behind_s)
    assert pair.run(20.0) is None
    first, last = (True, False) if standby_behind_s < 0 else (False, True)
    # who is behind goes on for as long with what the other one has sent already
    edge = pair.now
    until_at = edge + abs(standby_behind_s)
    while pair.now < until_at:
        if first:
            pair.source.send(pair.now, pair.now)
        if last:
            pair.other.send(pair.now, pair.now)
        assert not pair.look()
        pair.now += STEP_S
    if first:  # the source has come to where the standby, which was ahead, stopped
        pair.source.newest = pair.other.newest
    assert pair.run(30.0, source=False, other=False) is None


def test_a_standby_that_is_behind_is_waited_for_until_it_has_what_viewers_lack() -> None:
    pair = Pair(2.0)
    assert pair.run(20.0) is None
    after_s = pair.run(20.0, source=False)
    assert after_s is not None
    assert 2.0 < after_s < 2.5


@pytest.mark.parametrize("period_s", [0.5, 1.0, 2.0, 3.0])
def test_a_source_that_sends_in_bursts_is_never_left_and_a_frozen_one_of_that_kind_still_is(period_s: float) -> None:
    pair = Pair()
    assert pair.run(600.0, period_s=period_s) is None
    after_s = pair.run(60.0, source=False)  # its standby sends evenly
    assert after_s is not None
    assert pair.source.last_byte_at is not None
    assert pair.now - pair.source.last_byte_at > 1.2 * period_s


def test_bursts_that_come_less_often_from_one_moment_on_cost_one_switch_a_minute_at_most() -> None:
    pair = Pair()
    assert pair.run(20.0) is None
    switches = []
    while pair.now < 1000.0 + 20.0 + 4 * AGAIN_S:
        pair.source.send(pair.now, pair.now)
        quiet_until = pair.now + 1.0
        while pair.now < quiet_until:
            pair.other.send(pair.now, pair.now)
            if pair.look():
                switches.append(pair.now)
                pair.overtaking.made(pair.now)
                pair.source.gaps = Gaps()  # the next source, which does the same
            pair.now += STEP_S
    assert 1 <= len(switches) <= 4
    assert all(later - before >= AGAIN_S for before, later in pairwise(switches))


def test_what_is_not_known_for_long_enough_is_not_judged_so_soon() -> None:
    pair = Pair()
    assert pair.run(KNOWN_S - 1.0) is None
    assert pair.run(0.9, source=False) is None


def test_one_that_is_held_back_or_whose_standby_is_not_ready_is_not_compared() -> None:
    pair = Pair()
    assert pair.run(20.0) is None
    pair.source.paused = True
    assert pair.run(5.0, source=False) is None
    pair.source.paused, pair.beside.is_ready = False, False
    assert pair.run(5.0, source=False) is None
    pair.beside.is_ready = True
    assert pair.look()
