"""Sessions: who has signed in with a browser, until they sign out, are idle for too long, or the limit is reached.

The browser holds a random session id, signed; we keep its digest only, so neither the file nor memory holds what could
be used. Times are wall-clock ones, since sessions outlive a restart.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from itsdangerous import BadSignature, Signer

from aceproxy.access.roles import Role
from aceproxy.shelf import Shelf

KEPT_SESSIONS = 500  # the one not used for the longest gives way
COOKIE_LIMIT = 200  # characters of a cookie that are looked at
AHEAD_S = 300.0  # a session from further in the future than this is one from before a clock step: it is over
KEEP_SEEN_S = 600.0  # how exactly the file knows when a session was last used


@dataclass(slots=True)
class Session:
    """A signed-in browser. `proof` says by what it signed in; when that is not valid any more, it ends."""

    digest: str
    role: Role
    name: str
    proof: str
    created_utc: float
    seen_utc: float
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)  # requests that end with the session


class Sessions:
    """All sessions. Event loop only."""

    def __init__(
        self, shelf: Shelf, key: bytes, idle_s: float, limit_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Begin with those kept in `shelf`; `key` signs the cookies."""
        self._shelf = shelf
        self._take_key(key)
        self._idle_s = idle_s
        self._limit_s = limit_s
        self._clock = clock
        self._kept_seen_utc = clock()
        self._sessions: dict[str, Session] = {}
        self._load()

    def __len__(self) -> int:
        return len(self._sessions)

    def replace_key(self, key: bytes) -> None:
        """End all sessions, and sign with another key from now on: no cookie that was given out counts any more."""
        self.close_unless(lambda _: False)
        self._take_key(key)

    def set_limits(self, idle_s: float, limit_s: float) -> None:
        """Change how long a session lasts; those that are over by that end now."""
        self._idle_s, self._limit_s = idle_s, limit_s
        now = self._clock()
        self.close_unless(lambda session: not self._is_over(session, now))

    def open(self, role: Role, name: str, proof: str) -> tuple[Session, str]:
        """Begin a session; returns it with its cookie."""
        session_id = secrets.token_urlsafe(24)
        now = self._clock()
        session = Session(_digest(session_id), role, name, proof, now, now)
        while len(self._sessions) >= KEPT_SESSIONS:
            self.close(min(self._sessions.values(), key=lambda one: one.seen_utc))
        self._sessions[session.digest] = session
        self._keep()
        return session, self._signer.sign(session_id).decode()

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie and note that it is in use; None if it is none of ours, or over."""
        if len(cookie) > COOKIE_LIMIT or not cookie.isascii():
            return None
        try:
            session_id = self._signer.unsign(cookie).decode()
        except BadSignature:
            return None
        session = self._sessions.get(_digest(session_id))
        if session is None:
            return None
        now = self._clock()
        if self._is_over(session, now):
            self.close(session)
            return None
        session.seen_utc = max(now, session.seen_utc)
        if now - self._kept_seen_utc > KEEP_SEEN_S:
            self._keep()
        return session

    def csrf(self, session: Session) -> str:
        """Return what a page of ours must send along with every change: pages of other sites cannot read it."""
        return hmac.new(self._key, f"csrf {session.digest}".encode(), hashlib.sha256).hexdigest()

    def close(self, session: Session) -> None:
        """End a session, and the requests that are served for it. Idempotent."""
        if self._sessions.pop(session.digest, None) is None:
            return
        for task in session.tasks:
            task.cancel()
        session.tasks.clear()
        self._keep()

    def close_unless(self, is_valid: Callable[[Session], bool]) -> None:
        """End all sessions for which `is_valid` says no."""
        for session in list(self._sessions.values()):
            if not is_valid(session):
                self.close(session)

    def _take_key(self, key: bytes) -> None:
        self._key = key
        self._signer = Signer(key, salt="session", digest_method=hashlib.sha256, key_derivation="hmac")

    def _is_over(self, session: Session, now: float) -> bool:
        return (
            now - session.seen_utc > self._idle_s
            or now - session.created_utc > self._limit_s
            or session.created_utc > now + AHEAD_S
        )

    def _keep(self) -> None:
        self._kept_seen_utc = self._clock()
        self._shelf.keep(
            [
                [one.digest, one.role, one.name, one.proof, one.created_utc, one.seen_utc]
                for one in self._sessions.values()
            ]
        )

    def _load(self) -> None:
        kept = self._shelf.load()
        now = self._clock()
        for row in kept if isinstance(kept, list) else []:
            try:
                digest, role, name, proof, created_utc, seen_utc = row
                session = Session(str(digest), Role(role), str(name), str(proof), float(created_utc), float(seen_utc))
            except (TypeError, ValueError):
                continue  # a row that somebody damaged is a session that is over
            if not self._is_over(session, now) and len(self._sessions) < KEPT_SESSIONS:
                self._sessions[session.digest] = session


def _digest(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
