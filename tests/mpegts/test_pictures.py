"""Judging access units by their first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.pictures import Verdict, is_no_start, judge_for

YES, NO, MAYBE = Verdict.YES, Verdict.NO, Verdict.MAYBE

AUD = b"\x00\x00\x00\x01\x09\xf0"
SPS = b"\x00\x00\x00\x01\x67\x64\x00\x28\xac"
PPS = b"\x00\x00\x01\x68\xee\x3c\x80"
USER_SEI = b"\x00\x00\x01\x06\x05\x07uuid123\x80"
RECOVERY = b"\x00\x00\x01\x06\x06\x01\xc4\x80"
USER_AND_RECOVERY = b"\x00\x00\x01\x06\x05\x07uuid123\x06\x01\xc4\x80"
LONG_USER_AND_RECOVERY = b"\x00\x00\x01\x06\x05\xff\x2d" + b"u" * 300 + b"\x06\x01\xc4\x80"
IDR = b"\x00\x00\x01\x65\x88\x84\x00\x21"
P_SLICE = b"\x00\x00\x01\x41\x9a\x26\x00\x21"
I_SLICE = b"\x00\x00\x01\x61\x88\x80\x00\x21"  # slice_type 7
I_SLICE_2 = b"\x00\x00\x01\x61\xb2\x80\x00\x21"  # slice_type 2
LATER_SLICE = b"\x00\x00\x01\x41\x40\x26\x00\x21"  # first_mb_in_slice is not 0
LATER_IDR = b"\x00\x00\x01\x65\x40\x26\x00\x21"

HEVC_SETS = b"\x00\x00\x00\x01\x40\x01\x0c" + b"\x00\x00\x01\x42\x01\x01" + b"\x00\x00\x01\x44\x01\xc1"


def hevc(unit_type: int, *, first: bool = True, layer: int = 0) -> bytes:
    """Return the start of an HEVC slice."""
    return b"\x00\x00\x01" + bytes([unit_type << 1 | layer >> 5, (layer & 31) << 3 | 1, 0x80 if first else 0x20, 0x55])


SEQUENCE = b"\x00\x00\x01\xb3\x2d\x02\x40\x33\x24\x9f\x23\x81"
EXTENSION = b"\x00\x00\x01\xb5\x14\x82\x00\x01\x00\x00"
GROUP = b"\x00\x00\x01\xb8\x00\x08\x00\x40"


def picture(coding_type: int) -> bytes:
    """Return an MPEG-2 picture header and the start of a slice."""
    return b"\x00\x00\x01\x00" + bytes([0x00, coding_type << 3, 0xFF]) + b"\x00\x00\x01\x01\x22\x33\x44"


CASES = [
    ("h264", AUD + SPS + PPS + USER_SEI + IDR, YES),
    ("h264", SPS + PPS + IDR, YES),
    ("h264", AUD + IDR, NO),
    ("h264", AUD + SPS + IDR, NO),
    ("h264", AUD + P_SLICE, NO),
    ("h264", P_SLICE, NO),
    ("h264", AUD + SPS + PPS + P_SLICE, NO),
    ("h264", AUD + SPS + PPS + RECOVERY + P_SLICE, YES),
    ("h264", AUD + SPS + PPS + USER_AND_RECOVERY + I_SLICE, YES),
    ("h264", AUD + SPS + PPS + LONG_USER_AND_RECOVERY + I_SLICE, YES),
    ("h264", AUD + RECOVERY + I_SLICE, NO),
    ("h264", AUD + SPS + PPS + I_SLICE, MAYBE),
    ("h264", AUD + SPS + PPS + I_SLICE_2, MAYBE),
    ("h264", b"tail of a slice" + LATER_SLICE + AUD + SPS + PPS + IDR, YES),
    ("h264", LATER_IDR + LATER_IDR + P_SLICE, NO),
    ("h264", SPS + PPS + LATER_IDR, YES),
    ("hevc", HEVC_SETS + hevc(19), YES),
    ("hevc", HEVC_SETS + hevc(21), YES),
    ("hevc", HEVC_SETS + hevc(16), YES),
    ("hevc", HEVC_SETS + hevc(1), NO),
    ("hevc", hevc(19), NO),
    ("hevc", hevc(8), NO),
    ("hevc", HEVC_SETS + hevc(1, layer=1) + hevc(19), YES),
    ("hevc", hevc(1, first=False) + HEVC_SETS + hevc(20), YES),
    ("mpeg2video", SEQUENCE + EXTENSION + GROUP + picture(1), YES),
    ("mpeg2video", SEQUENCE + EXTENSION + picture(1), YES),
    ("mpeg1video", SEQUENCE + GROUP + picture(1), YES),
    ("mpeg2video", SEQUENCE + EXTENSION + picture(2), NO),
    ("mpeg2video", GROUP + picture(1), NO),
    ("mpeg2video", picture(3), NO),
    ("mpeg2video", b"\x00\x00\x01\x09tail" + SEQUENCE + EXTENSION + picture(1), YES),
]


@pytest.mark.parametrize(("codec", "content", "verdict"), CASES)
def test_the_verdict_is_the_same_whole_and_byte_by_byte_and_with_rubbish_after(
    codec: str, content: bytes, verdict: Verdict
) -> None:
    whole, after, bytewise = judge_for(codec), judge_for(codec), judge_for(codec)
    assert whole
    assert after
    assert bytewise
    assert whole.feed(content) is verdict
    assert after.feed(content + b"\x00\x00\x01\x65\x00\x00\x01\xb3\xff\xff" * 3) is verdict
    verdicts = [bytewise.feed(bytes([byte])) for byte in content]
    assert next(found for found in verdicts if found is not None) is verdict


@pytest.mark.parametrize("codec", ["aac", "vvc", "mpeg4", None])
def test_other_codecs_have_no_judge(codec: str | None) -> None:
    assert judge_for(codec) is None


def test_opened_tells_the_start_of_an_access_unit_from_the_rest_of_one() -> None:
    start, rest = judge_for("h264"), judge_for("h264")
    assert start
    assert rest
    assert (start.feed(AUD + SPS), start.opened) == (None, True)
    assert (rest.feed(b"\x55" * 100 + LATER_SLICE), rest.opened) == (None, False)


pieces = st.sampled_from([AUD, SPS, PPS, RECOVERY, USER_SEI, LATER_SLICE, b"\x00", b"\x01", b"\x00\x00\x01", b"\xff"])


@given(
    st.sampled_from(["h264", "hevc", "mpeg2video"]),
    st.lists(st.one_of(pieces, st.binary(max_size=20)), max_size=40).map(b"".join),
    st.integers(1, 60),
)
def test_any_content_in_any_pieces_gets_the_same_verdict(codec: str, content: bytes, size: int) -> None:
    whole, cut = judge_for(codec), judge_for(codec)
    assert whole
    assert cut
    expected = whole.feed(content)
    verdict = None
    for at in range(0, len(content), size):
        verdict = cut.feed(content[at : at + size])
        if verdict is not None:
            break
    assert verdict is expected


UNITS = st.one_of(
    st.sampled_from([AUD, SPS, PPS, USER_SEI, RECOVERY, IDR, P_SLICE, I_SLICE, LATER_SLICE, LATER_IDR]),
    st.sampled_from([HEVC_SETS, hevc(1), hevc(19), hevc(1, first=False), hevc(19, layer=1), hevc(33), hevc(35)]),
    st.sampled_from([SEQUENCE, EXTENSION, GROUP, picture(1), picture(2), b"\x00\x00\x01", b"\x00"]),
    st.binary(max_size=6).map(lambda tail: b"\x00\x00\x01" + tail),
)


@given(codec=st.sampled_from(["h264", "hevc", "mpeg1video", "mpeg2video"]), units=st.lists(UNITS, max_size=6))
def test_what_is_no_start_at_once_is_none_for_the_judge_either(codec: str, units: list[bytes]) -> None:
    content = b"".join(units)
    judge = judge_for(codec)
    assert judge is not None
    verdict = judge.feed(content)
    if is_no_start(codec, content):
        assert verdict is NO
    assert not is_no_start(None, content)


@pytest.mark.parametrize(
    ("codec", "content"),
    [
        ("h264", AUD + P_SLICE),
        ("h264", AUD + USER_SEI + P_SLICE),
        ("h264", AUD + PPS + IDR),
        ("hevc", hevc(35) + hevc(1)),
        ("hevc", hevc(19)),
        ("mpeg2video", GROUP + picture(3)),
    ],
)
def test_ordinary_access_units_need_no_judge(codec: str, content: bytes) -> None:
    assert is_no_start(codec, content)
