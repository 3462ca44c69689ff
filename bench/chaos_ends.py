"""What the program recorded of its clients, seen from inside the chaos run's proxy: who came, and why each ended."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aceproxy.errors import Reason
from aceproxy.streams.attendance import Attendance
from aceproxy.streams.client import Client

KEPT_AGENTS = 100_000


class EndLog:
    """By User-Agent: how many clients are there, and the ends of those that were."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._ends: dict[str, list[dict[str, Any]]] = {}

    def came(self, client: Client) -> None:
        """Note a client."""
        self._open[client.agent] += 1

    def left(self, client: Client, reason: Reason) -> None:
        """Note its end."""
        self._open[client.agent] -= 1
        if client.agent in self._ends or len(self._ends) < KEPT_AGENTS:
            ends = self._ends.setdefault(client.agent, [])
            ends.append({"reason": str(reason), "sent_bytes": client.sent_bytes, "skips": client.skips})

    def told(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {"ends": self._ends, "open": [agent for agent, count in self._open.items() if count]}


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
