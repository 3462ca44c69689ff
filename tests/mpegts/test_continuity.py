"""Continuity counters, clause by clause of ISO/IEC 13818-1 §2.4.3.3."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.mpegts.packets import NULL_PACKET, PACKET_BYTES

Maker = Callable[..., bytes]
PCR = 0x10


def errors(*packets: bytes) -> int:
    """Return the errors in packets, and check that feeding them one by one counts the same."""
    whole, one_by_one = ContinuityChecker(), ContinuityChecker()
    found = whole.feed(b"".join(packets))
    assert found == whole.total == sum(one_by_one.feed(packet) for packet in packets)
    assert whole.packets == len(packets)
    return found


def test_counters_that_go_up_by_one_and_wrap_are_right(ts_packet: Maker) -> None:
    assert errors(*(ts_packet(0x100, counter % 16, bytes([counter])) for counter in range(40))) == 0


@pytest.mark.parametrize("counter", [0, 1, 3, 9, 15])
def test_any_other_counter_is_one_error(ts_packet: Maker, counter: int) -> None:
    packets = [ts_packet(0x100, 1, b"a"), ts_packet(0x100, counter, b"b"), ts_packet(0x100, counter + 1, b"c")]
    assert errors(*packets) == 1


def test_each_pid_counts_for_itself(ts_packet: Maker) -> None:
    checker = ContinuityChecker()
    checker.feed(
        ts_packet(0x100, 1, b"a") + ts_packet(0x200, 7, b"a") + ts_packet(0x100, 2, b"b") + ts_packet(0x200, 9, b"b")
    )
    assert dict(checker.errors) == {0x200: 1}


def test_a_packet_may_be_sent_twice_but_not_three_times(ts_packet: Maker) -> None:
    first, second = ts_packet(0x100, 1, b"a"), ts_packet(0x100, 2, b"b")
    assert errors(first, first, second, second) == 0
    assert errors(first, first, first, second) == 1


def test_a_duplicate_with_other_content_is_an_error(ts_packet: Maker) -> None:
    assert errors(ts_packet(0x100, 1, b"a"), ts_packet(0x100, 1, b"b")) == 1


def test_a_duplicate_may_have_another_pcr(ts_packet: Maker) -> None:
    first = bytearray(ts_packet(0x100, 1, b"a", flags=PCR))
    second = bytearray(first)
    second[6:12] = b"\x01\x02\x03\x04\x05\x06"
    assert errors(bytes(first), bytes(second)) == 0
    second[12] ^= 1
    assert errors(bytes(first), bytes(second)) == 1


def test_without_payload_the_counter_stands_still(ts_packet: Maker) -> None:
    first, empty, second = ts_packet(0x100, 1, b"a"), ts_packet(0x100, 1, None), ts_packet(0x100, 2, b"b")
    assert errors(first, empty, empty, empty, second) == 0
    assert errors(first, ts_packet(0x100, 2, None)) == 1


def test_a_duplicate_must_follow_at_once(ts_packet: Maker) -> None:
    first, empty = ts_packet(0x100, 1, b"a"), ts_packet(0x100, 1, None)
    assert errors(first, empty, first) == 1


def test_a_declared_discontinuity_is_no_error(ts_packet: Maker) -> None:
    first, after = ts_packet(0x100, 1, b"a"), ts_packet(0x100, 10, b"c")
    assert errors(first, ts_packet(0x100, 9, b"b", flags=0x80), after) == 0
    assert errors(first, ts_packet(0x100, 9, None, flags=0x80), after) == 0
    assert errors(first, ts_packet(0x100, 9, b"b", flags=0x00), after) == 1


def test_null_packets_count_as_they_like() -> None:
    assert errors(NULL_PACKET, NULL_PACKET, NULL_PACKET, NULL_PACKET) == 0


def test_damaged_packets_leave_a_gap(ts_packet: Maker) -> None:
    checker = ContinuityChecker()
    checker.feed(ts_packet(0x100, 1, b"a") + ts_packet(0x100, 2, b"b", error=True) + ts_packet(0x100, 3, b"c"))
    checker.feed(b"\x00" * PACKET_BYTES)
    assert (checker.total, checker.damaged, checker.packets) == (1, 2, 4)


def test_captures_and_encodes_are_without_error(sample: Callable[[str], bytes]) -> None:
    assert ContinuityChecker().feed(sample("tsduck_064_h264_mp2.ts")) == 0


def test_a_lost_packet_of_a_capture_is_one_error(sample: Callable[[str], bytes]) -> None:
    stream = sample("sample_h264_mpeg_audio.ts")
    assert ContinuityChecker().feed(stream[: 10 * PACKET_BYTES] + stream[11 * PACKET_BYTES :]) == 1


@given(st.binary(max_size=2000))
def test_any_bytes_are_survived(stream: bytes) -> None:
    checker = ContinuityChecker()
    checker.feed(stream)
    assert checker.packets == len(stream) // PACKET_BYTES
