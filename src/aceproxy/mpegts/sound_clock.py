"""How far the sound of a stream has come, by its time stamps: it may go on where the pictures stand still. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aceproxy.mpegts.packets import PACKET_BYTES, Buffer, payload_start, pid_of
from aceproxy.mpegts.pes import is_pes_start, read_pes_header
from aceproxy.mpegts.splice_stamps import later

_UNIT_START: Final = 0x40
_SOUND: Final = frozenset((*range(0xC0, 0xE0), 0xFD))  # stream ids of sound; 0xFD is anything of late, mostly sound
_PRIVATE: Final = 0xBD  # AC-3 as well as subtitles and teletext
_AC3_SYNC: Final = b"\x0b\x77"
_VIDEO: Final = range(0xE0, 0xF0)
_IDS: Final = frozenset((*_SOUND, *_VIDEO, _PRIVATE))
_KEPT: Final = 32  # streams at most


class SoundClock:
    """Follows the time stamps of the sound in what it is fed, piece by piece."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # by PID, the newest time stamp

    def forget(self) -> None:
        """What is fed next does not follow on what was fed before."""
        self._last.clear()

    def feed(self, packets: Buffer) -> int:
        """Take whole packets; return by how much the sound has gone on with them, 90 kHz: that which went furthest.

        What steps back has not gone on. 0 where no sound has told the time twice. Never raises.
        """
        gone: dict[int, int] = {}
        for is_video, pid, pts in stamps_of(packets):
            if is_video or (pid not in self._last and len(self._last) >= _KEPT):
                continue
            gone[pid] = gone.get(pid, 0) + max(0, later(pts, self._last.get(pid, pts)))
            self._last[pid] = pts
        return max(gone.values(), default=0)


def stamps_of(packets: Buffer) -> Iterator[tuple[bool, int, int]]:
    """Yield of every picture and piece of sound that tells its time: whether it is a picture, its PID, its PTS.

    `packets` are whole ones. Subtitles, teletext and data are neither. Never raises.
    """
    data = bytes(packets)
    for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES):
        if not data[at + 1] & _UNIT_START:
            continue
        packet = data[at : at + PACKET_BYTES]
        payload = packet[payload_start(packet) :]
        if len(payload) < 9 or not is_pes_start(payload) or payload[3] not in _IDS:
            continue
        header = read_pes_header(payload)
        if header is None or header.pts is None:
            continue
        if payload[3] != _PRIVATE or payload[header.content_at :][:2] == _AC3_SYNC:
            yield payload[3] in _VIDEO, pid_of(packet), header.pts
