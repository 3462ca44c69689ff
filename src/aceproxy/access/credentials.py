"""All that proves who somebody is: the admin secret, the password, sessions.

One object that the guard asks about every request, and through which people sign in and out.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from aceproxy.access.attempts import Attempts
from aceproxy.access.passwords import Passwords
from aceproxy.access.roles import Role
from aceproxy.access.secret import AdminSecret, load_admin_secret, make_admin_secret, read_admin_secret
from aceproxy.access.sessions import Session, Sessions
from aceproxy.access.tokens import Token, Tokens
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.shelf import Shelf
from aceproxy.streams.client import Ticket
from aceproxy.ticks import tick

FAILURE_DELAY_S = 0.5  # before a sign-in is told that it failed
PENDING_LIMIT = 32  # sign-ins under way at once, those that wait for their refusal included
LOOK_AGAIN_S = 5.0  # between two looks at the password's file, which a command may have written

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody who has proven who they are, and by what: `secret`, `password` with its mark, or `token` with its id."""

    role: Role
    name: str
    proof: str
    ticket: Ticket | None = None


class Credentials:
    """Knows whom to believe. `load` before anything else; `run` while it is used; event loop only."""

    def __init__(self, folder: Path | None, settings: Settings) -> None:
        """Load what is kept in `folder`. Raises OSError if the admin secret can be neither read nor kept."""
        self._folder = folder
        self.secret: AdminSecret = load_admin_secret(folder)
        self.passwords = Passwords(folder)
        self.passwords.load()
        key = self._take_secret(self.secret)
        self._settings = settings
        self._shelf = Shelf(None if folder is None else folder / "sessions.json")
        self.sessions = Sessions(self._shelf, key, settings.sign_in_idle_s, settings.sign_in_limit_s)
        self._token_shelf = Shelf(None if folder is None else folder / "tokens.json")
        self.tokens = Tokens(self._token_shelf)
        self._near, self._far = Attempts(), Attempts()
        self._pending = 0
        self.close_stale_sessions()

    async def run(self) -> None:
        """Notice a password or an admin secret that was changed from outside, for ever. Cancel-safe."""
        while True:
            await tick(LOOK_AGAIN_S)
            await self._look_at_the_secret()
            mark = self.passwords.mark
            await self.passwords.refresh()
            if self.passwords.mark != mark:
                log.info("the password was changed")
                self.close_stale_sessions()

    @property
    def session_limit_s(self) -> float:
        """After how long everybody has to sign in again."""
        return self._settings.sign_in_limit_s

    def settings_changed(self, settings: Settings) -> None:
        """Take over how long sessions last."""
        self.sessions.set_limits(settings.sign_in_idle_s, settings.sign_in_limit_s)

    async def replace_secret(self) -> AdminSecret:
        """Make a new admin secret: the old one, its links and every session end. Tokens and the password stay.

        Raises OSError if it cannot be kept; then nothing has changed. Cancelled, it may be replaced all the same.
        """
        fresh = await asyncio.to_thread(make_admin_secret, self._folder)
        self._replace(fresh)
        return fresh

    async def close(self) -> None:
        """Keep what is to be kept."""
        self.passwords.close()
        await self._shelf.close()
        await self._token_shelf.close()

    def who_bears(self, secret: str) -> Known | None:
        """Return whom a secret or token belongs to. They are too long to be guessed, so trying is not limited."""
        if hmac.compare_digest(_digest(secret), self._secret_digest):
            return Known(Role.ADMIN, "admin", "secret")
        token = self.tokens.find(secret)
        return None if token is None else _holder_of(token)

    def who_signed_in(self, session: Session) -> Known:
        """Return who a session is, with the limits of the token that it began with."""
        kind, _, token_id = session.proof.partition(" ")
        token = self.tokens.by_id(token_id) if kind == "token" else None
        return Known(session.role, session.name, session.proof, None if token is None else token.ticket)

    def revoke_token(self, token_id: str) -> Token:
        """Take a token back, and end the sessions that began with it. Raises TOKEN_NOT_FOUND."""
        token = self.tokens.revoke(token_id)
        log.info("the token %s (%s) was revoked", token.token_id, token.name)
        self.close_stale_sessions()
        return token

    async def sign_in(self, given: str, address: str, *, is_near: bool) -> tuple[Session, str]:
        """Begin a session for who knows the secret or the password; returns it with its cookie.

        `is_near`: from a trusted network. Near and far are counted apart, so that nobody outside can lock out the
        people inside. Raises BAD_CREDENTIALS, after a delay, or TOO_MANY_ATTEMPTS at once. Cancel-safe.
        """
        known = await self.check_again(given, address, is_near=is_near)
        log.info("%s signed in from %s", known.name, address)
        return self.sessions.open(known.role, known.name, known.proof)

    async def check_again(self, given: str, address: str, *, is_near: bool) -> Known:
        """Return who knows the secret or password `given`, with the limits of `sign_in`. Raises as it does."""
        attempts = self._near if is_near else self._far
        now = time.monotonic()
        wait_s = attempts.wait_s(address, now)
        if wait_s > 0 or self._pending >= PENDING_LIMIT:
            raise AceProxyError(Reason.TOO_MANY_ATTEMPTS, retry_after_s=max(1, round(wait_s + 0.5)))
        attempts.count(address, now)
        self._pending += 1
        try:
            known = self.who_bears(given) or await self._who_knows_the_password(given)
            if known is None or known.role is Role.PLAYER:  # a player's token is for addresses of streams alone
                log.warning("a sign-in from %s failed", address)
                await asyncio.sleep(FAILURE_DELAY_S)
                raise AceProxyError(Reason.BAD_CREDENTIALS)
        finally:
            self._pending -= 1
        attempts.succeeded(address)
        return known

    def close_stale_sessions(self) -> None:
        """End the sessions of those who signed in with what does not count any more."""
        valid = {"secret", f"password {self.passwords.mark}", *(f"token {one.token_id}" for one in self.tokens)}
        self.sessions.close_unless(lambda session: session.proof in valid)

    async def change_password(self, password: str | None, keep: Session | None) -> None:
        """Set the password, or with None remove it; all sessions but `keep` end. Raises BAD_PARAMETER, OSError."""
        if password is None:
            await self.passwords.remove()
        else:
            await self.passwords.change(password)
        log.info("the password was %s", "removed" if password is None else "set")
        if keep is not None:
            keep.proof = f"password {self.passwords.mark}" if password is not None else "secret"
        self.sessions.close_unless(lambda session: session is keep)

    async def _look_at_the_secret(self) -> None:
        """Take over a secret that a command has written. A file that is gone or damaged takes nothing away."""
        if self._folder is None:
            return
        try:
            kept = await asyncio.to_thread(read_admin_secret, self._folder)
        except OSError as error:
            log.warning("the admin secret cannot be read: %s", error.strerror)
            return
        if kept is not None and kept.value != self.secret.value:
            self._replace(kept)

    def _replace(self, secret: AdminSecret) -> None:
        if secret.value == self.secret.value:
            return
        self.sessions.replace_key(self._take_secret(secret))
        log.info("the admin secret was replaced; everybody has to sign in again")

    def _take_secret(self, secret: AdminSecret) -> bytes:
        """Believe this secret and no other; returns the key of the sessions that follows from it."""
        key = hmac.new(secret.value.encode(), b"sessions", hashlib.sha256).digest()
        self.secret = secret
        self.cookie_name = f"aceproxy-{hmac.new(key, b'cookie', hashlib.sha256).hexdigest()[:8]}"
        self._secret_digest = _digest(secret.value)
        return key

    async def _who_knows_the_password(self, given: str) -> Known | None:
        if self.passwords.is_set and await self.passwords.is_right(given):
            return Known(Role.ADMIN, "admin", f"password {self.passwords.mark}")
        return None


def _holder_of(token: Token) -> Known:
    return Known(token.role, token.name, f"token {token.token_id}", token.ticket)


def _digest(secret: str) -> bytes:
    """Of one length whatever is given, so that comparing tells nothing by its duration."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
