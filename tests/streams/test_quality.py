"""What is learnt of links: the score, its bounds, its direction, its fading."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.engine.links import parse_link
from aceproxy.errors import Reason
from aceproxy.streams.quality import (
    PRIOR_START_S,
    TELLING,
    UNKNOWN,
    NoExperience,
    Quality,
    Viewing,
    fading,
    quality_of,
)

amounts = st.floats(0, 1e6, allow_subnormal=False)


@st.composite
def qualities(draw: st.DrawFn) -> Quality:
    """Sums as viewings can make them."""
    watched_s = draw(amounts)
    measured = draw(st.sampled_from((0.0, 1e-3, 0.5, 1.0)))  # a share; no clock measures 5e-324 s
    speed_s = measured * watched_s
    return Quality(
        starts=draw(st.floats(0, 1000)),
        failures=draw(st.floats(0, 1000)),
        start_s=draw(amounts),
        watched_s=watched_s,
        stalls=draw(st.floats(0, 1000)),
        stalled_s=draw(st.floats(0, 1)) * watched_s,
        losses=draw(st.floats(0, 1000)),
        speed_s=speed_s,
        speed=draw(st.floats(0, 1)) * speed_s,
        peers_s=speed_s,
        peers=draw(st.floats(0, 1000)) * speed_s,
    )


@st.composite
def viewings(draw: st.DrawFn) -> Viewing:
    """Anything a meter could tell, and what it never should."""
    anything = st.floats(-1e9, 1e9)
    return Viewing(
        key="content_id:a",
        engine="http://127.0.0.1:6878",
        start_s=draw(st.none() | anything),
        watched_s=draw(anything),
        stalls=draw(st.integers(0, 1000)),
        stalled_s=draw(anything),
        speed_ratio=draw(st.none() | anything),
        peers=draw(st.none() | anything),
        reason=draw(st.none() | st.sampled_from(list(Reason))),
    )


@given(qualities())
def test_a_score_is_a_share(quality: Quality) -> None:
    assert 0 < quality.score < 1


@given(st.lists(viewings(), max_size=30))
def test_whatever_is_viewed_the_score_stays_a_share_and_no_sum_becomes_negative(seen: list[Viewing]) -> None:
    total = UNKNOWN
    for viewing in seen:
        total = total.plus(quality_of(viewing))
    assert 0 < total.score < 1
    assert all(getattr(total, name) >= 0 for name in Quality.__slots__)


@given(qualities(), st.floats(0.01, 100))
def test_more_failures_stalls_and_losses_never_make_it_better(quality: Quality, more: float) -> None:
    for name in ("failures", "stalled_s", "losses", "start_s"):
        assert replace(quality, **{name: getattr(quality, name) + more}).score <= quality.score, name


@given(qualities(), st.floats(0.01, 100))
def test_undisturbed_viewing_and_quick_starts_never_make_it_worse(quality: Quality, more: float) -> None:
    assert replace(quality, watched_s=quality.watched_s + more).score >= quality.score
    # a start that is no slower than those before, and no slower than what is assumed
    mean_s = min(quality.mean_start_s if quality.mean_start_s is not None else PRIOR_START_S, PRIOR_START_S)
    better = replace(quality, starts=quality.starts + 1, start_s=quality.start_s + mean_s)
    assert better.score >= quality.score - 1e-12


@given(qualities())
def test_what_is_old_fades_to_not_knowing(quality: Quality) -> None:
    assert quality.faded(1.0) == quality
    assert quality.faded(0.0) == UNKNOWN
    assert quality.faded(1e-12).score == pytest.approx(UNKNOWN.score, abs=1e-4)
    assert quality.faded(0.3).mean_speed_ratio == pytest.approx(quality.mean_speed_ratio)


@given(st.floats(-1e9, 1e9), st.floats(1, 1e7))
def test_a_weight_is_a_share_and_a_clock_set_back_makes_nothing_heavier(age_s: float, half_life_s: float) -> None:
    assert 0 <= fading(age_s, half_life_s) <= 1
    assert fading(half_life_s, half_life_s) == 0.5
    assert fading(-1.0, half_life_s) == 1


def test_a_good_link_comes_before_an_unknown_one_and_that_before_a_bad_one() -> None:
    good = UNKNOWN
    for _ in range(3):
        good = good.plus(quality_of(Viewing("k", "e", start_s=2.0, watched_s=600.0, speed_ratio=1.0)))
    bad = quality_of(Viewing("k", "e", reason=Reason.NO_PEERS))
    stuttering = quality_of(Viewing("k", "e", start_s=2.0, watched_s=600.0, stalls=20, stalled_s=200.0))
    assert good.score > UNKNOWN.score + 0.2
    assert bad.score < UNKNOWN.score - 0.1
    assert stuttering.score < UNKNOWN.score


@pytest.mark.parametrize("reason", sorted(set(Reason) - TELLING))
def test_a_failure_that_is_not_the_links_tells_nothing_of_it(reason: Reason) -> None:
    assert quality_of(Viewing("k", "e", reason=reason)) == UNKNOWN


def test_what_delivered_but_could_not_be_played_counts_as_a_failure() -> None:
    told = quality_of(Viewing("k", "e", start_s=1.0, watched_s=5.0, reason=Reason.NOT_MPEGTS))
    assert (told.starts, told.failures) == (0.0, 1.0)
    lost = quality_of(Viewing("k", "e", start_s=1.0, watched_s=50.0, reason=Reason.SOURCE_STALLED))
    assert (lost.starts, lost.failures, lost.losses) == (1.0, 0.0, 1.0)


def test_without_experience_links_stay_as_they_are() -> None:
    links = [parse_link("a" * 40), parse_link("b" * 40)]
    nothing = NoExperience()
    nothing.add(Viewing("k", "e", reason=Reason.NO_PEERS))
    assert nothing.order(links) == links
    assert nothing.score("k") == UNKNOWN.score
