"""Which codec an elementary stream carries: stream_type and descriptors to the names that ffmpeg uses.

Sources: ISO/IEC 13818-1 table 2-34, ETSI EN 300 468 (DVB descriptors), SCTE 35, ATSC A/52 and A/53.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["video", "audio", "subtitle", "data"]

_BY_STREAM_TYPE: Final[dict[int, str]] = {
    0x01: "mpeg1video",
    0x02: "mpeg2video",
    0x03: "mp2",
    0x04: "mp2",
    0x0F: "aac",
    0x10: "mpeg4",
    0x11: "aac_latm",
    0x15: "timed_id3",
    0x1B: "h264",
    0x1C: "aac",
    0x20: "h264",
    0x21: "jpeg2000",
    0x24: "hevc",
    0x2D: "mpegh_3d_audio",
    0x33: "vvc",
    0x42: "cavs",
    0x80: "mpeg2video",
    0x81: "ac3",
    0x82: "dts",
    0x83: "truehd",
    0x84: "eac3",
    0x85: "dts",
    0x86: "scte_35",
    0x87: "eac3",
    0xD1: "dirac",
    0xD2: "avs2",
    0xD4: "avs3",
    0xEA: "vc1",
}
_BY_STREAM_TYPE_HDMV: Final[dict[int, str]] = {
    0x80: "pcm_bluray",
    0x85: "dts",
    0x86: "dts",
    0x90: "hdmv_pgs_subtitle",
    0xA1: "eac3",
    0xA2: "dts",
}
_BY_REGISTRATION: Final[dict[bytes, str]] = {
    b"AC-3": "ac3",
    b"AC-4": "ac4",
    b"AV01": "av1",
    b"AVSV": "cavs",
    b"AVS3": "avs3",
    b"BSSD": "s302m",
    b"CUEI": "scte_35",
    b"drac": "dirac",
    b"DTS1": "dts",
    b"DTS2": "dts",
    b"DTS3": "dts",
    b"EAC3": "eac3",
    b"HEVC": "hevc",
    b"ID3 ": "timed_id3",
    b"KLVA": "klv",
    b"Opus": "opus",
    b"VANC": "smpte_2038",
    b"VC-1": "vc1",
    b"VVC ": "vvc",
}
_BY_DESCRIPTOR: Final[dict[int, str]] = {
    0x46: "dvb_teletext",
    0x56: "dvb_teletext",
    0x59: "dvb_subtitle",
    0x6A: "ac3",
    0x7A: "eac3",
    0x7B: "dts",
    0x7C: "aac",
    0x81: "ac3",
}
_BY_EXTENSION_DESCRIPTOR: Final[dict[int, str]] = {0x0E: "dts", 0x0F: "dts", 0x15: "ac4"}
_VIDEO: Final = frozenset(
    "mpeg1video mpeg2video mpeg4 h264 jpeg2000 hevc vvc cavs dirac avs2 avs3 vc1 av1".split()  # noqa: SIM905 - short
)
_AUDIO: Final = frozenset(
    "mp2 mp3 aac aac_latm mpegh_3d_audio ac3 eac3 ac4 dts truehd opus s302m pcm_bluray".split()  # noqa: SIM905 - short
)
_SUBTITLE: Final = frozenset({"dvb_teletext", "dvb_subtitle", "hdmv_pgs_subtitle"})

REGISTRATION: Final = 0x05
ISO_639_LANGUAGE: Final = 0x0A
PRIVATE_SECTIONS: Final = 0x05
PRIVATE_PES: Final = 0x06
_WITH_LANGUAGE: Final = (ISO_639_LANGUAGE, 0x56, 0x59, 0x46)  # all start with a three-letter code


def kind_of(codec: str | None) -> Kind | None:
    """Return what sort of stream a codec makes, None where the codec is not known."""
    if codec is None:
        return None
    if codec in _VIDEO:
        return "video"
    if codec in _AUDIO:
        return "audio"
    return "subtitle" if codec in _SUBTITLE else "data"


@dataclass(frozen=True, slots=True)
class ElementaryStream:
    """One entry of a PMT's stream loop."""

    pid: int
    stream_type: int
    codec: str | None
    """The name ffmpeg has for it, None where neither the type nor a descriptor tells."""
    language: str | None
    """ISO 639 code of three letters, as sent, in lower case."""

    @property
    def kind(self) -> Kind | None:
        """Return what sort of stream it is, None where the codec is not known."""
        return kind_of(self.codec)


def descriptors(loop: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and body of each descriptor in a loop; stops at the first that does not fit."""
    at = 0
    while at + 2 <= len(loop):
        end = at + 2 + loop[at + 1]
        if end > len(loop):
            return
        yield loop[at], loop[at + 2 : end]
        at = end


def registration_of(loop: bytes) -> bytes | None:
    """Return the format_identifier of the first registration descriptor (ISO/IEC 13818-1 §2.6.8)."""
    for tag, body in descriptors(loop):
        if tag == REGISTRATION and len(body) >= 4:
            return body[:4]
    return None


def codec_of(stream_type: int, loop: bytes, program_registration: bytes | None = None) -> str | None:
    """Return the codec's name from the stream_type, the stream's descriptors and the program's registration.

    A standard type decides alone; for private ones (0x06, and above 0x7F) the descriptors come first.
    """
    standard = _BY_STREAM_TYPE.get(stream_type)
    if standard and stream_type < 0x80:
        return standard
    if stream_type < 0x80 and stream_type not in (PRIVATE_SECTIONS, PRIVATE_PES):
        return None
    described = _described(loop)
    if described:
        return described
    if program_registration == b"HDMV":
        return _BY_STREAM_TYPE_HDMV.get(stream_type, standard)
    return standard


def _described(loop: bytes) -> str | None:
    """Return the codec that the first telling descriptor names."""
    for tag, body in descriptors(loop):
        found = _BY_DESCRIPTOR.get(tag)
        if tag == REGISTRATION:
            found = _BY_REGISTRATION.get(body[:4])
        elif tag == 0x7F and body:
            found = _BY_EXTENSION_DESCRIPTOR.get(body[0])
        if found:
            return found
    return None


def language_of(loop: bytes) -> str | None:
    """Return the three-letter language code of the first descriptor that has one, None for rubbish."""
    for tag, body in descriptors(loop):
        if tag in _WITH_LANGUAGE and len(body) >= 4 and body[:3].isalpha():
            return body[:3].decode("ascii").lower()
    return None
