"""The meter of one source: what its viewing was like, told once when it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aceproxy.errors import REASONS, Fault, Reason
from aceproxy.streams.quality import Viewing
from aceproxy.streams.snapshot import EngineStat
from aceproxy.streams.watches import stall_noted_s

WORTH_TELLING_S = 5.0  # shorter viewings without a fault tell nothing: somebody was zapping


class Meter:
    """Measures one source from its first byte to its end. Belongs to the event loop.

    `tell` gets the viewing, soon after `close`: what is said about the loss right after that still counts.
    """

    def __init__(self, tell: Callable[[Viewing], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._clock = clock
        self._begun: tuple[str, str, float, float] | None = None  # key, engine, start time, when
        self._ended = False
        self._looked_at: float | None = None
        self._is_silent = False
        self._stalls = 0
        self._stalled_s = 0.0
        self._speed_s = self._speed = 0.0
        self._peers_s = self._peers = 0.0
        self._title: str | None = None
        self._reason: Reason | None = None

    def begin(self, key: str, engine: str, start_s: float) -> None:
        """The first byte came, `start_s` after the engine was asked."""
        self._begun = (key, engine, start_s, self._clock())

    def failed(self, key: str, engine: str, reason: Reason) -> None:
        """A start on an engine failed; another engine may follow."""
        self._tell(Viewing(key, engine, reason=reason))

    def look(
        self,
        last_byte_at: float | None,
        stat: EngineStat,
        bitrate_bps: float | None,
        title: str | None,
        habit_s: float = 0.0,
    ) -> None:
        """Look at the source, about once a second. `last_byte_at` is None while no byte is to be expected.

        `habit_s` as for `StallWatch.look`.
        """
        now = self._clock()
        elapsed_s = now - self._looked_at if self._looked_at is not None else 0.0
        self._looked_at = now
        self._title = title or self._title
        silent_s = now - last_byte_at if last_byte_at is not None else 0.0
        is_silent = silent_s >= stall_noted_s(habit_s)
        if is_silent:
            self._stalled_s += elapsed_s if self._is_silent else silent_s
            self._stalls += not self._is_silent
        self._is_silent = is_silent
        if stat.peers is not None:
            self._peers_s += elapsed_s
            self._peers += stat.peers * elapsed_s
        if stat.speed_down_bps is not None and bitrate_bps:
            self._speed_s += elapsed_s
            self._speed += min(1.0, stat.speed_down_bps / bitrate_bps) * elapsed_s

    def lost(self, reason: Reason) -> None:
        """Hear why the source was lost or given up; the first reason that is engine's or swarm's counts."""
        if self._reason is None and REASONS[reason].fault in (Fault.ENGINE, Fault.SWARM):
            self._reason = reason

    def close(self) -> None:
        """The source is over. Idempotent."""
        if self._begun is None or self._ended:
            return
        self._ended = True
        watched_s = self._clock() - self._begun[3]
        asyncio.get_running_loop().call_soon(self._finish, watched_s)

    def _finish(self, watched_s: float) -> None:
        assert self._begun is not None
        key, engine, start_s, _ = self._begun
        if watched_s < WORTH_TELLING_S and self._reason is None:
            return
        self._tell(
            Viewing(
                key=key,
                engine=engine,
                title=self._title,
                start_s=start_s,
                watched_s=watched_s,
                stalls=self._stalls,
                stalled_s=self._stalled_s,
                speed_ratio=self._speed / self._speed_s if self._speed_s else None,
                peers=self._peers / self._peers_s if self._peers_s else None,
                reason=self._reason,
            )
        )
