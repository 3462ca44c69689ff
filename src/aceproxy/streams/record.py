"""What is remembered of a stream when it is over: what played, for whom, how long, how well, and why it ended.

Plain values, made by the stream's owner; whoever keeps them needs to know nothing of streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from aceproxy.errors import Fault, Reason
from aceproxy.streams.timeline import Event

VIEWERS_LIMIT = 50  # told apart for each stream; further ones are only counted


@dataclass(frozen=True, slots=True)
class Viewer:
    """All visits of one player: same address and agent. `last_reason`: why the last one ended; None while it lasts."""

    address: str
    agent: str
    visits: int
    watched_s: float
    sent_bytes: int
    skips: int
    last_reason: Reason | None


@dataclass(frozen=True, slots=True)
class Visit:
    """One client, as it is now or was at its end."""

    address: str
    agent: str
    watched_s: float
    sent_bytes: int
    skips: int
    reason: Reason | None

    @property
    def viewer(self) -> Viewer:
        """The viewer, if this is the only visit."""
        return Viewer(self.address, self.agent, 1, self.watched_s, self.sent_bytes, self.skips, self.reason)


class Audience:
    """Who watched a stream. Bounded whatever the number of clients."""

    def __init__(self) -> None:
        self.visits = 0  # clients that got a place
        self.peak_clients = 0
        self.skips = 0  # of clients that are gone
        self._viewers: dict[tuple[str, str], Viewer] = {}

    def came(self, client_count: int) -> None:
        """Count a client that joined; `client_count` with it."""
        self.visits += 1
        self.peak_clients = max(self.peak_clients, client_count)

    def left(self, visit: Visit) -> None:
        """Add the visit of a client that is gone."""
        self.skips += visit.skips
        _add(self._viewers, visit)

    def viewers(self, present: Iterable[Visit] = ()) -> tuple[Viewer, ...]:
        """Return those who watched, who watched longest first; `present` are the visits that still last."""
        viewers = dict(self._viewers)
        for visit in present:
            _add(viewers, visit)
        return tuple(sorted(viewers.values(), key=lambda viewer: -viewer.watched_s))


def _add(viewers: dict[tuple[str, str], Viewer], visit: Visit) -> None:
    """Add a visit to its viewer. A new one pushes out nobody who has watched longer."""
    who = (visit.address, visit.agent)
    known = viewers.get(who)
    if known is not None:
        viewers[who] = replace(
            known,
            visits=known.visits + 1,
            watched_s=known.watched_s + visit.watched_s,
            sent_bytes=known.sent_bytes + visit.sent_bytes,
            skips=known.skips + visit.skips,
            last_reason=visit.reason,
        )
        return
    if len(viewers) >= VIEWERS_LIMIT:
        least = min(viewers, key=lambda one: viewers[one].watched_s)
        if viewers[least].watched_s >= visit.watched_s:
            return
        del viewers[least]
    viewers[who] = visit.viewer


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A stream, running or over. `record_id` is its own for ever; a broadcast that is started again has another.

    `start_s` is the time from the request to the first picture's data, None if it never came; `bitrate_bps` that of
    the last minute or so. `reason` is None while the stream runs.
    """

    record_id: str
    stream_id: str
    key: str
    title: str | None
    infohash: str | None
    engine: str | None
    began_utc: datetime
    lasted_s: float
    start_s: float | None
    inbound_bytes: int
    outbound_bytes: int
    bitrate_bps: float | None
    visits: int
    peak_clients: int
    viewers: tuple[Viewer, ...]
    stalls: int
    stalled_s: float
    recoveries: int
    skips: int
    reason: Reason | None
    fault: Fault | None
    message: str | None
    events: tuple[Event, ...]

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it was more than a name for a stream that runs already, or for a recording."""
        was_live = self.visits > 0 or self.start_s is not None
        return was_live or self.reason not in (Reason.GAVE_WAY, Reason.RECORDING)
