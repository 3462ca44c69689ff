"""What is told of a stream, from what it holds."""

from __future__ import annotations

from aceproxy.streams.views import late

BITRATE_BPS = 8_000_000.0  # a megabyte a second
MEGABYTE = 1_000_000


def test_a_client_is_late_when_it_nears_the_end_of_what_is_held() -> None:
    assert late([0, 14 * MEGABYTE, 16 * MEGABYTE, 29 * MEGABYTE], 30.0, BITRATE_BPS) == 2


def test_nobody_is_late_within_a_few_seconds_or_while_the_rate_is_unknown() -> None:
    assert late([5 * MEGABYTE, 7 * MEGABYTE], 4.0, BITRATE_BPS) == 1
    assert late([29 * MEGABYTE], 30.0, None) == 0
