"""Time lines of all streams: of those that run, and for a while of those that are over."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aceproxy.streams.states import State
from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import Event, Timeline

log = logging.getLogger(__name__)

PAST_TIMELINES = 50  # time lines kept of streams that are over


@dataclass(frozen=True, slots=True)
class TimelineOf:
    """The time line of one stream, found by any of the names the stream has or had."""

    stream_id: str
    key: str
    names: frozenset[str]
    timeline: Timeline
    is_over: bool

    def is_called(self, name: str) -> bool:
        """Whether this is the stream that `name` (a stream id, a key, an infohash or a content id) means."""
        return bool({name, name.lower(), f"content_id:{name.lower()}", f"infohash:{name.lower()}"} & self.names)


class PastTimelines:
    """The time lines of the streams that ended last, and those who want to hear of every event."""

    def __init__(self) -> None:
        self._kept: deque[TimelineOf] = deque(maxlen=PAST_TIMELINES)
        self._listeners: list[Callable[[str, Event], None]] = []

    @property
    def listener_count(self) -> int:
        """How many listen to all time lines."""
        return len(self._listeners)

    def keep(self, past: TimelineOf) -> None:
        """Keep the time line of a stream that is over; the oldest is forgotten."""
        self._kept.appendleft(past)

    def find(self, name: str) -> TimelineOf | None:
        """Return the time line of the stream that ended last under this name."""
        return next((past for past in self._kept if past.is_called(name)), None)

    def listen(self, listener: Callable[[str, Event], None]) -> Callable[[], None]:
        """Call `listener` with stream id and event of whatever is noted from now on; returns what ends that.

        It is called on the event loop and must not wait. What it raises is logged and harms nobody.
        """
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def tell(self, stream_id: str, event: Event) -> None:
        """Pass an event on to all who listen."""
        for listener in tuple(self._listeners):
            try:
                listener(stream_id, event)
            except Exception:
                log.exception("a listener of the time lines failed")


def timeline_of(stream: Stream) -> TimelineOf:
    """Return the time line of a stream, with the names it may be asked for by."""
    return TimelineOf(
        stream_id=stream.stream_id,
        key=stream.key,
        names=frozenset({stream.stream_id, stream.key, *stream.aliases}),
        timeline=stream.timeline,
        is_over=stream.state is State.CLOSED,
    )
