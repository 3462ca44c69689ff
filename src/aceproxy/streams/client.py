"""A client: one player of one stream, as the event loop knows it. Its bytes are the outlet's affair."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from aceproxy.errors import REASONS, AceProxyError, Reason
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.record import Visit
from aceproxy.streams.snapshot import ClientSnapshot, EndedClient, utc_text


@dataclass(frozen=True, slots=True)
class Ticket:
    """A player's token as the streams know it. A limit of None is that of the settings, 0 is none."""

    ticket_id: str
    name: str
    max_clients: int | None
    max_streams: int | None


class Place:
    """A visitor's place among those who may play, until it is left; see `Places`."""

    __slots__ = ("_give_back", "is_revoked")

    def __init__(self, give_back: Callable[[Place], None]) -> None:
        self.is_revoked = False  # the token was taken back while its visitor waited
        self._give_back: Callable[[Place], None] | None = give_back

    def check(self) -> None:
        """Raise TOKEN_REVOKED if the token was taken back meanwhile."""
        if self.is_revoked:
            raise AceProxyError(Reason.TOKEN_REVOKED)

    def leave(self) -> None:
        """Give the place back. Idempotent."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks: network address and User-Agent, both bounded and free of control characters."""

    address: str
    agent: str
    ticket: Ticket | None = field(default=None, compare=False)


class Delivery(StrEnum):
    """How a client gets its bytes."""

    MPEGTS = "mpegts"  # one unbroken stream, sent by the pump
    HLS = "hls"  # lists and segments, asked for one by one


class Client:
    """A player that is connected. `ended` gets the reason when the pump has let go of it.

    A client without an outlet is not the pump's: whoever serves it counts with `took` what it was given.
    """

    __slots__ = (
        "_lag_bytes",
        "_rate_bytes",
        "_taken_bytes",
        "address",
        "agent",
        "client_id",
        "connected_at",
        "connected_text",
        "delivery",
        "ended",
        "outbound_bps",
        "outlet",
        "place",
        "ticket",
    )

    def __init__(self, visitor: Visitor, delivery: Delivery = Delivery.MPEGTS) -> None:
        self.delivery = delivery
        self.client_id = secrets.token_hex(6)
        self.address = visitor.address
        self.agent = visitor.agent
        self.ticket = visitor.ticket
        self.place: Place | None = None
        self.connected_at = time.monotonic()
        self.connected_text = utc_text(datetime.now(UTC))
        self.outlet: Outlet | None = None
        self.ended: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self.outbound_bps = 0.0
        self._rate_bytes = 0
        self._taken_bytes = 0
        self._lag_bytes = 0

    @property
    def sent_bytes(self) -> int:
        """Bytes of the stream that were handed to the socket."""
        return self.outlet.sent_bytes if self.outlet is not None else self._taken_bytes

    @property
    def lag_bytes(self) -> int:
        """Bytes between the live edge and the next byte to be sent."""
        return self.outlet.lag_bytes if self.outlet is not None else self._lag_bytes

    def took(self, count: int, lag_bytes: int) -> None:
        """Count bytes that were sent without an outlet, and note how far behind the live edge they ended."""
        self._taken_bytes += count
        self._lag_bytes = lag_bytes

    @property
    def skips(self) -> int:
        """Times the client was too slow and was moved forward."""
        return self.outlet.skips if self.outlet is not None else 0

    def sample(self, elapsed_s: float) -> None:
        """Measure the rate since the last sample, `elapsed_s` ago."""
        sent = self.sent_bytes
        self.outbound_bps = (sent - self._rate_bytes) * 8 / elapsed_s
        self._rate_bytes = sent

    def snapshot(self, now: float, bitrate_bps: float | None) -> ClientSnapshot:
        """Return the client as it is at `now`; the stream's bitrate turns its lag into seconds."""
        outlet = self.outlet
        lag_bytes = self.lag_bytes
        return ClientSnapshot(
            client_id=self.client_id,
            address=self.address,
            agent=self.agent,
            token_name=self.ticket.name if self.ticket is not None else None,
            protocol=self.delivery,
            connected_at=self.connected_text,
            connected_s=round(now - self.connected_at, 3),
            sent_bytes=self.sent_bytes,
            outbound_bps=round(self.outbound_bps),
            lag_bytes=lag_bytes,
            lag_s=round(lag_bytes * 8 / bitrate_bps, 2) if bitrate_bps else None,
            skips=self.skips,
            behind=outlet is not None and outlet.watched,
        )

    def visit(self, reason: Reason | None = None) -> Visit:
        """Return what is remembered of the client with its stream; `reason` if it has ended."""
        return Visit(
            address=self.address,
            agent=self.agent,
            watched_s=round(time.monotonic() - self.connected_at, 3),
            sent_bytes=self.sent_bytes,
            skips=self.skips,
            reason=reason,
        )

    def ended_snapshot(self, reason: Reason) -> EndedClient:
        """Return what is remembered of a client that ended just now."""
        return EndedClient(
            client_id=self.client_id,
            address=self.address,
            agent=self.agent,
            protocol=self.delivery,
            ended_at=utc_text(datetime.now(UTC)),
            connected_s=round(time.monotonic() - self.connected_at, 3),
            sent_bytes=self.sent_bytes,
            skips=self.skips,
            reason=reason,
            fault=REASONS[reason].fault,
        )
