"""Does a stretch of a stream stand for itself: can all of it be decoded without what came before?

That is more than a random-access point at its start: the first picture must be one that nothing after it looks behind
(an IDR picture; in MPEG-2 video, a closed group), and no PES packet of another stream may reach in from before.
"""

from __future__ import annotations

from typing import Final

from aceproxy.mpegts.packets import PACKET_BYTES, payload_start, pid_of
from aceproxy.mpegts.pes import is_pes_start, read_pes_header
from aceproxy.mpegts.pictures import is_intra_slice
from aceproxy.mpegts.psi import Pmt, PsiTracker

_START_CODE: Final = b"\x00\x00\x01"
_LOOKED_AT: Final = 64 << 10  # bytes of video that the first picture's headers are looked for in


def begins_whole(tables: bytes, packets: bytes) -> bool:
    """Tell whether a stretch that begins with `packets`, after the PAT and PMT in `tables`, stands for itself.

    Both are whole packets. Streams of which no packet is there are not counted. Never raises; in doubt it does not.
    """
    psi = PsiTracker()
    for at in range(0, len(tables), PACKET_BYTES):
        psi.feed(tables[at : at + PACKET_BYTES])
    program = psi.program
    if program is None:
        return False
    pids = {stream.pid for stream in program.streams}
    seen: set[int] = set()
    for at in range(0, len(packets), PACKET_BYTES):
        packet = packets[at : at + PACKET_BYTES]
        pid = pid_of(packet)
        if pid not in pids or pid in seen or payload_start(packet) == PACKET_BYTES:
            continue
        if not packet[1] & 0x40 or packet[3] & 0xC0:
            return False
        seen.add(pid)
        if seen == pids:
            break
    return _opens_closed(program, packets, seen)


def begins_open(tables: bytes, packets: bytes) -> bool:
    """Tell whether a random-access point is an I picture of H.264 that is no IDR picture.

    Pictures that are shown before it may follow; decoders may show them although they are made from others, that never
    came. Decoders of other codecs leave them out. Never raises; in doubt it is not so.
    """
    psi = PsiTracker()
    for at in range(0, len(tables) - PACKET_BYTES + 1, PACKET_BYTES):
        psi.feed(tables[at : at + PACKET_BYTES])
    video = psi.program.first("video") if psi.program else None
    if video is None or video.codec != "h264":
        return False
    stream = _first_content(video.pid, packets) or b""
    first = next((at for at in _units(stream, 3) if stream[at] & 0x1F in (1, 2, 5)), None)
    if first is None or stream[first] & 0x1F != 1:
        return False
    return is_intra_slice(stream[first + 1] << 8 | stream[first + 2])


def _opens_closed(program: Pmt, packets: bytes, seen: set[int]) -> bool:
    """Tell whether the first picture of the first video stream, if there is one, needs nothing from before."""
    video = program.first("video")
    if video is None:
        return bool(seen)
    stream = _first_content(video.pid, packets)
    if stream is None:
        return False
    if video.codec == "h264":
        return _first_h264(stream) == 5
    if video.codec == "hevc":
        return _first_hevc(stream) in (18, 19, 20)  # BLA_N_LP, IDR_W_RADL, IDR_N_LP
    if video.codec in ("mpeg1video", "mpeg2video"):
        return _is_closed_group(stream)
    return False


def _first_content(pid: int, packets: bytes) -> bytes | None:
    """Return the beginning of the elementary stream in the first PES packet of a PID, None where it cannot be read."""
    content = bytearray()
    for at in range(0, len(packets) - PACKET_BYTES + 1, PACKET_BYTES):
        packet = packets[at : at + PACKET_BYTES]
        if pid_of(packet) == pid:
            if content and packet[1] & 0x40:
                break
            content += packet[payload_start(packet) :]
            if len(content) > _LOOKED_AT:
                break
    header = read_pes_header(bytes(content[:300])) if len(content) > 3 and is_pes_start(content[:3]) else None
    return None if header is None or header.scrambled else bytes(content[header.content_at :])


def _units(stream: bytes, header_bytes: int) -> list[int]:
    """Return where units begin, right after their start codes, as far as so many bytes of each are there."""
    found, at = [], stream.find(_START_CODE)
    while at >= 0 and at + 3 + header_bytes <= len(stream):
        found.append(at + 3)
        at = stream.find(_START_CODE, at + 3)
    return found


def _first_h264(stream: bytes) -> int | None:
    """Return the type of the first slice (ITU-T H.264 §7.4.1)."""
    types = (stream[at] & 0x1F for at in _units(stream, 1))
    return next((kind for kind in types if kind in (1, 2, 5)), None)


def _first_hevc(stream: bytes) -> int | None:
    """Return the type of the first slice (ITU-T H.265 §7.4.2.2)."""
    types = (stream[at] >> 1 & 0x3F for at in _units(stream, 1))
    return next((kind for kind in types if kind < 32), None)


def _is_closed_group(stream: bytes) -> bool:
    """Tell whether a group header says `closed_gop` before the first picture (ISO/IEC 13818-2 §6.3.8)."""
    for at in _units(stream, 5):
        if stream[at] == 0x00:
            return False
        if stream[at] == 0xB8:
            return bool(stream[at + 4] & 0x40)
    return False
