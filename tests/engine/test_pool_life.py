"""Anything that can happen to a pool, in any order: slots are counted, drained engines get nothing, nothing is left."""

from __future__ import annotations

import asyncio
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from aceproxy.engine.api import EngineLimits, engine_session
from aceproxy.engine.links import parse_link
from aceproxy.engine.pool import EngineHandle, EnginePool
from aceproxy.entries import EngineEntry
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings

LABELS = [f"e{number}" for number in range(5)]
START_REASONS = [
    Reason.ENGINE_UNREACHABLE, Reason.ENGINE_TIMEOUT, Reason.ENGINE_REFUSED, Reason.ENGINE_ERROR, Reason.NO_PEERS,
    Reason.CONTENT_NOT_FOUND, Reason.NO_DATA, Reason.ENCRYPTED,
]  # fmt: skip


def entry(label: str, **changes: Any) -> EngineEntry:
    return EngineEntry.model_validate({"url": f"http://127.0.0.1:{1 + LABELS.index(label)}", "label": label, **changes})


class PoolLife(RuleBasedStateMachine):
    """A pool whose engines are never contacted: all that is known comes from what is told."""

    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.held: dict[str, set[EngineHandle]] = {label: set() for label in LABELS}
        self.drained: set[str] = set()
        self.leaving: set[str] = set()
        self.known: set[str] = set()
        self.capacity = 2

    def run(self, step: Any) -> Any:
        """Run a plain function on the event loop."""

        async def call() -> Any:
            return step()

        return self.loop.run_until_complete(call())

    def attempt(self, step: Any) -> Any:
        """Run a plain function on the event loop and return what it returns, or the reason it raises."""
        try:
            return self.run(step)
        except AceProxyError as error:
            return error.reason

    @initialize(known=st.sets(st.sampled_from(LABELS), min_size=1), capacity=st.integers(1, 3))
    def begin_life(self, known: set[str], capacity: int) -> None:
        self.known, self.capacity = known, capacity
        engines = [entry(label) for label in sorted(known)]
        settings = Settings.model_validate({"engines": engines, "engine_max_streams": capacity, "breaker_failures": 2})

        async def build() -> None:
            self.session = engine_session(EngineLimits())
            self.pool = EnginePool(settings, self.session)

        self.loop.run_until_complete(build())

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.loop.run_until_complete(self.session.close())
        self.loop.close()

    @rule(
        target=handles,
        link=st.integers(0, 3),
        spare=st.booleans(),
        exclude=st.sets(st.sampled_from(LABELS), max_size=2),
        prefer=st.sampled_from(LABELS),
    )
    def choose(self, link: int, spare: bool, exclude: set[str], prefer: str) -> EngineHandle | None:
        meant = self.known - self.drained - self.leaving
        shunned = [entry(label).url for label in exclude]
        handle = self.attempt(
            lambda: self.pool.choose(parse_link(f"{link:040x}"), shunned, prefer=entry(prefer).url, spare=spare)
        )
        if not isinstance(handle, EngineHandle):
            self._check_refusal(handle, meant, meant - exclude, spare)
            return None
        assert handle.label in meant - exclude
        assert not spare  # no engine was ever seen up
        assert len(self.held[handle.label]) < self.capacity
        self.held[handle.label].add(handle)
        return handle

    def _check_refusal(self, reason: Reason, meant: set[str], free: set[str], spare: bool) -> None:
        if not meant or not free:
            assert reason is (Reason.ENGINE_UNREACHABLE if meant else Reason.NO_ENGINE)
            return
        if spare and reason is Reason.ENGINE_UNREACHABLE:
            return  # there would be room, but nothing is held ready on an engine that nobody has seen up
        assert reason is Reason.AT_CAPACITY
        if not spare:  # every one that may be reached is full of streams that do not give way
            told = {one.label: one for one in self.pool.snapshot()}
            able = {label for label in free if told[label].state in ("up", "unknown")} or free
            assert all(len(self.held[label]) >= self.capacity for label in able)

    @rule(handle=handles)
    def delivers(self, handle: EngineHandle | None) -> None:
        if handle is not None:
            self.run(handle.note_delivered)

    @rule(handle=handles, reason=st.sampled_from(START_REASONS))
    def fails(self, handle: EngineHandle | None, reason: Reason) -> None:
        if handle is not None:
            self.run(lambda: handle.note_failure(AceProxyError(reason, "made")))

    @rule(handle=handles)
    def is_lost(self, handle: EngineHandle | None) -> None:
        if handle is not None:
            self.run(lambda: handle.note_lost(AceProxyError(Reason.SOURCE_ENDED)))

    @rule(handle=consumes(handles), again=st.booleans())
    def release(self, handle: EngineHandle | None, again: bool) -> None:
        if handle is None:
            return
        label = handle.label
        self.run(handle.release)
        if again:
            self.run(handle.release)
        self.held[label].discard(handle)
        self._forget_if_empty(label)

    @rule(label=st.sampled_from(LABELS))
    def drain(self, label: str) -> None:
        if self._refused(lambda: self.pool.drain(label), label):
            return
        self.drained.add(label)
        assert all(handle.leave_requested.is_set() for handle in self.held[label])

    @rule(label=st.sampled_from(LABELS))
    def undrain(self, label: str) -> None:
        if self._refused(lambda: self.pool.undrain(label), label):
            return
        self.drained.discard(label)
        self.leaving.discard(label)
        assert not any(handle.leave_requested.is_set() for handle in self.held[label])

    @rule(label=st.sampled_from(LABELS))
    def remove(self, label: str) -> None:
        if self._refused(lambda: self.pool.remove(label), label):
            return
        self.leaving.add(label)
        assert all(handle.leave_requested.is_set() for handle in self.held[label])
        self._forget_if_empty(label)

    @rule(label=st.sampled_from(LABELS), enabled=st.booleans())
    def add(self, label: str, enabled: bool) -> None:
        outcome = self.attempt(lambda: self.pool.add(entry(label, enabled=enabled)))
        if isinstance(outcome, Reason):
            assert (outcome, label in self.known) == (Reason.ENGINE_EXISTS, True)
            return
        assert label not in self.known
        self.known.add(label)
        if not enabled:
            self.drained.add(label)

    def _forget_if_empty(self, label: str) -> None:
        if label in self.leaving and not self.held[label]:
            self.leaving.discard(label)
            self.drained.discard(label)
            self.known.discard(label)

    def _refused(self, call: Any, label: str) -> bool:
        outcome = self.attempt(call)
        assert (outcome is Reason.ENGINE_NOT_FOUND) == (label not in self.known)
        return outcome is Reason.ENGINE_NOT_FOUND

    @invariant()
    def the_snapshot_tells_what_is(self) -> None:
        if not hasattr(self, "pool"):
            return
        told = {one.label: one for one in self.run(self.pool.snapshot)}
        assert set(told) == self.known
        for label, one in told.items():
            assert one.streams == len(self.held[label])
            assert one.draining == (label in self.drained)
            assert one.leaving == (label in self.leaving)
            assert 0 <= one.failure_rate < 1
            assert (one.breaker == "open") == (one.breaker_wait_s > 0)


TestPoolLife = PoolLife.TestCase
TestPoolLife.settings = hypothesis_settings(max_examples=40, stateful_step_count=40, deadline=None)
