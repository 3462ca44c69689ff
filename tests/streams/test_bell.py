"""The bell that wakes the pump."""

from __future__ import annotations

import select

from aceproxy.streams.bell import Bell


def is_readable(bell: Bell) -> bool:
    return bool(select.select([bell.descriptor], [], [], 0)[0])


def test_it_is_heard_once_however_often_it_rang() -> None:
    bell = Bell()
    assert not is_readable(bell)
    for _ in range(100_000):
        bell.ring()
    assert is_readable(bell)
    bell.hear()
    assert not is_readable(bell)
    bell.hear()  # of a silent one: nothing happens
    bell.ring()
    assert is_readable(bell)
    bell.close()


def test_ringing_a_closed_one_does_nothing() -> None:
    bell = Bell()
    bell.close()
    bell.ring()
