"""When another engine is tried soon though the present one waits for the swarm: for unusual silences, now and then."""

from __future__ import annotations

from aceproxy.streams.elsewhere import AGAIN_S, Elsewhere
from aceproxy.streams.gaps import Gaps


def sent(period_s: float, until_at: float) -> Gaps:
    """Return the gaps of a source that has sent every `period_s` for a minute."""
    gaps = Gaps()
    for step in range(int(60 / period_s), -1, -1):
        gaps.arrived(until_at - step * period_s)
    return gaps


def test_a_silence_is_unusual_when_it_is_clearly_longer_than_those_before() -> None:
    elsewhere = Elsewhere()
    assert elsewhere.is_worth_a_try(1000.0, sent(0.1, 1000.0), 1003.0)
    assert not elsewhere.is_worth_a_try(1000.0, sent(3.0, 1000.0), 1004.0)
    assert elsewhere.is_worth_a_try(1000.0, sent(3.0, 1000.0), 1005.0)
    assert not elsewhere.is_worth_a_try(None, Gaps(), 1005.0)


def test_a_try_goes_on_as_long_as_the_silence_and_the_next_one_comes_a_minute_later() -> None:
    elsewhere = Elsewhere()
    elsewhere.tried(1000.0, 1003.0)
    for now in (1003.5, 1010.0, 1100.0):
        elsewhere.tried(1000.0, now)
        assert elsewhere.is_worth_a_try(1000.0, sent(0.1, 1000.0), now)
    assert not elsewhere.is_worth_a_try(1010.0, sent(0.1, 1010.0), 1003.0 + AGAIN_S - 1)
    assert elsewhere.is_worth_a_try(1060.0, sent(0.1, 1060.0), 1003.0 + AGAIN_S)
