"""Sources that leave out the place: they are behind what was sent, and then at once ahead of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from aceproxy.mpegts.splice import Outcome
from tests.mpegts.splicing import after, check, media, read, splice

PLACE_S = 4.0


@pytest.mark.parametrize("left_s", [2.5, 3.5, 3.85, 3.99])
@pytest.mark.parametrize("on_s", [4.65, 5, 6.2, 7.6, 11, 30])
@pytest.mark.parametrize("name", ["light", "radio", "clock"])
def test_a_source_that_leaves_out_the_place_begins_with_a_whole_picture_after_it(
    name: str, left_s: float, on_s: float
) -> None:
    """What it had before the place proves that it is the same broadcast, not that it goes on there."""
    new = media(name, 2, left_s) + media(name, on_s, on_s + 6)
    out, splicer = splice(media(name, 0, PLACE_S), new)
    assert splicer.splice is not None
    assert splicer.splice.outcome in (Outcome.SAME_CLOCK, Outcome.CLOSED_GAP)
    assert splicer.splice.gap_s > on_s - PLACE_S - 0.2
    seen = check(out, max_step_s=4)
    broadcast = {unit.content for units in read(media(name, 0, on_s + 9)).units.values() for unit in units}
    for units in seen.units.values():
        torn = [unit for unit in units if unit.whole and unit.content not in broadcast]
        assert len(torn) <= 1  # what was cut off, and never came again


def test_packets_lost_about_the_place_are_no_leap() -> None:
    out, splicer = splice(media("light", 0, PLACE_S), media("light", 2, 3.9) + media("light", 4.1, 8))
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_BYTES
    times = read(out, counters=False).times(0x100)
    assert all(after(b, a) > 0 for a, b in pairwise(times))


@pytest.mark.parametrize("late_s", [0.03, 0.1])
def test_equal_packets_before_the_first_clock_that_is_known_are_not_the_place(late_s: float) -> None:
    """The broadcast repeats its pictures every 8 s; of what was sent the first ones come before any clock."""
    first = 0.5
    sent = media("light", first, first + 1) + media("light", first + 6, first + 7.9)
    out, splicer = splice(sent, media("light", first + 7.9 + late_s, first + 12))
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_CLOCK
    assert len(out) > len(sent)
