"""Where a picture is renewed bit by bit: how long that takes, and what time stamps the pictures get until then."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.recovery import Recovery, recovery_frames
from aceproxy.mpegts.splice_stamps import delay_stamps, later, read_stamp
from tests.mpegts.splicing import PACKET, media

WRAP = 1 << 33
SLICE = b"\x00\x00\x01\x41\x9a\x00"


def point(body: bytes) -> bytes:
    """Return an access unit with such a SEI unit."""
    return b"\x00\x00\x00\x01\x09\xf0\x00\x00\x01\x06" + body + b"\x80" + SLICE


@pytest.mark.parametrize(
    ("body", "frames"),
    [
        (b"\x06\x01\xc4", 0),  # 1
        (b"\x06\x01\x3c", 6),  # 00111 1..
        (b"\x05\x02\xaa\xbb\x06\x01\x3c", 6),  # another message before it
        (b"\x04\x02\xaa\xbb", 0),
        (b"\x06\x02\x00", 0),  # it ends too soon
        (b"\xff\xff", 0),
    ],
)
def test_how_many_frames_it_takes_is_read_from_the_message_of_the_encoder(body: bytes, frames: int) -> None:
    assert recovery_frames(point(body)) == frames


def test_a_message_behind_the_first_slice_belongs_to_another_picture() -> None:
    assert recovery_frames(SLICE + point(b"\x06\x01\x3c")) == 0


@given(st.binary(max_size=60))
def test_whatever_a_unit_has_is_read_without_an_error(body: bytes) -> None:
    assert recovery_frames(point(body)) >= 0


@given(st.integers(0, WRAP - 1), st.integers(1, 200), st.integers(0, 4))
def test_order_is_kept_and_what_is_complete_stays_where_it_is(first: int, frames: int, ahead: int) -> None:
    span, offset = frames * 3600, ahead * 3600
    recovery = Recovery(0x100, (first + offset) % WRAP, first, span)
    moved = []
    for number in range(frames + 5):
        pts, dts = (first + offset + number * 3600) % WRAP, (first + number * 3600) % WRAP
        pts_by, dts_by = recovery.later_by(pts, dts)
        assert pts_by >= 0
        assert (number >= frames) == recovery.is_over(dts)
        assert (pts_by, dts_by) == (0, 0) or number < frames
        moved.append(((pts + pts_by) % WRAP, (dts + dts_by) % WRAP))
        assert later(*moved[-1]) >= 0
    for one, other in pairwise(moved):
        assert later(other[0], one[0]) > 0
        assert later(other[1], one[1]) > 0
    assert later(moved[frames][0], moved[0][0]) <= frames * 90 + 90


def test_stamps_are_delayed_each_by_its_own_amount() -> None:
    stream = media("light", 0, 2)
    at = next(
        at for at in range(0, len(stream), PACKET) if (found := read_stamp(stream[at : at + PACKET])).dts and found.pcr
    )
    before = read_stamp(stream[at : at + PACKET])
    out = bytearray(stream)
    delay_stamps(out, at, 5, 7)
    after = read_stamp(bytes(out[at : at + PACKET]))
    assert before.pts is not None
    assert before.dts is not None
    own_dts = before.dts if before.dts != before.pts else before.pts
    assert (after.pts, after.pcr) == (before.pts + 5, before.pcr)
    assert after.dts == own_dts + (7 if before.dts != before.pts else 5)
