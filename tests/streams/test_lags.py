"""Which engine is to hold a standby, by how far behind it has been there."""

from __future__ import annotations

import asyncio

from aceproxy.streams.lags import MEASURED, Lags


def lags(**known: float) -> Lags:
    """Return what is known once each of these engines was measured often enough."""
    found = Lags(lambda _: b"")
    for engine, lag_s in known.items():
        for _ in range(MEASURED):
            found.note(engine, lag_s)
    return found


def test_one_measurement_tells_nothing_and_a_strange_one_is_outvoted() -> None:
    known = Lags(lambda _: b"")
    for lag_s in (0.2, 9.0):
        known.note("one", lag_s)
        assert known.of("one") is None
    known.note("one", 0.4)
    assert known.of("one") == 0.4


def test_an_engine_that_is_hardly_behind_is_not_left() -> None:
    assert not lags(one=0.9).better("one", {"other", "third"})
    assert not lags(one=-3.0).better("one", {"other"})


def test_one_that_is_far_behind_is_left_for_what_is_not_known_or_known_to_be_better() -> None:
    assert lags(one=5.0, other=4.5).better("one", {"other", "third"}) == {"third"}
    assert lags(one=5.0, other=3.0).better("one", {"other"}) == {"other"}
    assert not lags(one=5.0, other=6.0).better("one", {"other"})
    assert not lags(one=5.0).better("one", frozenset())


def test_the_next_standby_is_where_it_is_least_behind() -> None:
    known = lags(one=5.0, other=9.0, third=0.1)
    assert known.worse({"one", "other", "third"}) == {"one", "other"}
    assert known.worse({"one", "other"}) == {"other"}
    assert known.worse({"other"}) == frozenset(), "one is better than none"
    assert known.worse({"one", "new"}) == {"one"}
    assert lags().worse({"one"}) == frozenset()


async def test_what_is_remembered_is_bounded() -> None:
    known = Lags(lambda _: b"")
    for number in range(1000):
        for _ in range(MEASURED):
            known.note(f"engine {number}", 1.0)
    assert known.of("engine 0") is None
    assert known.of("engine 999") == 1.0
    await asyncio.sleep(0)
