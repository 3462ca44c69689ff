"""Who watched a stream: bounded whatever the number of clients."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.errors import Reason
from aceproxy.streams.record import VIEWERS_LIMIT, Audience, Visit


def visit(address: str, watched_s: float = 1.0, agent: str = "VLC", skips: int = 0) -> Visit:
    return Visit(address, agent, watched_s, 100, skips, Reason.CLIENT_LEFT)


def test_visits_of_one_player_are_one_viewer() -> None:
    audience = Audience()
    for number in (1, 2, 2):
        audience.came(number)
    audience.left(visit("a", 10.0))
    audience.left(visit("a", 5.0, skips=2))
    audience.left(visit("a", 1.0, agent="mpv"))
    first, second = audience.viewers([visit("a", 2.0, agent="mpv")])
    assert (first.agent, first.visits, first.watched_s, first.sent_bytes, first.skips) == ("VLC", 2, 15.0, 200, 2)
    assert (second.agent, second.visits, second.watched_s) == ("mpv", 2, 3.0)
    assert (audience.visits, audience.peak_clients, audience.skips) == (3, 2, 2)
    assert [viewer.visits for viewer in audience.viewers()] == [2, 1]  # who is present is not added for good


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1000)), max_size=500))
def test_the_number_of_viewers_is_bounded_and_short_visits_push_out_none_that_were_long(
    visits: list[tuple[int, float]],
) -> None:
    audience = Audience()
    audience.left(visit("long", 1001.0))
    for who, watched_s in visits:
        audience.left(visit(str(who), watched_s))
    viewers = audience.viewers()
    assert len(viewers) <= VIEWERS_LIMIT
    assert viewers[0].watched_s >= 1001.0
    assert any(viewer.address == "long" for viewer in viewers)
    assert len(viewers) == min(VIEWERS_LIMIT, len({who for who, _ in visits}) + 1)
