"""How much media lies in a piece of a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.media_span import media_span
from tests.mpegts.splicing import media


def test_a_piece_is_as_long_as_its_clocks_go() -> None:
    assert 1.8 * 90_000 < media_span(media("light", 0, 2)) < 2.2 * 90_000
    assert 1.8 * 90_000 < media_span(media("light", 0, 2, (1 << 33) - 90_000)) < 2.2 * 90_000, "through the wrap"


def test_where_no_clock_is_told_twice_there_is_no_length() -> None:
    assert media_span(b"") == 0
    assert media_span(media("light", 0, 2)[: 188 * 4]) == 0


@given(st.lists(st.binary(min_size=187, max_size=187), max_size=20))
def test_anything_that_calls_itself_packets_has_some_length(packets: list[bytes]) -> None:
    assert 0 <= media_span(b"".join(b"\x47" + rest for rest in packets)) <= 1 << 32
