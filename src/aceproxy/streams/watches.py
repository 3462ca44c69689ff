"""What is looked at once a second and goes into a stream's time line: silence of the source, skips of clients."""

from __future__ import annotations

from collections.abc import Iterable

from aceproxy.errors import Fault
from aceproxy.streams.client import Client
from aceproxy.streams.engine_word import waits_for_swarm
from aceproxy.streams.judging import HABIT_SHARE
from aceproxy.streams.snapshot import EngineStat
from aceproxy.streams.timeline import EventKind, Timeline

STALL_NOTED_S = 3.0  # silence from which on a source counts as stalled; engines send in bursts of up to two seconds
STALL_LIMIT_S = 6.0  # from which on a silence is a stall whatever the habit; players hold as much (`burst_s`)
SKIP_NOTED_S = 10.0  # least time between two events about the skips of one client
SKIPPERS_TOLD = 3  # clients that get events of their own in one look; more are told in one


class StallWatch:
    """Notes when a source that should deliver falls silent, and when it speaks again."""

    def __init__(self, timeline: Timeline) -> None:
        self.stalls = 0
        self.stalled_s = 0.0  # of the stalls that are over
        self._timeline = timeline
        self._since_at: float | None = None

    def look(self, now: float, last_byte_at: float | None, stat: EngineStat, habit_s: float = 0.0) -> None:
        """Compare with the last look. `last_byte_at` is None while no byte is to be expected.

        `habit_s`: for how long the source is silent as a matter of habit.
        """
        if last_byte_at is None:
            return
        if self._since_at is None and now - last_byte_at >= stall_noted_s(habit_s):
            self._since_at = last_byte_at
            self.stalls += 1
            self._timeline.note(
                EventKind.STALL_BEGAN,
                fault=stall_fault(stat),
                silent_s=now - last_byte_at,
                engine_status=stat.status,
                peers=stat.peers,
            )
        elif self._since_at is not None and last_byte_at > self._since_at:
            self._end(last_byte_at)

    def source_changed(self, now: float) -> None:
        """Hear that the source was given up: its silence, if there was one, is over at `now`."""
        if self._since_at is not None:
            self._end(now, given_up=True)

    def _end(self, at: float, *, given_up: bool = False) -> None:
        assert self._since_at is not None
        lasted_s, self._since_at = at - self._since_at, None
        self.stalled_s += lasted_s
        if not given_up:
            self._timeline.note(EventKind.STALL_ENDED, lasted_s=lasted_s)


def stall_noted_s(habit_s: float) -> float:
    """Return the silence from which on a source of such habits counts as stalled."""
    return min(max(STALL_NOTED_S, HABIT_SHARE * habit_s), STALL_LIMIT_S)


def stall_fault(stat: EngineStat) -> Fault:
    """Say whose fault a silence is, by what the engine told of its playback last."""
    return Fault.SWARM if waits_for_swarm(stat.status, stat.peers, stat.speed_down_bps) else Fault.ENGINE


class SkipWatch:
    """Notes skips of clients: for each client once in a while, with how many there were."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._noted: dict[str, tuple[int, float]] = {}  # client id -> skips told, when

    def look(self, now: float, clients: Iterable[Client]) -> None:
        """Compare with the last look."""
        due: list[tuple[Client, int]] = []
        for client in clients:
            skips = client.skips
            if not skips:
                continue
            told, told_at = self._noted.get(client.client_id, (0, -SKIP_NOTED_S))
            if skips > told and now - told_at >= SKIP_NOTED_S:
                self._noted[client.client_id] = (skips, now)
                due.append((client, skips - told))
        if len(due) > SKIPPERS_TOLD:
            self._timeline.note(EventKind.CLIENT_SKIPPED, clients=len(due), skips=sum(skips for _, skips in due))
            return
        for client, skips in due:
            self._timeline.note(EventKind.CLIENT_SKIPPED, client=client.client_id, agent=client.agent, skips=skips)

    def forget(self, client: Client) -> None:
        """Hear that a client is gone; skips of it that were not told yet are told now."""
        told, _ = self._noted.pop(client.client_id, (0, 0.0))
        if client.skips > told:
            self._timeline.note(
                EventKind.CLIENT_SKIPPED, client=client.client_id, agent=client.agent, skips=client.skips - told
            )
