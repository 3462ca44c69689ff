"""Pictures of slow and stalling sources: clients get whole ones, and sound is not held up for a picture."""

from __future__ import annotations

import shutil
import subprocess
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest

from aceproxy.mpegts.media_span import media_span
from aceproxy.mpegts.packets import NULL_PACKET
from aceproxy.streams.picture_wait import HELD_S, LATE_HELD_S, STARVED_HELD_S
from tests.mpegts.splicing import media
from tests.streams.test_ingest import PACKET, Bench

FRAME_S = 0.04  # of the clip
VIDEO = 0x100


@pytest.fixture(scope="module")
def clip() -> bytes:
    """A real transport stream: H.264 at 25 pictures a second, and AAC."""
    return (resources.files("aceproxy.simulator") / "clips" / "light.ts").read_bytes()


def pid_at(packets: bytes, at: int) -> int:
    """Return the PID of the packet that begins at `at`."""
    return (packets[at + 1] & 0x1F) << 8 | packets[at + 2]


def pictures_of(clip: bytes) -> list[int]:
    """Return where pictures begin."""
    return [at for at in range(0, len(clip), PACKET) if clip[at + 1] & 0x40 and pid_at(clip, at) == VIDEO]


def without(clip: bytes, pid: int) -> bytes:
    """Return the packets that are not of one PID."""
    return b"".join(clip[at : at + PACKET] for at in range(0, len(clip), PACKET) if pid_at(clip, at) != pid)


def play(bench: Bench, clip: bytes, pictures: list[int], pace: float, parts: int = 4) -> set[int]:
    """Feed the pictures between these offsets, each in some parts, at a pace; return all heads of the ring."""
    heads = set()
    for begin, end in pairwise(pictures):
        step = -(-(end - begin) // parts // PACKET) * PACKET or PACKET
        for at in range(begin, end, step):
            bench.feed(clip[at : min(at + step, end)])
            bench.now += FRAME_S / pace * step / (end - begin)
            heads.add(bench.ring.head)
    return heads


@pytest.mark.parametrize("pace", [1.0, 0.5, 0.1, 0.02])
def test_of_a_slow_source_only_whole_pictures_go_out(pace: float, clip: bytes) -> None:
    bench = Bench()
    pictures = pictures_of(clip)
    bench.feed(clip[: pictures[0]])
    play(bench, clip, pictures[:60], 1.0)
    heads = play(bench, clip, pictures[59:120], pace)
    assert len(heads) == 60
    assert heads <= set(pictures)


def test_of_a_source_that_only_trickles_no_picture_goes_out_in_part(clip: bytes) -> None:
    bench = Bench()
    pictures = pictures_of(clip)
    bench.feed(clip[: pictures[0]])
    play(bench, clip, pictures[:60], 1.0)
    large = next(begin for begin, end in pairwise(pictures[60:]) if end - begin > 30 * PACKET)
    bench.feed(clip[pictures[59] : large])
    for at in range(large, large + 29 * PACKET, PACKET):
        bench.feed(clip[at : at + PACKET])
        assert bench.ring.head == large
        bench.now += 1.0
    bench.now += STARVED_HELD_S
    bench.feed(NULL_PACKET)
    assert bench.ring.head == large + 30 * PACKET


@pytest.mark.parametrize("pace", [0.5, 0.1])
def test_a_slow_source_that_is_left_for_another_broadcast_leaves_no_damaged_picture(
    pace: float, clip: bytes, tmp_path: Path
) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    bench = Bench()
    pictures = pictures_of(clip)
    bench.feed(clip[: pictures[0]])
    play(bench, clip, pictures[:60], 1.0)
    play(bench, clip, pictures[59:90], pace)
    bench.feed(clip[pictures[89] : pictures[89] + PACKET])
    bench.now += FRAME_S / pace / 2
    bench.feed(clip[pictures[89] + PACKET : pictures[89] + 2 * PACKET])
    bench.ingest.begin_source()
    bench.feed(media("light", 3.3, 7.0, 77_777_777))
    bench.ingest.begin_source()
    path = tmp_path / "slow.ts"
    path.write_bytes(bench.content())
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-threads", "1", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.stderr.decode() == ""


def test_sound_goes_on_where_pictures_end(clip: bytes) -> None:
    bench = Bench()
    pictures = pictures_of(clip)
    bench.feed(clip[: pictures[0]])
    play(bench, clip, pictures[:60], 1.0)
    begun = bench.ring.head
    bench.feed(clip[pictures[59] : pictures[59] + PACKET])
    sound = without(clip[pictures[60] :], VIDEO)
    rate = len(sound) / (FRAME_S * (len(pictures) - 60))
    for at in range(0, int(3 * rate), PACKET):
        bench.feed(sound[at : at + PACKET])
        bench.now += PACKET / rate
        if bench.now > 100 + 60 * FRAME_S + 4 * LATE_HELD_S:
            assert bench.ring.head > begun + at - PACKET


def test_pictures_that_are_rare_by_their_nature_are_hardly_waited_for(clip: bytes) -> None:
    bench = Bench()
    pictures = pictures_of(clip)[:130]
    for begin, end in list(pairwise(pictures))[:100:5]:
        bench.feed(clip[begin if begin > pictures[0] else 0 : end])
        bench.now += 5 * FRAME_S
    head = bench.ring.head
    bench.feed(clip[pictures[100] : pictures[100] + PACKET])
    rest = bench.ring.head
    assert rest > head, "the one before is complete"
    bench.now += HELD_S + 0.01
    bench.feed(NULL_PACKET)
    assert bench.ring.head == rest + 2 * PACKET


def test_a_late_picture_is_waited_for_longer_only_while_nothing_comes_with_it(clip: bytes) -> None:
    bench = Bench()
    pictures = pictures_of(clip)
    bench.feed(clip[: pictures[0]])
    play(bench, clip, pictures[:60], 1.0)
    bench.feed(clip[pictures[59] : pictures[59] + PACKET])
    head = bench.ring.head
    bench.now += LATE_HELD_S + 0.01
    bench.feed(NULL_PACKET)
    assert bench.ring.head == head
    sound = without(clip[pictures[60] :], VIDEO)
    end = next(at for at in range(0, len(sound), PACKET) if media_span(sound[: at + PACKET]) > 90_000 * LATE_HELD_S)
    bench.feed(sound[: end + PACKET])
    assert bench.ring.head == head + 2 * PACKET + end + PACKET
    bench.feed(NULL_PACKET)
    assert bench.ring.head == head + 2 * PACKET + end + 2 * PACKET, "what follows goes out as it comes"
