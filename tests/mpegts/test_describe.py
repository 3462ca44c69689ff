"""Descriptions of streams, against ffprobe."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aceproxy.mpegts.audio import AUDIO_WITH_FORMAT, find_audio_format
from aceproxy.mpegts.describe import MAX_CONTENT_BYTES, Describer, StreamDescription, describe
from aceproxy.mpegts.packets import PACKET_BYTES, pid_of
from aceproxy.mpegts.video import VIDEO_WITH_FORMAT, find_video_format

Probe = Callable[[bytes], dict[str, list[dict[str, object]]]]
Maker = Callable[..., bytes]

CAPTURES = [
    "sample_ac3.ts",
    "sample_eac3.ts",
    "sample_h262_mpeg_audio.ts",
    "sample_h264_mpeg_audio.ts",
    "sample_h264_no_access_unit_delimiters.ts",
    "sample_h265.ts",
    "sample_latm.ts",
    "sample_scte35.ts",
    "tsduck_025_mpeg2_mp2.ts",
    "tsduck_064_h264_mp2.ts",
]
SMALL = "-f lavfi -i testsrc2=s=402x226:r=30000/1001 -t 2"
TONE = "-f lavfi -i sine=r=44100 -t 2"
ENCODES = [
    f"{SMALL} -c:v libx264 -preset ultrafast",
    f"{SMALL} -c:v libx264 -preset ultrafast -pix_fmt yuv422p",
    f"{SMALL} -c:v libx264 -preset ultrafast -pix_fmt yuv444p",
    f"{SMALL} -c:v libx264 -preset ultrafast -pix_fmt yuv420p10le",
    f"{SMALL} -vf scale=400:220,interlace -c:v libx264 -preset ultrafast -flags +ildct+ilme",
    f"{SMALL} -c:v libx264 -preset ultrafast -x264-params cqm=jvt",
    f"{SMALL} -c:v libx265 -preset ultrafast -x265-params log-level=none",
    f"{SMALL} -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=none",
    f"{SMALL} -c:v libx265 -preset ultrafast -x265-params log-level=none:temporal-layers=1:b-pyramid=1",
    f"{SMALL} -c:v mpeg2video",
    f"{SMALL} -c:v mpeg2video -flags +ildct+ilme",
    f"{SMALL} -c:v mpeg1video",
    f"{SMALL} -c:v mpeg4",
    f"{TONE} -c:a mp2",
    f"{TONE} -c:a libmp3lame -ar 22050",
    f"{TONE} -c:a aac -ac 2 -metadata:s:a language=fra",
    f"{TONE} -c:a aac -ac 6",
    f"{TONE} -c:a ac3 -ac 6",
    f"{TONE} -c:a ac3 -ar 44100",
    f"{TONE} -c:a eac3 -ac 2",
]


def check_against(probe: Probe, stream: bytes) -> None:
    """Check descriptions against what ffprobe says, field by field where we say anything."""
    found = {entry.pid: entry for entry in describe(stream)}
    answers = {int(str(entry["id"]), 16): entry for entry in probe(stream)["streams"]}
    assert set(found) == set(answers)
    for pid, answer in answers.items():
        ours = found[pid]
        assert ours.codec == answer["codec_name"]
        tags = answer.get("tags")
        assert ours.language == (tags.get("language") if isinstance(tags, dict) else None)
        if ours.codec in VIDEO_WITH_FORMAT:
            assert (ours.width, ours.height) == (answer["width"], answer["height"])
            assert ours.profile == (answer.get("profile") if ours.codec != "mpeg1video" else None)
        if ours.kind == "video":
            assert ours.frame_rate == pytest.approx(float(Fraction(str(answer["r_frame_rate"]))), rel=0.01)
        if ours.codec in AUDIO_WITH_FORMAT:
            assert (ours.sample_rate, ours.channels) == (int(str(answer["sample_rate"])), answer["channels"])


@pytest.mark.parametrize("name", CAPTURES)
def test_captures_are_described_as_by_ffprobe(name: str, sample: Callable[[str], bytes], probe: Probe) -> None:
    if name == "sample_latm.ts":
        (ours,) = describe(sample(name))  # SBR doubles the rate of the core, which is what we tell
        assert (ours.codec, ours.profile, ours.sample_rate, ours.channels) == ("aac_latm", "HE-AAC", 22_050, 1)
        return
    check_against(probe, sample(name))


@pytest.mark.parametrize("arguments", ENCODES)
def test_encodes_are_described_as_by_ffprobe(arguments: str, encode: Callable[[str], bytes], probe: Probe) -> None:
    check_against(probe, encode(arguments))


@pytest.mark.parametrize(
    ("arguments", "interlaced"),
    [(ENCODES[0], False), (ENCODES[4], True), (ENCODES[6], False), (ENCODES[9], False), (ENCODES[10], True)],
)
def test_interlaced_streams_are_told(arguments: str, interlaced: bool, encode: Callable[[str], bytes]) -> None:
    (video,) = describe(encode(arguments))
    assert video.interlaced is interlaced


def test_pieces_give_the_same_as_the_whole_and_the_end_is_known(sample: Callable[[str], bytes]) -> None:
    stream = sample("tsduck_025_mpeg2_mp2.ts")
    describer = Describer()
    complete_at: int | None = None
    early: tuple[StreamDescription, ...] = ()
    for at in range(0, len(stream), 7 * PACKET_BYTES):
        describer.feed(memoryview(stream)[at : at + 7 * PACKET_BYTES])
        if describer.complete and complete_at is None:
            complete_at = at
            early = describer.streams
    assert complete_at is not None
    assert complete_at < len(stream) / 2
    assert describer.streams == describe(stream) == early
    assert {entry.program_number for entry in early} == {2064}


def test_a_stream_that_does_not_come_is_described_by_its_table(
    pat: Maker, pmt: Maker, carry: Callable[..., list[bytes]]
) -> None:
    streams = [(0x1B, 0x100, b""), (0x06, 0x102, b"\x56\x05eng\x10\x00")]
    tables = carry(0, 0, pat({1: 0x20, 2: 0x21})) + carry(0x20, 0, pmt(1, streams))
    describer = Describer()
    describer.feed(b"".join(tables))
    assert describer.streams == (
        StreamDescription(1, 0x100, 0x1B, "h264", "video", None),
        StreamDescription(1, 0x102, 0x06, "dvb_teletext", "subtitle", "eng"),
    )
    assert not describer.complete


def test_a_scrambled_stream_is_told(sample: Callable[[str], bytes]) -> None:
    out = bytearray(sample("sample_h264_mpeg_audio.ts"))
    for at in range(0, len(out), PACKET_BYTES):
        if pid_of(out[at : at + 3]) == 0x100:
            out[at + 3] |= 0xC0
    video, audio = describe(bytes(out))
    assert (video.scrambled, video.width, audio.scrambled, audio.channels) == (True, None, False, 1)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_streams_are_survived(sample: Callable[[str], bytes], data: st.DataObject) -> None:
    stream = bytearray(sample(data.draw(st.sampled_from(CAPTURES)))[: 150 * PACKET_BYTES])
    for _ in range(data.draw(st.integers(0, 40))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    describer = Describer()
    describer.feed(bytes(stream))
    assert len(describer.streams) <= 64
    assert all(len(one.content) <= MAX_CONTENT_BYTES + PACKET_BYTES for one in describer._collectors.values())


@given(st.sampled_from(sorted(VIDEO_WITH_FORMAT)), st.binary(max_size=400))
def test_any_video_header_is_survived(codec: str, rest: bytes) -> None:
    for start in (b"\x00\x00\x01\x67\x64\x00\x28", b"\x00\x00\x01\x42\x01", b"\x00\x00\x01\xb3"):
        find_video_format(codec, start + rest + b"\x00\x00\x01\xb5\x14")


@given(st.sampled_from(sorted(AUDIO_WITH_FORMAT)), st.binary(max_size=200))
def test_any_audio_header_is_survived(codec: str, rest: bytes) -> None:
    for start in (b"\xff\xfd", b"\xff\xf1", b"\x0b\x77", b"\x56\xe0"):
        shape = find_audio_format(codec, start + rest)
        assert shape is None or shape.sample_rate >= 0
