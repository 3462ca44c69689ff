"""Random-access points, against ffprobe's keyframes and PyAV's decoders."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import av
import pytest

from aceproxy.mpegts.access import AccessPoint, Analyzer
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.mpegts.packets import PACKET_BYTES, Aligner, adaptation_flags, pid_of

Maker = Callable[..., bytes]
Keyframes = list[tuple[int | None, int | None]]

PICTURES = "-f lavfi -i testsrc2=s=320x240:r=25"
TONE = "-f lavfi -i sine=r=48000"
X264 = f"{PICTURES} -t 4 -c:v libx264 -preset veryfast"
X265 = f"{PICTURES} -t 3 -c:v libx265 -preset ultrafast -x265-params log-level=none"

CLOSED = f"{PICTURES} {TONE} -t 4 -c:v libx264 -preset veryfast -g 25 -bf 2 -c:a mp2"
OPEN = f"{X264} -bf 3 -x264-params open-gop=1:keyint=20"
INTRA_REFRESH = f"{X264} -x264-params intra-refresh=1:keyint=25:bframes=0"
INTERLACED = f"{X264} -vf interlace -flags +ildct+ilme -g 12 -x264-params tff=1"
HEVC_CLOSED = f"{X265}:keyint=20:open-gop=0"
HEVC_OPEN = f"{X265}:keyint=20:open-gop=1:bframes=3"
MPEG2 = f"{PICTURES} -t 3 -c:v mpeg2video -g 12 -bf 2 -b:v 2M"
MPEG2_INTERLACED = f"{MPEG2} -flags +ildct+ilme"
MPEG1 = f"{PICTURES} -t 3 -c:v mpeg1video -g 12 -bf 2 -b:v 1M"
MPEG4 = f"{PICTURES} -t 3 -c:v mpeg4 -g 12"
WRAP = f"{X264} -g 25 -output_ts_offset 95441.7"
BIG = "-f lavfi -i testsrc2=s=1280x720:r=25 -t 1 -vf noise=alls=100:allf=t -c:v libx264 -preset ultrafast -g 9 -qp 6"
PROGRAMS = (
    f"{PICTURES} -f lavfi -i testsrc=s=160x120:r=25 {TONE} -t 3 -map 0:v -map 1:v -map 2:a -c:v:0 libx264 -g 25"
    " -c:v:1 mpeg2video -c:a mp2 -program title=radio:st=2 -program title=second:st=1 -program title=third:st=0"
)
VIDEO = {
    "h264 closed": CLOSED,
    "h264 open": OPEN,
    "h264 intra refresh": INTRA_REFRESH,
    "h264 interlaced": INTERLACED,
    "hevc closed": HEVC_CLOSED,
    "hevc open": HEVC_OPEN,
    "mpeg2": MPEG2,
    "mpeg2 interlaced": MPEG2_INTERLACED,
    "mpeg1": MPEG1,
    "mpeg4": MPEG4,
    "clock wrap": WRAP,
    "big PES packets": BIG,
    "programs": PROGRAMS,
}
CAPTURES = [
    "sample_h262_mpeg_audio.ts",
    "sample_h264_mpeg_audio.ts",
    "sample_h264_no_access_unit_delimiters.ts",
    "sample_h265.ts",
    "sample_scte35.ts",
    "tsduck_025_mpeg2_mp2.ts",
    "tsduck_064_h264_mp2.ts",
]
AUDIO_CAPTURES = ["sample_ac3.ts", "sample_eac3.ts", "sample_latm.ts"]
AUDIO = {
    "ac3": f"{TONE} -t 3 -c:a ac3",
    "mp2": f"{TONE} -t 3 -c:a mp2",
    "aac": f"{TONE} -t 3 -c:a aac",
}


def analyze(stream: bytes, size: int | None = None) -> tuple[list[AccessPoint], Analyzer]:
    """Return all points of a stream fed in pieces of some packets; check what must hold of every scan."""
    analyzer = Analyzer()
    points: list[AccessPoint] = []
    step = (size or max(1, len(stream) // PACKET_BYTES)) * PACKET_BYTES
    decided = 0
    for at in range(0, len(stream), step):
        scan = analyzer.feed(memoryview(stream)[at : at + step])
        assert decided <= scan.decided <= analyzer.offset == min(at + step, len(stream))
        assert all(decided <= point.offset < scan.decided for point in scan.points)
        decided = scan.decided
        points += scan.points
    last = analyzer.flush()
    assert last.decided == len(stream)
    points += last.points
    assert [point.offset for point in points] == sorted({point.offset for point in points})
    return points, analyzer


def places(points: Iterable[AccessPoint]) -> Keyframes:
    """Return points as ffprobe's keyframes are given."""
    return [(point.offset, point.pts) for point in points]


def altered(stream: bytes, change: Callable[[bytearray], None]) -> bytes:
    """Return a stream with every packet changed in place."""
    out = bytearray()
    for at in range(0, len(stream), PACKET_BYTES):
        packet = bytearray(stream[at : at + PACKET_BYTES])
        change(packet)
        out += packet
    return bytes(out)


def unflag(packet: bytearray) -> None:
    """Take the random_access_indicator away."""
    if adaptation_flags(packet) & 0x40:
        packet[5] &= ~0x40


def flag_if_possible(packet: bytearray) -> None:
    """Set the random_access_indicator wherever there is an adaptation field."""
    if packet[3] & 0x20 and packet[4]:
        packet[5] |= 0x40


@pytest.mark.parametrize("name", CAPTURES)
def test_points_of_captures_are_the_keyframes(
    name: str, sample: Callable[[str], bytes], keyframes: Callable[[bytes, int], Keyframes]
) -> None:
    stream = sample(name)
    points, analyzer = analyze(stream)
    assert analyzer.reference_pid is not None
    assert analyzer.has_video
    assert places(points) == keyframes(stream, analyzer.reference_pid)
    assert points


@pytest.mark.parametrize("name", VIDEO)
def test_points_of_encodes_are_the_keyframes_however_they_are_cut(
    name: str, encode: Callable[[str], bytes], keyframes: Callable[[bytes, int], Keyframes]
) -> None:
    stream = encode(VIDEO[name])
    points, analyzer = analyze(stream)
    assert analyzer.reference_pid is not None
    assert analyzer.has_video
    assert places(points) == keyframes(stream, analyzer.reference_pid)
    assert len(points) > 2
    for size in (1, 7, 348):
        again, _ = analyze(stream, size)
        assert again == points


@pytest.mark.parametrize("name", [*AUDIO, *AUDIO_CAPTURES])
def test_without_video_every_pes_packet_of_the_audio_is_a_point(
    name: str,
    sample: Callable[[str], bytes],
    encode: Callable[[str], bytes],
    keyframes: Callable[[bytes, int], Keyframes],
) -> None:
    stream = encode(AUDIO[name]) if name in AUDIO else sample(name)
    points, analyzer = analyze(stream, 5)
    assert analyzer.reference_pid is not None
    assert not analyzer.has_video
    starts = [
        at
        for at in range(0, len(stream), PACKET_BYTES)
        if pid_of(stream[at : at + 3]) == analyzer.reference_pid and stream[at + 1] & 0x40
    ]
    assert [point.offset for point in points] == starts
    stamps = {pts for _, pts in keyframes(stream, analyzer.reference_pid)}
    assert {point.pts for point in points} <= stamps


@pytest.mark.parametrize("name", ["h264 closed", "h264 open", "h264 interlaced", "hevc open", "mpeg2"])
def test_the_elementary_stream_decides_whatever_the_flags_say(name: str, encode: Callable[[str], bytes]) -> None:
    stream = encode(VIDEO[name])
    expected = places(analyze(stream)[0])
    assert places(analyze(altered(stream, unflag))[0]) == expected
    assert places(analyze(altered(stream, flag_if_possible))[0]) == expected


def test_the_flag_decides_for_a_codec_that_nobody_judges(encode: Callable[[str], bytes]) -> None:
    assert analyze(altered(encode(MPEG4), unflag))[0] == []


def test_the_flag_decides_for_a_scrambled_stream(encode: Callable[[str], bytes]) -> None:
    stream = encode(CLOSED)
    clear, analyzer = analyze(stream)

    def scramble(packet: bytearray) -> None:
        if pid_of(packet) == analyzer.reference_pid and packet[3] & 0x10:
            packet[3] |= 0x80
            start = 5 + packet[4] if packet[3] & 0x20 else 4
            packet[start:] = bytes(byte ^ 0x5A for byte in packet[start:])

    scrambled = altered(stream, scramble)
    assert places(analyze(scrambled)[0]) == [(point.offset, None) for point in clear]
    assert analyze(altered(scrambled, unflag))[0] == []


@pytest.mark.parametrize(
    "name", ["h264 closed", "h264 open", "h264 interlaced", "hevc closed", "hevc open", "mpeg2", "mpeg2 interlaced"]
)
def test_a_decoder_that_joins_at_a_point_shows_its_picture(name: str, encode: Callable[[str], bytes]) -> None:
    stream = encode(VIDEO[name])
    points, _ = analyze(stream)
    for point in points[1:]:
        joined = point.preamble + stream[point.offset :]
        checker = ContinuityChecker()
        checker.feed(joined)
        assert checker.total == 0
        with av.open(io.BytesIO(joined), mode="r", format="mpegts") as container:
            frame = next(container.decode(video=0))
            assert frame.key_frame
            assert not frame.is_corrupt
            assert frame.pts == point.pts


def test_the_preamble_is_shared_while_the_tables_do_not_go_by(encode: Callable[[str], bytes]) -> None:
    points, _ = analyze(encode(AUDIO["mp2"]))
    assert len({id(point.preamble) for point in points}) < len(points) / 2


def test_the_latest_pts_is_that_of_the_reference_pid(encode: Callable[[str], bytes]) -> None:
    stream = encode(HEVC_CLOSED)
    analyzer = Analyzer()
    with av.open(io.BytesIO(stream), mode="r", format="mpegts") as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert analyzer.feed(stream).last_pts == stamps[-1]
    assert Analyzer().feed(b"").last_pts is None


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_step_back_is_seen_between_two_pictures_and_pictures_out_of_order_are_none(
    encode: Callable[[str], bytes], size: int
) -> None:
    stream = encode(HEVC_CLOSED)
    analyzer, step = Analyzer(), size * PACKET_BYTES

    def steps(part: bytes) -> int:
        return sum(len(analyzer.feed(part[at : at + step]).steps_back) for at in range(0, len(part), step))

    assert steps(stream) == 0
    assert steps(stream) == 1, "from its end to its beginning"
    analyzer.forget_newest()
    assert steps(stream) == 0, "what came before was taken back"


def test_a_change_of_program_in_the_middle_is_followed(encode: Callable[[str], bytes]) -> None:
    first, second = encode(CLOSED), encode(f"{MPEG2} -mpegts_start_pid 0x300 -mpegts_pmt_start_pid 0x40")
    points, analyzer = analyze(first + second, 50)
    moved = [(point.offset + len(first), point.pts, point.pid) for point in analyze(second)[0]]
    expected = [(point.offset, point.pts, point.pid) for point in analyze(first)[0]] + moved
    assert [(point.offset, point.pts, point.pid) for point in points] == expected
    assert analyzer.reference_pid == 0x300
    assert dict(analyzer.codecs) == {0x300: "mpeg2video"}


def test_a_scan_tells_when_the_tables_change(encode: Callable[[str], bytes]) -> None:
    stream = encode(CLOSED)
    analyzer = Analyzer()
    assert analyzer.feed(stream).psi_changed
    assert not analyzer.feed(stream).psi_changed
    other = encode(f"{CLOSED} -mpegts_start_pid 0x200")
    assert analyzer.feed(other).psi_changed


def test_pairs_of_equal_packets_make_no_pairs_of_points(encode: Callable[[str], bytes]) -> None:
    stream = encode(CLOSED)
    packets = [stream[at : at + PACKET_BYTES] for at in range(0, len(stream), PACKET_BYTES)]
    doubled = b"".join(packet * 2 for packet in packets)
    expected = [(2 * point.offset, point.pts) for point in analyze(stream)[0]]
    assert places(analyze(doubled)[0]) == expected
    assert places(analyze(doubled, 1)[0]) == expected


def test_packets_without_payload_change_nothing(encode: Callable[[str], bytes], ts_packet: Maker) -> None:
    stream = encode(INTERLACED)
    empty = ts_packet(0x100, 0, None)
    packets = [stream[at : at + PACKET_BYTES] for at in range(0, len(stream), PACKET_BYTES)]
    filled = b"".join(packet + empty for packet in packets)
    assert places(analyze(filled)[0]) == [(2 * point.offset, point.pts) for point in analyze(stream)[0]]


def test_a_stream_with_junk_is_read_after_alignment(
    sample: Callable[[str], bytes], keyframes: Callable[[bytes, int], Keyframes]
) -> None:
    aligner = Aligner()
    stream = aligner.feed(sample("sample_with_junk")) + aligner.flush()
    assert places(analyze(stream)[0]) == keyframes(stream, 256)
