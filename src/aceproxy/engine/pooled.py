"""One engine of the pool and all that is known of it. Belongs to the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from aceproxy.engine.api import EngineApi
from aceproxy.engine.arrivals import Arrivals
from aceproxy.engine.breaker import Breaker, BreakerLimits, BreakerState, Permit
from aceproxy.engine.choice import WARM_UP_S, EngineState, NoAnswer, Standing, relative_speed
from aceproxy.engine.experience import Experience
from aceproxy.engine.roster import Member
from aceproxy.engine.turns import Turns
from aceproxy.entries import EngineEntry
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings

PLAIN_FAILURES = (Reason.ENGINE_UNREACHABLE, Reason.ENGINE_REFUSED)  # have nothing to do with the broadcast
LIKELY_FAILURES = (Reason.ENGINE_TIMEOUT, Reason.ENGINE_ERROR, Reason.NO_DATA)  # of the engine, unless it is the link
DOUBTFUL = (Reason.CONTENT_NOT_FOUND, Reason.NO_PEERS, Reason.START_TIMEOUT, Reason.SESSION_LOST)
"""Of the broadcast, as far as anybody can tell, until the same link plays on another engine."""
BLAMED_LINKS = 100  # whose failures are told apart, per engine
DOUBT_PAUSE_S = 1.0  # an engine that answered less than this ago is in no doubt

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """What is known of an engine.

    `breaker_wait_s`: until it is tried again; `failures`: in a row. `starts`, `start_failures`: ever; `failure_rate`
    and `start_s` (None if unknown): experience, the old counting less. `last_ok_age_s`: since it last told its version,
    None if it never has. `leaving`: removed, and forgotten once its last stream is off it. `at_run_time`: not one of
    the settings.
    """

    url: str
    label: str
    state: EngineState
    version: str
    streams: int
    spares: int
    capacity: int
    weight: float
    draining: bool
    leaving: bool
    at_run_time: bool
    breaker: BreakerState
    breaker_wait_s: float
    failures: int
    starts: int
    start_failures: int
    failure_rate: float
    start_s: float | None
    last_ok_age_s: float | None
    last_error: str


class Slot(Protocol):
    """A slot as its engine sees it; see `handle.EngineHandle`."""

    link_key: str
    spare: bool
    settled: bool
    permit: Permit

    @property
    def asked_to_leave(self) -> bool:
        """Whether the pool wants the slot free."""

    def set_leaving(self, *, leaving: bool) -> None:
        """The pool wants the slot free, or does not any more."""

    def engine_silent(self) -> None:
        """The engine did not tell its version."""


class PooledEngine:
    """One engine; only the pool, its probes and its handles touch it."""

    def __init__(self, api: EngineApi, settings: Settings, arrivals: Arrivals) -> None:
        """Begin with nothing known; `become` says what it is to be. `arrivals` hears when it can be used."""
        self.entry = EngineEntry(url=api.url)
        self.api = api
        self.at_run_time = False
        self.capacity = settings.engine_max_streams
        self.settle_s = settings.short_play_s
        self.breaker = Breaker(
            BreakerLimits(settings.breaker_failures, settings.breaker_first_s, settings.breaker_max_s)
        )
        self.experience = Experience(settings.experience_half_life_s)
        self.handles: set[Slot] = set()
        self._turns = Turns()
        self.draining = False
        self.leaving = False
        self.state: EngineState = "unknown"
        self.version = ""
        self.back_at: float | None = None  # when it came back after it was gone
        self.last_ok_at: float | None = None
        self.last_error = ""
        self.no_answer: NoAnswer | None = None  # set before `state` tells of it, where a stream is in doubt
        self.asked_at: float | None = None  # loop time of the call for its version that goes on
        self.probe_now = asyncio.Event()
        self.doubted = asyncio.Event()  # a stream on it is silent: an answer is waited for less long
        self._arrivals = arrivals
        self._blamed: set[str] = set()  # keys of the links that have failed since the last success

    @property
    def takes_streams(self) -> bool:
        """Whether it is meant to get new streams."""
        return not (self.draining or self.leaving)

    @property
    def is_usable(self) -> bool:
        """Whether it answers and is meant to get new streams; it may have no room."""
        return self.state == "up" and self.takes_streams

    @property
    def is_mute(self) -> bool:
        """Whether it owes an answer, though it counts as up."""
        return self.state == "up" and self.no_answer is not None

    @property
    def is_fit(self) -> bool:
        """Whether it answers, takes streams and has room for another one."""
        has_room = len(self.handles) - self.spares < self.capacity
        return self.state == "up" and not self.is_mute and self.takes_streams and has_room

    @property
    def spares(self) -> int:
        """How many of its slots give way to others."""
        return sum(handle.spare for handle in self.handles)

    @property
    def owes_since(self) -> float | None:
        """Loop time of the first call for its version that it has not answered; None where it owes no answer."""
        return self.no_answer.since_at if self.no_answer is not None else self.asked_at

    def standing(self, now: float, fastest_s: float | None, *, doubted: bool, suits: float = 1.0) -> Standing:
        """Return what counts of it for a choice; `fastest_s` is the usual start time of the fastest engine."""
        speed = 1.0
        if fastest_s is not None:
            speed = relative_speed(self.experience.expected_start_s(now, fastest_s), fastest_s)
        return Standing(
            label=self.entry.label,
            state="hung" if self.is_mute else self.state,
            allowed=self.breaker.allows(now),
            wait_s=self.breaker.wait_s(now),
            streams=len(self.handles),
            starting=sum(not handle.settled for handle in self.handles),
            spares=self.spares,
            capacity=self.capacity,
            weight=self.entry.weight,
            failure_rate=self.experience.failure_rate(now),
            speed=speed,
            back_s=None if self.back_at is None else now - self.back_at,
            doubted=doubted,
            suits=suits,
        )

    def take_turn(self, now: float) -> float:
        """Return after how many seconds a start that is wanted now may be begun; see `turns`."""
        return self._turns.take(now, cold=self.back_at is not None and now - self.back_at < WARM_UP_S)

    def snapshot(self, now: float) -> EngineSnapshot:
        """Return what is known of it."""
        return EngineSnapshot(
            url=self.api.url,
            label=self.entry.label,
            state=self.state,
            version=self.version,
            streams=len(self.handles),
            spares=self.spares,
            capacity=self.capacity,
            weight=self.entry.weight,
            draining=self.draining,
            leaving=self.leaving,
            at_run_time=self.at_run_time,
            breaker=self.breaker.state(now),
            breaker_wait_s=self.breaker.wait_s(now),
            failures=self.breaker.failures,
            starts=self.experience.starts,
            start_failures=self.experience.failures,
            failure_rate=self.experience.failure_rate(now),
            start_s=self.experience.start_s(now),
            last_ok_age_s=None if self.last_ok_at is None else now - self.last_ok_at,
            last_error=self.last_error,
        )

    def become(self, member: Member, usual_capacity: int) -> None:
        """Take over what it is to be; it stays, also if it was about to go."""
        self.entry = member.entry
        self.at_run_time = member.at_run_time
        self.capacity = member.entry.capacity or usual_capacity
        self.set_use(draining=member.draining, leaving=False)

    def set_use(self, *, draining: bool, leaving: bool) -> None:
        """Say whether it gets streams. If not, those here are asked to move; see `handle.EngineHandle`."""
        was_usable = self.is_usable
        self.draining, self.leaving = draining, leaving
        if self.is_usable and not was_usable:
            self._arrivals.tell()
        for slot in self.handles:
            slot.set_leaving(leaving=not self.takes_streams)

    def note_answer(self, version: str) -> None:
        """Take note that it told its version."""
        now = time.monotonic()
        self.last_ok_at = now
        self.no_answer = None
        self.version = version
        if self.state in ("down", "hung"):
            self.back_at = now
            self.breaker.contact_back(now)
        self._set_state("up", "")

    def doubt(self, since_at: float = -inf) -> None:
        """Hear that a stream on it is silent, since `since_at`: it is asked whether it lives, unless it has just told
        since then.
        """
        told_at = self.last_ok_at
        is_sure = told_at is not None and time.monotonic() - told_at < DOUBT_PAUSE_S and told_at > since_at
        if self.state == "up" and not is_sure and self.no_answer is None:
            self.doubted.set()
            self.probe_now.set()

    def note_mute(self, asked_at: float) -> None:
        """Take note that it owes the answer to a call since `asked_at`; it may still come."""
        self.no_answer = self.no_answer or NoAnswer(asked_at, Reason.ENGINE_TIMEOUT)
        if self.is_mute:
            log.warning("engine %s does not tell its version while a stream of it is silent", self.entry.label)

    def note_silence(self, error: AceProxyError, asked_at: float) -> None:
        """Take note that it did not tell its version when it was asked at `asked_at`."""
        since_at = self.no_answer.since_at if self.no_answer is not None else asked_at
        self.no_answer = NoAnswer(since_at, error.reason)
        self._watch_breaker(self.breaker.contact_lost)
        self._set_state("hung" if error.reason is Reason.ENGINE_TIMEOUT else "down", error.detail or error.reason.value)
        for slot in self.handles:
            slot.engine_silent()

    def note_success(self, handle: Slot) -> None:
        """Take note that a playback lasted."""
        self._blamed.clear()
        self.experience.lasted(time.monotonic())
        self._watch_breaker(lambda _: self.breaker.succeeded(handle.permit))

    def note_failure(self, handle: Slot, error: AceProxyError) -> None:
        """Take note of a failure that is the engine's fault. It is probed at once, or counts as down.

        The same link again and again is no proof against the engine: such failures count once for each link.
        """
        self.experience.failed(time.monotonic())
        if error.reason in PLAIN_FAILURES or self._is_new_blame(handle.link_key):
            self._watch_breaker(lambda now: self.breaker.failed(handle.permit, now))
        else:
            self.breaker.told_nothing(handle.permit)
        if error.reason is Reason.ENGINE_UNREACHABLE:
            self.no_answer = self.no_answer or NoAnswer(time.monotonic(), error.reason)
            self._set_state("down", error.detail)
        self.probe_now.set()

    def note_proved_wrong(self) -> None:
        """Take note that a link which failed here for the broadcast's sake, as it seemed, plays on another engine."""
        self.experience.failed(time.monotonic())
        self._watch_breaker(self.breaker.contact_lost)

    def _is_new_blame(self, link_key: str) -> bool:
        is_new = link_key not in self._blamed
        if len(self._blamed) < BLAMED_LINKS:
            self._blamed.add(link_key)
        return is_new

    def _watch_breaker(self, change: Callable[[float], None]) -> None:
        """Change the breaker; what comes of it is worth a line in the log where it opens or closes."""
        now = time.monotonic()
        before = self.breaker.state(now)
        change(now)
        after = self.breaker.state(now)
        if before != after and after == "open":
            wait_s = self.breaker.wait_s(now)
            times = self.breaker.failures
            log.warning("engine %s has failed %d times: left alone for %g s", self.entry.label, times, wait_s)
        elif before != after and after == "closed":
            log.info("engine %s does well again", self.entry.label)

    def _set_state(self, state: EngineState, last_error: str) -> None:
        """Set the state; a change is worth a line in the log."""
        self.last_error = last_error
        if state == self.state:
            return
        self.state = state
        if self.is_usable:
            self._arrivals.tell()
        if state == "up":
            log.info("engine %s is up, version %s", self.entry.label, self.version or "unknown")
        else:
            log.warning("engine %s is %s: %s", self.entry.label, state, last_error)
