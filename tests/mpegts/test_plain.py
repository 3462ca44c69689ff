"""Plain pictures are read in one step as they are in several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.packets import PACKET_BYTES, payload_start
from aceproxy.mpegts.pes import is_pes_start, read_pes_header
from aceproxy.mpegts.pictures import first_units, is_no_start
from aceproxy.mpegts.plain import plain_stamps

CODEC = "h264"
P_SLICE = b"\x00\x00\x01\x41\x9a\x24\x6c"
SEQUENCE = b"\x00\x00\x01\x67\x64\x00\x28"
STAMPS = bytes.fromhex("31001b7741" + "11001af9a1")
HEADS = st.sampled_from([b"\x00\x00\x01\xe0\x00\x00", b"\x00\x00\x01\xbe\x00\x00", b"\x00\x00\x02\xe0\x00\x00", b""])
MARKS = st.sampled_from(
    [b"\x80\xc0\x0a", b"\x80\x80\x05", b"\x80\x80\x04", b"\x80\xc0\x07", b"\x90\x80\x05", b"\x40\x80\x05"]
)
CONTENTS = st.sampled_from([P_SLICE, SEQUENCE + P_SLICE, b"", b"\x00\x00\x01\x41"])
FIELDS = st.sampled_from([b"", b"\x00", b"\x07\x50" + bytes(6), b"\xa0" * 161, b"\xb7" * 184, b"\xff" * 9])


def packet_of(payload: bytes, field: bytes = b"", control: int = 0) -> bytes:
    """Return a packet with an adaptation field (length included) before its payload, cut or filled to its size."""
    head = b"\x47\x41\x00" + bytes([(control or (0x30 if field else 0x10)) | 5])
    return (head + field + payload).ljust(PACKET_BYTES, b"\xff")[:PACKET_BYTES]


@given(HEADS, MARKS, CONTENTS, FIELDS, st.sampled_from([0, 0x10, 0x20, 0x30, 0x50, 0xB0]), st.integers(0, 160))
def test_what_is_read_is_what_the_steps_say(
    head: bytes, marks: bytes, content: bytes, field: bytes, control: int, stuffing: int
) -> None:
    packet = packet_of(head + marks + STAMPS[: marks[2]] + bytes(stuffing) + content, field, control)
    units = first_units(CODEC)
    assert units is not None
    stamps = plain_stamps(packet, units)
    if stamps is not None:
        payload = packet[payload_start(packet) :]
        assert not packet[3] & 0xC0
        assert is_pes_start(payload)
        header = read_pes_header(payload)
        assert header is not None
        assert not header.scrambled
        assert is_no_start(CODEC, payload[header.content_at :])
        assert stamps == (header.pts, header.dts)


@pytest.mark.parametrize(("flags", "size", "count"), [(0x80, 5, 1), (0xC0, 10, 2), (0x00, 0, 0)])
def test_ordinary_pictures_are_plain(flags: int, size: int, count: int) -> None:
    units = first_units(CODEC)
    assert units is not None
    payload = b"\x00\x00\x01\xe0\x00\x00\x80" + bytes([flags, size]) + STAMPS[:size] + P_SLICE
    stamps = plain_stamps(packet_of(payload), units)
    assert stamps is not None
    assert sum(stamp is not None for stamp in stamps) == count
    assert plain_stamps(packet_of(payload.replace(P_SLICE, SEQUENCE)), units) is None


def test_nothing_is_plain_of_a_codec_that_nobody_knows() -> None:
    assert first_units("av1") is None
