"""What is in a transport stream: codec, picture size, rates and languages of every elementary stream.

Looks at every packet in Python until everything is known, so it is for checks of some seconds of a stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from aceproxy.mpegts.audio import AUDIO_WITH_FORMAT, find_audio_format
from aceproxy.mpegts.clock import CLOCK_HZ, WRAP
from aceproxy.mpegts.codecs import ElementaryStream, Kind
from aceproxy.mpegts.packets import PACKET_BYTES, Buffer, payload_start, pid_of
from aceproxy.mpegts.pes import is_pes_start, read_pes_header
from aceproxy.mpegts.psi import PsiTracker
from aceproxy.mpegts.video import VIDEO_WITH_FORMAT, find_video_format

MAX_STREAMS: Final = 64
MAX_CONTENT_BYTES: Final = 8192  # held of one stream while its headers are looked for
MAX_TRIES: Final = 1500  # PES packets per stream; a minute of video

_RATE_STAMPS: Final = 40  # time stamps to measure a frame rate with


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What is known of one elementary stream; None is "not known"."""

    program_number: int
    pid: int
    stream_type: int
    codec: str | None
    kind: Kind | None
    language: str | None
    scrambled: bool = False
    profile: str | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    """Frames per second, from the headers or else from the time stamps."""
    interlaced: bool | None = None
    sample_rate: int | None = None
    channels: int | None = None
    name: str | None = field(default=None, compare=False)
    """By RFC 6381, of H.264 only."""


@dataclass(slots=True)
class _Collector:
    """One elementary stream under examination."""

    description: StreamDescription
    content: bytearray = field(default_factory=bytearray)
    stamps: list[int] = field(default_factory=list)
    tries: int = 0
    started: bool = False
    found: bool = False

    @property
    def complete(self) -> bool:
        """Nothing more will be learnt."""
        if self.description.kind not in ("video", "audio") or self.tries > MAX_TRIES:
            return True
        readable = self.description.codec in VIDEO_WITH_FORMAT | AUDIO_WITH_FORMAT
        measured = self.description.frame_rate is not None or len(self.stamps) >= _RATE_STAMPS
        return (self.found or not readable) and (self.description.kind == "audio" or measured)

    def take(self, packet: bytes) -> None:
        """Take a packet of the stream."""
        if packet[3] & 0xC0:
            self.description = replace(self.description, scrambled=True)
            return
        payload = packet[payload_start(packet) :]
        if packet[1] & 0x40:
            self.look()
            self.tries += 1
            if self.description.kind == "video" or len(self.content) >= MAX_CONTENT_BYTES:
                self.content.clear()  # audio frames may cross from one PES packet to the next
            header = read_pes_header(payload) if is_pes_start(payload) else None
            self.started = header is not None
            if header is None:
                return
            if header.pts is not None and len(self.stamps) < _RATE_STAMPS:
                self.stamps.append(header.pts)
            payload = payload[header.content_at :]
        if self.started and len(self.content) < MAX_CONTENT_BYTES:
            self.content += payload

    def look(self) -> None:
        """Look for the format in the content of the PES packet so far."""
        known = self.description
        if self.found or not known.codec or not self.content:
            return
        if known.kind == "video":
            video = find_video_format(known.codec, bytes(self.content))
            if video:
                self.found = True
                self.description = replace(
                    known,
                    codec=video.codec,
                    profile=video.profile,
                    width=video.width,
                    height=video.height,
                    frame_rate=video.frame_rate,
                    interlaced=video.interlaced,
                    name=video.name,
                )
        elif known.kind == "audio":
            audio = find_audio_format(known.codec, bytes(self.content))
            if audio:
                self.found = True
                self.description = replace(
                    known,
                    codec=audio.codec,
                    profile=audio.profile,
                    sample_rate=audio.sample_rate,
                    channels=audio.channels,
                )


class Describer:
    """Describes the elementary streams of all programs, as far as what it was fed tells.

    Bounded: 64 streams, 8 KiB of content each. Any content is taken.
    """

    def __init__(self) -> None:
        self._psi = PsiTracker()
        self._collectors: dict[int, _Collector] = {}

    @property
    def complete(self) -> bool:
        """Tell whether the tables have come and nothing more will be learnt of any stream in them."""
        pat = self._psi.pat
        return (
            pat is not None
            and len(self._psi.pmts) == len(pat.programs) > 0
            and all(collector.complete for collector in self._collectors.values())
        )

    @property
    def streams(self) -> tuple[StreamDescription, ...]:
        """Return the streams in the order of the PAT and the PMTs, as far as they are known now."""
        for collector in self._collectors.values():
            collector.look()
        return tuple(_with_rate(collector) for collector in self._collectors.values())

    def feed(self, packets: Buffer) -> None:
        """Take whole packets; a partial one at the end is left out."""
        pids = self._psi.pids
        for at in range(0, len(packets) - PACKET_BYTES + 1, PACKET_BYTES):
            pid = pid_of(packets[at : at + 3])
            if pid in pids:
                if self._psi.feed(bytes(packets[at : at + PACKET_BYTES])):
                    pids = self._psi.pids
                    self._tables_changed()
                continue
            collector = self._collectors.get(pid)
            if collector and not collector.complete and not packets[at + 1] & 0x80:
                collector.take(bytes(packets[at : at + PACKET_BYTES]))

    def _tables_changed(self) -> None:
        """Keep what is known of streams that stay, begin with those that are new."""
        old, self._collectors = self._collectors, {}
        order = self._psi.pat.programs if self._psi.pat else {}
        for number in order:
            pmt = self._psi.pmts.get(number)
            for stream in pmt.streams if pmt else ():
                if len(self._collectors) >= MAX_STREAMS:
                    return
                known = old.get(stream.pid)
                fresh = _undescribed(number, stream)
                same = known and (known.description.program_number, known.description.stream_type) == (
                    number,
                    stream.stream_type,
                )
                self._collectors.setdefault(stream.pid, known if known and same else _Collector(fresh))


def _undescribed(program_number: int, stream: ElementaryStream) -> StreamDescription:
    """Return what the tables alone say of a stream."""
    return StreamDescription(program_number, stream.pid, stream.stream_type, stream.codec, stream.kind, stream.language)


def _with_rate(collector: _Collector) -> StreamDescription:
    """Return the description, with the frame rate from the time stamps where the headers have none."""
    known = collector.description
    if known.kind != "video" or known.frame_rate is not None or len(collector.stamps) < 3:
        return known
    first = collector.stamps[0]
    ticks = sorted({(stamp - first + WRAP // 2) % WRAP for stamp in collector.stamps})
    steps = sorted(later - earlier for earlier, later in pairwise(ticks))
    return replace(known, frame_rate=CLOCK_HZ / steps[len(steps) // 2]) if steps else known


def describe(packets: Buffer) -> tuple[StreamDescription, ...]:
    """Return the descriptions of the streams in some whole, synced packets."""
    describer = Describer()
    describer.feed(packets)
    return describer.streams
