"""The breaker: never two trials, never open for ever, and nothing old counts."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from aceproxy.engine.breaker import Breaker, BreakerLimits, Permit

LIMITS = BreakerLimits(failures=2, first_s=10.0, max_s=35.0)


def opened(now: float = 0.0) -> Breaker:
    """Return a breaker that has just opened."""
    breaker = Breaker(LIMITS)
    for _ in range(LIMITS.failures):
        breaker.failed(breaker.begin(now), now)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_in_between_does_not() -> None:
    breaker = Breaker(LIMITS)
    breaker.failed(breaker.begin(0), 0)
    assert breaker.state(0) == "closed"
    breaker.succeeded(breaker.begin(0))
    breaker.failed(breaker.begin(0), 0)
    assert (breaker.state(0), breaker.failures) == ("closed", 1)
    breaker.failed(breaker.begin(0), 0)
    assert (breaker.state(0), breaker.wait_s(4.0), breaker.allows(9.9)) == ("open", 6.0, False)


def test_the_time_left_alone_doubles_with_each_failed_trial_up_to_its_bound_and_begins_anew_after_a_success() -> None:
    now = 0.0
    breaker = opened(now)
    waits = []
    for _ in range(4):
        waits.append(breaker.wait_s(now))
        now += breaker.wait_s(now)
        breaker.failed(breaker.begin(now), now)
    assert waits == [10.0, 20.0, 35.0, 35.0]
    now += breaker.wait_s(now)
    breaker.succeeded(breaker.begin(now))
    assert (breaker.state(now), breaker.failures, breaker.wait_s(now)) == ("closed", 0, 0.0)
    for _ in range(LIMITS.failures):
        breaker.failed(breaker.begin(now), now)
    assert breaker.wait_s(now) == 10.0


def test_half_open_lets_one_trial_through_and_another_when_it_told_nothing() -> None:
    breaker = opened()
    trial = breaker.begin(10.0)
    assert trial.trial
    assert not breaker.allows(10.0)
    beside = breaker.begin(10.0)  # a last resort
    assert not beside.trial
    breaker.told_nothing(beside)
    assert not breaker.allows(10.0)
    breaker.told_nothing(trial)
    assert breaker.allows(10.0)
    assert breaker.begin(10.0).trial


def test_what_was_begun_before_it_opened_counts_no_more() -> None:
    breaker = Breaker(LIMITS)
    early = [breaker.begin(0) for _ in range(20)]
    for permit in early[:19]:
        breaker.failed(permit, 1.0)
    assert (breaker.failures, breaker.wait_s(1.0)) == (2, 10.0)
    breaker.succeeded(early[19])
    assert breaker.state(1.0) == "open"


def test_a_last_resort_that_fails_puts_the_next_trial_off_no_further_and_one_that_lasts_closes_it() -> None:
    breaker = opened()
    breaker.failed(breaker.begin(9.0), 9.0)
    assert breaker.wait_s(9.0) == 1.0
    breaker.succeeded(breaker.begin(9.5))
    assert breaker.state(9.5) == "closed"


def test_an_engine_that_answers_its_probes_again_is_tried_before_the_time_is_over() -> None:
    breaker = opened()
    breaker.contact_back(1.0)
    assert breaker.state(1.0) == "half_open"
    breaker.contact_lost(2.0)
    assert (breaker.state(2.0), breaker.wait_s(2.0)) == ("open", 20.0)
    fresh = Breaker(LIMITS)
    fresh.contact_back(0.0)
    assert fresh.state(0.0) == "closed"


class BreakerLife(RuleBasedStateMachine):
    """Anything that can happen to an engine, in any order."""

    permits = Bundle("permits")

    @initialize(failures=st.integers(1, 4), first_s=st.floats(0.1, 50), max_s=st.floats(0.1, 400))
    def begin_life(self, failures: int, first_s: float, max_s: float) -> None:
        self.limits = BreakerLimits(failures, first_s, max_s)
        self.breaker = Breaker(self.limits)
        self.now = 0.0
        self.trials: list[Permit] = []  # trials nobody has told of yet
        self.opened_at: float | None = None

    @rule(seconds=st.floats(0, 500))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def start(self) -> Permit:
        allowed, state = self.breaker.allows(self.now), self.breaker.state(self.now)
        permit = self.breaker.begin(self.now)
        assert permit.trial == (state == "half_open" and allowed)
        if permit.trial:
            self.trials.append(permit)
            assert not self.breaker.allows(self.now)
        return permit

    @rule(permit=permits)
    def it_lasts(self, permit: Permit) -> None:
        was = self.breaker.state(self.now)
        self.breaker.succeeded(permit)
        if permit in self.trials and was == "half_open":
            self.trials.remove(permit)
        if was == "closed":
            assert self.breaker.state(self.now) == "closed"

    @rule(permit=permits)
    def it_fails(self, permit: Permit) -> None:
        was, wait_s, failures = self.breaker.state(self.now), self.breaker.wait_s(self.now), self.breaker.failures
        self.breaker.failed(permit, self.now)
        if was == "open":
            assert self.breaker.wait_s(self.now) == wait_s
        if was == "closed":
            assert (self.breaker.state(self.now) == "open") == (
                self.breaker.failures >= self.limits.failures and self.breaker.failures > failures
            )

    @rule(permit=permits)
    def it_tells_nothing(self, permit: Permit) -> None:
        was = self.breaker.state(self.now)
        self.breaker.told_nothing(permit)
        assert self.breaker.state(self.now) == was

    @rule()
    def probe_fails(self) -> None:
        self.breaker.contact_lost(self.now)

    @rule()
    def probe_succeeds_again(self) -> None:
        was = self.breaker.state(self.now)
        self.breaker.contact_back(self.now)
        assert self.breaker.state(self.now) == ("closed" if was == "closed" else "half_open")

    @invariant()
    def it_is_never_left_alone_for_longer_than_the_bound(self) -> None:
        if not hasattr(self, "breaker"):
            return
        wait_s = self.breaker.wait_s(self.now)
        assert 0 <= wait_s <= self.limits.max_s * 1.000001
        assert (self.breaker.state(self.now) == "open") == (wait_s > 0)
        if self.breaker.state(self.now) == "closed":
            assert self.breaker.allows(self.now)
            assert self.breaker.failures < self.limits.failures

    @invariant()
    def an_idle_engine_is_tried_again_in_the_end(self) -> None:
        if not hasattr(self, "breaker"):
            return
        if self.breaker.wait_s(self.now) > 0:  # an opening forgets the trials before it
            assert self.breaker.allows(self.now + self.limits.max_s * 1.000001)


TestBreakerLife = BreakerLife.TestCase
