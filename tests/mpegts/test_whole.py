"""Which stretches of a stream stand for themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.access import Analyzer
from aceproxy.mpegts.whole import begins_whole
from tests.mpegts.splicing import media

PACKET = 188
PICTURE = "-f lavfi -i testsrc2=duration=3:size=320x240:rate=25"


def stretches(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Return, for every random-access point but the first, its tables and what follows."""
    points = Analyzer().feed(stream[: len(stream) // PACKET * PACKET]).points
    return [(point.preamble, stream[point.offset : point.offset + 512 * PACKET]) for point in points[1:]]


@pytest.mark.parametrize("name", ["clock", "light", "radio"])
def test_a_stretch_from_an_idr_picture_or_a_frame_of_sound_stands_for_itself(name: str) -> None:
    found = stretches(media(name, 0, 8))
    assert len(found) >= 2
    assert all(begins_whole(tables, packets) for tables, packets in found)


def test_one_that_sound_reaches_into_does_not() -> None:
    tables, packets = stretches(media("light", 0, 8))[0]
    changed = bytearray(packets)
    at = next(at for at in range(0, len(packets), PACKET) if packets[at + 1] & 0x1F == 1 and packets[at + 2] == 1)
    changed[at + 1] &= ~0x40  # the first packet of the sound goes on with a PES packet
    assert not begins_whole(tables, bytes(changed))
    assert not begins_whole(tables, packets[PACKET:])  # the picture's own first packet is missing


def test_without_tables_or_packets_nothing_stands_for_itself() -> None:
    tables, packets = stretches(media("light", 0, 8))[0]
    assert not begins_whole(b"", packets)
    assert not begins_whole(tables, b"")


@pytest.mark.parametrize(
    ("codec", "whole"),
    [
        ("-c:v mpeg2video -g 12 -bf 2 -flags +cgop -sc_threshold 1000000000", True),
        ("-c:v mpeg2video -g 12 -bf 2", False),
        ("-c:v libx264 -preset ultrafast -bf 2 -x264-params keyint=12:scenecut=0:open-gop=0", True),
        ("-c:v libx264 -preset veryfast -bf 2 -x264-params keyint=12:scenecut=0:open-gop=1", False),
        ("-c:v libx265 -preset ultrafast -x265-params keyint=12:scenecut=0:open-gop=0:log-level=none", True),
        ("-c:v libx265 -preset ultrafast -x265-params keyint=12:scenecut=0:open-gop=1:bframes=3:log-level=none", False),
    ],
)
def test_open_groups_of_pictures_are_told_from_closed_ones(
    encode: Callable[[str], bytes], codec: str, whole: bool
) -> None:
    found = stretches(encode(f"{PICTURE} {codec}"))
    assert len(found) >= 3
    assert {begins_whole(tables, packets) for tables, packets in found} == {whole}


@given(st.binary(max_size=4 * PACKET), st.data())
def test_rubbish_raises_nothing(rubbish: bytes, data: st.DataObject) -> None:
    tables, packets = stretches(media("radio", 0, 2))[0]
    damaged = bytearray(packets[: 20 * PACKET])
    at = data.draw(st.integers(0, len(damaged)))
    damaged[at : at + len(rubbish)] = rubbish
    del damaged[len(damaged) // PACKET * PACKET :]
    rubbish = rubbish[: len(rubbish) // PACKET * PACKET]
    assert begins_whole(tables, bytes(damaged)) in (True, False)
    assert begins_whole(rubbish, bytes(damaged)) in (True, False)
