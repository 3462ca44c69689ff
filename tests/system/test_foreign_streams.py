"""Streams that the program's own tools did not make go through byte for byte, and are joined at keyframes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.calls import Viewer
from tests.system.cutting import encode
from tests.system.decoding import assert_decodes, decode_start, keyframe_places, probe
from tests.system.fake_engine import FakeEngine, Film
from tests.system.oracle import PACKET, faults_in, packets, place_in
from tests.system.programs import SAMPLES, Program, Proxy, tool, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]
HELD_SHARE = 0.6  # of a film, before the rest is released
PICTURE = "-f lavfi -i testsrc2=size=320x180:rate=25"
SOUND = "-f lavfi -i sine=frequency=440:sample_rate=48000"
H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25"

CAPTURES = (
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
)
ENCODES = {
    "h264 with aac": f"{PICTURE} {SOUND} -t 8 {H264} -c:a aac",
    "hevc with ac3": f"{PICTURE} {SOUND} -t 8 -c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25 "
    "-c:a ac3",
    "hevc with open groups": f"{PICTURE} -t 8 -c:v libx265 -preset superfast -x265-params "
    "log-level=none:keyint=25:min-keyint=25:open-gop=1:bframes=3",
    "mpeg-2 with mp2": f"{PICTURE} {SOUND} -t 8 -c:v mpeg2video -g 12 -bf 2 -b:v 1M -c:a mp2",
    "interlaced mpeg-2": f"{PICTURE} -t 8 -vf interlace -c:v mpeg2video -g 12 -bf 2 -flags +ildct+ilme -b:v 1M",
    "interlaced h264": f"{PICTURE} -t 8 -vf interlace -c:v libx264 -preset ultrafast -g 25 -flags +ildct+ilme",
    "h264 with intra refresh only": f"{PICTURE} -t 8 -c:v libx264 -preset superfast -x264-params "
    "intra-refresh=1:keyint=25",
    "several programs": f"{PICTURE} {SOUND} {PICTURE} {SOUND} -t 8 -map 0 -map 1 -map 2 -map 3 {H264} -c:a aac "
    "-program title=one:st=0:st=1 -program title=two:st=2:st=3",
    "clock that wraps": f"{PICTURE} {SOUND} -t 8 {H264} -c:a aac -output_ts_offset 95439 -muxdelay 0 -muxpreload 0",
    "audio only": f"{SOUND} -t 8 -c:a aac",
}
OPEN_GROUPS = f"{PICTURE} {SOUND} -t 8 -c:v libx264 -preset superfast -pix_fmt yuv420p -c:a aac -x264-params "
OPEN_GROUPS += "open-gop=1:keyint=25:min-keyint=25:bframes=3:scenecut=0"
NOT_CLEAN_TO_DECODE = {"hevc with open groups", "h264 with intra refresh only", "audio only"}


@dataclass(frozen=True)
class Chain:
    """An engine that sends films, and proxies whose clients start at the oldest or near the newest picture."""

    engine: FakeEngine
    from_start: Proxy
    from_middle: Proxy


@pytest.fixture(scope="module")
def chain(module_programs: Keep, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Return the engine and the proxies."""
    engine = FakeEngine()
    proxies = []
    for name, burst_s in (("start", 3600), ("middle", 1)):
        folder = tmp_path_factory.mktemp(name)
        proxy = Proxy(folder, engine.url, f"burst_s={burst_s}", "keyframe_wait_s=1", "linger_s=0.1", "recover_s=0")
        module_programs(proxy)
        proxies.append(proxy)
    yield Chain(engine, *proxies)
    engine.stop()


@pytest.fixture(scope="module")
def encodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make all streams, several at once."""
    folder = tmp_path_factory.mktemp("encodes")
    paths = {name: folder / f"{name.replace(' ', '-')}.ts" for name in ENCODES}
    running = {
        name: subprocess.Popen(
            [tool("ffmpeg"), "-nostdin", "-v", "error", "-y", *ENCODES[name].split(), "-f", "mpegts", str(path)]
        )
        for name, path in paths.items()
    }
    for name, process in running.items():
        assert process.wait(60) == 0, name
    flagged = paths["h264 with aac"].read_bytes()
    paths["no random-access flag"] = folder / "unflagged.ts"
    paths["no random-access flag"].write_bytes(without_flags(flagged))
    return paths


def without_flags(media: bytes) -> bytes:
    """Return a stream with every random_access_indicator taken away."""
    changed = bytearray(media)
    for at in range(0, len(changed), PACKET):
        if changed[at + 3] & 0x20 and changed[at + 4]:
            changed[at + 5] &= 0xBF
    assert bytes(changed) != media
    return bytes(changed)


def watch(proxy: Proxy, film: Film, view: View) -> Viewer:
    """Open a viewer of a film; the first one of a proxy is there once all that is not held back has arrived."""
    viewer = view(f"{proxy.url}/ace/getstream?infohash={film.infohash}")
    assert viewer.status == 200, bytes(viewer.body)
    wait_for(lambda: proxy.stream(film.infohash)["inbound_bytes"] >= film.hold_at, "the first part of the film")
    return viewer


def play(chain: Chain, media: bytes, view: View) -> tuple[bytes, bytes]:
    """Play a film to its end; return what a client from the start and one from the middle got."""
    film = chain.engine.add(media, int(len(media) * HELD_SHARE) // PACKET * PACKET)
    first = watch(chain.from_start, film, view)
    watch(chain.from_middle, film, view)
    late = view(f"{chain.from_middle.url}/ace/getstream?infohash={film.infohash}")
    film.release.set()
    film.close.set()
    for viewer in (first, late):
        viewer.wait_end()
    return bytes(first.body), bytes(late.body)


def places(source: bytes, bodies: tuple[bytes, bytes]) -> list[int]:
    """Return where in the film each body begins, having checked that it is all of the film from there on."""
    found = []
    for body in bodies:
        at, tables = place_in(source, body)
        assert tables >= 2
        assert set(packets(body[: tables * PACKET])) <= set(packets(source[:at]))
        assert at + len(body) - tables * PACKET == len(source), "the end of the film is missing"
        found.append(at)
    return found


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_goes_through_byte_for_byte(chain: Chain, view: View, name: str) -> None:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"no capture {name} beside this checkout")
    tool("ffprobe")
    media = path.read_bytes()
    keyframes = keyframe_places(path)
    for at in places(media, play(chain, media, view)):
        assert at in keyframes or not keyframes


def test_a_capture_with_junk_loses_the_junk_and_nothing_else(chain: Chain, view: View) -> None:
    path = SAMPLES / "sample_with_junk"
    if not path.exists():
        pytest.skip("no capture sample_with_junk beside this checkout")
    clean = SAMPLES / "sample_h262_mpeg_audio.ts"
    for at in places(clean.read_bytes(), play(chain, path.read_bytes(), view)):
        assert at in keyframe_places(clean)


@pytest.mark.parametrize(("before", "behind"), [(4, 0), (0, 16)])
def test_packets_of_192_or_204_bytes_arrive_as_those_of_188(
    chain: Chain, view: View, encodes: dict[str, Path], before: int, behind: int
) -> None:
    clean = encodes["h264 with aac"].read_bytes()
    media = b"".join(bytes(before) + packet + b"\xb1" * behind for packet in packets(clean))
    for at, body in zip(places(clean, play(chain, media, view)), ("start", "middle"), strict=True):
        assert at in keyframe_places(encodes["h264 with aac"]), body


@pytest.mark.parametrize("name", [*ENCODES, "no random-access flag"])
def test_an_encode_goes_through_byte_for_byte_and_is_joined_at_a_keyframe(
    chain: Chain, view: View, encodes: dict[str, Path], name: str
) -> None:
    media = encodes[name].read_bytes()
    bodies = play(chain, media, view)
    start, middle = places(media, bodies)
    assert start < len(media) // 5
    assert len(media) // 5 < middle < len(media) * 4 // 5
    if name == "audio only":
        assert all(media[at + 1] & 0x40 for at in (start, middle))
        return
    keyframes = keyframe_places(encodes[name])
    assert start == min(keyframes)
    assert middle in keyframes
    if name not in NOT_CLEAN_TO_DECODE:
        seen = decode_start(bodies[1], 30)
        assert (seen["first_is_keyframe"], seen["corrupt"], seen["complaints"]) == (True, 0, [])


def test_h264_without_idr_pictures_is_joined_with_one_and_goes_through_untouched_after_that(
    chain: Chain, view: View, tmp_path: Path
) -> None:
    media = encode(OPEN_GROUPS, tmp_path)
    start, middle = play(chain, media, view)
    assert place_in(media, start)[0] < len(media) // 5
    assert faults_in(middle) == []
    assert media.endswith(middle[-len(middle) * 3 // 4 // PACKET * PACKET :])
    assert_decodes(middle, tmp_path)


def test_all_programs_of_a_stream_arrive_with_their_tables(
    chain: Chain, view: View, encodes: dict[str, Path], tmp_path: Path
) -> None:
    media = encodes["several programs"].read_bytes() + bytes([0x47, 0x1F, 0xFF, 0x10] + [0xFF] * 184)
    _, late = play(chain, media, view)
    _, tables = place_in(media, late)
    assert tables == 3  # PAT and both PMTs
    path = tmp_path / "late.ts"
    path.write_bytes(late)
    found = probe(path, "-show_programs")["programs"]
    assert [len(program["streams"]) for program in found] == [2, 2]


def test_the_engine_is_told_to_stop_every_film(chain: Chain) -> None:
    starts = [one for one in chain.engine.asked if "/ace/getstream" in one]
    if not starts:
        pytest.skip("no film was played")  # for want of ffmpeg, or because this test was asked for alone
    stops = wait_for(
        lambda: (
            (found := [one for one in chain.engine.asked if "method=stop" in one])
            and len(found) >= len(starts)
            and found
        ),
        "a stop for every start",
    )
    assert isinstance(stops, list)
    assert len(stops) == len(starts)
