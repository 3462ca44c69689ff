"""An event of a stream: the kinds that there are, whose fault each is, and what is kept of one. Pure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aceproxy.errors import Fault, Reason

Detail = str | int | float | bool | None


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
    LINK_LEFT = "link_left"
    TRYING_BESIDE = "trying_beside"
    STANDBY_READY = "standby_ready"
    STANDBY_BEHIND = "standby_behind"
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
    EventKind.SPLICED: KindRow(Fault.NONE, "What comes now was joined to what clients had already."),
    EventKind.LINK_FAILED: KindRow(Fault.SWARM, "A link could not be started; the next one is tried."),
    EventKind.LINK_LEFT: KindRow(
        Fault.ENGINE, "The link was lost again and again; another one is tried first.", logging.WARNING
    ),
    EventKind.TRYING_BESIDE: KindRow(Fault.NONE, "Another engine or link is tried beside the present one."),
    EventKind.STANDBY_READY: KindRow(Fault.NONE, "Another source is ready to take over."),
    EventKind.STANDBY_BEHIND: KindRow(
        Fault.NONE,
        "The standby is behind what viewers have: when it takes over they wait for so long.",
        logging.WARNING,
    ),
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
