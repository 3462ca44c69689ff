"""Who is at a stream: clients that play it, visitors that wait, holders that keep it alive; and who was there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aceproxy.errors import Reason
from aceproxy.logs import StreamLog
from aceproxy.streams.client import Client
from aceproxy.streams.owner import Holder
from aceproxy.streams.record import Audience
from aceproxy.streams.snapshot import EndedClient
from aceproxy.streams.timeline import EventKind, Timeline
from aceproxy.streams.watches import SkipWatch

ENDED_CLIENTS = 50  # remembered per stream


class Attendance:
    """Those who are at one stream, and what is remembered of those who were. Belongs to the event loop.

    `interest_changed` is called when somebody begins or stops to wait. The stream itself acts on who comes and goes.
    """

    def __init__(self, timeline: Timeline, log: StreamLog, interest_changed: Callable[[], None]) -> None:
        self.clients: dict[str, Client] = {}  # by client_id, as they came
        self.ended: deque[EndedClient] = deque(maxlen=ENDED_CLIENTS)
        self.audience = Audience()
        self.waiting = 0  # visitors that wait for the start
        self._holders: set[Holder] = set()
        self._ended_bytes = 0  # sent to clients that are gone
        self._skip_watch = SkipWatch(timeline)
        self._timeline = timeline
        self._log = log
        self._interest_changed = interest_changed

    @property
    def has_clients(self) -> bool:
        """Whether anybody watches, or waits to."""
        return bool(self.clients or self.waiting)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody watches, waits to, or holds the stream."""
        return bool(self.waiting or self.clients or self._holders)

    @property
    def holder_count(self) -> int:
        """How many keep the stream alive without playing it."""
        return len(self._holders)

    @property
    def sent_bytes(self) -> int:
        """Bytes that went to clients, present and gone."""
        return self._ended_bytes + sum(client.sent_bytes for client in self.clients.values())

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Count a visitor as one that waits, for as long as the context lasts."""
        self.waiting += 1
        self._interest_changed()
        try:
            yield
        finally:
            self.waiting -= 1
            self._interest_changed()

    def came(self, client: Client) -> None:
        """Register a client."""
        self.clients[client.client_id] = client
        self.audience.came(len(self.clients))
        self._timeline.note(EventKind.CLIENT_JOINED, client=client.client_id, agent=client.agent)
        self._log.info("client %s (%s, %s) joined", client.client_id, client.address, client.agent or "no agent")

    def left(self, client: Client, reason: Reason) -> bool:
        """Remember a client that has ended, and give its place back; False if it was gone already."""
        if self.clients.pop(client.client_id, None) is None:
            return False
        if client.place is not None:
            client.place.leave()
        self._ended_bytes += client.sent_bytes
        self.ended.append(client.ended_snapshot(reason))
        self._skip_watch.forget(client)
        self.audience.left(client.visit(reason))
        self._timeline.note(
            EventKind.CLIENT_LEFT,
            reason=reason,
            client=client.client_id,
            agent=client.agent,
            sent_bytes=client.sent_bytes,
            skips=client.skips,
        )
        if not client.ended.done():
            client.ended.set_result(reason)
        return True

    def hold(self, holder: Holder) -> None:
        """Add one that keeps the stream alive."""
        self._holders.add(holder)

    def release(self, holder: Holder) -> bool:
        """Let one go that kept the stream alive; False if it did not."""
        if holder not in self._holders:
            return False
        self._holders.discard(holder)
        return True

    def dismiss_holders(self, reason: Reason, detail: str) -> None:
        """Tell all holders that the stream is over, and forget them."""
        holders, self._holders = self._holders, set()
        for holder in holders:
            holder.stream_closed(reason, detail)

    def sample(self, now: float, elapsed_s: float) -> None:
        """Measure the clients' rates since the last sample, `elapsed_s` ago, and note who skipped."""
        for client in self.clients.values():
            client.sample(elapsed_s)
        self._skip_watch.look(now, self.clients.values())
