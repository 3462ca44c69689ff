"""Files that only their owner may read, written as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def set_aside(path: Path) -> str:
    """Rename a file that cannot be used to `.bad`, where the next writing spares it; returns words for the log."""
    bad = path.with_name(f"{path.name}.bad")
    try:
        path.replace(bad)
    except OSError as error:
        return f"it cannot be set aside: {error.strerror}"
    return f"it is set aside as {bad.name}"


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file with mode 0600 in one step; after a crash there is the old one or the new one.

    Raises OSError; then the old one is still there.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # created with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
