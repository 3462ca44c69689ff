"""PES headers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.pes import PesHeader, is_pes_start, read_pes_header, read_pts

Maker = Callable[..., bytes]


@given(st.integers(0, (1 << 33) - 1), st.booleans())
def test_every_time_stamp_is_read_back(pes: Maker, pts: int, scrambled: bool) -> None:
    assert read_pes_header(pes(b"content", pts, scrambled=scrambled)) == PesHeader(pts, scrambled, 14)


def test_a_known_time_stamp_is_read() -> None:
    assert read_pts(bytes.fromhex("210007d861")) == 126_000  # the first PTS of ffmpeg's own streams


def test_the_time_of_decoding_is_read_where_it_is_told() -> None:
    stamps = bytes.fromhex("31001b7741" + "11001af9a1")
    whole = b"\x00\x00\x01\xe0\x00\x00\x80\xc0\x0a" + stamps + b"content"
    header = read_pes_header(whole)
    assert header == PesHeader(read_pts(stamps[:5]), False, 19, read_pts(stamps[5:]))
    assert header.pts != header.dts
    for size in range(9, 19):
        assert read_pes_header(whole[:size]) is None


@pytest.mark.parametrize("stream_id", [0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF])
def test_streams_without_the_optional_header_begin_after_six_bytes(stream_id: int) -> None:
    start = b"\x00\x00\x01" + bytes([stream_id]) + b"\x00\x08\x80\x80\x05abcde"
    assert read_pes_header(start) == read_pes_header(start[:6]) == PesHeader(None, False, 6)


def test_a_header_that_is_not_whole_wants_more(pes: Maker) -> None:
    whole = pes(b"", 900)
    for size in range(14):
        assert is_pes_start(whole[:size])
        assert read_pes_header(whole[:size]) is None
    assert read_pes_header(pes(b"")[:9]) == PesHeader(None, False, 9)


def test_impossible_headers_have_no_clock() -> None:
    assert read_pes_header(b"\x00\x00\x01\xe0\x00\x00\x00\x80\x05" + b"\xff" * 9) == PesHeader(None, False, 6)
    assert read_pes_header(b"\x00\x00\x01\xe0\x00\x00\x80\x80\x02" + b"\xff" * 9) == PesHeader(None, False, 11)


def test_other_payloads_are_no_start() -> None:
    assert not is_pes_start(b"\x00\x00\x02\xe0")
    assert not is_pes_start(b"\x01")


@given(st.binary(max_size=300).map(lambda rest: b"\x00\x00\x01" + rest))
def test_any_header_is_survived(payload: bytes) -> None:
    header = read_pes_header(payload)
    assert header is None or 6 <= header.content_at <= 9 + 255
