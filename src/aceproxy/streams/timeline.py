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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from aceproxy.errors import REASONS, Fault, Reason
from aceproxy.logs import redact

STREAM_EVENTS = 150  # kept of the stream itself
CLIENT_EVENTS = 50  # kept of its clients
TEXT_LIMIT = 200  # characters of one detail
DETAILS_LIMIT = 12  # details of one event

Detail = str | int | float | bool | None

log = logging.getLogger(__name__)


class EventKind(StrEnum):
    """What can happen to a stream."""

    START_ASKED = "start_asked"
    ENGINE_CHOSEN = "engine_chosen"
    ENGINE_ANSWERED = "engine_answered"
    PREBUFFERING = "prebuffering"
    ENGINE_READY = "engine_ready"
    NOT_YET = "not_yet"
    ENGINE_FAILED = "engine_failed"
    SHARED = "shared"
    FIRST_BYTE = "first_byte"
    LIVE = "live"
    STALL_BEGAN = "stall_began"
    STALL_ENDED = "stall_ended"
    SOURCE_LOST = "source_lost"
    REOPEN_FAILED = "reopen_failed"
    RECOVERED = "recovered"
    SWITCHED = "switched"
    SPLICED = "spliced"
    LINK_FAILED = "link_failed"
    TRYING_BESIDE = "trying_beside"
    STANDBY_READY = "standby_ready"
    STANDBY_LOST = "standby_lost"
    REPEATED = "repeated"
    DESERTED = "deserted"
    REVISITED = "revisited"
    DRAINING = "draining"
    CLIENT_JOINED = "client_joined"
    CLIENT_SKIPPED = "client_skipped"
    CLIENT_LEFT = "client_left"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class KindRow:
    """One row of the table: whose fault it is unless the event itself says otherwise, and a sentence for people.

    `level` is that of the line in the log; None where something else logs it. `of_client`: it is about clients
    that come and go, which may happen any number of times.
    """

    fault: Fault
    message: str
    level: int | None = logging.INFO
    of_client: bool = False


KINDS: dict[EventKind, KindRow] = {
    EventKind.START_ASKED: KindRow(Fault.NONE, "Somebody asked for the broadcast."),
    EventKind.ENGINE_CHOSEN: KindRow(Fault.NONE, "An engine was chosen.", logging.DEBUG),
    EventKind.ENGINE_ANSWERED: KindRow(Fault.NONE, "The engine took the broadcast on.", logging.DEBUG),
    EventKind.PREBUFFERING: KindRow(Fault.NONE, "The engine collects data before it plays.", logging.DEBUG),
    EventKind.ENGINE_READY: KindRow(Fault.NONE, "The engine says that it plays.", logging.DEBUG),
    EventKind.NOT_YET: KindRow(Fault.NONE, "The engine does not deliver yet; it is asked again."),
    EventKind.ENGINE_FAILED: KindRow(Fault.ENGINE, "The engine could not start the broadcast."),
    EventKind.SHARED: KindRow(Fault.NONE, "Another stream plays this link already; it is read."),
    EventKind.FIRST_BYTE: KindRow(Fault.NONE, "The first data came from the engine.", logging.DEBUG),
    EventKind.LIVE: KindRow(Fault.NONE, "The broadcast plays."),
    EventKind.STALL_BEGAN: KindRow(Fault.SWARM, "No more data comes from the engine.", logging.WARNING),
    EventKind.STALL_ENDED: KindRow(Fault.NONE, "Data comes again."),
    EventKind.SOURCE_LOST: KindRow(
        Fault.ENGINE, "The source is lost; it is opened anew while clients stay connected.", logging.WARNING
    ),
    EventKind.REOPEN_FAILED: KindRow(Fault.ENGINE, "The source could not be opened anew; it is tried again."),
    EventKind.RECOVERED: KindRow(Fault.NONE, "The broadcast is back."),
    EventKind.SWITCHED: KindRow(Fault.NONE, "The broadcast comes from another source now."),
    EventKind.SPLICED: KindRow(Fault.NONE, "The new source was joined to what clients had already."),
    EventKind.LINK_FAILED: KindRow(Fault.SWARM, "A link could not be started; the next one is tried."),
    EventKind.TRYING_BESIDE: KindRow(Fault.NONE, "Another engine or link is tried beside the present one."),
    EventKind.STANDBY_READY: KindRow(Fault.NONE, "Another source is ready to take over."),
    EventKind.STANDBY_LOST: KindRow(Fault.NONE, "The source beside the present one was given up."),
    EventKind.REPEATED: KindRow(Fault.NONE, "The broadcast repeats itself; that is no fault of the engine."),
    EventKind.DESERTED: KindRow(
        Fault.NONE, "The last client left; the stream waits for one to come back.", of_client=True
    ),
    EventKind.REVISITED: KindRow(Fault.NONE, "A client came back.", logging.DEBUG, of_client=True),
    EventKind.DRAINING: KindRow(Fault.NONE, "Nothing more will come; clients read what is left."),
    EventKind.CLIENT_JOINED: KindRow(Fault.NONE, "A client joined.", None, of_client=True),
    EventKind.CLIENT_SKIPPED: KindRow(
        Fault.CLIENT, "A client was too slow and was moved forward.", logging.DEBUG, of_client=True
    ),
    EventKind.CLIENT_LEFT: KindRow(Fault.CLIENT, "A client ended.", None, of_client=True),
    EventKind.ENDED: KindRow(Fault.NONE, "The stream ended.", None),
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a stream.

    `seq` counts the stream's events from 1; `at` is monotonic, `after_s` seconds since the stream was created. `reason`
    is set where the table of reasons knows one. The texts in `details` are bounded and free of control characters.
    """

    seq: int
    at: float
    at_utc: datetime
    after_s: float
    kind: EventKind
    fault: Fault
    reason: Reason | None
    message: str
    details: Mapping[str, Detail]

    @property
    def words(self) -> str:
        """The event on one line, for the log."""
        parts = [f"{name} {value}" for name, value in self.details.items() if value not in (None, "")]
        if self.reason is not None:
            parts.insert(0, f"{self.reason}, fault {self.fault}")
        return f"{self.message.rstrip('.')} ({', '.join(parts)})" if parts else self.message


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

    def note(
        self, kind: EventKind, *, reason: Reason | None = None, fault: Fault | None = None, **details: Detail
    ) -> Event:
        """Add an event and tell the listeners. Whose fault it is: `fault`, or the reason's, or the kind's.

        Any detail that is a text may come from outside: it is redacted and bounded here. Never raises. A try that went
        as one before, with nothing else since, is counted with that one (`times`, and `until_s`) and told to nobody;
        of what was said to them (`detail`) the last is kept.
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
        (self._of_clients if row.of_client else self._of_stream).append(event)
        for listener in tuple(self._listeners):
            _tell(listener, event)
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
        """Events that are not kept any more."""
        return self.last_seq - len(self._of_stream) - len(self._of_clients)

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
