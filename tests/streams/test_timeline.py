"""The time line: order, bounds, faults, listeners."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.errors import REASONS, Fault, Reason
from aceproxy.streams import stalls
from aceproxy.streams.past import PAST_TIMELINES, PastTimelines, TimelineOf
from aceproxy.streams.stalls import times_of
from aceproxy.streams.timeline import (
    CLIENT_EVENTS,
    DETAILS_LIMIT,
    KINDS,
    RETRIES_LIMIT,
    STREAM_EVENTS,
    TEXT_LIMIT,
    Event,
    EventKind,
    Timeline,
)
from tests.streams.conftest import NOON, Clock


def test_events_have_numbers_times_and_sentences(timeline: Timeline, clock: Clock) -> None:
    timeline.note(EventKind.START_ASKED, link="a")
    clock.now += 1.5
    timeline.note(EventKind.LIVE, start_s=1.50004, engine=None)
    first, second = timeline.events()
    assert (first.seq, first.at, first.after_s, first.details) == (1, 100.0, 0.0, {"link": "a"})
    assert (second.seq, second.at, second.after_s) == (2, 101.5, 1.5)
    assert second.at_utc == NOON
    assert second.details == {"start_s": 1.5, "engine": None}
    assert second.message == KINDS[EventKind.LIVE].message
    assert second.words == "The broadcast plays (start_s 1.5)"
    assert timeline.events(after=1) == [second]


def test_the_fault_is_what_is_told_or_the_reasons_or_the_kinds(timeline: Timeline) -> None:
    assert timeline.note(EventKind.SOURCE_LOST).fault is Fault.ENGINE
    assert timeline.note(EventKind.SOURCE_LOST, reason=Reason.SOURCE_STALLED).fault is Fault.SWARM
    assert timeline.note(EventKind.SOURCE_LOST, reason=Reason.SOURCE_STALLED, fault=Fault.PROXY).fault is Fault.PROXY


def test_every_kind_has_a_sentence_and_client_kinds_are_not_logged_twice() -> None:
    assert set(KINDS) == set(EventKind)
    assert all(row.message.endswith(".") and len(row.message) > 10 for row in KINDS.values())


def test_clients_that_come_and_go_do_not_push_out_the_streams_events(timeline: Timeline) -> None:
    begun = timeline.note(EventKind.START_ASKED)
    for _ in range(5000):
        timeline.note(EventKind.CLIENT_JOINED)
        timeline.note(EventKind.CLIENT_LEFT)
    live = timeline.note(EventKind.LIVE)
    events = timeline.events()
    assert events[0] is begun
    assert events[-1] is live
    assert len(events) == CLIENT_EVENTS + 2
    assert timeline.forgotten == 10_000 - CLIENT_EVENTS


@given(st.lists(st.sampled_from(list(EventKind)), max_size=600))
def test_whatever_happens_the_kept_events_are_bounded_and_in_order(kinds: list[EventKind]) -> None:
    timeline = Timeline(Clock(), lambda: NOON)
    for kind in kinds:
        timeline.note(kind, number=timeline.last_seq)
    events = timeline.events()
    assert len(events) <= STREAM_EVENTS + CLIENT_EVENTS
    numbers = [event.seq for event in events]
    assert numbers == sorted(set(numbers))
    again = sum(times_of(event.details) - 1 for event in events if event.kind is EventKind.STALL_ENDED)
    assert len(events) + timeline.forgotten + 2 * again <= timeline.last_seq == len(kinds)
    # the newest of each sort are kept
    own = [number for number, kind in enumerate(kinds, 1) if not KINDS[kind].of_client]
    if stalls.KINDS & set(kinds):
        assert [event.seq for event in events if event.seq in own][-1:] == own[-1:]
        return
    assert [event.seq for event in events if not KINDS[event.kind].of_client] == own[-STREAM_EVENTS:]


def test_tries_that_go_alike_are_told_once_and_counted(timeline: Timeline, clock: Clock) -> None:
    told: list[Event] = []
    timeline.listen(told.append)
    timeline.note(EventKind.SOURCE_LOST, reason=Reason.SOURCE_ENDED)
    for _ in range(100):
        clock.now += 8.0
        timeline.note(EventKind.ENGINE_CHOSEN, engine="a")
        timeline.note(EventKind.CLIENT_JOINED, client="x")
        timeline.note(EventKind.REOPEN_FAILED, reason=Reason.ENGINE_UNREACHABLE, engine="a")
    timeline.note(EventKind.REOPEN_FAILED, reason=Reason.NO_PEERS, engine="a")
    timeline.note(EventKind.RECOVERED, engine="a")
    timeline.note(EventKind.SOURCE_LOST, reason=Reason.SOURCE_ENDED)
    timeline.note(EventKind.ENGINE_CHOSEN, engine="a")
    own = [event for event in timeline.events() if not KINDS[event.kind].of_client]
    assert [(event.kind.value, event.reason, event.details.get("times")) for event in own] == [
        ("source_lost", Reason.SOURCE_ENDED, None),
        ("engine_chosen", None, 100),
        ("reopen_failed", Reason.ENGINE_UNREACHABLE, 100),
        ("reopen_failed", Reason.NO_PEERS, None),
        ("recovered", None, None),
        ("source_lost", Reason.SOURCE_ENDED, None),
        ("engine_chosen", None, None),
    ]
    assert own[2].details["until_s"] == 800.0
    assert [event.seq for event in own if not KINDS[event.kind].of_client] == [
        event.seq for event in told if not KINDS[event.kind].of_client
    ]


def test_tries_that_differ_only_in_what_was_said_are_one_with_the_last_words(timeline: Timeline) -> None:
    for number in range(1000):
        for engine, link in (("a", "one"), ("a", "two"), ("b", "one")):
            detail = f"no JSON: {number}"
            timeline.note(EventKind.ENGINE_FAILED, reason=Reason.ENGINE_ERROR, engine=engine, link=link, detail=detail)
    timeline.note(EventKind.ENGINE_FAILED, reason=Reason.ENGINE_TIMEOUT, engine="a", link="one", detail="no JSON: 1")
    told = [(event.reason, *event.details.values()) for event in timeline.events()]
    assert told == [
        (Reason.ENGINE_ERROR, "a", "one", "no JSON: 999", 1000, 0.0),
        (Reason.ENGINE_ERROR, "a", "two", "no JSON: 999", 1000, 0.0),
        (Reason.ENGINE_ERROR, "b", "one", "no JSON: 999", 1000, 0.0),
        (Reason.ENGINE_TIMEOUT, "a", "one", "no JSON: 1"),
    ]


def test_tries_that_differ_each_time_are_all_told_and_take_no_room(timeline: Timeline) -> None:
    for number in range(1000):
        timeline.note(EventKind.ENGINE_FAILED, engine=f"{number}")
    assert len(timeline.events()) == STREAM_EVENTS
    assert timeline.last_seq == 1000
    assert len(timeline._retries) <= RETRIES_LIMIT


@given(st.text(max_size=3000))
def test_texts_from_outside_are_bounded_and_on_one_line(text: str) -> None:
    event = Timeline(Clock()).note(EventKind.ENGINE_FAILED, detail=text)
    kept = event.details["detail"]
    assert isinstance(kept, str)
    assert len(kept) <= TEXT_LIMIT
    assert "\n" not in kept
    assert "\x1b" not in kept
    assert kept.isprintable() or not text.isprintable()


def test_secrets_are_not_kept_and_the_number_of_details_is_bounded(timeline: Timeline) -> None:
    assert timeline.note(EventKind.ENGINE_FAILED, detail="GET /x?token=abc").details["detail"] == "GET /x?token=***"
    many = {f"detail_{number}": number for number in range(100)}
    assert len(timeline.note(EventKind.LIVE, fault=None, reason=None, **many).details) == DETAILS_LIMIT


def test_listeners_hear_every_event_until_they_stop_and_a_broken_one_harms_nobody(timeline: Timeline) -> None:
    heard: list[int] = []

    def broken(_: Event) -> None:
        raise ValueError("broken")

    timeline.listen(broken)
    stop = timeline.listen(lambda event: heard.append(event.seq))
    timeline.note(EventKind.LIVE)
    stop()
    stop()
    timeline.note(EventKind.LIVE)
    assert heard == [1]
    assert timeline.last_seq == 2


def test_the_last_words_of_a_stream_are_found_by_all_its_names_and_newest_first(clock: Clock) -> None:
    past = PastTimelines()
    first, second = Timeline(clock), Timeline(clock)
    names = frozenset({"abc", "content_id:abc", "infohash:def"})
    past.keep(TimelineOf("abc", "content_id:abc", names, first, is_over=True))
    past.keep(TimelineOf("abc", "content_id:abc", names, second, is_over=True))
    for name in ("abc", "ABC", "def", "infohash:def", "content_id:abc"):
        found = past.find(name)
        assert found is not None
        assert found.timeline is second
    assert past.find("xyz") is None
    for number in range(PAST_TIMELINES):
        past.keep(TimelineOf(str(number), str(number), frozenset({str(number)}), Timeline(clock), is_over=True))
    assert past.find("abc") is None


def test_who_listens_to_all_streams_is_told_and_a_broken_listener_harms_nobody(timeline: Timeline) -> None:
    past = PastTimelines()
    heard: list[tuple[str, EventKind]] = []

    def broken(_: str, __: Event) -> None:
        raise ValueError("broken")

    past.listen(broken)
    stop = past.listen(lambda stream_id, event: heard.append((stream_id, event.kind)))
    past.tell("abc", timeline.note(EventKind.LIVE))
    stop()
    past.tell("abc", timeline.note(EventKind.ENDED, reason=Reason.STOPPED))
    assert heard == [("abc", EventKind.LIVE)]
    assert REASONS[Reason.STOPPED].fault is Fault.NONE
