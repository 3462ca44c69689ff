"""The choice: in proportion to what engines are worth, and never nobody where somebody could do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from aceproxy.engine.choice import Standing, choose, relative_speed

GOOD = Standing(
    label="a", state="up", allowed=True, wait_s=0.0, streams=0, starting=0, spares=0, capacity=100, weight=1.0,
    failure_rate=0.0, speed=1.0, back_s=None, doubted=False,
)  # fmt: skip


def spread(*engines: Standing, streams: int) -> Counter[str]:
    """Start streams one after the other and return how many each engine got."""
    held = {one.label: one for one in engines}
    for _ in range(streams):
        chosen = choose(list(held.values()))
        assert chosen is not None
        held[chosen.label] = replace(chosen, streams=chosen.streams + 1)
    return Counter({label: one.streams for label, one in held.items()})


def b(**changes: object) -> Standing:
    return replace(GOOD, label="b", **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (b(), 30),
        (b(weight=2.0), 40),
        (b(capacity=50), 20),
        (b(failure_rate=0.5), 20),
        (b(failure_rate=1.0), 3),  # still some: so it is found out when it is well again
        (b(speed=0.5), 20),
        (b(suits=0.5), 20),
        (b(suits=0.0), 12),  # a link that plays badly there is tried there all the same, now and then
        (b(back_s=0.0), 12),
        (b(back_s=300.0), 30),
    ],
)
def test_streams_are_spread_in_proportion(other: Standing, share: int) -> None:
    assert spread(GOOD, other, streams=60)["b"] == pytest.approx(share, abs=1)


def test_starts_under_way_count_double_so_that_a_herd_is_spread() -> None:
    chosen = choose([replace(GOOD, streams=6), b(streams=4, starting=4)])
    assert chosen is not None
    assert chosen.label == "a"


@pytest.mark.parametrize(
    "other",
    [
        b(state="unknown"),
        b(state="down"),
        b(state="hung"),
        b(allowed=False, wait_s=5.0),
        b(allowed=False),
        b(doubted=True),
        b(streams=100),
    ],
)
def test_an_engine_with_something_against_it_comes_after_a_busy_one(other: Standing) -> None:
    chosen = choose([replace(GOOD, streams=99), other])
    assert chosen is not None
    assert chosen.label == "a"


def test_the_breaker_is_passed_over_where_no_other_engine_has_room() -> None:
    late, soon = b(allowed=False, wait_s=50.0), replace(GOOD, label="c", allowed=False, wait_s=5.0)
    chosen = choose([replace(GOOD, streams=100), late, soon])
    assert chosen is not None
    assert chosen.label == "c"


def test_with_nothing_reachable_one_is_tried_all_the_same_and_with_no_room_none() -> None:
    chosen = choose([replace(GOOD, state="hung"), b(state="down", streams=3)])
    assert chosen is not None
    assert chosen.label == "b"
    assert choose([replace(GOOD, streams=100), b(state="down")]) is None  # a lingering stream can give way
    chosen = choose([replace(GOOD, streams=100, spares=1), b(streams=100)])
    assert chosen is not None
    assert chosen.label == "a"


def test_slowness_is_relative_and_bounded_and_fractions_of_a_second_hardly_count() -> None:
    assert relative_speed(0.011, 0.001) > 0.98
    assert [relative_speed(expected_s, 2.0) for expected_s in (0.0, 1.0, 2.0, 3.0, 90.0)] == [1, 1, 1, 0.75, 0.5]


standings = st.builds(
    Standing,
    label=st.text("abcdef", min_size=1, max_size=3),
    state=st.sampled_from(["unknown", "up", "down", "hung"]),
    allowed=st.booleans(),
    wait_s=st.floats(0, 300),
    streams=st.integers(0, 20),
    starting=st.integers(0, 20),
    spares=st.integers(0, 5),
    capacity=st.integers(1, 20),
    weight=st.floats(0.01, 100),
    failure_rate=st.floats(0, 1, exclude_max=True),
    speed=st.floats(0.5, 1),
    back_s=st.none() | st.floats(0, 1e6),
    doubted=st.booleans(),
)


@given(st.lists(standings, min_size=1, max_size=8))
def test_whatever_is_known_a_full_engine_is_never_chosen_and_a_sound_one_with_room_always_is(
    all_: list[Standing],
) -> None:
    chosen = choose(all_)
    sound = [one for one in all_ if one.state == "up" and one.allowed and one.has_room and not one.doubted]
    if sound:
        assert chosen in sound
        assert chosen is not None
        assert chosen.load == min(one.load for one in sound)
    if chosen is None:
        assert not any(one.is_reachable and one.has_room for one in all_)
    else:
        assert chosen.has_room
