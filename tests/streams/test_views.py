"""What is told of a stream, from what it holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aceproxy.streams.views import few_clients, late

BITRATE_BPS = 8_000_000.0  # a megabyte a second
MEGABYTE = 1_000_000


def test_a_client_is_late_when_it_nears_the_end_of_what_is_held() -> None:
    assert late([0, 14 * MEGABYTE, 16 * MEGABYTE, 29 * MEGABYTE], 30.0, BITRATE_BPS) == 2


def test_nobody_is_late_within_a_few_seconds_or_while_the_rate_is_unknown() -> None:
    assert late([5 * MEGABYTE, 7 * MEGABYTE], 4.0, BITRATE_BPS) == 1
    assert late([29 * MEGABYTE], 30.0, None) == 0


def pretended(lag_bytes: int, *, watched: bool = True) -> Any:
    """A client with an outlet, as far as the choice looks at it."""
    return SimpleNamespace(outlet=SimpleNamespace(lag_bytes=lag_bytes, watched=watched))


def test_of_many_clients_those_that_lag_are_told_and_then_who_came_first() -> None:
    calm = [pretended(0) for _ in range(1000)]
    hls: Any = SimpleNamespace(outlet=None)
    paced = pretended(9 * MEGABYTE, watched=False)  # takes what it wants when it wants it
    late_one, later = pretended(8 * MEGABYTE), pretended(9 * MEGABYTE)
    everybody = [calm[0], hls, *calm[1:500], later, paced, *calm[500:], late_one]
    assert few_clients(everybody, 4) == [calm[0], hls, later, late_one]
    assert few_clients(everybody, 0) == []
    assert few_clients(everybody[:4], 4) == everybody[:4]
