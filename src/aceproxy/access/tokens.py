"""Tokens: what the admin gives to a player or a program, and can take back.

Only their digests are kept, so a token is shown once. They are random, so a digest is as good as a slow hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from aceproxy.access.roles import Role
from aceproxy.errors import AceProxyError, Reason
from aceproxy.shelf import Shelf
from aceproxy.streams.client import Ticket

PREFIX = "apt_"  # so that one is known as such wherever it turns up; the log masks what begins so
KEPT_TOKENS = 1000
NAME_LIMIT = 80
VALUE_LIMIT = 200


@dataclass(slots=True)
class Token:
    """What is known of a token. None as a limit: that of the settings; 0: none. `last_used_at` is not kept."""

    token_id: str
    name: str
    role: Role
    digest: str
    max_clients: int | None
    max_streams: int | None
    created_at: str
    last_used_at: str | None = None

    @property
    def ticket(self) -> Ticket:
        """What the streams need to know of it."""
        return Ticket(self.token_id, self.name, self.max_clients, self.max_streams)


class Tokens:
    """All tokens. Event loop only."""

    def __init__(self, shelf: Shelf) -> None:
        """Begin with those kept in `shelf`."""
        self._shelf = shelf
        self._by_digest: dict[str, Token] = {}
        self._requests: dict[str, set[asyncio.Task[Any]]] = {}  # that end with a token
        kept = shelf.load()
        for row in kept if isinstance(kept, list) else []:
            token = _read(row)
            if token is not None and len(self._by_digest) < KEPT_TOKENS:
                self._by_digest[token.digest] = token

    def __iter__(self) -> Iterator[Token]:
        return iter(list(self._by_digest.values()))

    async def problem(self) -> str:
        """Wait until the tokens are written as they are now, and say why they cannot be; empty if they are."""
        return await self._shelf.problem()

    async def make(self, name: str, role: Role, max_clients: int | None, max_streams: int | None) -> tuple[Token, str]:
        """Make a token that a restart finds. Raises STATE_UNWRITABLE, and as `create` does; then there is none.

        Cancelled, it leaves none that nobody was told.
        """
        token, value = self.create(name, role, max_clients, max_streams)
        problem = "not waited for"
        try:
            problem = await self.problem()
        finally:
            if problem and self._by_digest.pop(token.digest, None) is not None:
                self._keep()
        if problem:
            raise AceProxyError(Reason.STATE_UNWRITABLE, problem)
        return token, value

    def create(self, name: str, role: Role, max_clients: int | None, max_streams: int | None) -> tuple[Token, str]:
        """Make a token; returns it with its value, which nobody can be told again. Raises BAD_PARAMETER."""
        if len(self._by_digest) >= KEPT_TOKENS:
            raise AceProxyError(Reason.BAD_PARAMETER, f"there are {KEPT_TOKENS} tokens already; revoke some")
        value = PREFIX + secrets.token_urlsafe(24)
        created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        token = Token(secrets.token_hex(4), name, role, _digest(value), max_clients, max_streams, created)
        self._by_digest[token.digest] = token
        self._keep()
        return token, value

    def find(self, value: str) -> Token | None:
        """Return the token with this value, and note that it was used."""
        if not value.startswith(PREFIX) or len(value) > VALUE_LIMIT:
            return None
        token = self._by_digest.get(_digest(value))
        if token is not None:
            token.last_used_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return token

    def by_id(self, token_id: str) -> Token | None:
        """Return the token with this id."""
        return next((token for token in self._by_digest.values() if token.token_id == token_id), None)

    def revoke(self, token_id: str) -> Token:
        """Forget a token. Raises TOKEN_NOT_FOUND."""
        token = self.by_id(token_id)
        if token is None:
            raise AceProxyError(Reason.TOKEN_NOT_FOUND)
        del self._by_digest[token.digest]
        for task in self._requests.pop(token_id, ()):
            task.cancel()
        self._keep()
        return token

    @contextlib.contextmanager
    def serving(self, token_id: str, task: asyncio.Task[Any]) -> Iterator[None]:
        """Note that `task` serves a request with a token: it is cancelled when the token is revoked meanwhile."""
        self._requests.setdefault(token_id, set()).add(task)
        try:
            yield
        finally:
            tasks = self._requests.get(token_id)
            if tasks is not None:
                tasks.discard(task)
                if not tasks:
                    del self._requests[token_id]

    def _keep(self) -> None:
        self._shelf.keep([{**asdict(token), "last_used_at": None} for token in self._by_digest.values()])


def _read(row: object) -> Token | None:
    """Return a token as it was kept; a row that somebody damaged is none."""
    if not isinstance(row, dict):
        return None
    try:
        token = Token(**{**row, "role": Role(row["role"])})
    except (TypeError, ValueError, KeyError):
        return None
    texts = (token.token_id, token.name, token.digest, token.created_at)
    limits = (token.max_clients, token.max_streams)
    sound = all(isinstance(text, str) for text in texts)
    return token if sound and all(limit is None or isinstance(limit, int) for limit in limits) else None


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
