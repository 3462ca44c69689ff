"""The admin's password: kept as an argon2id hash, checked in a thread, one at a time.

A check costs `MEMORY_KIB` and some hundredths of a second on purpose, so it must neither hold up the event loop nor be
run as often as somebody likes: one thread, and a bounded number of those who wait for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aceproxy.errors import AceProxyError, Reason
from aceproxy.files import write_private

FILE_NAME = "password"
LEAST_CHARACTERS = 10
MOST_BYTES = 1024
ITERATIONS, MEMORY_KIB, LANES = 2, 19456, 1  # OWASP's least for argon2id: small machines have little memory
WAITING_LIMIT = 8
BUSY_S = 2

log = logging.getLogger(__name__)


class Passwords:
    """The password's file and its checks. `load` and `close` frame its use; the rest is for the event loop."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        self._hash = ""
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0

    @property
    def is_set(self) -> bool:
        """Whether there is a password."""
        return bool(self._hash)

    @property
    def mark(self) -> str:
        """What changes with the password and tells nothing about it; empty if there is none."""
        return hashlib.sha256(self._hash.encode()).hexdigest()[:16] if self._hash else ""

    def load(self) -> None:
        """Read the file; for the start and for threads. A file that cannot be read is no password, and is told."""
        if self._path is None:
            return
        try:
            self._hash = self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            self._hash = ""
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read: %s", self._path, error)

    async def refresh(self) -> None:
        """Read the file again: `aceproxy password` may have written it."""
        await asyncio.to_thread(self.load)

    async def is_right(self, password: str) -> bool:
        """Check a password. Raises TOO_MANY_ATTEMPTS if too many wait already. Cancel-safe."""
        if len(password.encode("utf-8", "replace")) > MOST_BYTES:
            return False
        return bool(await self._in_thread(self._check, password))

    async def change(self, password: str) -> None:
        """Set the password. Raises BAD_PARAMETER for a poor one, OSError if it cannot be kept."""
        check_quality(password)
        await self._in_thread(self._set, password)

    async def remove(self) -> None:
        """Forget the password: only the secret and tokens count then. Raises OSError."""
        if self._path is not None:
            await asyncio.to_thread(self._path.unlink, missing_ok=True)
        self._hash = ""

    def close(self) -> None:
        """End the thread without waiting for it."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _check(self, password: str) -> bool:
        self.load()
        return bool(self._hash) and verify(self._hash, password)

    def _set(self, password: str) -> bool:
        made = hash_password(password)
        if self._path is not None:
            write_private(self._path, made + "\n")
        self._hash = made
        return True

    async def _in_thread(self, work: object, password: str) -> bool:
        if self._waiting >= WAITING_LIMIT:
            raise AceProxyError(Reason.TOO_MANY_ATTEMPTS, retry_after_s=BUSY_S)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="password")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, password)  # type: ignore[arg-type]
        finally:
            self._waiting -= 1


def check_quality(password: str) -> None:
    """Raise BAD_PARAMETER for a password that is too short or absurdly long."""
    if len(password) < LEAST_CHARACTERS:
        raise AceProxyError(Reason.BAD_PARAMETER, f"a password has at least {LEAST_CHARACTERS} characters")
    try:
        length = len(password.encode("utf-8"))
    except UnicodeEncodeError:
        raise AceProxyError(Reason.BAD_PARAMETER, "not a text") from None
    if length > MOST_BYTES:
        raise AceProxyError(Reason.BAD_PARAMETER, f"a password has at most {MOST_BYTES} bytes")


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, with its parameters and a salt of its own. Slow on purpose."""
    from argon2 import PasswordHasher  # noqa: PLC0415 - most runs never need it

    return PasswordHasher(ITERATIONS, MEMORY_KIB, LANES).hash(password)


def verify(kept: str, password: str) -> bool:
    """Say whether `kept` is a hash of `password`. Slow on purpose."""
    from argon2 import PasswordHasher  # noqa: PLC0415 - as above
    from argon2.exceptions import Argon2Error, InvalidHashError  # noqa: PLC0415 - as above

    try:
        return PasswordHasher().verify(kept, password)
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False
