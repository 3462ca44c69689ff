"""Whether a source goes on where it was, by its counters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.following import BACK_S, follows, goes_back
from tests.mpegts.splicing import PACKET, media

BEFORE = media("light", 0, 4)
NULLS = (b"\x47\x1f\xff\x10" + bytes(184)) * 3


@pytest.mark.parametrize("more", [b"", b"\x47\x01", media("light", 4.0, 4.1)[:100]])
def test_the_next_packets_go_on_also_where_the_last_one_is_cut_off(more: bytes) -> None:
    assert follows(BEFORE, media("light", 4, 4.5) + more) is True


def test_packets_from_elsewhere_do_not_go_on() -> None:
    places = [follows(BEFORE, media("light", 4 + later_s / 10, 6 + later_s / 10)) for later_s in range(1, 60)]
    assert places.count(False) >= 50, "counters of four bits are the same by chance now and then"
    assert None not in places


def test_a_packet_that_is_there_twice_goes_on() -> None:
    assert follows(BEFORE, BEFORE[-PACKET:] + media("light", 4, 4.5)) is True


def test_what_says_itself_that_it_is_not_continuous_goes_on() -> None:
    fresh = bytearray(media("light", 7, 7.5))
    for at in range(0, len(fresh), PACKET):
        fresh[at + 3] |= 0x30
        fresh[at + 4 : at + 6] = b"\x01\x80"
    assert follows(BEFORE, bytes(fresh)) is True


def test_nothing_can_be_told_of_what_has_no_counters_to_compare() -> None:
    assert follows(BEFORE, b"") is None
    assert follows(BEFORE, NULLS) is None
    assert follows(b"", media("light", 4, 5)) is None
    assert follows(NULLS, media("light", 4, 5)) is None


def test_a_packet_that_was_cut_off_is_not_gone_on_with() -> None:
    cut_off = media("light", 4, 4.1)[:100]
    assert follows(BEFORE, cut_off + media("light", 6, 6.5)) is False


@pytest.mark.parametrize(("at_s", "back"), [(3.5, True), (0.5, True), (4.0, False), (4.5, False), (30.0, False)])
def test_the_clock_says_whether_it_is_the_past(at_s: float, back: bool) -> None:
    assert goes_back(BEFORE, media("light", at_s, at_s + 0.5)) is back
    assert goes_back(BEFORE, media("light", at_s, at_s + 0.5)[70:]) is back, "begun within a packet"


def test_a_clock_that_is_far_away_is_another_one_and_one_that_wraps_is_not() -> None:
    far = int((BACK_S + 60) * 90_000)
    assert goes_back(media("light", 0, 4, far), media("light", 0, 1)) is False
    wrapping = (1 << 33) - 2 * 90_000
    assert goes_back(media("light", 0, 4, wrapping), media("light", 3, 3.5, wrapping)) is True
    assert goes_back(media("light", 0, 4, wrapping), media("light", 5, 5.5, wrapping)) is False


def test_clocks_that_are_not_there_cannot_be_compared() -> None:
    assert goes_back(BEFORE, NULLS * 9) is None
    assert goes_back(BEFORE, b"") is None
    assert goes_back(NULLS, media("light", 0, 1)) is None


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_it_takes_any_bytes(before: bytes, fresh: bytes) -> None:
    whole = before[: len(before) // PACKET * PACKET]
    assert follows(whole, fresh) in (True, False, None)
    assert goes_back(whole, fresh) in (True, False, None)
