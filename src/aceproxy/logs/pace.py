"""Leaving the interpreter to others. A thread that computes keeps it for 5 ms at a time, and whoever waits for it once
for each system call, as the thread that sends media does, comes to a standstill meanwhile.
"""

from __future__ import annotations

import time
from typing import Final

WORK_S: Final = 0.001  # about as long as the event loop takes for an answer
REST_S: Final = 0.002


class Pace:
    """Work of one thread in short pieces, with a rest after each. Belongs to that thread."""

    def __init__(self) -> None:
        self._rested_at = time.monotonic()

    def breathe(self) -> None:
        """Rest if it is time; to be called between steps that take much less than WORK_S."""
        if time.monotonic() - self._rested_at >= WORK_S:
            time.sleep(REST_S)
            self._rested_at = time.monotonic()
