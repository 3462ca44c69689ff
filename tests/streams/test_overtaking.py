"""When a silent source is left for a standby that goes on, and when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pytest

from aceproxy.mpegts.behind import behind_s
from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.streams.company import KNOWN_S, TOGETHER_S, Company, are_silent
from aceproxy.streams.gaps import Gaps
from aceproxy.streams.overtaking import AGAIN_S, SILENT_S, Overtaking
from aceproxy.streams.source import Source
from aceproxy.streams.spare import Spare
from tests.mpegts.test_behind import clocked

STEP_S = 0.05


@dataclass(eq=False)
class Sender:
    """A source as far as it is looked at: it sends a clock whenever it is `on`, `behind_s` after the broadcast."""

    behind_s: float = 0.0
    paused: bool = False
    last_byte_at: float | None = None
    gaps: Gaps = field(default_factory=Gaps)
    newest: bytes = b""
    engine_url: str = "here"
    owed_since: float | None = None

    def send(self, now: float, media_s: float) -> None:
        """Send what was broadcast up to `media_s`."""
        self.last_byte_at = now
        self.gaps.arrived(now)
        self.newest = clocked(256, int((media_s - self.behind_s) * CLOCK_HZ))


class Beside:
    """A standby that is ready."""

    def __init__(self, source: Sender) -> None:
        self.source = source
        self.is_ready = self.is_at_pace = True

    def lag_s(self, sent: Callable[[int], bytes]) -> float | None:
        """See Spare."""
        return behind_s(sent(1 << 20), self.source.newest)


class Pair:
    """A source and its standby, in a time of their own."""

    def __init__(self, standby_behind_s: float = 0.0) -> None:
        self.now = 1000.0
        self.source, self.other = Sender(), Sender(standby_behind_s)
        self.beside = Beside(self.other)
        self.company = Company()
        self.doubted_at: float | None = None  # since when the engine is in doubt
        self.overtaking = Overtaking(lambda _: self.source.newest, self.company)

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

    def accompany(self, *others: Sender) -> None:
        """Have the engine of the source send others as well."""
        for other in (self.source, *others):
            self.company.join("here", other)

    def look(self) -> bool:
        """Compare them as a look does."""
        beside, source = cast("Spare", cast("Any", self.beside)), cast("Source", cast("Any", self.source))
        due_at = self.overtaking.due_at(source, beside, self.now)
        found = self.overtaking.has_overtaken(source, beside, self.now)
        self.doubted_at = self.overtaking.doubts(source, beside, self.now)
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


def test_one_that_is_hardly_known_is_left_only_where_its_engine_owes_a_sign_of_life() -> None:
    pair = Pair()
    assert pair.run(KNOWN_S - 4.0) is None
    assert not pair.doubted_at
    assert pair.run(2.5, source=False) is None
    assert pair.source.last_byte_at is not None
    assert pair.doubted_at == pair.source.last_byte_at, "it is asked"
    pair.source.owed_since = pair.now
    after_s = pair.run(5.0, source=False)
    assert after_s is not None
    assert after_s < 0.5
    pair.source.owed_since = pair.source.last_byte_at - 10.0
    assert not pair.look(), "it had been slow to answer while it sent"


def test_an_engine_that_freezes_right_after_the_start_is_left_soon() -> None:
    pair = Pair()
    pair.beside.is_at_pace = False
    assert pair.run(1.0) is None
    frozen_at = pair.now
    assert pair.run(0.35, source=False) is None
    assert pair.doubted_at is not None
    pair.source.owed_since = pair.now
    assert pair.run(5.0, source=False) is not None
    assert pair.now - frozen_at < SILENT_S + 0.2


def test_a_standby_that_still_sends_what_it_had_is_no_witness_without_the_engine() -> None:
    pair = Pair()
    assert pair.run(20.0) is None
    pair.beside.is_at_pace = False
    assert pair.run(10.0, source=False) is None


def test_a_frozen_engine_that_sent_in_bursts_is_left_after_the_longest_silence_it_had() -> None:
    pair = Pair()
    assert pair.run(60.0, period_s=2.0) is None
    frozen_at = pair.now
    pair.source.send(frozen_at, frozen_at)
    assert pair.run(0.45, source=False) is None
    assert pair.doubted_at == frozen_at
    pair.source.owed_since = pair.now
    assert pair.run(10.0, source=False) is not None
    assert 1.9 < pair.now - frozen_at < 2.3, "not three seconds"


def test_a_steady_source_costs_its_engine_no_question() -> None:
    pair = Pair()
    assert pair.run(20.0) is None
    assert pair.run(SILENT_S - 0.2, source=False) is None
    assert pair.doubted_at is None


@pytest.mark.parametrize("known_s", [20.0, 1.0])
def test_an_engine_that_falls_silent_as_a_whole_is_left_sooner(known_s: float) -> None:
    pair = Pair()
    others = [Sender(), Sender(), Sender()]
    pair.accompany(*others)
    send_all(others, pair.now - 20.0, pair.now)
    run_beside(pair, others, known_s)
    frozen_at = pair.source.last_byte_at
    assert frozen_at is not None
    assert pair.run(10.0, source=False) is not None
    assert TOGETHER_S <= pair.now - frozen_at <= TOGETHER_S + 0.11


def test_an_engine_one_source_of_which_goes_on_is_not_silent_as_a_whole() -> None:
    pair = Pair()
    others = [Sender(), Sender(), Sender()]
    pair.accompany(*others)
    send_all(others, pair.now - 20.0, pair.now)
    run_beside(pair, others, 20.0)
    frozen_at = pair.source.last_byte_at
    assert frozen_at is not None
    while not pair.look():
        others[2].send(pair.now, pair.now)
        assert pair.run(STEP_S / 2, source=False) is None
    assert pair.now - frozen_at >= SILENT_S


def test_only_sources_that_were_steady_are_witnesses_of_their_engine() -> None:
    now = 1000.0
    bursty, young, steady, other = Sender(), Sender(), Sender(), Sender()
    for sender, period_s, seen_s in ((bursty, 2.0, 60.0), (young, 0.1, 2.0), (steady, 0.1, 60.0), (other, 0.2, 60.0)):
        send_all([sender], now - seen_s, now, period_s)
    later = now + TOGETHER_S + 0.01
    assert not are_silent([steady, other, bursty, young], later)
    assert are_silent([steady, other, steady, bursty, young], later)
    young.paused, young.last_byte_at = True, later
    assert are_silent([steady, other, steady, young], later), "that we do not read one says nothing"
    young.paused = False
    assert not are_silent([steady, other, steady, young], later)


def test_who_has_left_is_no_company() -> None:
    company, sources = Company(), [Sender() for _ in range(4)]
    for source in sources:
        company.join("here", source)
        send_all([source], 900.0, 1000.0)
    assert company.is_silent("here", 1000.5)
    assert not company.is_silent("there", 1000.5)
    for source in sources[:2] * 2:
        company.leave("here", source)
    assert (company.count("here"), company.count(None)) == (2, 0)
    assert not company.is_silent("here", 1000.5)
    for source in sources:
        company.leave("here", source)
    assert company.count("here") == 0


def send_all(senders: list[Sender], from_at: float, until_at: float, period_s: float = 0.1) -> None:
    """Let sources send evenly, the last time at `until_at`."""
    for step in range(int((until_at - from_at) / period_s), -1, -1):
        for sender in senders:
            sender.send(until_at - step * period_s, until_at - step * period_s)


def run_beside(pair: Pair, others: list[Sender], seconds: float) -> None:
    """Let a pair run while others of the same engine send."""
    until_at = pair.now + seconds
    while pair.now < until_at - 0.01:
        for other in others:
            other.send(pair.now, pair.now)
        assert pair.run(0.1) is None
    for other in others:
        other.send(pair.now - 0.1, pair.now - 0.1)


def test_one_that_is_held_back_or_whose_standby_is_not_ready_is_not_compared() -> None:
    pair = Pair()
    assert pair.run(20.0) is None
    pair.source.paused = True
    assert pair.run(5.0, source=False) is None
    pair.source.paused, pair.beside.is_ready = False, False
    assert pair.run(5.0, source=False) is None
    pair.beside.is_ready = True
    assert pair.look()
