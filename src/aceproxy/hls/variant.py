"""What a master playlist tells of a stream, from the beginning of one of its segments (RFC 8216 §4.3.4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aceproxy.hls.window import HeldSegment
from aceproxy.mpegts.describe import Describer, StreamDescription
from aceproxy.mpegts.packets import PACKET_BYTES

LOOK_BYTES: Final = 4096 * PACKET_BYTES  # of a segment: sound may come only after the whole first picture
PIECE_BYTES: Final = 64 * PACKET_BYTES
_AAC_NAMES: Final = {"LC": "mp4a.40.2", "HE-AAC": "mp4a.40.5", "HE-AACv2": "mp4a.40.29"}


@dataclass(frozen=True, slots=True)
class Variant:
    """Attributes of a variant; None is not known. `codecs` is told only where it is all that is in the stream, since
    players leave out a variant that names a codec which they do not have.
    """

    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    codecs: str | None = None


def variant_of(held: HeldSegment) -> Variant:
    """Look at the beginning of a segment, for up to some milliseconds: not on the event loop. Raises nothing for what
    the broadcast holds.
    """
    describer = Describer()
    describer.feed(held.head)
    for at in range(0, min(LOOK_BYTES, held.block.size), PIECE_BYTES):
        describer.feed(held.block.read(at, PIECE_BYTES))
        if describer.complete:
            break
    streams = [one for one in describer.streams if one.kind in ("video", "audio")]
    video = next((one for one in streams if one.kind == "video"), None)
    names = [_name_of(one) for one in streams]
    codecs = ",".join(dict.fromkeys(name for name in names if name)) if streams and all(names) else None
    if video is None:
        return Variant(codecs=codecs)
    return Variant(video.width, video.height, video.frame_rate, codecs)


def _name_of(stream: StreamDescription) -> str | None:
    """The codec by RFC 6381, of those that every player knows."""
    if stream.codec == "h264":
        return stream.name
    return _AAC_NAMES.get(stream.profile or "") if stream.codec == "aac" else None
