"""The time line of a stream: its last events, in words, each with whose fault it was.

Pure but for the clocks, which are passed in: nothing here waits, and noting an event never raises. What is kept is
bounded twice: events of the stream itself, and those of its clients, which may come and go by the thousand and must
not push the others out.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from aceproxy.errors import REASONS, Fault, Reason
from aceproxy.logs import redact
from aceproxy.streams import stalls
from aceproxy.streams.event import KINDS, Detail, Event, EventKind

__all__ = ["KINDS", "Detail", "Event", "EventKind", "Timeline"]

STREAM_EVENTS = 150  # kept of the stream itself
CLIENT_EVENTS = 50  # kept of its clients
TEXT_LIMIT = 200  # characters of one detail
DETAILS_LIMIT = 12  # details of one event

log = logging.getLogger(__name__)


RETRIES = frozenset(
    {
        EventKind.ENGINE_CHOSEN, EventKind.NOT_YET, EventKind.ENGINE_FAILED, EventKind.REOPEN_FAILED,
        EventKind.TRYING_BESIDE, EventKind.STANDBY_LOST,
    }
)  # fmt: skip
"""What happens again and again while nothing else does: told once, and counted."""
WORDS = "detail"  # what somebody says to a try may differ each time: two that differ in nothing else went alike
RETRIES_LIMIT = 32  # different ones that are counted at once

Listener = Callable[[Event], None]


class Timeline:
    """The last events of one stream. Belongs to the event loop."""

    def __init__(self, clock: Callable[[], float], wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        """Begin an empty time line; `clock` is monotonic, in seconds, and `wall_clock` tells the time of day."""
        self.began_at = clock()
        self.last_seq = 0
        self._clock = clock
        self._wall_clock = wall_clock
        self._of_stream: deque[Event] = deque(maxlen=STREAM_EVENTS)
        self._of_clients: deque[Event] = deque(maxlen=CLIENT_EVENTS)
        self._listeners: list[Listener] = []
        self._retries: dict[object, int] = {}  # what was told since something else happened -> its number
        self._folded = 0  # events that others stand for

    def note(
        self, kind: EventKind, *, reason: Reason | None = None, fault: Fault | None = None, **details: Detail
    ) -> Event:
        """Add an event and tell the listeners. Whose fault it is: `fault`, or the reason's, or the kind's.

        Any detail that is a text may come from outside: it is redacted and bounded here. Never raises. A try that went
        as one before, with nothing else since, is counted with that one (`times`, and `until_s`) and told to nobody;
        of what was said to them (`detail`) the last is kept. Stalls are counted as well, see `stalls`.
        """
        row = KINDS[kind]
        if fault is None:
            fault = REASONS[reason].fault if reason is not None else row.fault
        now = self._clock()
        told = {name: _bounded(value) for name, value in list(details.items())[:DETAILS_LIMIT]}
        again = self._again(kind, reason, fault, told, now) if not row.of_client else None
        if again is not None:
            return again
        self.last_seq += 1
        event = Event(
            seq=self.last_seq,
            at=now,
            at_utc=self._wall_clock(),
            after_s=round(now - self.began_at, 3),
            kind=kind,
            fault=fault,
            reason=reason,
            message=row.message,
            details=told,
        )
        if row.of_client:
            self._of_clients.append(event)
        else:
            event = self._keep(event)
        for listener in tuple(self._listeners):
            _tell(listener, event)
        return event

    def _keep(self, event: Event) -> Event:
        """Keep an event of the stream itself; a stall that was as the one before is counted with that."""
        event = replace(event, details=stalls.with_number(self._of_stream, event))
        self._of_stream.append(event)
        if stalls.fold(self._of_stream):
            self._folded += stalls.LEFT_OUT
        return event

    def _again(
        self, kind: EventKind, reason: Reason | None, fault: Fault, told: Mapping[str, Detail], now: float
    ) -> Event | None:
        """Count a try that went as one before; None where it is new. Anything but a try begins anew."""
        if kind not in RETRIES:
            self._retries.clear()
            return None
        what = (kind, reason, fault, *(item for item in told.items() if item[0] != WORDS))
        seq = self._retries.get(what)
        if seq is None:
            if len(self._retries) < RETRIES_LIMIT:
                self._retries[what] = self.last_seq + 1
            return None
        for at, event in enumerate(self._of_stream):
            if event.seq == seq:
                times = event.details.get("times", 1)
                assert isinstance(times, int)
                counted = {"times": times + 1, "until_s": round(now - self.began_at, 3)}
                self._of_stream[at] = replace(event, details={**event.details, **told, **counted})
                return self._of_stream[at]
        return None

    def events(self, after: int = 0) -> list[Event]:
        """Return what is kept, oldest first, from the event that follows number `after`."""
        merged = heapq.merge(self._of_stream, self._of_clients, key=lambda event: event.seq)
        return [event for event in merged if event.seq > after]

    @property
    def forgotten(self) -> int:
        """Events that are not kept any more; those that others stand for do not count."""
        return self.last_seq - self._folded - len(self._of_stream) - len(self._of_clients)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on; returns what ends that. It must not wait for anything."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop


def _bounded(value: Detail) -> Detail:
    if isinstance(value, str):
        text = redact(value[: 4 * TEXT_LIMIT])
        return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
    return round(value, 3) if isinstance(value, float) else value


def _tell(listener: Listener, event: Event) -> None:
    try:
        listener(event)
    except Exception:
        log.exception("a listener of a time line failed")
