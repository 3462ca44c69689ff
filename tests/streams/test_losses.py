"""How often a link was lost of late, and which others come before it then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.streams.losses import KEPT, LEFT_AFTER, LEFT_SOON_AFTER, WITHIN_S, Losses

ONE, OTHER = "http://one", "http://other"


def lost(*losses: tuple[int, str | None, float]) -> Losses:
    """Return what is known after these losses: of which link, on which engine, after how much media."""
    known = Losses()
    for loss in losses:
        known.add(*loss)
    return known


def test_a_link_is_left_with_the_third_loss_on_whichever_engines() -> None:
    twice = lost((0, ONE, 5.0), (0, OTHER, 10.0))
    assert twice.better_links(0, [1], soon=False) == []
    twice.add(0, None, 15.0)
    assert twice.better_links(0, [2, 1], soon=False) == [2, 1]


def test_it_is_left_with_the_second_one_where_it_ends_at_once_and_there_is_no_other_engine() -> None:
    assert lost((0, ONE, 5.0)).better_links(0, [1], soon=True) == []
    assert lost((0, ONE, 5.0), (0, ONE, 5.5)).better_links(0, [1], soon=True) == [1]


def test_which_links_come_next_is_known_one_loss_before() -> None:
    known = lost((0, ONE, 5.0), (0, ONE, 10.0), (2, ONE, 11.0))
    assert known.better_links(0, [1, 2], more=1) == [1]
    assert known.better_links(0, [1, 2]) == []
    known.forget(10.5 + WITHIN_S)
    assert (known.count(0), known.count(2)) == (0, 1)
    known.forget(500.0)
    assert known.count(2) == 0


def test_a_minute_of_picture_makes_losses_forgotten_and_time_without_one_does_not() -> None:
    known = lost((0, ONE, 0.0), (0, ONE, 1.0), (0, ONE, 1.0 + WITHIN_S))
    assert known.count(0) == 2
    known.add(1, ONE, 2.0 + 2 * WITHIN_S)
    assert (known.count(0), known.count(1)) == (0, 1)


def test_a_link_that_is_lost_as_often_is_no_better() -> None:
    known = lost(*[(0, ONE, float(at)) for at in range(LEFT_AFTER)])
    assert known.better_links(0, [1, 2], soon=False) == [1, 2]
    for at in range(LEFT_AFTER):
        assert known.better_links(1, [0], soon=False) == [], "not to and fro"
        known.add(1, ONE, 10.0 + at)
    assert known.better_links(1, [0, 2], soon=False) == [2]
    for at in range(LEFT_AFTER):
        known.add(1, ONE, 20.0 + at)
    assert known.better_links(1, [0, 2], soon=False) == [0, 2], "it is clearly worse than the first one"


def test_losses_are_counted_for_each_engine() -> None:
    known = lost((0, ONE, 1.0), (0, OTHER, 2.0), (0, ONE, 3.0), (1, OTHER, 4.0), (0, None, 5.0))
    assert known.by_engine(0) == {ONE: 2, OTHER: 1}
    assert known.by_engine(1) == {OTHER: 1}
    assert known.by_engine(2) == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([ONE, OTHER, None]), st.floats(0, 40)), max_size=200))
def test_whatever_is_lost_little_is_kept_and_better_links_had_fewer_losses(
    steps: list[tuple[int, str | None, float]],
) -> None:
    known, media_s = Losses(), 0.0
    for at, engine, more_s in steps:
        media_s += more_s
        known.add(at, engine, media_s)
        counts = [known.count(link) for link in range(4)]
        assert 1 <= sum(counts) <= KEPT
        assert sum(known.by_engine(at).values()) <= counts[at]
        for soon in (False, True):
            margin = LEFT_SOON_AFTER if soon else LEFT_AFTER
            better = known.better_links(at, [link for link in range(4) if link != at], soon=soon)
            assert all(counts[link] <= counts[at] - margin for link in better)
