"""Alignment: which bytes are packets."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.packets import (
    NULL_PACKET,
    PACKET_BYTES,
    SYNC_BYTE,
    Aligner,
    adaptation_flags,
    payload_start,
    pid_of,
    synced_prefix,
)


def numbered(count: int, first: int = 0) -> bytes:
    """Return packets that all differ and have no 0x47 but their sync bytes."""
    return b"".join(b"\x47\x01\x00\x10" + bytes([index % 64]) * 184 for index in range(first, first + count))


# small alphabets make sync bytes and near-misses common
noise = st.lists(st.sampled_from([0x47, 0x00, 0xFF, 0x1F]), max_size=1500).map(bytes)
run_of_packets = st.integers(1, 12).map(numbered)


def in_pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Return a stream cut at some places."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in pairwise(places)]


def prefix_by_hand(buf: bytes) -> int:
    """Return what `synced_prefix` should, packet by packet."""
    at = 0
    while at + PACKET_BYTES <= len(buf) and buf[at] == SYNC_BYTE:
        at += PACKET_BYTES
    return at


@given(st.lists(st.one_of(noise, run_of_packets), max_size=4).map(b"".join))
def test_the_synced_prefix_is_what_a_loop_over_packets_finds(buf: bytes) -> None:
    assert synced_prefix(buf) == prefix_by_hand(buf)
    assert synced_prefix(memoryview(buf)) == synced_prefix(bytearray(buf)) == prefix_by_hand(buf)


def test_a_mapped_file_serves_as_a_buffer() -> None:
    with mmap.mmap(-1, 4096) as mapped:
        mapped.write(numbered(3))
        assert synced_prefix(mapped) == 3 * PACKET_BYTES


@pytest.mark.parametrize(
    ("head", "payload_at", "flags"),
    [
        ("47010010", 4, 0),
        ("4701003000", 5, 0),
        ("470100300140", 6, 0x40),
        ("47010030b780", 188, 0x80),
        ("47010020b700", 188, 0),
        ("47010030ff00", 188, 0),
        ("47010000", 188, 0),
    ],
)
def test_payload_and_flags_are_found_behind_every_kind_of_header(head: str, payload_at: int, flags: int) -> None:
    packet = bytes.fromhex(head).ljust(PACKET_BYTES, b"\x00")
    assert (pid_of(packet), payload_start(packet), adaptation_flags(packet)) == (0x100, payload_at, flags)


def test_the_null_packet_is_one() -> None:
    assert (len(NULL_PACKET), pid_of(NULL_PACKET), payload_start(NULL_PACKET)) == (PACKET_BYTES, 0x1FFF, 4)


def test_whole_packets_pass_unchanged() -> None:
    aligner = Aligner()
    assert aligner.feed(numbered(40)) + aligner.flush() == numbered(40)
    assert (aligner.dropped_bytes, aligner.resyncs) == (0, 0)


def test_junk_before_and_between_costs_only_the_junk() -> None:
    aligner = Aligner()
    stream = b"\x00" * 333 + numbered(8) + b"\xff" * 50 + numbered(8, 8)
    assert aligner.feed(stream) + aligner.flush() == numbered(16)
    assert (aligner.dropped_bytes, aligner.resyncs) == (383, 1)


def test_one_broken_sync_byte_costs_one_packet() -> None:
    stream = bytearray(numbered(20))
    stream[10 * PACKET_BYTES] = 0x46
    aligner = Aligner()
    assert aligner.feed(stream) + aligner.flush() == numbered(10) + numbered(9, 11)
    assert (aligner.dropped_bytes, aligner.resyncs) == (PACKET_BYTES, 0)


def test_a_packet_cut_short_costs_it_and_the_one_it_hid() -> None:
    aligner = Aligner()
    stream = numbered(10) + numbered(1, 10)[:100] + numbered(10, 11)
    out = aligner.feed(stream) + aligner.flush()
    assert out.startswith(numbered(10))
    assert out.endswith(numbered(9, 12))
    assert synced_prefix(out) == len(out)


def test_a_lock_needs_five_packets_while_more_may_come() -> None:
    aligner = Aligner()
    assert aligner.feed(numbered(4)) == b""
    assert aligner.feed(b"\x47") == numbered(4)


@pytest.mark.parametrize(
    ("tail", "left"),
    [
        (b"", b""),
        (b"\x47\x01", b""),
        (numbered(1), numbered(1)),
        (b"\x00" + numbered(1), numbered(1)),
        (numbered(1) + b"\x00", b""),
        (b"abc" + numbered(2) + b"\x47 partial", numbered(2)),
        (b"\x00" * 500, b""),
    ],
)
def test_the_end_settles_what_was_held(tail: bytes, left: bytes) -> None:
    aligner = Aligner()
    assert aligner.feed(tail) == b""
    assert aligner.flush() == left
    assert aligner.dropped_bytes == len(tail) - len(left)
    assert aligner.flush() == b""


@given(st.lists(st.one_of(noise, run_of_packets), max_size=6).map(b"".join), st.lists(st.integers(0, 10_000)))
def test_any_input_in_any_pieces_gives_the_same_synced_packets(stream: bytes, cuts: list[int]) -> None:
    whole, cut = Aligner(), Aligner()
    expected = whole.feed(stream)
    out = b"".join(cut.feed(piece) for piece in in_pieces(stream, cuts))
    held = len(stream) - len(out) - cut.dropped_bytes
    assert out == expected
    assert 0 <= held < 1200
    rest = cut.flush()
    assert rest == whole.flush()
    assert synced_prefix(out + rest) == len(out + rest)
    assert len(out + rest) + cut.dropped_bytes == len(stream)
    assert (cut.dropped_bytes, cut.resyncs) == (whole.dropped_bytes, whole.resyncs)


def spaced(packets: bytes, before: int, behind: int) -> bytes:
    """Return packets with so many bytes before and behind each, in which a sync byte stands now and then."""
    return b"".join(
        bytes([number % 3] * before) + packets[at : at + PACKET_BYTES] + bytes([0x47, number % 251] * (behind // 2))
        for number, at in enumerate(range(0, len(packets), PACKET_BYTES))
    )


@pytest.mark.parametrize(("before", "behind"), [(4, 0), (0, 16)])
@given(cuts=st.lists(st.integers(0, 10_000)), junk=st.binary(max_size=400))
def test_packets_with_times_or_parity_lose_them(before: int, behind: int, cuts: list[int], junk: bytes) -> None:
    stream = spaced(numbered(30), before, behind)
    aligner = Aligner()
    out = b"".join(aligner.feed(piece) for piece in in_pieces(stream, cuts))
    assert aligner.is_needed
    assert out + aligner.flush() == numbered(30)
    assert aligner.dropped_bytes == len(stream) - 30 * PACKET_BYTES
    again = Aligner()
    found = again.feed(stream + junk.replace(b"\x47", b"") + numbered(30)) + again.flush()
    assert found.startswith(numbered(29))
    assert found.endswith(numbered(28, 2))


def test_byte_by_byte_gives_the_same() -> None:
    stream = b"\x47\x00" * 40 + numbered(9) + b"junk" + numbered(9, 9) + numbered(1)[:-1]
    aligner = Aligner()
    out = b"".join(aligner.feed(bytes([byte])) for byte in stream) + aligner.flush()
    assert out == numbered(18)


def test_a_capture_with_junk_becomes_the_capture(sample: Callable[[str], bytes]) -> None:
    aligner = Aligner()
    out = aligner.feed(sample("sample_with_junk")) + aligner.flush()
    assert out == sample("sample_h262_mpeg_audio.ts")
