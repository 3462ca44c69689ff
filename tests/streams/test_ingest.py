"""Ingest: the ring gets exactly the packets that came, however they were cut and whatever lay between them."""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aceproxy.mpegts.access import Analyzer
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.mpegts.packets import NULL_PACKET
from aceproxy.mpegts.splice import Outcome
from aceproxy.streams.ingest import HELD_BYTES, KEPT_BYTES, ROOM_BYTES, TAIL_BYTES, Ingest
from aceproxy.streams.ring import Ring, RingLimits
from tests.mpegts.splicing import media

PACKET = 188
LIMITS = RingLimits(block_s=1.0, block_bytes=8 << 20, ring_s=1000.0, ring_bytes=1 << 30, burst_s=3.0)


@pytest.fixture(scope="module")
def clip() -> bytes:
    """A real transport stream: H.264 and AAC."""
    return (resources.files("aceproxy.simulator") / "clips" / "light.ts").read_bytes()


class Bench:
    """An ingest with a clock that stands still unless told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ring = Ring(LIMITS)
        self.ingest = Ingest(self.ring, lambda: self.now)

    def feed(self, data: bytes, *sizes: int) -> None:
        """Feed data in pieces of the given sizes, over and over."""
        at, turn = 0, 0
        while at < len(data):
            room = self.ingest.room()
            size = min(sizes[turn % len(sizes)] if sizes else len(room), len(room), len(data) - at)
            room[:size] = data[at : at + size]
            self.ingest.filled(size)
            at += size
            turn += 1

    def content(self) -> bytes:
        """Return what the ring holds."""
        return b"".join(block.read(0, block.size) for block in self.ring.blocks())

    def point_offsets(self) -> list[int]:
        """Return where the join points are."""
        return [point.offset for point in self.ring.points]


def newest_picture(clip: bytes, end: int) -> int:
    """Return where the newest picture before `end` begins."""
    starts = [at for at in range(0, end, PACKET) if clip[at + 1] == 0x41 and clip[at + 2] == 0x00]
    return starts[-1]


def expected_points(clip: bytes) -> list[int]:
    return [point.offset for point in Analyzer().feed(clip).points]


@pytest.mark.parametrize("sizes", [(), (188,), (1316,), (1000, 77, 30000), (ROOM_BYTES,)])
def test_the_ring_holds_every_packet_and_every_keyframe(clip: bytes, sizes: tuple[int, ...]) -> None:
    bench = Bench()
    bench.feed(clip, *sizes)
    held = bench.content()
    assert held == clip[: len(held)]
    assert len(clip) - len(held) < ROOM_BYTES
    expected = [offset for offset in expected_points(clip) if offset < len(held)]
    assert bench.point_offsets() == expected
    assert len(expected) > 3
    assert bench.ingest.dropped_bytes == 0


def test_what_is_received_lies_in_the_newest_block_already(clip: bytes) -> None:
    bench, turns, in_place = Bench(), 0, 0
    for start in range(0, len(clip), 30_000):
        bench.feed(clip[start : start + 30_000])
        newest = bench.ring.newest
        assert newest is not None
        turns += 1
        in_place += bench.ingest.room().obj is newest.view(0, 0).obj
    assert len(bench.ring.blocks()) > 3
    assert in_place == turns > 20


def test_others_may_append_while_a_source_is_received_into_a_block(clip: bytes) -> None:
    bench = Bench()
    for turn, start in enumerate(range(0, len(clip), 50_000)):
        bench.feed(clip[start : start + 50_000])
        if turn % 3 == 1:  # what was received before it and is no whole picture yet comes behind it
            bench.ring.append(memoryview(NULL_PACKET * 7), bench.ring.edge_s)
    bench.ingest.finish()
    content, without = bench.content(), NULL_PACKET
    found, sent = ([data[at : at + PACKET] for at in range(0, len(data), PACKET)] for data in (content, clip))
    assert [packet for packet in found if packet != without] == [packet for packet in sent if packet != without]
    assert found.count(without) > sent.count(without)


def test_media_time_follows_the_time_stamps_not_the_clock(clip: bytes) -> None:
    bench = Bench()
    bench.feed(clip)
    gaps = [later.media_s - earlier.media_s for earlier, later in pairwise(bench.ring.points)]
    assert all(0.3 < gap < 2.5 for gap in gaps)
    assert bench.ring.edge_s > 5


def test_blocks_begin_at_keyframes(clip: bytes) -> None:
    bench = Bench()
    bench.feed(clip, 4096)
    offsets = set(bench.point_offsets())
    assert all(block.start in offsets for block in bench.ring.blocks()[1:])


def test_junk_in_front_and_between_is_left_out(clip: bytes) -> None:
    noise = random.Random(7)
    junk = noise.randbytes(5000).replace(b"\x47", b"\x46")
    half = len(clip) // 2 // PACKET * PACKET
    bench = Bench()
    bench.feed(junk + clip[:half] + junk + clip[half:], 1400)
    held = bench.content()
    assert held == clip[: len(held)]
    assert len(clip) - len(held) < ROOM_BYTES
    assert bench.ingest.dropped_bytes == 2 * len(junk)
    assert bench.point_offsets() == [offset for offset in expected_points(clip) if offset < len(held)]


def test_after_junk_the_fast_path_is_taken_again(clip: bytes) -> None:
    bench = Bench()
    bench.feed(b"junk" + clip, 4 + 188 * 40, 188 * 44)
    assert bench.ingest._aligner is None
    held = bench.content()
    assert held == clip[: len(held)]


def test_nothing_but_noise_leaves_the_ring_empty_and_memory_bounded() -> None:
    noise = random.Random(3)
    bench = Bench()
    for _ in range(50):
        bench.feed(noise.randbytes(65536).replace(b"\x47", b"\x00"))
    assert bench.ring.head == 0
    assert bench.ingest.source_packets_bytes == 0
    assert bench.ingest.received_bytes == 50 * 65536
    assert len(bench.ingest.room()) == ROOM_BYTES


def test_packets_without_tables_are_kept_by_the_clock() -> None:
    bench = Bench()
    packet = b"\x47\x01\x00\x10" + bytes(184)
    for _ in range(100):
        bench.feed(packet * 10)
        bench.now += 0.5
    assert bench.ring.head == 188_000
    assert bench.ring.points == []
    assert 49 <= bench.ring.edge_s <= 50
    assert len(bench.ring.blocks()) > 5


def test_the_same_broadcast_again_goes_on_where_it_was_cut(clip: bytes) -> None:
    bench = Bench()
    bench.feed(clip[: 188 * 3000 + 100])
    bench.ingest.begin_source()
    begun = bench.ring.head
    assert begun == newest_picture(clip, 188 * 3000)
    bench.feed(clip[188 * 1000 :], 5000)
    assert bench.ingest.splice is not None
    assert bench.ingest.splice.outcome is Outcome.SAME_BYTES
    held = bench.content()
    assert held == clip[: len(held)]
    assert len(held) > begun
    assert not any(block.is_break for block in bench.ring.blocks())
    assert bench.point_offsets() == [offset for offset in expected_points(clip) if offset < len(held)]


def test_a_picture_goes_to_clients_when_it_is_complete(clip: bytes) -> None:
    bench = Bench()
    bench.feed(clip, 1316)
    for end in range(188 * 3000, 188 * 3200, 188):
        bench = Bench()
        bench.feed(clip[:end])
        assert bench.ring.head == newest_picture(clip, end)


def test_the_very_first_picture_waits_for_nothing(clip: bytes) -> None:
    begin, second, *_ = (at for at in range(0, 188 * 200, 188) if clip[at + 1] == 0x41 and not clip[at + 2])
    bench = Bench()
    bench.feed(clip[: begin + 188 * 20])
    assert begin + 188 * 20 < second, "one picture, and not all of it"
    assert bench.ring.head == begin + 188 * 20
    assert bench.point_offsets() == [begin]


def test_a_picture_larger_than_what_is_held_goes_out_as_it_comes(clip: bytes) -> None:
    bench = Bench()
    bench.feed(clip[: 188 * 3000])
    begun = bench.ring.head
    filling = NULL_PACKET * (HELD_BYTES // 188)
    bench.feed(filling)
    assert bench.ring.head > begun + HELD_BYTES
    assert len(bench.ingest.room()) == ROOM_BYTES


@pytest.mark.parametrize("seed", range(6))
def test_a_source_cut_anywhere_leaves_no_damaged_picture_whatever_follows(
    seed: int, clip: bytes, tmp_path: Path
) -> None:
    """Three sources with other clocks, each cut at any byte: ffmpeg has nothing to say and gets every picture."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    rng = random.Random(seed)
    bench = Bench()
    pictures = 0
    for number in range(3):
        begun = bench.ring.head
        source = media("light", 7.3 * number, 7.3 * number + rng.uniform(4, 6), 77_777_777 * number)
        bench.feed(source[: len(source) - rng.randrange(4000)], rng.randrange(5000, 60_000))
        bench.ingest.begin_source()
        part = bench.content()[begun:]
        pictures += sum(1 for at in range(0, len(part), PACKET) if part[at + 1] == 0x41 and not part[at + 2])
    path = tmp_path / "cut.ts"
    path.write_bytes(bench.content())
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-threads", "1", "-copyts", "-i", str(path)]
    output = ["-map", "0:v", "-map", "0:a", "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    done = subprocess.run([*command, *output], capture_output=True, timeout=60, check=False)
    assert done.stderr.decode() == ""
    assert sum(1 for line in done.stdout.splitlines() if line.startswith(b"0,")) == pictures
    assert pictures > 150


def test_another_broadcast_goes_on_with_continuous_counters_and_time(clip: bytes) -> None:
    other = (resources.files("aceproxy.simulator") / "clips" / "clock.ts").read_bytes()
    bench = Bench()
    bench.feed(clip[: 188 * 3000])
    edge_s = bench.ring.edge_s
    bench.ingest.begin_source()
    bench.feed(other, 30_000)
    checker = ContinuityChecker()
    checker.feed(bench.content())
    assert not checker.errors
    assert bench.ring.edge_s - edge_s > 2
    broken = [block for block in bench.ring.blocks() if block.is_break]
    assert len(broken) == 1
    assert broken[0].points[0].offset == broken[0].start
    assert 188 * 3000 <= broken[0].start < 188 * 3400  # right after the seam
    points = [point.media_s for point in bench.ring.points]
    assert all(0.3 < later - earlier < 2.5 for earlier, later in pairwise(points))


def test_a_place_that_is_not_found_can_be_given_up(clip: bytes) -> None:
    other = (resources.files("aceproxy.simulator") / "clips" / "clock.ts").read_bytes()
    bench = Bench()
    bench.feed(clip)
    bench.ingest.begin_source()
    begun = bench.ring.head
    bench.feed(other[: 188 * 1000])
    assert bench.ingest.splice is not None
    assert bench.ingest.splice.outcome is Outcome.PENDING
    assert bench.ring.head == begun
    bench.ingest.give_up_splice()
    assert bench.ring.head > begun
    assert [block.is_break for block in bench.ring.blocks()].count(True) == 1
    bench.feed(other[188 * 1000 :])
    checker = ContinuityChecker()
    checker.feed(bench.content())
    assert not checker.errors


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_cut_and_any_junk_gives_only_real_packets_in_order(data: st.DataObject) -> None:
    noise = random.Random(data.draw(st.integers(0, 1 << 30)))
    packets = [b"\x47\x01\x00\x10" + number.to_bytes(4, "big") * 46 for number in range(200)]
    parts: list[bytes] = []
    at = 0
    while at < len(packets):
        run = noise.randint(6, 60)
        parts.append(b"".join(packets[at : at + run]))
        at += run
        if noise.random() < 0.5:
            parts.append(noise.randbytes(noise.randint(1, 700)).replace(b"\x47", b"\x00"))
    bench = Bench()
    bench.feed(b"".join(parts), *data.draw(st.lists(st.integers(1, 3000), min_size=1, max_size=5)))
    held = bench.content()
    assert len(held) % PACKET == 0
    numbers = [int.from_bytes(held[start + 4 : start + 8], "big") for start in range(0, len(held), PACKET)]
    assert all(held[start] == 0x47 for start in range(0, len(held), PACKET))
    real = [
        number
        for number, start in zip(numbers, range(0, len(held), PACKET), strict=True)
        if held[start : start + PACKET] == packets[number % 200]
    ]
    assert real == sorted(set(real))
    assert len(real) >= 200 - 8 * len(parts)


@pytest.mark.parametrize("sizes", [(188,) * 3 + (90_000, 131_072), (ROOM_BYTES,), (1000, 77, 200_000), (96_256,)])
@pytest.mark.parametrize("with_junk", [False, True])
def test_the_newest_packets_are_at_hand_whenever_they_are_asked_for(
    clip: bytes, sizes: tuple[int, ...], with_junk: bool
) -> None:
    """They are looked for in the buffer, which is filled over and over; asking must not change anything."""
    bench, packets, turn, most = Bench(), b"", 0, TAIL_BYTES // PACKET * PACKET
    fullest = 0
    rng = random.Random(len(sizes))
    while len(packets) < 4 * TAIL_BYTES:
        size = sizes[turn % len(sizes)] // PACKET * PACKET or PACKET
        at = len(packets) % (len(clip) - ROOM_BYTES)
        at -= at % PACKET
        piece = clip[at : at + size]
        packets += piece
        bench.feed(piece)
        if with_junk and turn % 7 == 3:  # what is before it waits for five sync bytes in their places
            bench.feed(bytes(rng.choices(range(0x48, 0x100), k=rng.choice((5, 3000, 200_000)))))
        if with_junk and turn % 7 == 5:  # for players while nothing comes; it is not of the source
            bench.ring.append(memoryview(NULL_PACKET), bench.ring.edge_s)
        turn += 1
        if turn % 5 == 0:
            newest = bench.ingest.newest()
            taken = packets[: bench.ingest.packet_bytes]
            assert taken.endswith(newest)
            assert len(newest) % PACKET == 0
            assert len(newest) >= min(len(taken), KEPT_BYTES - ROOM_BYTES * with_junk)
            fullest = max(fullest, len(newest))
    assert fullest == most


def test_a_picture_that_is_taken_back_is_not_among_the_newest_packets(clip: bytes) -> None:
    bench = Bench()
    end = len(clip) // 2 // PACKET * PACKET
    for _ in range(2):  # the second time the buffer has been begun from the front again
        bench.feed(clip[:end], 90_000)
    bench.ingest.begin_source()
    held = bench.content()
    newest = bench.ingest.newest()
    assert len(newest) > PACKET
    assert held.endswith(newest)


def test_what_has_gone_by_is_known_again_in_another_source(clip: bytes) -> None:
    bench = Bench()
    half = len(clip) // 2 // 188 * 188
    bench.feed(clip[:half])
    points = expected_points(clip)
    known = max(at for at in points if at < half - 100_000)
    assert not bench.ingest.has_new(b"rubbish" + clip[: known + 188 * 200])
    assert bench.ingest.has_new(clip[known:])
    assert not bench.ingest.has_new(b"")


@pytest.mark.parametrize("packets", [0, 1000, 4000])
def test_a_stream_goes_on_however_often_there_was_no_memory_for_it(
    clip: bytes, packets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the source is lost with as much as it may have sent at once, and opened anew."""
    bench = Bench()
    bench.feed(clip[: packets * PACKET])
    before = len(bench.content())

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(bench.ring, "append", refuse)
        for _ in range(6):
            assert len(bench.ingest.room()) == ROOM_BYTES
            with pytest.raises(OSError, match="Cannot allocate"):
                bench.feed(clip[packets * PACKET :][: ROOM_BYTES - 1])
            bench.ingest.begin_source()
    assert len(bench.content()) == before
    bench.feed(clip)
    bench.ingest.give_up_splice()
    bench.ingest.finish()
    assert len(clip) - len(bench.content()) < 10 * PACKET
    assert bench.point_offsets()
    assert ContinuityChecker().feed(bench.content()) == 0
