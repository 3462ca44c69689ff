"""Random-access points of hand-made streams: what is undecided, lost, damaged or hostile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aceproxy.mpegts.access import MAX_UNDECIDED_BYTES, MAX_UNDECIDED_PACKETS, AccessPoint, Analyzer
from aceproxy.mpegts.packets import NULL_PACKET, PACKET_BYTES

Maker = Callable[..., bytes]
Carrier = Callable[..., list[bytes]]

PMT_PID, VIDEO_PID, AUDIO_PID = 0x1000, 0x100, 0x101
RAI = 0x40
SETS = b"\x00\x00\x00\x01\x09\xf0\x00\x00\x01\x67\x64\x00\x28\xac\x00\x00\x01\x68\xee\x3c\x80"
RECOVERY = b"\x00\x00\x01\x06\x06\x01\xc4\x80"
LONG_SEI = b"\x00\x00\x01\x06\x05\xff\xff\xff\xeb" + b"u" * 1000 + b"\x80"
IDR = b"\x00\x00\x01\x65\x88\x84\x00\x21"
P_SLICE = b"\x00\x00\x00\x01\x09\xf0\x00\x00\x01\x41\x9a\x26\x00\x21"
I_SLICE = b"\x00\x00\x01\x61\x88\x80\x00\x21"
REST = b"\x55" * 600


@pytest.fixture
def tables(pat: Maker, pmt: Maker, carry: Carrier) -> bytes:
    """Return packets with a PAT and the PMT of one H.264 program with sound."""
    streams = [(0x1B, VIDEO_PID, b""), (0x03, AUDIO_PID, b"")]
    return b"".join(carry(0, 0, pat({1: PMT_PID})) + carry(PMT_PID, 0, pmt(1, streams)))


def fed(stream: bytes, size: int | None = None) -> list[AccessPoint]:
    """Return the points of a stream fed in pieces of some packets, to its end."""
    analyzer = Analyzer()
    step = (size or max(1, len(stream) // PACKET_BYTES)) * PACKET_BYTES
    points = [point for at in range(0, len(stream), step) for point in analyzer.feed(stream[at : at + step]).points]
    return points + list(analyzer.flush().points)


def test_a_piece_of_a_packet_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number"):
        Analyzer().feed(b"\x47" * 187)


def test_nothing_is_known_before_the_tables(pes: Maker, spread: Carrier) -> None:
    analyzer = Analyzer()
    scan = analyzer.feed(b"".join(spread(VIDEO_PID, 0, pes(SETS + IDR, 900))))
    assert (scan.points, scan.decided, scan.last_pts, scan.psi_changed) == ((), PACKET_BYTES, None, False)
    assert (analyzer.reference_pid, analyzer.has_video, dict(analyzer.codecs)) == (None, False, {})


def test_an_access_unit_is_held_back_until_its_slice_comes(tables: bytes, pes: Maker, spread: Carrier) -> None:
    packets = spread(VIDEO_PID, 0, pes(SETS + LONG_SEI + IDR + REST, 900))
    analyzer = Analyzer()
    begin = analyzer.feed(tables).decided
    seen = []
    for packet in packets:
        scan = analyzer.feed(packet)
        seen.append((scan.decided, [point.offset for point in scan.points]))
    until = next(index for index, (decided, _) in enumerate(seen) if decided > begin)
    assert until == 5
    assert seen[:until] == [(begin, [])] * until
    assert seen[until] == (begin + 6 * PACKET_BYTES, [begin])


def test_the_tables_of_a_point_are_those_before_it(
    tables: bytes, pat: Maker, carry: Carrier, pes: Maker, spread: Carrier
) -> None:
    unit = spread(VIDEO_PID, 0, pes(SETS + LONG_SEI + IDR + REST, 900))
    stream = tables + unit[0] + carry(0, 1, pat({1: PMT_PID}))[0] + b"".join(unit[1:])
    (point,) = fed(stream)
    assert (point.offset, point.pts, point.pid, point.preamble) == (len(tables), 900, VIDEO_PID, tables)


def test_duplicates_do_not_count_against_the_bound(tables: bytes, pes: Maker, spread: Carrier) -> None:
    packets = spread(VIDEO_PID, 0, pes(SETS + b"u" * 184 * 40 + IDR + REST, 900))
    assert len(fed(tables + b"".join(packet * 2 for packet in packets))) == 1


@pytest.mark.parametrize(
    ("stamps", "steps"),
    [
        ([(20, 17), (18, None), (19, None), (23, 20)], 0),  # pictures out of order, some decoded when they are shown
        ([(20, 17), (18, None), (14, 11), (12, None), (17, 14)], 1),  # a quarter of a second back
        ([(20, 17), (12, None), (14, 11), (17, 14)], 1),  # by a picture that is decoded when it is shown, and the next
        ([(40, 37), (18, None), (20, 17), (23, 20)], 1),  # farther back than pictures can be out of order
        ([(20, 17), (18, None), (16, 13), (19, 16)], 0),  # an encoder that begins anew
        ([(20, None), (12, None), (14, None), (24, None)], 0),  # nothing says when they are decoded
    ],
)
def test_a_step_back_is_told_by_when_pictures_are_decoded(
    tables: bytes, pes: Maker, spread: Carrier, stamps: list[tuple[int, int | None]], steps: int
) -> None:
    analyzer, counter, found = Analyzer(), 0, 0
    analyzer.feed(tables)
    for pts, dts in stamps:
        picture = pes(P_SLICE + REST, 90_000 + pts * 3600, None if dts is None else 90_000 + dts * 3600)
        packets = spread(VIDEO_PID, counter, picture)
        counter = (counter + len(packets)) & 0x0F
        found += len(analyzer.feed(b"".join(packets)).steps_back)
    assert found == steps


def test_a_change_of_the_reference_pid_settles_what_was_undecided(
    tables: bytes, pmt: Maker, carry: Carrier, pes: Maker, spread: Carrier
) -> None:
    start, end = spread(VIDEO_PID, 0, pes(SETS + b"u" * 150 + IDR, 900), flags=RAI)
    other = carry(PMT_PID, 1, pmt(1, [(0x1B, 0x300, b"")], version=1))[0]
    analyzer = Analyzer()
    assert analyzer.feed(tables + start).decided == len(tables)
    scan = analyzer.feed(other)
    assert (scan.decided, scan.points, scan.psi_changed) == (analyzer.offset, (), True)
    assert fed(tables + start + other + end) == []


def test_a_new_language_does_not_disturb_an_access_unit(
    tables: bytes, pmt: Maker, carry: Carrier, pes: Maker, spread: Carrier
) -> None:
    start, end = spread(VIDEO_PID, 0, pes(SETS + b"u" * 150 + IDR, 900))
    other = carry(PMT_PID, 1, pmt(1, [(0x1B, VIDEO_PID, b"\x0a\x04deu\x00")], version=1))[0]
    assert [point.offset for point in fed(tables + start + other + end)] == [len(tables)]


def test_the_end_of_the_pes_packet_settles_a_unit_without_a_slice(tables: bytes, pes: Maker, spread: Carrier) -> None:
    stream = tables + spread(VIDEO_PID, 0, pes(SETS), flags=RAI)[0] + spread(VIDEO_PID, 1, pes(P_SLICE))[0]
    assert fed(stream) == []


@pytest.mark.parametrize(("flags", "count"), [(RAI, 1), (0, 0)])
def test_the_flag_decides_when_no_slice_comes_within_bounds(
    tables: bytes, pes: Maker, spread: Carrier, flags: int, count: int
) -> None:
    packets = spread(VIDEO_PID, 0, pes(SETS + b"\x55" * 30_000, 900), flags=flags)
    analyzer = Analyzer()
    analyzer.feed(tables)
    held = analyzer.feed(b"".join(packets[: MAX_UNDECIDED_PACKETS - 1]))
    assert (held.points, held.decided) == ((), len(tables))
    scan = analyzer.feed(packets[MAX_UNDECIDED_PACKETS - 1])
    assert (len(scan.points), scan.decided) == (count, analyzer.offset)
    assert len(fed(tables + b"".join(packets))) == count


def test_the_rest_of_a_picture_with_a_wrong_flag_is_no_point(tables: bytes, pes: Maker, spread: Carrier) -> None:
    assert fed(tables + b"".join(spread(VIDEO_PID, 0, pes(b"\x55" * 30_000, 900), flags=RAI))) == []


@pytest.mark.parametrize(("flags", "count"), [(RAI, 1), (0, 0)])
def test_other_packets_do_not_hold_a_unit_back_for_ever(
    tables: bytes, pes: Maker, spread: Carrier, flags: int, count: int
) -> None:
    start, end = spread(VIDEO_PID, 0, pes(SETS + b"u" * 150 + IDR, 900), flags=flags)
    stream = tables + start + NULL_PACKET * (MAX_UNDECIDED_BYTES // PACKET_BYTES) + end
    analyzer = Analyzer()
    assert analyzer.feed(stream[: len(tables) + MAX_UNDECIDED_BYTES - PACKET_BYTES]).decided == len(tables)
    assert [len(fed(stream, size)) for size in (1, 100, None)] == [count] * 3


def test_an_i_picture_with_its_headers_needs_the_flag(tables: bytes, pes: Maker, spread: Carrier) -> None:
    unit = pes(SETS + I_SLICE + REST, 900)
    assert fed(tables + b"".join(spread(VIDEO_PID, 0, unit))) == []
    assert len(fed(tables + b"".join(spread(VIDEO_PID, 0, unit, flags=RAI)))) == 1


def test_fields_in_packets_of_their_own_make_one_point_per_frame(tables: bytes, pes: Maker, spread: Carrier) -> None:
    stream = tables
    for frame in range(3):
        stream += b"".join(spread(VIDEO_PID, 2 * frame, pes(SETS + RECOVERY + I_SLICE, 3600 * frame)))
        stream += b"".join(spread(VIDEO_PID, 2 * frame + 1, pes(P_SLICE, 3600 * frame + 1800)))
    assert [point.pts for point in fed(stream)] == [0, 3600, 7200]


def test_slices_in_packets_of_their_own_make_one_point(tables: bytes, pes: Maker, spread: Carrier) -> None:
    later = b"\x00\x00\x01\x65\x40\x26\x00\x21"
    stream = tables + b"".join(spread(VIDEO_PID, 0, pes(SETS + IDR, 900)) + spread(VIDEO_PID, 1, pes(later)))
    stream += spread(VIDEO_PID, 2, pes(later))[0]
    assert [point.pts for point in fed(stream)] == [900]


def test_equal_pictures_without_a_clock_are_all_points(tables: bytes, pes: Maker, spread: Carrier) -> None:
    unit = spread(VIDEO_PID, 0, pes(SETS + IDR + b"\x55" * 2800))
    assert len(unit) == 16
    assert len(fed(tables + b"".join(unit) * 3)) == 3
    assert len(fed(tables + unit[0] + b"".join(unit))) == 1


def test_a_pes_header_over_two_packets_is_read(tables: bytes, pes: Maker, ts_packet: Maker) -> None:
    unit = pes(SETS + IDR + REST, 0x1_2345_6789)
    for first in range(1, 24):
        packets = [
            ts_packet(VIDEO_PID, 0, unit[:first], start=True),
            ts_packet(VIDEO_PID, 1, unit[first : first + 184]),
        ]
        assert [point.pts for point in fed(tables + b"".join(packets))] == [0x1_2345_6789]


def test_a_scrambled_pes_packet_with_a_clear_header_goes_by_its_flag(
    tables: bytes, pes: Maker, spread: Carrier
) -> None:
    unit = pes(REST, 900, scrambled=True)
    assert [point.pts for point in fed(tables + b"".join(spread(VIDEO_PID, 0, unit, flags=RAI)))] == [900]
    assert fed(tables + b"".join(spread(VIDEO_PID, 0, unit))) == []


def test_a_damaged_start_is_no_point(tables: bytes, pes: Maker, spread: Carrier, ts_packet: Maker) -> None:
    unit = bytearray(spread(VIDEO_PID, 0, pes(SETS + IDR, 900), flags=RAI)[0])
    unit[1] |= 0x80
    assert fed(tables + bytes(unit)) == []
    assert fed(tables + ts_packet(VIDEO_PID, 0, b"\x00\x00\x02rubbish", start=True, flags=RAI)) == []
    assert fed(tables + ts_packet(VIDEO_PID, 0, None, start=True, flags=RAI)) == []


def test_a_lost_packet_makes_no_start_code_of_its_neighbours(tables: bytes, pes: Maker, spread: Carrier) -> None:
    head = pes(SETS, 900)
    first = head + b"u" * (180 - len(head)) + b"\x00\x00"
    unit = spread(VIDEO_PID, 0, first + b"u" * 184 + b"\x01\x65\x88\x84\x00\x21")
    assert fed(tables + unit[0] + unit[2]) == []
    assert len(fed(tables + unit[0] + spread(VIDEO_PID, 0, first + b"\x01\x65\x88\x84\x00\x21")[1])) == 1


def test_tables_over_several_packets_are_followed(
    pat: Maker, pmt: Maker, carry: Carrier, pes: Maker, spread: Carrier
) -> None:
    wide = pmt(1, [(0x1B, VIDEO_PID, b"\x09\xf0" + b"x" * 240), (0x03, AUDIO_PID, b"\x09\xf0" + b"x" * 240)])
    head = b"".join(carry(0, 0, pat({1: PMT_PID})) + carry(PMT_PID, 0, wide))
    (point,) = fed(head + spread(VIDEO_PID, 0, pes(SETS + IDR + b"\x55" * 100, 900))[0])
    assert (point.offset, point.preamble) == (4 * PACKET_BYTES, head)


@pytest.mark.parametrize("pmt_pid", [0x20, 0x101, 0x110, 0x1A47, 0x1FFE])
@pytest.mark.parametrize("video_pid", [0x21, 0x47, 0x100, 0x1A46, 0x1B00])
def test_pids_with_equal_halves_are_not_mixed_up(
    pat: Maker, pmt: Maker, carry: Carrier, pes: Maker, spread: Carrier, pmt_pid: int, video_pid: int
) -> None:
    others = {number: 0x200 * number + number for number in range(2, 15)}
    head = b"".join(carry(0, 0, pat({1: pmt_pid, **others})) + carry(pmt_pid, 0, pmt(1, [(0x1B, video_pid, b"")])))
    unit = pes(SETS + IDR + REST, 900)
    stray = {pmt_pid ^ 0x100, video_pid ^ 0x1, video_pid ^ 0x100, pmt_pid & 0xFF | video_pid & 0x1F00}
    noise = b"".join(spread(pid, 0, unit)[0] for pid in sorted(stray - {video_pid, pmt_pid, 0}))
    assert [point.offset for point in fed(head + noise + spread(video_pid, 0, unit)[0])] == [len(head + noise)]


def test_the_end_settles_and_more_may_follow(tables: bytes, pes: Maker, spread: Carrier) -> None:
    analyzer = Analyzer()
    analyzer.feed(tables + spread(VIDEO_PID, 0, pes(SETS, 900))[0])
    assert analyzer.flush().decided == len(tables) + PACKET_BYTES
    assert len(analyzer.feed(spread(VIDEO_PID, 1, pes(SETS + IDR, 1800))[0]).points) == 1


def same_in_any_pieces(stream: bytes, size: int) -> None:
    """Check that a stream gives the same points whole and in pieces, and that little is kept."""
    analyzer = Analyzer()
    points: list[AccessPoint] = []
    for at in range(0, len(stream), size * PACKET_BYTES):
        scan = analyzer.feed(stream[at : at + size * PACKET_BYTES])
        points += scan.points
        assert analyzer.offset - scan.decided < MAX_UNDECIDED_BYTES
    points += analyzer.flush().points
    assert points == fed(stream)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.integers(1, 40))
def test_a_damaged_capture_gives_the_same_points_in_any_pieces(
    sample: Callable[[str], bytes], data: st.DataObject, size: int
) -> None:
    name = data.draw(st.sampled_from(["sample_h262_mpeg_audio.ts", "sample_h264_mpeg_audio.ts", "sample_h265.ts"]))
    packets = [sample(name)[at : at + PACKET_BYTES] for at in range(0, len(sample(name)), PACKET_BYTES)]
    for _ in range(data.draw(st.integers(0, 6))):
        where = data.draw(st.integers(0, len(packets) - 1))
        kind = data.draw(st.sampled_from(["lose", "twice", "flip", "swap", "noise"]))
        if kind == "lose" and len(packets) > 1:
            del packets[where]
        elif kind == "twice":
            packets.insert(where, packets[where])
        elif kind == "flip":
            damaged = bytearray(packets[where])
            damaged[data.draw(st.integers(1, 187))] ^= data.draw(st.integers(1, 255))
            packets[where] = bytes(damaged)
        elif kind == "swap":
            packets[where], packets[0] = packets[0], packets[where]
        else:
            packets[where] = b"\x47" + data.draw(st.binary(min_size=187, max_size=187))
    same_in_any_pieces(b"".join(packets), size)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.integers(1, 9))
def test_random_payloads_on_known_pids_give_the_same_in_any_pieces(
    tables: bytes, ts_packet: Maker, data: st.DataObject, size: int
) -> None:
    pieces = st.sampled_from(
        [b"\x00\x00\x01", b"\x00\x00\x01\xe0\x00\x00\x80\x00\x00", SETS, IDR, P_SLICE, RECOVERY, b"\xff"]
    )
    stream = tables
    for counter in range(data.draw(st.integers(1, 30))):
        payload = b"".join(data.draw(st.lists(pieces, max_size=6)))[:180]
        stream += ts_packet(
            data.draw(st.sampled_from([0, PMT_PID, VIDEO_PID, VIDEO_PID, VIDEO_PID, 0x1FFF])),
            data.draw(st.sampled_from([counter, 0])),
            payload,
            start=data.draw(st.booleans()),
            flags=data.draw(st.sampled_from([None, 0, RAI, 0x80])),
            scrambling=data.draw(st.sampled_from([0, 0, 0, 2])),
        )
    same_in_any_pieces(stream, size)


@given(st.lists(st.binary(min_size=188, max_size=188), max_size=30).map(b"".join), st.integers(1, 5))
def test_random_bytes_are_survived(stream: bytes, size: int) -> None:
    same_in_any_pieces(stream, size)


@pytest.mark.parametrize("size", [900, 30_000])
@pytest.mark.parametrize(("flags", "count"), [(RAI, 1), (0, 0)])
def test_the_flag_decides_where_there_is_no_start_code(
    tables: bytes, pes: Maker, spread: Carrier, flags: int, count: int, size: int
) -> None:
    before = spread(VIDEO_PID, 0, pes(b"\x5a\x00" * (size // 2), 0), flags=RAI)  # one alone may be a picture's rest
    unit = spread(VIDEO_PID, len(before) & 15, pes(b"\x5a\x01" * (size // 2), 900), flags=flags)
    following = spread(VIDEO_PID, len(before + unit) & 15, pes(b"\x5a\x02" * 400, 4500))
    analyzer = Analyzer()
    analyzer.feed(tables)
    scan = analyzer.feed(b"".join(before + unit + following))
    at = len(tables) + len(before) * PACKET_BYTES
    assert [(point.offset, point.pts) for point in scan.points] == [(at, 900)] * count


def test_the_flag_of_a_unit_that_begins_with_the_rest_of_another_decides_nothing(
    tables: bytes, pes: Maker, spread: Carrier
) -> None:
    rest_of_a_picture = b"\x55" * 400 + b"\x00\x00\x01\x41\x00\x26" + REST
    before = spread(VIDEO_PID, 0, pes(P_SLICE + REST, 0))
    unit = spread(VIDEO_PID, len(before) & 15, pes(rest_of_a_picture, 900), flags=RAI)
    following = spread(VIDEO_PID, len(before + unit) & 15, pes(P_SLICE, 4500))
    assert fed(tables + b"".join(before + unit + following)) == []
