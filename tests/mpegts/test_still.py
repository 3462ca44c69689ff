"""Whether pictures stand still."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.packets import PACKET_BYTES, pid_of
from aceproxy.mpegts.still import has_moving_pictures
from tests.mpegts.splicing import media


def sound_of(packets: bytes) -> bytes:
    """Return what is not of the pictures."""
    parts = (packets[at : at + PACKET_BYTES] for at in range(0, len(packets), PACKET_BYTES))
    return b"".join(part for part in parts if pid_of(part) != 0x100)


def test_pictures_that_end_where_sound_goes_on_stand_still() -> None:
    assert has_moving_pictures(media("light", 0, 3))
    assert has_moving_pictures(media("light", 0, 3) + sound_of(media("light", 3, 4)))
    assert not has_moving_pictures(media("light", 0, 3) + sound_of(media("light", 3, 7)))
    assert not has_moving_pictures(sound_of(media("light", 0, 3)))
    assert not has_moving_pictures(media("radio", 0, 3))


@given(st.binary(max_size=2000))
def test_anything_is_looked_at(packets: bytes) -> None:
    assert not has_moving_pictures(packets) or b"\x00\x00\x01" in packets
