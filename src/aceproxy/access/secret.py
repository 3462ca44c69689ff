"""The admin secret: made by the first start, kept in a file that only the owner may read, and replaced when asked."""

from __future__ import annotations

import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from aceproxy.files import write_private
from aceproxy.settings import Settings, split_address

FILE_NAME = "admin-secret"
SECRET_BYTES = 32  # random ones: nobody guesses 256 bits, so trying them needs no limit
LEAST_CHARACTERS = 20  # a file with less is not taken for a secret

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdminSecret:
    """The secret itself, and where it is kept. `is_new`: nobody can know it yet, so it has to be told."""

    value: str
    path: Path | None
    is_new: bool


def load_admin_secret(folder: Path | None) -> AdminSecret:
    """Return the secret kept in `folder`, made if there is none; without a folder it lives as long as the process.

    Raises OSError if it can be neither read nor written.
    """
    if folder is None:
        return make_admin_secret(None)
    kept = read_admin_secret(folder)
    if kept is None:
        return make_admin_secret(folder)
    _close_to_others(folder / FILE_NAME)
    return kept


def read_admin_secret(folder: Path) -> AdminSecret | None:
    """Return the secret kept in `folder`, None if there is none or no text. Raises OSError if it cannot be read."""
    path = folder / FILE_NAME
    try:
        kept = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    is_sound = len(kept) >= LEAST_CHARACTERS and kept.isascii() and kept.isprintable()
    return AdminSecret(kept, path, is_new=False) if is_sound else None


def make_admin_secret(folder: Path | None) -> AdminSecret:
    """Make a new secret in place of what there was, and keep it. Raises OSError; then the old one is still kept."""
    value = secrets.token_urlsafe(SECRET_BYTES)
    if folder is None:
        return AdminSecret(value, None, is_new=True)
    write_private(folder / FILE_NAME, value + "\n")
    return AdminSecret(value, folder / FILE_NAME, is_new=True)


def _close_to_others(path: Path) -> None:
    """Take away from others what a copy or a wrong umask may have given them."""
    if path.stat().st_mode & 0o077:
        log.warning("%s could be read by others; it is for its owner alone now", path)
        os.chmod(path, 0o600)  # noqa: PTH101 - Path.chmod follows links just the same


def sign_in_link(settings: Settings, port: int, secret: AdminSecret) -> str:
    """Return the link with which the admin signs in on this machine."""
    host, _ = split_address(settings.listen)
    if host is None or host in ("0.0.0.0", "::"):  # noqa: S104 - all interfaces, so the terminal's own as well
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/sign-in#{secret.value}"
