"""Slots on engines, as those who hold them see them. Belongs to the event loop."""

from __future__ import annotations

import asyncio
import time
from math import inf
from types import TracebackType
from typing import Protocol

from aceproxy.engine.api import EngineApi
from aceproxy.engine.choice import NoAnswer
from aceproxy.engine.pooled import DOUBTFUL, LIKELY_FAILURES, PLAIN_FAILURES, PooledEngine
from aceproxy.errors import AceProxyError, Reason

TURN_LOOK_S = 0.1  # how often a start that waits for its turn looks whether the engine is still there


class SlotOwner(Protocol):
    """Who gives the slots, as a slot sees it."""

    def delivered(self, handle: EngineHandle) -> None:
        """A playback delivers."""

    def failed(self, handle: EngineHandle, error: AceProxyError) -> None:
        """A start failed."""

    def released(self, engine: PooledEngine) -> None:
        """A slot is free."""

    def could_go_elsewhere(self, handle: EngineHandle) -> bool:
        """Whether another engine is up and has room."""


class EngineHandle:
    """A slot on an engine, held until `release`; a context manager that releases.

    Whoever holds it tells what comes of it: `note_delivered` with the first bytes, `note_failure` for a start that
    failed, `note_lost` for a playback that the engine's side ended. A playback that lasts `short_play_s` is a success.
    """

    def __init__(self, engine: PooledEngine, owner: SlotOwner, link_key: str, *, spare: bool = False) -> None:
        self.leave_requested = asyncio.Event()
        """Set while the pool wants this slot free: the engine is drained or removed, or another stream needs the slot
        of a spare. The holder moves to another engine (`EnginePool.choose` gives none that is drained) and then
        releases this one; a holder that finds no other stays. Cleared if the drain is taken back.
        """
        self.gone = asyncio.Event()
        """Set when the engine answers nothing while the playback does not deliver yet, and another engine could do."""
        self.link_key = link_key
        self.spare = spare
        self.settled = False  # has lasted
        self.permit = engine.breaker.begin(time.monotonic())
        self._engine = engine
        self._owner = owner
        self._taken_at = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._told = False  # the breaker knows what came of it
        self._held = True
        engine.handles.add(self)

    @property
    def url(self) -> str:
        """The engine's address."""
        return self._engine.api.url

    @property
    def label(self) -> str:
        """The engine's label."""
        return self._engine.entry.label

    @property
    def api(self) -> EngineApi:
        """The engine's API."""
        return self._engine.api

    @property
    def better_left(self) -> NoAnswer | None:
        """Since when the engine does not answer, as last probed or told, where another one is up and has room."""
        return self._engine.no_answer if self._owner.could_go_elsewhere(self) else None

    @property
    def owes_since(self) -> float | None:
        """Loop time of the first call for its version that the engine has not answered; None where it owes none."""
        return self._engine.owes_since

    @property
    def delivered(self) -> bool:
        """Whether there were first bytes."""
        return self._timer is not None or self.settled

    async def wait_turn(self) -> None:
        """Wait until it is this slot's turn to start something: at once, unless many starts come together.

        Raises ENGINE_UNREACHABLE where the engine turns out to be gone meanwhile and another one is up with room: that
        says nothing new of the engine. Cancel-safe.
        """
        turn_at = time.monotonic() + self._engine.take_turn(time.monotonic())
        while (left_s := turn_at - time.monotonic()) > 0:
            if self._engine.state in ("down", "hung") and self._owner.could_go_elsewhere(self):
                raise AceProxyError(Reason.ENGINE_UNREACHABLE, self._engine.last_error)
            await asyncio.sleep(min(left_s, TURN_LOOK_S))
        self._taken_at = time.monotonic()

    def note_delivered(self) -> None:
        """Tell that the playback delivers. Needs a running event loop. Only the first call counts."""
        if self.delivered or not self._held:
            return
        now = time.monotonic()
        self._engine.experience.delivered(now - self._taken_at, now)
        self._timer = asyncio.get_running_loop().call_later(self._engine.settle_s, self._settle)
        self._owner.delivered(self)

    def note_failure(self, error: AceProxyError) -> None:
        """Tell that a start failed, so that the pool does not have to find out by itself.

        What is the engine's fault counts against it; an engine that cannot be reached is down from now on, and in the
        other cases it is probed at once. What is the broadcast's fault does not, unless the same link then plays on
        another engine.
        """
        if self._told or not self._held:
            return
        if error.reason in (*PLAIN_FAILURES, *LIKELY_FAILURES):
            self._told = True
            self._engine.note_failure(self, error)
        elif error.reason in DOUBTFUL:
            self._owner.failed(self, error)

    def note_lost(self, error: AceProxyError) -> None:
        """Tell that the engine's side ended a playback, or fell silent. Soon after its start that is a failure; later
        it only is a reason to see how the engine is. After `release` it was our side that ended it, and says nothing.
        """
        if not self._held:
            return
        if self.settled or self._told:
            self._engine.probe_now.set()
            return
        self._told = True
        self._stop_timer()
        self._engine.note_failure(self, error)

    def note_slow(self) -> None:
        """Tell that an answer, or data, takes long: the engine is probed at once."""
        self._engine.probe_now.set()

    def note_doubt(self, since_at: float = -inf) -> None:
        """Tell that a stream that has played is silent, since `since_at` (loop time): its engine is asked whether it
        lives, see `probing`, unless it has just told since then.
        """
        self._engine.doubt(since_at)

    def engine_silent(self) -> None:
        """Hear that the engine did not tell its version."""
        if not self.delivered and self._owner.could_go_elsewhere(self):
            self.gone.set()

    @property
    def asked_to_leave(self) -> bool:
        """Whether the pool wants the slot free."""
        return self.leave_requested.is_set()

    def set_leaving(self, *, leaving: bool) -> None:
        """Hear that the pool wants the slot free, or does not any more."""
        if leaving:
            self.leave_requested.set()
        else:
            self.leave_requested.clear()

    def keep(self) -> None:
        """Make a spare slot a slot like any other."""
        self.spare = False
        self.set_leaving(leaving=not self._engine.takes_streams)

    def lend(self) -> None:
        """Make it a spare slot, which gives way to others."""
        self.spare = True

    def release(self) -> None:
        """Give the slot back. May be called again."""
        if not self._held:
            return
        self._held = False
        self._stop_timer()
        if not self._told:
            self._engine.breaker.told_nothing(self.permit)
        self._engine.handles.discard(self)
        self._owner.released(self._engine)

    def _settle(self) -> None:
        self.settled = True
        self._told = True
        self._engine.note_success(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def __enter__(self) -> EngineHandle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
