"""Which codec a PMT entry means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.codecs import codec_of, descriptors, kind_of, language_of, registration_of


@pytest.mark.parametrize(
    ("stream_type", "loop", "codec", "kind"),
    [
        (0x01, b"", "mpeg1video", "video"),
        (0x02, b"", "mpeg2video", "video"),
        (0x1B, b"", "h264", "video"),
        (0x24, b"", "hevc", "video"),
        (0x33, b"", "vvc", "video"),
        (0x10, b"", "mpeg4", "video"),
        (0x03, b"", "mp2", "audio"),
        (0x0F, b"", "aac", "audio"),
        (0x11, b"", "aac_latm", "audio"),
        (0x81, b"", "ac3", "audio"),
        (0x87, b"", "eac3", "audio"),
        (0x06, b"\x6a\x01\x00", "ac3", "audio"),
        (0x06, b"\x7a\x01\x00", "eac3", "audio"),
        (0x06, b"\x7b\x01\x00", "dts", "audio"),
        (0x06, b"\x05\x04AC-3", "ac3", "audio"),
        (0x06, b"\x05\x04EAC3", "eac3", "audio"),
        (0x06, b"\x05\x04Opus\x7f\x02\x80\x02", "opus", "audio"),
        (0x06, b"\x05\x04AV01", "av1", "video"),
        (0x06, b"\x05\x04HEVC", "hevc", "video"),
        (0x06, b"\x7f\x02\x15\x00", "ac4", "audio"),
        (0x06, b"\x0a\x04eng\x00\x56\x05eng\x10\x00", "dvb_teletext", "subtitle"),
        (0x06, b"\x59\x08eng\x10\x00\x01\x00\x01", "dvb_subtitle", "subtitle"),
        (0x06, b"", None, None),
        (0x06, b"\x05\x04????", None, None),
        (0x86, b"", "scte_35", "data"),
        (0x86, b"\x05\x04CUEI", "scte_35", "data"),
        (0x15, b"", "timed_id3", "data"),
        (0x0B, b"\x05\x04AC-3", None, None),
        (0x05, b"", None, None),
        (0xFF, b"", None, None),
    ],
)
def test_type_and_descriptors_name_the_codec(
    stream_type: int, loop: bytes, codec: str | None, kind: str | None
) -> None:
    assert codec_of(stream_type, loop) == codec
    assert kind_of(codec) == kind


def test_disc_types_are_meant_where_the_program_is_registered_so() -> None:
    found = [codec_of(kind, b"", b"HDMV") for kind in (0x80, 0x81, 0x84, 0x86, 0x90)]
    assert found == ["pcm_bluray", "ac3", "eac3", "dts", "hdmv_pgs_subtitle"]


def test_language_comes_from_the_first_descriptor_that_has_one() -> None:
    assert language_of(b"\x52\x01\x01\x0a\x04ENG\x00") == "eng"
    assert language_of(b"\x59\x08fra\x10\x00\x01\x00\x01") == "fra"
    assert language_of(b"\x0a\x04<a>\x00") is None
    assert language_of(b"\x0a\x02de") is None


def test_registration_is_four_bytes() -> None:
    assert registration_of(b"\x05\x04HDMV") == b"HDMV"
    assert registration_of(b"\x05\x02HD") is None


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_for_descriptors(loop: bytes) -> None:
    assert sum(2 + len(body) for _, body in descriptors(loop)) <= len(loop)
    for stream_type in (0x06, 0x86):
        codec_of(stream_type, loop)
    language_of(loop)
