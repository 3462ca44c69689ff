"""Half an hour of a broadcast, fed at speed through the real ingest, ring, window and writer, under a strict reader."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from aceproxy.errors import Reason
from aceproxy.hls.playlist import media_text
from aceproxy.hls.window import HeldSegment, Window, WindowLimits
from aceproxy.mpegts.access import Analyzer
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.mpegts.packets import NULL_PACKET
from aceproxy.streams.ingest import Ingest
from aceproxy.streams.ring import Ring, RingLimits
from tests.hls.checking import ListChecker
from tests.mpegts.splicing import media

PACKET = 188
MINUTE = 60.0
LIMITS = RingLimits(block_s=2.0, block_bytes=8 << 20, ring_s=30.0, ring_bytes=64 << 20, burst_s=6.0)
BEGAN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Station:
    """A stream and its window, with a clock that is set by hand."""

    def __init__(self, segments: int = 6) -> None:
        self.now = 1000.0
        self.ring = Ring(LIMITS)
        self.ring.watch_front = False  # it comes in real time
        self.ingest = Ingest(self.ring, lambda: self.now)
        self.window: Window | None = None
        self._limits = WindowLimits(segments, LIMITS.block_s, 2 * LIMITS.ring_bytes)

    def send(self, data: bytes) -> None:
        """Let the source send."""
        at = 0
        while at < len(data):
            room = self.ingest.room()
            count = min(len(room), len(data) - at, 48_000)
            room[:count] = data[at : at + count]
            self.ingest.filled(count)
            at += count

    def list(self) -> str:
        """Ask for the list."""
        if self.window is None:
            self.window = Window(
                self.ring,
                self._limits,
                1_700_000_000,
                7,
                lambda: self.now,
                lambda: BEGAN + timedelta(seconds=self.now - 1000),
            )
        return media_text(self.window.playlist(), "") if self.window.is_ready else ""

    def segment(self, uri: str) -> HeldSegment | None:
        """Ask for a segment."""
        assert self.window is not None
        return self.window.find(int(uri.removesuffix(".ts")))


class Player:
    """Reads every list and every segment, once a second, and judges them."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.checker = ListChecker()
        self.faults: list[str] = []
        self.packets = ContinuityChecker()
        self.fetched = 0
        self.outage_s = 0.0  # by the dates around a break
        self.bytes = 0
        self.most_held = 0

    def look(self) -> None:
        """Take the list as it is now, and the segments that are new in it."""
        station = self.station
        text = station.list()
        if not text:
            return
        self.faults += [f"{station.now - 1000:.0f} s: {wrong}" for wrong in self.checker.take(text, station.now)]
        for uri in self.checker.owed(station.now):
            if station.segment(uri) is None:
                self.faults.append(f"{station.now - 1000:.0f} s: {uri} is gone")
        assert self.checker.last is not None
        assert station.window is not None
        self.most_held = max(self.most_held, station.window.held_bytes)
        for before, entry in pairwise(self.checker.last.entries):
            if entry.is_break:
                self.outage_s = (entry.date - before.date).total_seconds() - before.duration_s
        for entry in self.checker.last.entries:
            if entry.number >= self.fetched:
                self._read(entry.uri, is_break=entry.is_break)
                self.fetched = entry.number + 1

    def _read(self, uri: str, *, is_break: bool) -> None:
        held = self.station.segment(uri)
        if held is None:
            return
        body = held.head + held.block.read(0, held.block.size)
        self.bytes += len(body)
        pids = [(body[at + 1] & 0x1F) << 8 | body[at + 2] for at in range(0, 3 * PACKET, PACKET)]
        if len(body) != held.size_bytes or len(body) % PACKET or pids[:2] != [0, 0x1000]:
            self.faults.append(f"{uri} has {len(body)} bytes and begins with PIDs {pids}")
        if is_break:
            self.packets = ContinuityChecker()
        self.packets.feed(body)


def seconds(name: str, start_s: float, stop_s: float, ticks: int = 0) -> Iterator[bytes]:
    """Yield a broadcast second by second."""
    at = start_s
    while at < stop_s:
        yield media(name, at, min(at + 1, stop_s), ticks)
        at += 1


def watch(player: Player, broadcast: Iterator[bytes]) -> None:
    """Let a broadcast go on in time, and the player with it."""
    for second in broadcast:
        player.station.send(second)
        player.station.now += 1
        player.look()


def lose(player: Player, outage_s: int) -> None:
    """Let the source be lost: only null packets come."""
    for _ in range(outage_s):
        station = player.station
        station.ring.append(memoryview(NULL_PACKET * 7), station.ring.edge_s)
        station.now += 1
        player.look()
    player.station.ingest.begin_source()


def test_half_an_hour_with_recoveries_keeps_every_rule_of_lists() -> None:
    player = Player(Station())
    watch(player, seconds("light", 3, 8 * MINUTE))
    lose(player, 4)
    watch(player, seconds("light", 8 * MINUTE - 20, 15 * MINUTE))  # from some seconds back: joined without a seam
    breaks_before = player.checker.breaks
    lose(player, 25)
    watch(player, seconds("light", 40 * MINUTE, 55.5 * MINUTE, ticks=1 << 31))  # another clock
    assert player.faults == []
    assert breaks_before == 0
    assert player.checker.breaks == 1
    assert player.outage_s > 20  # the dates follow the clock on the wall, not the media
    assert player.checker.lists > 30 * MINUTE - 30
    assert player.fetched - 1_700_000_000 > 30 * MINUTE / 2.5
    assert not player.packets.errors
    assert player.most_held < 2 * 16 * 1_100_000 / 8 * 3  # a few lists of a stream of a Mbit/s
    assert player.checker.last is not None
    assert player.checker.last.breaks_before == 8
    assert player.checker.last.independent


@pytest.mark.parametrize("name", ["clock", "radio"])
def test_video_and_sound_alone_keep_the_rules(name: str) -> None:
    player = Player(Station())
    watch(player, seconds(name, 0, 90))
    assert player.faults == []
    assert player.checker.last is not None
    assert 2 <= player.checker.last.target_s <= 4
    assert player.checker.last.duration_s >= 3 * player.checker.last.target_s


def test_a_short_list_is_still_three_targets_long() -> None:
    player = Player(Station(segments=3))
    watch(player, seconds("light", 0, 60))
    assert player.faults == []
    assert player.checker.last is not None
    assert len(player.checker.last.entries) > 3


def test_the_first_list_comes_with_the_first_whole_segment() -> None:
    station = Station()
    player = Player(station)
    while not station.list():
        watch(player, seconds("light", station.now - 1000, station.now - 999))
    assert station.now - 1000 <= 4
    assert player.checker.last is not None
    assert len(player.checker.last.entries) == 1


def test_a_start_burst_is_listed_as_it_is() -> None:
    station = Station()
    player = Player(station)
    station.send(media("light", 0, 40))
    player.look()
    assert player.checker.last is not None
    assert 9 <= player.checker.last.duration_s < 20
    watch(player, seconds("light", 40, 100))
    assert player.faults == []


def test_a_start_burst_that_comes_in_pieces_is_dated_in_the_past() -> None:
    station = Station()
    station.send(media("light", 0, 4))
    window = Window(
        station.ring,
        WindowLimits(6, LIMITS.block_s, 2 * LIMITS.ring_bytes),
        1,
        1,
        lambda: station.now,
        lambda: BEGAN + timedelta(seconds=station.now - 1000),
    )
    assert window.is_ready
    for second in seconds("light", 4, 20):
        station.send(second)
    station.now += 0.5
    shown = window.playlist().segments
    ends = shown[-1].starts_utc + timedelta(seconds=shown[-1].duration_s)
    assert BEGAN - timedelta(seconds=4) < ends <= BEGAN + timedelta(seconds=0.5)
    for before, after in pairwise(shown):
        gap = after.starts_utc - before.starts_utc
        assert abs(gap.total_seconds() - before.duration_s) < 0.01
    for second in seconds("light", 20, 24):
        station.send(second)
        station.now += 1
    later = window.playlist().segments
    assert later[-1].starts_utc > shown[-1].starts_utc
    assert {one.number: one.starts_utc for one in later if one in shown} == {
        one.number: one.starts_utc for one in shown if one.number >= later[0].number
    }


def test_the_list_of_a_recording_ends_and_stays() -> None:
    station = Station()
    player = Player(station)
    watch(player, seconds("light", 0, 31.5))
    station.ingest.finish()
    station.ring.finish(Reason.ENDED)
    for _ in range(5):
        station.now += 1
        player.look()
    assert player.faults == []
    assert player.checker.last is not None
    assert player.checker.last.ended
    held = station.segment(player.checker.last.entries[-1].uri)
    assert held is not None
    assert held.block.end == station.ring.head


def test_without_keyframes_segments_are_cut_within_the_target() -> None:
    """A broadcast that has keyframes at first, and then none for a minute."""
    whole = media("light", 0, 120)
    keyed, keyless = media("light", 0, 20), bytearray()
    analyzer_points = _points(whole)
    at = len(keyed)
    while at < len(whole):
        following = next((point for point in analyzer_points if point > at), len(whole))
        keyless += _without_flags(whole[at:following])
        at = following
    player = Player(Station())
    rate = len(whole) // 120 // PACKET * PACKET
    stream = keyed + bytes(keyless)
    watch(player, iter([stream[at : at + rate] for at in range(0, len(stream), rate)]))
    assert player.faults == []
    assert player.checker.last is not None
    assert not player.checker.last.independent
    assert player.checker.breaks == 0  # nothing had to be made fit
    assert max(entry.duration_s for entry in player.checker.last.entries) > 2.5


@pytest.mark.parametrize(("name", "start_s"), [("light", 1.15), ("light", 3.36), ("clock", 0.5), ("clock", 3.36)])
def test_each_segment_begins_with_a_keyframe_where_these_come_as_often_as_blocks_are_due(
    name: str, start_s: float
) -> None:
    """Reckoned with fractions, a keyframe comes a trifle too early now and then: the block ends with the next one."""
    player = Player(Station())
    watch(player, seconds(name, start_s, start_s + 40))
    assert player.faults == []
    first, *blocks = player.station.ring.blocks()
    assert [block.points[0].offset for block in blocks] == [block.start for block in blocks]
    assert first.media_s < blocks[0].media_s


def _points(stream: bytes) -> list[int]:
    return [point.offset for point in Analyzer().feed(stream).points]


def _without_flags(piece: bytes) -> bytes:
    """Return packets of which the first video picture has lost its parameter sets: no decoder may start there."""
    changed = bytearray(piece)
    for name in (b"\x00\x00\x01\x67", b"\x00\x00\x01\x27"):
        at = changed.find(name)
        while at >= 0:
            changed[at + 3] = 0x0C  # filler data
            at = changed.find(name, at + 1)
    return bytes(changed)


def test_a_jump_of_the_clock_is_a_break_and_never_too_long_a_segment() -> None:
    player = Player(Station())
    watch(player, seconds("light", 0, 41))
    watch(player, seconds("light", 48.3, 100))  # nothing of 7.3 s came
    assert player.faults == []
    assert player.checker.breaks == 1


def test_memory_is_bounded_whatever_the_bitrate() -> None:
    station = Station(segments=100)
    station._limits = WindowLimits(100, 2.0, 4 << 20)
    for second in range(120):
        station.send(media("light", second, second + 1))
        station.now += 0.001  # all at once: nothing grows old
        station.list()
    assert station.window is not None
    assert station.window.held_bytes <= 4 << 20
    assert len(station.list()) > 200


def test_what_comes_faster_than_real_time_stays_listed_until_it_was_taken() -> None:
    station = Station()
    player = Player(station)
    station.ring.watch_front = True
    for second in range(60):
        station.send(media("light", second, second + 1))
        station.now += 0.01 if second < 50 else 1.0
        player.look()
        if second == 40:
            assert player.checker.last is not None
            assert player.checker.last.duration_s > 36
            station.ring.fetched = station.ring.head
    assert player.faults == []
    assert player.checker.last is not None
    assert player.checker.last.duration_s < 22


def test_what_comes_at_once_after_an_outage_is_listed_until_players_have_looked() -> None:
    station = Station()
    player = Player(station)
    watch(player, seconds("light", 0, 30))
    lose(player, 20)
    wanted = player.fetched
    station.now += 3  # two looks of a player are as far apart
    for second in seconds("light", 30, 50):
        station.send(second)
    player.look()
    assert player.checker.last is not None
    assert player.checker.last.entries[0].number <= wanted
    watch(player, seconds("light", 50, 70))
    assert player.faults == []
    assert player.checker.last.duration_s < 22


def test_a_window_that_nobody_watches_holds_no_more_than_the_ring() -> None:
    station = Station()
    player = Player(station)
    watch(player, seconds("light", 0, 60))
    station.ring.clear()
    assert station.window is not None
    before = station.window.held_bytes
    station.window.rest()
    assert station.window.held_bytes < before / 4
    watch(player, seconds("light", 60, 62))
