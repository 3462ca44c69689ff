"""Playback sessions: what a player holds that speaks to us as to an engine (engine-api §3 to §7).

A session is a player's interest in one stream. It keeps the stream alive while the player reads or asks, ends by
`stop`, or when the player is silent for too long, and never touches what other players do. The key in its URLs is
secret: unlike an engine's it cannot be worked out from an address. Used on the event loop only; nothing waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.client import Ticket
from aceproxy.streams.stream import Stream
from aceproxy.web.models import SessionModel
from aceproxy.web.sounds import Wish

Output = Literal["ts", "hls"]

EVENTS_KEPT = 16
IDLE_LIMIT_S = 3600.0  # the longest silence a player may ask for
Event = dict[str, object]


@dataclass(eq=False, slots=True)
class PlaybackSession:
    """One player's session. `infohash` is what stands in its URLs; `active_at` is monotonic.

    `stream` is None once it is over, and for a recording, which has none; `failure` then says why, if it was not the
    player's own wish.
    """

    key: str
    infohash: str
    session_id: str
    link: Link
    output: Output
    address: str
    agent: str
    client_session_id: int
    is_live: int
    params: dict[str, str]
    is_recording: bool = False
    ticket: Ticket | None = None
    sound: Wish = Wish.NONE
    stream: Stream | None = None
    failure: AceProxyError | None = None
    readers: dict[object, Callable[[Reason], None]] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    news: asyncio.Event = field(default_factory=asyncio.Event)
    replaced: bool = False
    ended: bool = False
    idle_limit_s: float = IDLE_LIMIT_S
    active_at: float = field(default_factory=time.monotonic)
    started_at: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to be played through it any more."""
        return self.ended or (self.stream is None and not self.is_recording)

    def touch(self) -> None:
        """Take note that the player is there."""
        self.active_at = time.monotonic()

    def idle_s(self, now: float) -> float:
        """For how long the player has neither read nor asked."""
        return 0.0 if self.readers else now - self.active_at

    def tell(self, name: str, **params: object) -> None:
        """Add an event for the player's next poll (engine-api §6)."""
        self.events.append({"name": name, "params": params})
        self.news.set()

    def stream_closed(self, reason: Reason, detail: str) -> None:
        """See Holder: the stream is over, and the player is told so when it asks."""
        self.stream = None
        self.failure = AceProxyError(reason, detail)
        self.tell("download_stopped", reason=reason.value)


class PlaybackSessions:
    """All sessions, by key and infohash; at most `limit`, each ended after `idle_s` of silence."""

    def __init__(self, limit: int, idle_s: float) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._sessions: OrderedDict[tuple[str, str], PlaybackSession] = OrderedDict()
        self._secret = secrets.token_bytes(32)
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def key_of(self, address: str, pid: str | None) -> str:
        """Return the key of a player: the same for the same address and pid, and nothing an outsider can guess."""
        text = f"{address}\0{pid or ''}".encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=16).hexdigest()

    def find(self, key: str, infohash: str) -> PlaybackSession | None:
        """Return a session that was not ended; its stream may be over."""
        return self._sessions.get((key, infohash.lower()))

    def add(self, session: PlaybackSession) -> None:
        """Keep a session, in place of the player's earlier ones.

        What the player still reads is not cut: that session ends when the reading does, because without a pid several
        players behind one address look like one. Raises TOO_MANY_CLIENTS if all that there may be are in use.
        """
        for other in [one for one in self._sessions.values() if one.key == session.key]:
            if other.infohash == session.infohash or not other.readers:
                self.end(other)
            else:
                other.replaced = True
        self._make_room()
        session.idle_limit_s = self._idle_s
        self._sessions[session.key, session.infohash] = session
        if self._timer is None:
            self._watch()

    def add_reader(self, session: PlaybackSession, reader: object, end: Callable[[Reason], None]) -> None:
        """Note that the player reads; `end` is called if it stops the session."""
        session.readers[reader] = end
        session.touch()

    def reader_left(self, session: PlaybackSession, reader: object) -> None:
        """Note that the player does not read any more."""
        session.readers.pop(reader, None)
        session.touch()
        if session.replaced and not session.readers:
            self.end(session)

    def set_idle_limit(self, session: PlaybackSession, limit_s: float) -> None:
        """Let the player be silent for so long."""
        session.idle_limit_s = limit_s
        if self._timer is not None:
            self._timer.cancel()
        self._watch()

    def end(self, session: PlaybackSession, reason: Reason = Reason.PLAYER_STOPPED) -> None:
        """End a session: its own readers end, its interest is gone. Idempotent."""
        if session.ended:
            return
        session.ended = True
        if self._sessions.get((session.key, session.infohash)) is session:
            del self._sessions[session.key, session.infohash]
        stream, session.stream = session.stream, None
        for end_reader in list(session.readers.values()):
            end_reader(reason)
        if stream is not None:
            stream.release(session)
        session.news.set()

    def end_ticket(self, ticket_id: str) -> None:
        """End the sessions that were started with a token."""
        for session in list(self._sessions.values()):
            if session.ticket is not None and session.ticket.ticket_id == ticket_id:
                self.end(session, Reason.TOKEN_REVOKED)

    def close(self) -> None:
        """End all sessions."""
        if self._timer is not None:
            self._timer.cancel()
        for session in list(self._sessions.values()):
            self.end(session, Reason.SHUTDOWN)

    def snapshot(self) -> list[SessionModel]:
        """Return all sessions as they are now, oldest first."""
        now = time.monotonic()
        return [
            SessionModel(
                session_id=session.session_id,
                stream_id=session.stream.stream_id if session.stream is not None else session.link.stream_id,
                output=session.output,
                address=session.address,
                agent=session.agent,
                is_live=None if session.is_live < 0 else bool(session.is_live),
                age_s=round(now - session.started_at, 3),
                idle_s=round(session.idle_s(now), 3),
                idle_limit_s=session.idle_limit_s,
                readers=len(session.readers),
                failure=session.failure.reason if session.failure is not None else None,
            )
            for session in self._sessions.values()
        ]

    def _make_room(self) -> None:
        if len(self._sessions) < self._limit:
            return
        now = time.monotonic()
        idlest = max(self._sessions.values(), key=lambda session: session.idle_s(now))
        if idlest.readers:
            raise AceProxyError(Reason.TOO_MANY_CLIENTS, f"{self._limit} playback sessions")
        self.end(idlest)

    def _watch(self) -> None:
        """End what was silent for too long; look again when the next one may be due."""
        self._timer = None
        now = time.monotonic()
        for session in list(self._sessions.values()):
            if session.idle_s(now) >= session.idle_limit_s:
                self.end(session)
        left_s = [max(0.05, one.idle_limit_s - one.idle_s(now)) for one in self._sessions.values()]
        if left_s:
            self._timer = asyncio.get_running_loop().call_later(min(left_s), self._watch)
