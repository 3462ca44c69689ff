"""Stalls that follow one another are one pair of events, which tells how many they were and how long."""

from __future__ import annotations

from aceproxy.errors import Fault
from aceproxy.streams.stalls import is_told
from aceproxy.streams.timeline import STREAM_EVENTS, Event, EventKind, Timeline
from tests.streams.conftest import Clock


def stall(timeline: Timeline, clock: Clock, lasted_s: float, fault: Fault = Fault.ENGINE) -> None:
    """Let the source be silent once."""
    clock.now += 3.0
    timeline.note(EventKind.STALL_BEGAN, fault=fault, silent_s=3.0, peers=7)
    clock.now += lasted_s - 3.0
    timeline.note(EventKind.STALL_ENDED, lasted_s=lasted_s)


def kinds(timeline: Timeline) -> list[str]:
    return [event.kind.value for event in timeline.events()]


def test_an_engine_that_stalls_for_hours_leaves_room_for_all_that_happens_else(
    timeline: Timeline, clock: Clock
) -> None:
    heard: list[Event] = []
    timeline.note(EventKind.LIVE)
    timeline.listen(heard.append)
    for number in range(2000):
        stall(timeline, clock, 9.5 if number == 70 else 4.0)
        timeline.note(EventKind.CLIENT_JOINED)
    own = [event for event in timeline.events() if event.kind is not EventKind.CLIENT_JOINED]
    assert [event.kind.value for event in own] == ["live", "stall_began", "stall_ended"]
    assert own[1].details == {"silent_s": 3.0, "peers": 7}
    assert own[1].seq == 2
    assert own[2].details == {"lasted_s": 4.0, "times": 2000, "longest_s": 9.5, "total_s": 8005.5}
    assert own[2].seq == timeline.last_seq - 1
    assert timeline.forgotten == 2000 - 50  # those of clients alone
    assert [event.seq for event in heard] == list(range(2, timeline.last_seq + 1))  # who listens hears of each


def test_one_that_lasts_is_told_at_once_and_with_its_number(timeline: Timeline, clock: Clock) -> None:
    stall(timeline, clock, 4.0)
    stall(timeline, clock, 4.0)
    before = timeline.last_seq
    timeline.note(EventKind.STALL_BEGAN, fault=Fault.ENGINE, silent_s=3.0)
    assert kinds(timeline) == ["stall_began", "stall_ended", "stall_began"]
    (newest,) = timeline.events(after=before)
    assert newest.details == {"silent_s": 3.0, "times": 3}
    timeline.note(EventKind.SOURCE_LOST)
    stall(timeline, clock, 4.0)
    assert kinds(timeline)[2:] == ["stall_began", "source_lost", "stall_began", "stall_ended"]
    assert "times" not in timeline.events()[-1].details


def test_whoever_asks_for_what_is_new_hears_of_each_end(timeline: Timeline, clock: Clock) -> None:
    for number in range(1, 6):
        clock.now += 3.0
        timeline.note(EventKind.STALL_BEGAN, fault=Fault.ENGINE)
        seen = timeline.last_seq
        timeline.note(EventKind.STALL_ENDED, lasted_s=float(number))
        (ended,) = timeline.events(after=seen)
        assert ended.kind is EventKind.STALL_ENDED
        assert ended.details.get("times", 1) == number
        assert ended.details.get("total_s", 1.0) == number * (number + 1) / 2


def test_stalls_that_are_now_the_swarms_fault_and_now_the_engines_are_one_pair(
    timeline: Timeline, clock: Clock
) -> None:
    faults = (Fault.SWARM, Fault.ENGINE, Fault.SWARM, Fault.ENGINE, Fault.ENGINE)
    for number, fault in enumerate(faults, 1):
        stall(timeline, clock, 4.0, fault)
        began, ended = timeline.events()
        assert began.fault is Fault.SWARM, "that of the first"
        assert ended.details.get("times", 1) == number
        assert ended.details.get("engine_times", 0) == faults[:number].count(Fault.ENGINE)
    timeline.note(EventKind.STALL_BEGAN, fault=Fault.ENGINE)
    assert timeline.events()[-1].fault is Fault.ENGINE, "the one that goes on has its own"


def test_whose_stalls_they_were_is_not_told_apart_where_all_were_one_ones(timeline: Timeline, clock: Clock) -> None:
    for fault in (Fault.ENGINE, Fault.SWARM):
        timeline.note(EventKind.RECOVERED)
        for _ in range(3):
            stall(timeline, clock, 4.0, fault)
        began, ended = timeline.events()[-2:]
        assert (began.fault, "engine_times" in ended.details) == (fault, False)
    timeline.note(EventKind.RECOVERED)
    for fault in (Fault.ENGINE, Fault.ENGINE, Fault.SWARM):
        stall(timeline, clock, 4.0, fault)
    assert timeline.events()[-1].details["engine_times"] == 2


def test_a_full_list_stays_full_of_what_is_newest(timeline: Timeline, clock: Clock) -> None:
    for _ in range(STREAM_EVENTS):
        timeline.note(EventKind.RECOVERED)
    for _ in range(100):
        stall(timeline, clock, 4.0)
    assert len(timeline.events()) >= STREAM_EVENTS - 2
    assert timeline.events()[-1].details["times"] == 100


def test_the_log_has_ever_fewer_of_them() -> None:
    assert [times for times in range(1, 100) if is_told(times)] == [1, 2, 4, 8, 16, 32, 64]
