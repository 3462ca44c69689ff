"""Failed sign-ins make whoever failed wait, in bounded memory."""

from __future__ import annotations

from aceproxy.access.attempts import (
    FORGET_S,
    FREE_FAILURES,
    KEPT_ADDRESSES,
    LONGEST_WAIT_S,
    TOTAL_FAILURES,
    TOTAL_PERIOD_S,
    Attempts,
)


def fail(attempts: Attempts, address: str, times: int, now: float = 0.0) -> None:
    """Let an address fail some times at one moment."""
    for _ in range(times):
        attempts.count(address, now)


def test_an_address_may_mistype_some_times_and_then_waits_twice_as_long_each_time() -> None:
    attempts = Attempts()
    fail(attempts, "192.0.2.1", FREE_FAILURES - 1)
    assert attempts.wait_s("192.0.2.1", 0.0) == 0
    waits = []
    for _ in range(12):
        attempts.count("192.0.2.1", 0.0)
        waits.append(attempts.wait_s("192.0.2.1", 0.0))
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert waits[-1] == LONGEST_WAIT_S
    assert attempts.wait_s("192.0.2.1", 100.0) == LONGEST_WAIT_S - 100
    assert attempts.wait_s("192.0.2.2", 0.0) == 0


def test_failures_are_forgotten_after_a_while() -> None:
    attempts = Attempts()
    fail(attempts, "192.0.2.1", 12)
    assert attempts.wait_s("192.0.2.1", FORGET_S + 1) == 0
    attempts.count("192.0.2.1", FORGET_S + 1)
    assert attempts.wait_s("192.0.2.1", FORGET_S + 1) == 0


def test_a_success_takes_back_itself_but_no_earlier_failure() -> None:
    attempts = Attempts()
    fail(attempts, "192.0.2.1", FREE_FAILURES - 1)
    attempts.count("192.0.2.1", 0.0)
    attempts.succeeded("192.0.2.1")
    assert attempts.wait_s("192.0.2.1", 0.0) == 0
    attempts.count("192.0.2.1", 0.0)
    assert attempts.wait_s("192.0.2.1", 0.0) == 1


def test_the_addresses_of_one_household_count_as_one() -> None:
    attempts = Attempts()
    for number in range(FREE_FAILURES):
        attempts.count(f"2001:db8:1:2::{number:x}", 0.0)
    assert attempts.wait_s("2001:db8:1:2:ffff::1", 0.0) == 1
    assert attempts.wait_s("2001:db8:1:3::1", 0.0) == 0


def test_many_addresses_together_make_everybody_wait() -> None:
    attempts = Attempts()
    for number in range(TOTAL_FAILURES):
        attempts.count(f"198.51.100.{number}", 1.0)
    assert attempts.wait_s("192.0.2.1", 1.0) == TOTAL_PERIOD_S
    assert attempts.wait_s("192.0.2.1", 1.0 + TOTAL_PERIOD_S) == 0


def test_memory_is_bounded_whoever_comes() -> None:
    attempts = Attempts()
    for number in range(KEPT_ADDRESSES * 3):
        attempts.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(attempts._by_place) == KEPT_ADDRESSES
    assert len(attempts._lately) == TOTAL_FAILURES
