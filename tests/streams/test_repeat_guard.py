"""Old data that is held back: how much of it, and what is left of more."""

from __future__ import annotations

import pytest

from aceproxy.streams.repeat_guard import HOLD_BYTES, Action, Held, RepeatGuard

PIECE = 1 << 20
SECOND = 90_000


def packet(number: int) -> bytes:
    """Return what a random-access point begins with."""
    return number.to_bytes(188, "big")


@pytest.fixture
def guard() -> RepeatGuard:
    """A guard of a stream that has just begun to repeat."""
    guard = RepeatGuard()
    for number in range(5):
        guard.note_clock(number * SECOND, 0.0)
        guard.note_point(number * SECOND, packet(number), 0.0)
    assert guard.note_clock(SECOND, 5.0, steps_back=True)
    guard.note_point(SECOND, packet(1), 5.0)
    assert guard.repeating_at is not None
    return guard


def held(number: int, *, is_point: bool) -> Held:
    """Return a piece that can be told from others."""
    return Held(bytes([number]) * PIECE, number * SECOND if is_point else None, b"tables" if is_point else None)


def test_of_a_long_repeat_the_newest_is_kept_from_a_random_access_point_on(guard: RepeatGuard) -> None:
    for number in range(30):
        assert not guard.hold(held(number, is_point=number % 3 == 0), 5.0)
    left_out = guard.left_out_bytes
    kept = guard.take()
    assert [one.packets[0] for one in kept] == list(range(24, 30)), "without a gap, up to the newest"
    assert kept[0].preamble is not None
    assert left_out == 24 * PIECE
    assert guard.left_out_bytes == 0


def test_a_repeat_without_random_access_points_does_not_grow_and_goes_on_with_the_next_one(guard: RepeatGuard) -> None:
    for number in range(30):
        guard.hold(held(number, is_point=False), 5.0)
    guard.hold(held(30, is_point=True), 5.0)
    guard.hold(held(31, is_point=False), 5.0)
    assert guard.drop() == 32 * PIECE, "all of it is counted"
    for number in range(30):
        guard.note_clock((10 + number) * SECOND, 6.0)
    assert not guard.holding


def test_what_may_be_a_new_programme_is_given_out_in_full_before_it_is_too_much() -> None:
    guard = RepeatGuard()
    guard.note_clock(100 * SECOND, 0.0)
    assert guard.note_clock(SECOND, 0.0, steps_back=True)
    count = 0
    while not guard.hold(held(count, is_point=False), 0.0):
        count += 1
    assert (count + 1) * PIECE == HOLD_BYTES
    assert guard.note_point(SECOND, packet(1), 0.0) is Action.RELEASE
    assert len(guard.take()) == count + 1


def test_what_follows_a_source_that_was_let_repeat_is_watched_from_the_first_new_place_on(guard: RepeatGuard) -> None:
    guard.tolerate()
    guard.take()
    guard.begin_source()
    for number in (2, 3, 4):
        guard.note_clock(number * SECOND, 8.0)
        assert guard.note_point(number * SECOND, packet(number), 8.0) is Action.NONE
    guard.note_clock(5 * SECOND, 9.0)
    assert guard.note_point(5 * SECOND, packet(5), 9.0) is Action.NONE
    assert guard.note_clock(3 * SECOND, 10.0, steps_back=True), "from here on it is watched"
    guard.note_point(3 * SECOND, packet(3), 10.0)
    assert guard.repeating_at is not None
