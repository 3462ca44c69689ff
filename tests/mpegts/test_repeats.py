"""Noticing that a stream goes over old ground."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.repeats import JUMP_BACK, POINTS_KEPT, RepeatWatch, Seen

WRAP = 1 << 33


def test_pictures_out_of_order_are_no_jump() -> None:
    watch = RepeatWatch()
    assert not any(watch.goes_back(pts) for pts in (None, 90_000, 97_200, 93_600, 90_000, 100_800, None, 97_200))


def test_a_clock_that_jumps_back_is_noticed_once_also_over_the_wrap() -> None:
    watch = RepeatWatch()
    assert [watch.goes_back(pts) for pts in (500_000, 503_600, 100_000, 103_600)] == [False, False, True, False]
    watch = RepeatWatch()
    assert [watch.goes_back(pts) for pts in (WRAP - 3600, 0, 3600)] == [False, False, False]
    assert watch.goes_back(WRAP - 200_000)


def test_a_point_is_known_by_its_time_and_content_whatever_its_counter() -> None:
    watch = RepeatWatch()
    packet = bytes([0x47, 0x41, 0x00, 0x30]) + bytes(range(184))
    assert watch.note_point(1000, packet) is Seen.NEVER
    assert watch.note_point(1000, packet[:3] + b"\x37" + packet[4:]) is Seen.BEFORE
    assert watch.note_point(2000, packet) is Seen.NEVER, "the same picture at another time is no repeat"
    assert watch.note_point(1000, packet[:-1] + b"\xff") is Seen.NEVER
    assert watch.note_point(None, packet) is watch.note_point(None, packet) is Seen.NEVER


def test_a_place_before_all_that_was_watched_is_unknown_until_that_clock_is_accepted() -> None:
    watch = RepeatWatch()
    watch.goes_back(10 * 90_000)
    watch.goes_back(20 * 90_000)
    assert watch.goes_back(5 * 90_000)
    assert watch.note_point(5 * 90_000, bytes(188)) is Seen.UNKNOWN
    assert watch.note_point(12 * 90_000, bytes(188)) is Seen.NEVER
    watch.accept()
    assert watch.note_point(6 * 90_000, bytes(188)) is Seen.NEVER


@given(st.lists(st.integers(0, WRAP - 1), max_size=50))
def test_it_never_fails_and_sees_a_jump_only_where_time_goes_back(stamps: list[int]) -> None:
    watch = RepeatWatch()
    last: int | None = None
    for pts in stamps:
        back = watch.goes_back(pts)
        assert back == (last is not None and JUMP_BACK < (last - pts) % WRAP < WRAP // 2)
        last = pts


def test_what_is_remembered_is_bounded() -> None:
    watch = RepeatWatch()
    for number in range(POINTS_KEPT + 10):
        watch.note_point(number, bytes(188))
    assert watch.note_point(0, bytes(188)) is Seen.NEVER
    assert watch.note_point(POINTS_KEPT, bytes(188)) is Seen.BEFORE
