"""The bell: how the event loop wakes a thread that waits in a selector."""

from __future__ import annotations

import contextlib
import os


class Bell:
    """An event descriptor, or a pipe where there is none. One thread rings and closes it, another waits and hears."""

    def __init__(self) -> None:
        """Raises OSError when there is no descriptor left."""
        if hasattr(os, "eventfd"):
            self._write = self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:  # pragma: no cover - other systems than Linux
            self.descriptor, self._write = os.pipe()
            os.set_blocking(self.descriptor, False)
            os.set_blocking(self._write, False)

    def ring(self) -> None:
        """Make the descriptor readable. Never blocks."""
        with contextlib.suppress(OSError):  # a full one wakes as well; a closed one has nobody to wake
            os.write(self._write, b"\1\0\0\0\0\0\0\0")

    def hear(self) -> None:
        """Make the descriptor unreadable until it rings again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Let go of the descriptors; ringing does nothing from now on. To be called once."""
        descriptors, self._write = {self.descriptor, self._write}, -1
        for descriptor in descriptors:
            os.close(descriptor)
