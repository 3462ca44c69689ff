"""Sections out of packets."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.sections import SectionAssembler, crc32_mpeg

PID = 0x30
Maker = Callable[..., bytes]
Carrier = Callable[..., list[bytes]]


def crc_bit_by_bit(content: bytes) -> int:
    """Return the CRC of annex A as its shift register is drawn there."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x104C11DB7 if register & 0x80000000 else 0)
    return register


def cut(packets: list[bytes]) -> list[bytes]:
    """Return the sections that an assembler finds in packets."""
    assembler = SectionAssembler()
    return [found.raw for packet in packets for found in assembler.feed(packet)]


def test_the_crc_of_the_catalogue_comes_out() -> None:
    assert crc32_mpeg(b"123456789") == 0x0376E6E7


@given(st.binary(max_size=200))
def test_the_crc_is_that_of_the_shift_register(content: bytes) -> None:
    crc = crc32_mpeg(content)
    assert crc == crc_bit_by_bit(content)
    assert crc32_mpeg(content + crc.to_bytes(4, "big")) == 0


@given(st.lists(st.integers(0, 1012), min_size=1, max_size=6), st.integers(0, 15))
def test_sections_of_any_length_come_out_of_the_packets(
    section: Maker, carry: Carrier, lengths: list[int], counter: int
) -> None:
    sections = [section(2, index, bytes([index]) * length) for index, length in enumerate(lengths)]
    assert cut(carry(PID, counter, *sections)) == sections


def test_a_section_knows_the_packet_it_began_in(section: Maker, carry: Carrier) -> None:
    sections = [section(2, 1, b"a" * 300), section(2, 2, b"b" * 20), section(2, 3, b"c" * 300)]
    assembler = SectionAssembler()
    found = [entry for packet in carry(PID, 0, *sections) for entry in assembler.feed(packet)]
    assert [(entry.raw, entry.start) for entry in found] == list(zip(sections, [0, 1, 1], strict=True))
    assert assembler.unfinished is None


def test_a_lost_packet_costs_its_section_only(section: Maker, carry: Carrier) -> None:
    big, small = section(2, 1, b"a" * 600), section(2, 2, b"b" * 20)
    packets = carry(PID, 0, big) + carry(PID, 4, small)
    assert cut(packets) == [big, small]
    assert cut(packets[:1] + packets[2:]) == [small]


def test_a_duplicate_changes_nothing(section: Maker, carry: Carrier) -> None:
    big = section(2, 1, b"a" * 600)
    packets = carry(PID, 3, big)
    assert cut([packet for packet in packets for _ in range(2)]) == [big]


def test_packets_without_payload_change_nothing(section: Maker, carry: Carrier, ts_packet: Maker) -> None:
    big = section(2, 1, b"a" * 300)
    first, second = carry(PID, 3, big)
    assert cut([first, ts_packet(PID, 3, None), second]) == [big]


def test_a_declared_discontinuity_drops_what_was_begun(section: Maker, carry: Carrier, ts_packet: Maker) -> None:
    first, second = carry(PID, 3, section(2, 1, b"a" * 300))
    assert cut([first, ts_packet(PID, 3, None, flags=0x80), second]) == []


def test_a_new_counter_is_taken_where_a_discontinuity_is_declared(section: Maker, ts_packet: Maker) -> None:
    small = section(2, 1, b"a" * 30)
    first = ts_packet(PID, 3, b"\x00" + small, start=True)
    second = ts_packet(PID, 9, b"\x00" + small, start=True, flags=0x80)
    assert cut([first, second]) == [small, small]


def test_damaged_and_scrambled_packets_are_passed_over(section: Maker, ts_packet: Maker) -> None:
    small = b"\x00" + section(2, 1, b"a" * 30)
    assert cut([ts_packet(PID, 1, small, start=True, error=True)]) == []
    assert cut([ts_packet(PID, 1, small, start=True, scrambling=2)]) == []


def test_a_wrong_crc_is_dropped_and_the_next_section_found(section: Maker, carry: Carrier) -> None:
    bad = bytearray(section(2, 1, b"a" * 30))
    bad[10] ^= 1
    good = section(2, 2, b"b" * 30)
    assert cut(carry(PID, 0, bytes(bad), good)) == [good]


def test_sections_without_syntax_or_too_long_are_dropped(section: Maker, carry: Carrier, ts_packet: Maker) -> None:
    good = section(2, 2, b"b" * 30)
    plain = b"\x70\x70\x05time!"
    assert cut(carry(PID, 0, plain, good)) == [good]
    endless = b"\x00\x02\xbf\xff" + b"x" * 180
    packets = [ts_packet(PID, 0, endless, start=True)]
    packets += [ts_packet(PID, index, b"x" * 184) for index in range(1, 30)]
    assert cut(packets + carry(PID, 30, good)) == [good]
    assembler = SectionAssembler()
    for packet in packets:
        assembler.feed(packet)
        assert assembler.unfinished is None


def test_a_pointer_beyond_the_packet_is_survived(section: Maker, carry: Carrier, ts_packet: Maker) -> None:
    good = section(2, 2, b"b" * 30)
    assert cut([ts_packet(PID, 0, b"\xff" * 184, start=True), *carry(PID, 1, good)]) == [good]


@given(st.lists(st.binary(min_size=187, max_size=187).map(lambda rest: b"\x47" + rest), max_size=20))
def test_random_packets_are_survived_and_little_is_kept(packets: list[bytes]) -> None:
    assembler = SectionAssembler()
    for packet in packets:
        assembler.feed(packet)
    assert len(assembler._partial) <= 1024
