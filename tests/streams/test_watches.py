"""What is looked at once a second: silence of the source, and skips of clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from aceproxy.errors import Fault
from aceproxy.streams.client import Client
from aceproxy.streams.snapshot import EngineStat
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.watches import (
    SKIP_NOTED_S,
    SKIPPERS_TOLD,
    STALL_LIMIT_S,
    STALL_NOTED_S,
    SkipWatch,
    StallWatch,
    stall_fault,
)

PLAYING = EngineStat(status="dl", peers=30, speed_down_bps=4_000_000)


@dataclass
class Reader:
    """What the watch knows of a client."""

    client_id: str
    skips: int = 0
    agent: str = "VLC"


def clients(*readers: Reader) -> list[Client]:
    return cast("list[Client]", list(readers))


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(lambda: 0.0)


def told(timeline: Timeline) -> list[tuple[EventKind, dict[str, Any]]]:
    return [(event.kind, dict(event.details)) for event in timeline.events()]


def test_a_silence_is_told_once_when_it_begins_and_once_when_it_ends(timeline: Timeline) -> None:
    watch = StallWatch(timeline)
    watch.look(10.0, 9.9, PLAYING)
    watch.look(12.0, 9.9, PLAYING)
    assert timeline.events() == []
    for now in (9.9 + STALL_NOTED_S, 14.0, 15.0, 16.0):
        watch.look(now, 9.9, PLAYING)
    watch.look(17.0, 16.9, PLAYING)
    watch.look(18.0, 17.9, PLAYING)
    began, ended = timeline.events()
    assert (began.kind, ended.kind) == (EventKind.STALL_BEGAN, EventKind.STALL_ENDED)
    assert began.details["silent_s"] == STALL_NOTED_S
    assert ended.details["lasted_s"] == 7.0
    assert watch.stalls == 1
    assert watch.stalled_s == pytest.approx(7.0)


def test_a_silence_is_no_stall_where_it_is_the_sources_habit_unless_players_run_dry(timeline: Timeline) -> None:
    watch = StallWatch(timeline)
    watch.look(14.5, 10.0, PLAYING, 4.0)
    assert timeline.events() == []
    watch.look(20.0 + STALL_LIMIT_S, 20.0, PLAYING, 60.0)
    assert [kind for kind, _ in told(timeline)] == [EventKind.STALL_BEGAN]


def test_a_silence_that_ends_with_the_source_is_not_told_as_ended_but_counted(timeline: Timeline) -> None:
    watch = StallWatch(timeline)
    watch.look(20.0, 10.0, PLAYING)
    watch.source_changed(25.0)
    watch.source_changed(30.0)
    assert [kind for kind, _ in told(timeline)] == [EventKind.STALL_BEGAN]
    assert watch.stalled_s == 15.0
    watch.look(31.0, 30.9, PLAYING)
    assert len(timeline.events()) == 1


def test_a_source_from_which_nothing_is_expected_cannot_stall(timeline: Timeline) -> None:
    watch = StallWatch(timeline)
    for now in (10.0, 100.0, 1000.0):
        watch.look(now, None, PLAYING)
    assert timeline.events() == []


@pytest.mark.parametrize(
    ("stat", "fault"),
    [
        (PLAYING, Fault.ENGINE),
        (EngineStat(), Fault.ENGINE),
        (EngineStat(status="buf", peers=5, speed_down_bps=1000), Fault.SWARM),
        (EngineStat(status="dl", peers=0, speed_down_bps=0), Fault.SWARM),
        (EngineStat(status="dl", peers=3, speed_down_bps=0), Fault.SWARM),
    ],
)
def test_whose_fault_a_silence_is_follows_from_what_the_engine_says(stat: EngineStat, fault: Fault) -> None:
    assert stall_fault(stat) is fault


def test_the_skips_of_a_client_are_told_together_and_not_too_often(timeline: Timeline) -> None:
    watch = SkipWatch(timeline)
    slow = Reader("a")
    watch.look(0.0, clients(slow))
    for second in range(1, 10):
        slow.skips += 1
        watch.look(float(second), clients(slow))
    assert [details["skips"] for _, details in told(timeline)] == [1]
    watch.look(1.0 + SKIP_NOTED_S, clients(slow))
    assert [details["skips"] for _, details in told(timeline)] == [1, 8]


def test_skips_that_were_not_told_are_told_when_the_client_ends(timeline: Timeline) -> None:
    watch = SkipWatch(timeline)
    slow = Reader("a", skips=1)
    watch.look(0.0, clients(slow))
    slow.skips = 4
    watch.look(1.0, clients(slow))
    watch.forget(clients(slow)[0])
    watch.forget(clients(Reader("b"))[0])
    assert [(details["client"], details["skips"]) for _, details in told(timeline)] == [("a", 1), ("a", 3)]


def test_skips_of_many_clients_at_once_are_one_event(timeline: Timeline) -> None:
    watch = SkipWatch(timeline)
    crowd = [Reader(str(number), skips=2) for number in range(1000)]
    watch.look(0.0, clients(*crowd))
    assert told(timeline) == [(EventKind.CLIENT_SKIPPED, {"clients": 1000, "skips": 2000})]
    few = [Reader(f"few {number}", skips=1) for number in range(SKIPPERS_TOLD)]
    watch.look(1.0, clients(*few, *crowd))
    assert len(timeline.events()) == 1 + SKIPPERS_TOLD
