"""The place in a source that has run beside another one, found without going through what it sent before."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.splice import Outcome
from aceproxy.mpegts.well_known import BACK_S, ROW_PACKETS, offset_of, rows_of
from tests.mpegts.splicing import PACKET, media, splice, without
from tests.mpegts.test_behind import clocked

SENT, FRESH = media("light", 0, 6), media("light", 1, 9)


def shortened(sent: bytes, fresh: bytes) -> bytes:
    """Return what a splice is given of `fresh`."""
    at = offset_of(rows_of(sent), fresh)
    assert at is not None
    return fresh[at:]


def test_rows_begin_with_a_clock_some_tenths_of_a_second_before_the_end_the_nearest_first() -> None:
    rows = rows_of(SENT)
    assert [len(row) for row in rows] == [ROW_PACKETS * PACKET] * len(BACK_S)
    places = [SENT.index(row) for row in rows]
    assert places == sorted(places, reverse=True)
    for place, back_s in zip(places, BACK_S, strict=True):
        assert SENT.index(rows_of(SENT[: place + ROW_PACKETS * PACKET])[0]) < place  # it is too near to that end
        assert len(media("light", 6 - 2 * back_s, 6)) > len(SENT) - place


def test_a_source_is_joined_at_the_same_packet_with_hardly_anything_to_go_through() -> None:
    for begin in (0, 3, PACKET // 2):  # where it is read has nothing to do with packets
        fresh = FRESH[begin:]
        short = shortened(SENT, fresh)
        assert len(short) < len(media("light", 5, 9))
        out, splicer = splice(SENT, short)
        assert out == media("light", 0, 9)
        assert splicer.splice is not None
        assert splicer.splice.outcome is Outcome.SAME_BYTES


@pytest.mark.parametrize("seed", range(25))
def test_packets_that_are_missing_on_either_side_make_no_difference_to_what_is_sent(seed: int) -> None:
    random = Random(seed)
    count = len(SENT) // PACKET
    near = [random.randrange(count - 500, count) for _ in range(random.randrange(6))]
    sent = without(SENT, near)
    missing = {random.randrange(len(FRESH) // PACKET) for _ in range(random.randrange(60))}
    fresh = without(FRESH, missing)
    at = offset_of(rows_of(sent), fresh)
    assert at is not None
    assert at % PACKET == 0
    whole, _ = splice(sent, fresh)
    short, _ = splice(sent, fresh[at:])
    assert short == whole


def test_another_broadcast_one_that_is_behind_and_one_without_clocks_are_not_known() -> None:
    rows = rows_of(SENT)
    assert offset_of(rows, media("light", 0, 9, base_ticks=3600 * CLOCK_HZ)) is None
    assert offset_of(rows, media("light", 0, 3)) is None
    assert rows_of(b"") == rows_of(b"\x47\x1f\xff\x10" + bytes(184)) == []
    assert offset_of([], FRESH) is None


def test_rows_before_a_jump_of_the_clock_are_not_looked_for() -> None:
    assert rows_of(clocked(256, 0) + clocked(256, CLOCK_HZ) + clocked(256, 1000 * CLOCK_HZ)) == []
    assert len(rows_of(clocked(256, 0) + clocked(256, CLOCK_HZ))) == 1
    assert rows_of(clocked(256, CLOCK_HZ) + clocked(256, 0)) == []


@given(st.binary(max_size=600))
def test_nothing_is_raised_for_rubbish(rubbish: bytes) -> None:
    offset_of(rows_of(rubbish), rubbish)
