"""How far sound has come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.packets import PACKET_BYTES
from aceproxy.mpegts.sound_clock import SoundClock
from tests.mpegts.splicing import media, pieces


@pytest.mark.parametrize("base_ticks", [0, (1 << 33) - 90_000], ids=["plain", "through the wrap"])
def test_it_is_told_piece_by_piece(base_ticks: int) -> None:
    clock = SoundClock()
    gone = sum(clock.feed(piece) for piece in pieces(media("light", 0, 3, base_ticks), 40))
    assert 2.6 * 90_000 < gone < 3.2 * 90_000


def test_what_steps_back_has_not_gone_on_and_nothing_follows_what_is_forgotten() -> None:
    clock = SoundClock()
    clock.feed(media("light", 4, 5))
    assert clock.feed(media("light", 0, 1)) < 1.1 * 90_000
    clock.forget()
    assert clock.feed(media("light", 6, 7)) < 1.1 * 90_000


def test_subtitles_and_teletext_are_no_sound_and_ac3_is() -> None:
    def packet(pts: int, content: bytes) -> bytes:
        stamp = bytes(
            [0x21 | pts >> 29 & 0x0E, pts >> 22 & 0xFF, pts >> 14 & 0xFE | 1, pts >> 7 & 0xFF, pts << 1 & 0xFE | 1]
        )
        pes = b"\x00\x00\x01\xbd\x00\x00\x80\x80\x05" + stamp + content
        return (b"\x47\x41\x23\x10" + pes).ljust(PACKET_BYTES, b"\xff")

    for content, ticks in ((b"\x10\x02", 0), (b"\x20\x00", 0), (b"\x0b\x77", 90_000)):
        clock = SoundClock()
        assert clock.feed(packet(900_000, content)) == 0
        assert clock.feed(packet(990_000, content)) == ticks


@given(st.lists(st.binary(min_size=187, max_size=187), max_size=20))
def test_anything_that_calls_itself_packets_is_taken(packets: list[bytes]) -> None:
    assert SoundClock().feed(b"".join(b"\x47" + rest for rest in packets)) >= 0
