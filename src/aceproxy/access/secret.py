"""The admin secret: made by the first start, kept in a file that only the owner may read."""

from __future__ import annotations

import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from aceproxy.access.files import write_private

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
        return AdminSecret(secrets.token_urlsafe(SECRET_BYTES), None, is_new=True)
    path = folder / FILE_NAME
    try:
        kept = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        kept = ""
    if len(kept) >= LEAST_CHARACTERS:
        _close_to_others(path)
        return AdminSecret(kept, path, is_new=False)
    value = secrets.token_urlsafe(SECRET_BYTES)
    write_private(path, value + "\n")
    return AdminSecret(value, path, is_new=True)


def _close_to_others(path: Path) -> None:
    """Take away from others what a copy or a wrong umask may have given them."""
    if path.stat().st_mode & 0o077:
        log.warning("%s could be read by others; it is for its owner alone now", path)
        os.chmod(path, 0o600)  # noqa: PTH101 - Path.chmod follows links just the same
