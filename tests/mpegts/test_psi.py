"""The tables as they stand, and the packets a joining player gets first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.codecs import ElementaryStream
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.mpegts.packets import PACKET_BYTES, Aligner, pid_of
from aceproxy.mpegts.psi import MAX_PREAMBLE_PACKETS, Pat, Pmt, PsiTracker, parse_pmt

Maker = Callable[..., bytes]
Carrier = Callable[..., list[bytes]]

VIDEO = (0x1B, 0x100, b"")
AUDIO = (0x03, 0x101, b"\x0a\x04deu\x00")
LONG = b"\x09\xf0" + b"x" * 240  # a descriptor that makes a PMT longer than a packet


def fed(packets: Iterable[bytes]) -> PsiTracker:
    """Return a tracker that has seen packets."""
    tracker = PsiTracker()
    for packet in packets:
        tracker.feed(packet)
    return tracker


def programs(tracker: PsiTracker) -> dict[int, int]:
    """Return the programs of the PAT in force."""
    return dict(tracker.pat.programs) if tracker.pat else {}


def cut(stream: bytes) -> list[bytes]:
    """Return the packets of a stream."""
    return [stream[at : at + PACKET_BYTES] for at in range(0, len(stream), PACKET_BYTES)]


def test_pat_and_pmt_are_read(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    tracker = fed(carry(0, 0, pat({0: 0x10, 7: 0x20}, version=3)) + carry(0x20, 0, pmt(7, [VIDEO, AUDIO], version=5)))
    assert tracker.pat == Pat(1, 3, MappingProxyType({7: 0x20}))
    assert programs(tracker) == {7: 0x20}
    streams = (ElementaryStream(0x100, 0x1B, "h264", None), ElementaryStream(0x101, 3, "mp2", "deu"))
    assert dict(tracker.pmts) == {7: Pmt(7, 5, 0x100, streams)}
    assert tracker.program == tracker.pmts[7]
    assert tracker.pids == {0, 0x20}


def test_feed_tells_a_change_from_a_repeat(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    tracker = PsiTracker()
    assert tracker.feed(carry(0, 0, pat({7: 0x20}))[0])
    assert tracker.feed(carry(0x20, 0, pmt(7, [VIDEO]))[0])
    for counter in range(1, 40):
        assert not tracker.feed(carry(0, counter, pat({7: 0x20}))[0])
        assert not tracker.feed(carry(0x20, counter, pmt(7, [VIDEO]))[0])
    assert tracker.feed(carry(0x20, 40, pmt(7, [VIDEO, AUDIO], version=1))[0])
    assert len(tracker.pmts[7].streams) == 2


def test_a_pat_in_several_sections_counts_when_all_have_come(pat: Maker, carry: Carrier) -> None:
    parts = [pat({number * 100 + n: 0x100 + n for n in range(1, 60)}, number=number, last=2) for number in range(3)]
    tracker = fed(carry(0, 0, parts[2], parts[0]))
    assert tracker.pat is None
    for packet in carry(0, 4, parts[1]):
        tracker.feed(packet)
    assert list(programs(tracker)) == [number * 100 + n for number in range(3) for n in range(1, 60)]


def test_a_new_pat_in_several_sections_leaves_the_old_one_until_it_is_whole(pat: Maker, carry: Carrier) -> None:
    tracker = fed(carry(0, 0, pat({1: 0x20})) + carry(0, 1, pat({1: 0x30}, version=1, number=0, last=1)))
    assert programs(tracker) == {1: 0x20}
    for packet in carry(0, 2, pat({2: 0x31}, version=1, number=1, last=1)):
        tracker.feed(packet)
    assert programs(tracker) == {1: 0x30, 2: 0x31}


def test_tables_that_are_not_in_force_yet_are_ignored(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    tracker = fed(carry(0, 0, pat({1: 0x20})) + carry(0x20, 0, pmt(1, [VIDEO])))
    tracker.feed(carry(0, 1, pat({1: 0x30}, version=1, current=False))[0])
    tracker.feed(carry(0x20, 1, pmt(1, [AUDIO], version=1, current=False))[0])
    assert (programs(tracker), tracker.pmts[1].first("video") is not None) == ({1: 0x20}, True)


def test_a_pmt_that_moves_to_another_pid_is_followed(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    tracker = fed(carry(0, 0, pat({1: 0x20})) + carry(0x20, 0, pmt(1, [VIDEO])))
    assert tracker.feed(carry(0, 1, pat({1: 0x30}, version=1))[0])
    assert (dict(tracker.pmts), tracker.program) == ({}, None)
    assert not tracker.feed(carry(0x20, 1, pmt(1, [AUDIO], version=1))[0])
    assert tracker.feed(carry(0x30, 0, pmt(1, [VIDEO]))[0])
    assert tracker.preamble() == carry(0, 1, pat({1: 0x30}, version=1))[0] + carry(0x30, 0, pmt(1, [VIDEO]))[0]


def test_a_program_that_leaves_the_pat_is_forgotten(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    both = carry(0x20, 0, pmt(1, [VIDEO]), pmt(2, [AUDIO]))
    tracker = fed(carry(0, 0, pat({1: 0x20, 2: 0x20})) + both)
    assert set(tracker.pmts) == {1, 2}
    tracker.feed(carry(0, 1, pat({2: 0x20}, version=1))[0])
    assert set(tracker.pmts) == {2}
    assert tracker.program == tracker.pmts[2]


def test_a_program_that_joins_a_pid_is_found_in_the_next_repeat(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    tracker = fed(carry(0, 0, pat({1: 0x20})) + carry(0x20, 0, pmt(1, [VIDEO]), pmt(2, [AUDIO])))
    tracker.feed(carry(0, 1, pat({1: 0x20, 2: 0x20}, version=1))[0])
    for packet in carry(0x20, 1, pmt(1, [VIDEO]), pmt(2, [AUDIO])):
        tracker.feed(packet)
    assert set(tracker.pmts) == {1, 2}


def test_a_repeat_after_many_equal_ones_is_not_taken_for_a_duplicate(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    tracker = fed(carry(0, 0, pat({1: 0x20})))
    for counter in range(16):
        tracker.feed(carry(0x20, counter, pmt(1, [VIDEO]), pmt(2, [AUDIO]))[0])
    tracker.feed(carry(0, 1, pat({1: 0x20, 2: 0x20}, version=1))[0])
    tracker.feed(carry(0x20, 16, pmt(1, [VIDEO]), pmt(2, [AUDIO]))[0])
    assert set(tracker.pmts) == {1, 2}


def test_a_scrambled_repeat_does_not_get_into_the_preamble(pat: Maker, carry: Carrier) -> None:
    packets = carry(0, 0, pat({1: 0x20}))
    scrambled = bytearray(carry(0, 1, pat({1: 0x20}))[0])
    scrambled[3] |= 0x80
    assert fed([*packets, bytes(scrambled)]).preamble() == packets[0]


def test_the_first_program_with_video_counts_else_the_first_with_audio(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    tracker = fed(carry(0, 0, pat({5: 0x25, 6: 0x26, 7: 0x27})) + carry(0x26, 0, pmt(6, [AUDIO])))
    assert tracker.program == tracker.pmts[6]
    tracker.feed(carry(0x27, 0, pmt(7, [VIDEO]))[0])
    assert tracker.program == tracker.pmts[7]
    tracker.feed(carry(0x25, 0, pmt(5, [(0x05, 0x99, b"")]))[0])
    assert tracker.program == tracker.pmts[7]


def test_hostile_pmt_pids_are_not_followed(pat: Maker, carry: Carrier) -> None:
    assert fed(carry(0, 0, pat({1: 0, 2: 1, 3: 0x1FFF, 4: 0x20}))).pids == {0, 0x20}


@pytest.mark.parametrize("broken", [{"number": 1, "last": 1}, {"current": False}])
def test_a_pmt_out_of_place_is_none(pmt: Maker, broken: dict[str, int]) -> None:
    assert parse_pmt(pmt(1, [VIDEO], **broken)) is None


def test_a_pmt_whose_lengths_do_not_add_up_is_none(section: Maker) -> None:
    assert parse_pmt(section(2, 1, b"\xe1\x00\xf0\x00\x1b\xe1\x00\xf0\x05abc")) is None
    assert parse_pmt(section(2, 1, b"\xe1\x00\xf0\xff")) is None
    assert parse_pmt(section(2, 1, b"\xe1\x00\xf0\x00\x1b\xe1")) is None
    assert parse_pmt(section(2, 1, b"")) is None
    assert parse_pmt(section(0, 1, b"\xe1\x00\xf0\x00")) is None
    assert parse_pmt(section(2, 1, b"\xe1\x00\xf0\x00")) == Pmt(1, 0, 0x100, ())


def test_the_preamble_is_empty_until_a_pat_has_come(pat: Maker, carry: Carrier) -> None:
    assert PsiTracker().preamble() == b""
    packets = carry(0, 0, pat({1: 0x20}))
    assert fed(packets).preamble() == packets[0]


def test_the_preamble_is_one_object_until_a_table_packet_goes_by(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    tracker = fed(carry(0, 0, pat({1: 0x20})) + carry(0x20, 0, pmt(1, [VIDEO])))
    first = tracker.preamble()
    assert tracker.preamble() is first
    tracker.feed(carry(0, 1, pat({1: 0x20}))[0])
    assert tracker.preamble() != first


def test_the_preamble_is_bounded_and_has_the_program_that_counts(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    table = {number: 0x100 + number for number in range(1, 101)}
    tracker = fed(carry(0, 0, pat(table)))
    for number, pid in table.items():
        streams = [VIDEO] if number == 100 else [AUDIO]
        for packet in carry(pid, 0, pmt(number, streams)):
            tracker.feed(packet)
    preamble = cut(tracker.preamble())
    assert len(preamble) == MAX_PREAMBLE_PACKETS
    assert tracker.program == tracker.pmts[100]
    assert [pid_of(packet) for packet in preamble[:4]] == [0, 0, 0, 0x100 + 100]


def test_from_every_packet_on_the_preamble_continues_without_an_error(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    table = {1: 0x20, 2: 0x20, 3: 0x21}
    stream: list[bytes] = []
    counters = {0: 0, 0x20: 0, 0x21: 0}
    for turn in range(12):
        version = turn // 6
        wide = [(0x1B, 0x100 + turn // 6, LONG)]
        for pid, sections in (
            (0, [pat(table)]),
            (0x20, [pmt(1, wide, version=version), pmt(2, wide, version=version)]),
            (0x21, [pmt(3, [AUDIO])]),
        ):
            packets = carry(pid, counters[pid], *sections)
            counters[pid] += len(packets)
            stream += packets
    for join in range(8, len(stream)):
        tracker = fed(stream[:join])
        before = fed(cut(tracker.preamble()))
        assert set(before.pmts) == set(tracker.pmts) == {1, 2, 3}
        assert before.pmts == tracker.pmts
        checker = ContinuityChecker()
        checker.feed(tracker.preamble() + b"".join(stream[join:]))
        assert checker.total == 0, join


def test_a_capture_joined_anywhere_continues_without_an_error(sample: Callable[[str], bytes]) -> None:
    stream = sample("tsduck_025_mpeg2_mp2.ts")[: 2000 * PACKET_BYTES]
    packets = cut(stream)
    tracker = PsiTracker()
    joins = 0
    for index, packet in enumerate(packets):
        if pid_of(packet) in tracker.pids:
            tracker.feed(packet)
            rest = [later for later in packets[index + 1 :] if pid_of(later) in tracker.pids]
            checker = ContinuityChecker()
            checker.feed(tracker.preamble() + b"".join(rest))
            assert checker.total == 0
            joins += 1
    assert joins > 10


def test_captures_are_read_as_ffprobe_reads_them(
    sample: Callable[[str], bytes], probe: Callable[[bytes], dict[str, list[dict[str, object]]]]
) -> None:
    for name in ("sample_ac3.ts", "sample_eac3.ts", "sample_h264_mpeg_audio.ts", "sample_h265.ts", "sample_latm.ts"):
        stream = sample(name)
        tracker = fed(cut(Aligner().feed(stream)))
        expected = {int(str(entry["id"]), 16): entry["codec_name"] for entry in probe(stream)["streams"]}
        assert {entry.pid: entry.codec for pmt in tracker.pmts.values() for entry in pmt.streams} == expected


@given(st.data())
def test_damaged_tables_are_survived_and_stay_bounded(
    pat: Maker, pmt: Maker, carry: Carrier, data: st.DataObject
) -> None:
    good = (
        carry(0, 0, pat({1: 0x20, 2: 0x21}))
        + carry(0x20, 0, pmt(1, [(0x1B, 0x100, LONG)]))
        + carry(0x21, 0, pmt(2, []))
    )
    tracker = PsiTracker()
    for _ in range(data.draw(st.integers(0, 30))):
        packet = bytearray(data.draw(st.sampled_from(good)))
        for place in data.draw(st.lists(st.integers(1, 187), max_size=3)):
            packet[place] = data.draw(st.integers(0, 255))
        tracker.feed(bytes(packet))
        preamble = cut(tracker.preamble())
        assert len(preamble) <= MAX_PREAMBLE_PACKETS
        assert all(len(carrier.window) <= MAX_PREAMBLE_PACKETS for carrier in tracker._carriers.values())
        assert all(len(packet) == PACKET_BYTES for packet in preamble)


def test_a_table_that_changes_with_every_packet_keeps_the_window_small(pat: Maker, carry: Carrier) -> None:
    tracker = PsiTracker()
    for version in range(200):
        changed = tracker.feed(carry(0, version, pat({1: 0x20 + version % 3}, version=version % 32))[0])
        assert changed or version == 0
        assert len(tracker._carriers[0].window) == 1
        assert len(tracker.pids) == 2


def test_pairs_of_equal_packets_count_once(pat: Maker, pmt: Maker, carry: Carrier) -> None:
    stream = carry(0, 0, pat({1: 0x20})) + carry(0x20, 0, pmt(1, [(0x1B, 0x100, LONG)])) * 1
    doubled = [packet for packet in stream for _ in range(2)]
    assert fed(doubled).preamble() == fed(stream).preamble() == b"".join(stream)
    assert all(first != second for first, second in pairwise(cut(fed(doubled).preamble())))
