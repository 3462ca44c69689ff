"""What the program recorded of its clients, seen from inside the chaos run's proxy: who came, and why each ended.

Each end is printed at once, as a line `ended` with JSON, and not kept: the memory of this process is what is measured.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from aceproxy.errors import Reason
from aceproxy.streams.attendance import Attendance
from aceproxy.streams.client import Client

WORD = "ended "


class EndLog:
    """How many clients are there, by User-Agent."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def came(self, client: Client) -> None:
        """Note a client."""
        self._open[client.agent] += 1

    def left(self, client: Client, reason: Reason) -> None:
        """Tell its end."""
        self._open[client.agent] -= 1
        if not self._open[client.agent]:
            del self._open[client.agent]
        end = {"agent": client.agent, "reason": str(reason), "at": time.monotonic(), "skips": client.skips}
        print(WORD + json.dumps(end), flush=True)

    def told(self) -> dict[str, Any]:
        """Return who is there, for JSON."""
        return {"open": list(self._open)}


def read_ends(lines: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the ends that were printed, by User-Agent."""
    ends: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if line.startswith(WORD):
            end = json.loads(line.removeprefix(WORD))
            ends.setdefault(end["agent"], []).append(end)
    return ends


def watch_ends() -> EndLog:
    """Observe all clients that this process will have."""
    log = EndLog()
    came, left = Attendance.came, Attendance.left

    def has_come(self: Attendance, client: Client) -> None:
        came(self, client)
        log.came(client)

    def has_left(self: Attendance, client: Client, reason: Reason) -> bool:
        was_there = left(self, client, reason)
        if was_there:
            log.left(client, reason)
        return was_there

    Attendance.came = has_come  # type: ignore[method-assign]  # observed from outside, for this process only
    Attendance.left = has_left  # type: ignore[method-assign]  # the same
    return log
