"""Stalls that come again and again: of an engine that sends a burst every few seconds there is one pair of events.

Pure. A stall that begins is told at once, for it may last; when it ends, it is counted with those before it, if nothing
else has happened. So the list ends with how it began, how often it was so and for how long, and whether it is so now.
Whose fault they are may change from one to the next, for it is what the engine says just then: the pair has the fault
of the first, and tells how many were the engine's where some were not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from aceproxy.errors import Fault
from aceproxy.streams.event import Detail, Event, EventKind

KINDS = frozenset({EventKind.STALL_BEGAN, EventKind.STALL_ENDED})
LEFT_OUT = 2  # events that a stall which is counted with others takes out of a list: its own begin, their end


def times_of(details: Mapping[str, Detail]) -> int:
    """Return how many stalls an event stands for."""
    times = details.get("times", 1)
    assert isinstance(times, int)
    return times


def is_told(times: int) -> bool:
    """Say whether the log has the stall with this number: the first ones, and ever fewer of those that follow."""
    return times & (times - 1) == 0


def with_number(events: deque[Event], event: Event) -> Mapping[str, Detail]:
    """Return the details of an event that is about to follow `events`, with how many stalls there were, if several."""
    if event.kind is EventKind.STALL_BEGAN and _follows_pair(events):
        return {**event.details, "times": times_of(events[-1].details) + 1}
    if event.kind is EventKind.STALL_ENDED and _is_again(events):
        before, lasted_s = events[-2].details, _seconds(event.details.get("lasted_s"))
        times = times_of(before) + 1
        first_s = _seconds(before.get("lasted_s"))
        longest_s = max(_seconds(before.get("longest_s", first_s)), lasted_s)
        total_s = _seconds(before.get("total_s", first_s)) + lasted_s
        told = {**event.details, "times": times, "longest_s": round(longest_s, 3), "total_s": round(total_s, 3)}
        of_engine = _of_engine(events[-3], before) + (events[-1].fault is Fault.ENGINE)
        return {**told, "engine_times": of_engine} if 0 < of_engine < times else told
    return event.details


def fold(events: deque[Event]) -> bool:
    """Let the newest event stand for the stalls before it as well, if it says so; return whether it does."""
    newest = events[-1]
    if newest.kind is not EventKind.STALL_ENDED or times_of(newest.details) == 1:
        return False
    for _ in range(1 + LEFT_OUT):
        events.pop()
    events.append(newest)
    return True


def _follows_pair(events: deque[Event]) -> bool:
    """Whether the newest two events are a stall and its end."""
    return len(events) > 1 and [event.kind for event in (events[-2], events[-1])] == [
        EventKind.STALL_BEGAN,
        EventKind.STALL_ENDED,
    ]


def _of_engine(began: Event, ended: Mapping[str, Detail]) -> int:
    """Return how many of the stalls that a pair stands for were the engine's fault."""
    told = ended.get("engine_times")
    if isinstance(told, int):
        return told
    return times_of(ended) if began.fault is Fault.ENGINE else 0


def _is_again(events: deque[Event]) -> bool:
    """Whether the stall that is about to end was one more."""
    if len(events) < 3 or events[-1].kind is not EventKind.STALL_BEGAN or events[-2].kind is not EventKind.STALL_ENDED:
        return False
    return times_of(events[-1].details) > 1


def _seconds(value: Detail) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
