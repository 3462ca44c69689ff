"""Splicing sources with another clock, other PIDs, other codecs: one timeline, and tables that always say so."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from aceproxy.mpegts.splice import Outcome, Splicer
from tests.mpegts.splicing import PACKET, Reader, after, check, clip, media, read, run, splice, streams_of, without

VIDEO, AUDIO = 0x100, 0x101
PICTURES = "-f lavfi -i testsrc2=s=320x240:r=25"
TONE = "-f lavfi -i sine=r=48000"
H264 = f"{PICTURES} {TONE} -t 6 -c:v libx264 -preset veryfast -g 25 -bf 2 -c:a aac"
ELSEWHERE = f"{H264} -mpegts_start_pid 0x211 -mpegts_pmt_start_pid 0x44 -mpegts_service_id 7"
HEVC = f"{PICTURES} {TONE} -t 4 -c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25 -c:a mp2"
TWO_SOUNDS = (
    f"{PICTURES} {TONE} {TONE} -t 5 -map 0 -map 1 -map 2 -c:v libx264 -preset veryfast -g 25 -c:a:0 mp2 -c:a:1 aac"
)

ELSEWHEN = 500_000_000

Encode = Callable[[str], bytes]


def last_before(stream: bytes, pid: int) -> int:
    """Return the DTS of the last access unit that began on a PID."""
    return read(stream).times(pid)[-1]


def test_another_clip_goes_on_one_frame_after_the_last_picture() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        one, other = rng.sample(["light", "light", "clock"], 2)
        at, then, base = rng.uniform(2, 6), rng.uniform(0, 8), rng.randrange(1 << 33)
        old = media(one, at - 1.5, at, rng.choice([0, (1 << 33) - int(90_000 * (at + rng.uniform(-1, 1.5)))]))
        out, splicer = splice(old, media(other, then, then + 3, base), packets=rng.choice([5, 512]))
        assert splicer.splice is not None
        assert splicer.splice.outcome.is_shifted, f"seed {seed}"
        assert splicer.splice.at_access_point
        seen = check(out)
        times = seen.times(VIDEO)
        place = times.index(last_before(old, VIDEO)) + 1
        first, before = seen.units[VIDEO][place], seen.units[VIDEO][place - 1]
        assert 3600 <= after(first.dts, before.dts) <= 3 * 3600
        assert b"\x00\x00\x01\x67" in first.content
        highest = max(after(unit.pts, before.dts) for unit in seen.units[VIDEO][max(0, place - 8) : place])
        assert after(first.pts, before.dts) >= highest + 3600


def test_other_pids_are_carried_on_as_the_ones_players_know(encode: Encode) -> None:
    new = encode(ELSEWHERE)
    out, splicer = splice(media("light", 2, 5), new)
    assert splicer.splice is not None
    assert splicer.splice.new_tables
    seen = check(out)
    assert set(seen.units) == {VIDEO, AUDIO}
    assert len(seen.pats) == 1
    assert all({pid for pid, _ in streams_of(pmt)} == {VIDEO, AUDIO} for pmt in seen.pmts)
    assert len(seen.units[VIDEO]) > 75 + 120
    contents = [unit.content for unit in read(new).units[0x211] if unit.whole]
    assert [unit.content for unit in seen.units[VIDEO] if unit.whole][-len(contents) :] == contents


def test_other_codecs_come_on_a_pid_of_their_own_with_a_new_version(encode: Encode) -> None:
    """A decoder must not be fed what it does not know."""
    hevc = encode(HEVC)
    out, _ = splice(hevc, media("light", 2, 5))
    seen = check(out)
    first, second = (dict(streams_of(pmt)) for pmt in seen.pmts)
    assert {0x24, 0x03} <= set(first.values()) | {0x03}
    assert sorted(second.values()) == [0x0F, 0x1B]
    assert not set(first) & set(second)
    back, _ = splice(media("light", 2, 5), hevc, media("light", 3, 6, ELSEWHEN))
    seen = check(back)
    assert len(seen.pmts) == 3
    versions = [pmt[5] >> 1 & 31 for pmt in seen.pmts]
    assert versions == [0, 1, 2]
    assert sorted(dict(streams_of(seen.pmts[2])).values()) == [0x0F, 0x1B]


def test_versions_wrap_at_thirty_two(encode: Encode) -> None:
    hevc, light = encode(HEVC)[: 1500 * PACKET], media("light", 0, 1.6)
    splicer = Splicer()
    out = b""
    for number in range(40):
        splicer.begin_source()
        out += run(splicer, light if number % 2 else hevc)
    seen = check(out, max_step_s=200)
    assert len(seen.pmts) == 40


def test_radio_to_pictures_and_back() -> None:
    for order in (["radio", "light", "radio"], ["light", "radio", "clock"]):
        out, _ = splice(*(media(name, 2, 5, 999_999 * number) for number, name in enumerate(order)))
        seen = check(out, max_step_s=4)
        assert len(seen.pmts) == 3
        assert len(seen.units[AUDIO]) > 50


def test_a_second_sound_is_added_and_gone_again(encode: Encode) -> None:
    two = encode(TWO_SOUNDS)
    out, _ = splice(media("light", 1, 4), two, media("light", 1, 4, 5_000_000))
    seen = check(out, max_step_s=5)
    counts = [len(streams_of(pmt)) for pmt in seen.pmts]
    assert counts == [2, 3, 2]
    assert all((AUDIO, 0x0F) in streams_of(pmt) for pmt in seen.pmts)


def test_tables_longer_than_a_packet_and_of_several_programs(encode: Encode) -> None:
    programs = encode(
        f"{PICTURES} -f lavfi -i testsrc=s=160x120:r=25 {TONE} -t 4 -map 0:v -map 1:v -map 2:a -c:v:0 libx264 -g 25"
        " -c:v:1 mpeg2video -c:a mp2 -program title=one:st=0:st=2 -program title=two:st=1"
    )
    out, splicer = splice(media("light", 1, 4), programs)
    assert splicer.splice is not None
    seen = check(out)
    assert len(seen.pats) == 1
    assert len(seen.pmts) == 2
    out, _ = splice(programs, media("light", 1, 4, ELSEWHEN))
    seen = read(out)
    assert seen.faults == []
    assert len(seen.pats) == 2


def test_a_new_table_in_the_middle_of_a_rewritten_source_is_followed(encode: Encode) -> None:
    """The source itself changes from one layout to the other after it was joined."""
    light = media("light", 1, 4)
    source = encode(ELSEWHERE)
    later = encode(HEVC)
    out, _ = splice(light, source + later)
    seen = read(out, max_step_s=1e9, counters=False)
    assert [fault for fault in seen.faults if "CRC" in fault or "version" in fault] == []
    assert 0x24 in {kind for pmt in seen.pmts for _, kind in streams_of(pmt)}


@pytest.mark.parametrize("seed", range(6))
def test_a_source_may_wrap_its_own_clock_after_the_splice(seed: int) -> None:
    rng = random.Random(seed)
    base = (1 << 33) - int(90_000 * rng.uniform(0.2, 3.5))
    out, _ = splice(media("light", 2, 5), media("clock", 0, 4, base), media("light", 1, 4, base * 3 % (1 << 33)))
    check(out)


def test_the_rewritten_source_keeps_its_packets_but_for_what_is_rewritten() -> None:
    new = media("light", 4, 8, ELSEWHEN)
    old = media("clock", 2, 5)
    out, splicer = splice(old, new)
    rewritten = out[len(old) :]
    assert len(rewritten) == len(new) - splicer.skipped_bytes
    theirs = iter([new[at : at + PACKET] for at in range(0, len(new), PACKET)])
    for at in range(0, len(rewritten), PACKET):
        ours = rewritten[at : at + PACKET]
        assert any(ours[:3] == packet[:3] and ours[40:] == packet[40:] for packet in theirs)  # in the same order


def test_losses_in_a_rewritten_source_stay_visible() -> None:
    new = media("light", 4, 8, ELSEWHEN)
    number = next(at // PACKET for at in range(2000 * PACKET, len(new), PACKET) if new[at + 1 : at + 3] == b"\x01\x00")
    lost = without(new, {number})
    whole, _ = splice(media("clock", 2, 5), new)
    out, _ = splice(media("clock", 2, 5), lost)
    check(whole)
    assert len(read(out).faults) == 1


def test_a_source_without_random_access_points_is_joined_at_a_pes_packet() -> None:
    new = bytearray(media("light", 1, 16, 55))
    for at in range(0, len(new), PACKET):
        if new[at + 1] & 0x5F == 0x41 and new[at + 2] == 0:
            packet = bytes(new[at : at + PACKET]).replace(b"\x00\x00\x01\x67", b"\x00\x00\x01\x61")
            new[at : at + PACKET] = packet
            if packet[3] & 0x20 and packet[4]:
                new[at + 5] &= 0xBF
    out, splicer = splice(media("clock", 2, 4), bytes(new))
    assert splicer.splice is not None
    assert not splicer.splice.at_access_point
    assert splicer.splice.outcome is Outcome.OTHER_CLOCK
    check(out)


def test_a_source_with_mapped_pids_that_comes_again_goes_on_by_bytes_or_clock(encode: Encode) -> None:
    new = encode(ELSEWHERE)
    half = len(new) // 2 // PACKET * PACKET
    contents = [unit.content for unit in read(new).units[0x211] if unit.whole]
    again = bytearray(new[half - 300 * PACKET :])
    for at in range(0, len(again), PACKET):
        again[at + 3] = again[at + 3] & 0xF0 | (again[at + 3] + 7) & 15
    for source, outcome in (
        (new[half - 300 * PACKET :], Outcome.SAME_BYTES),
        (bytes(again), Outcome.SAME_CLOCK),
    ):
        out, splicer = splice(media("light", 2, 5, ELSEWHEN), new[:half], source)
        assert splicer.splice is not None
        assert splicer.splice.outcome is outcome
        seen = check(out)
        assert [unit.content for unit in seen.units[VIDEO] if unit.whole][-len(contents) :] == contents
        assert len({pmt[5] for pmt in seen.pmts}) == len(seen.pmts)


@pytest.mark.parametrize("packets", [330, 400, 500])
def test_tables_that_were_taken_back_do_not_count_when_the_source_comes_again(packets: int, encode: Encode) -> None:
    """They are written anew where a source has other tables, so only our own counters say which was the last."""
    new = encode(ELSEWHERE)
    half = len(new) // 2 // PACKET * PACKET
    splicer = Splicer()
    out = run(splicer, media("light", 2, 5))
    splicer.begin_source()
    out += run(splicer, new[:half])
    assert splicer.mark(packets * PACKET)
    splicer.roll_back()
    out, taken = out[: -packets * PACKET], out[-packets * PACKET :]
    assert {(taken[at + 1] & 0x1F) << 8 | taken[at + 2] for at in range(0, len(taken), PACKET)} >= {0, 0x1000}
    splicer.begin_source()
    out += run(splicer, new[half - 700 * PACKET :])
    assert splicer.splice is not None
    assert (splicer.splice.outcome, splicer.splice.new_tables) == (Outcome.SAME_BYTES, True)
    check(out)


def test_equal_tables_keep_their_version_though_the_source_had_other_pids(encode: Encode) -> None:
    out, splicer = splice(encode(H264), encode(ELSEWHERE + " -output_ts_offset 5000"))
    assert splicer.splice is not None
    assert splicer.splice.new_tables
    seen = check(out)
    assert len(seen.pmts) == len(seen.pats) == 1


@pytest.mark.parametrize("base", [ELSEWHEN, (1 << 33) - ELSEWHEN])
@pytest.mark.parametrize("packets", [1, 20, 60])
def test_a_source_lost_right_after_it_was_joined_leaves_no_trace(packets: int, base: int) -> None:
    brief = memoryview(media("clock", 3, 8, base))
    splicer = Splicer()
    out = run(splicer, media("light", 2, 5))
    splicer.begin_source()
    at = 0
    while splicer.is_pending:
        out += splicer.feed(brief[at : at + PACKET])
        at += PACKET
    out += splicer.feed(brief[at : at + packets * PACKET])
    splicer.begin_source()
    out += run(splicer, media("light", 1, 4, 3 * ELSEWHEN))
    seen = check(out)
    assert len(seen.units[VIDEO]) > 125
    assert after(seen.times(VIDEO)[-1], seen.times(AUDIO)[-1]) < 90_000


def test_a_scrambled_source_is_joined_at_its_random_access_indicator() -> None:
    new = bytearray(media("light", 1, 5, ELSEWHEN))
    for at in range(0, len(new), PACKET):
        if new[at + 1] & 31 == 1:
            new[at + 3] |= 0x80
    out, splicer = splice(media("light", 2, 4), bytes(new))
    assert splicer.splice is not None
    assert splicer.splice.at_access_point
    seen = read(out, max_step_s=1)
    assert [fault for fault in seen.faults if "PCR " in fault or "counter" in fault] == []


def test_the_oracle_sees_what_is_wrong() -> None:
    stream = media("light", 0, 3)
    assert read(stream).faults == []
    assert any("counter" in fault for fault in read(without(stream, {1000})).faults)
    assert any("DTS" in fault for fault in read(stream + media("light", 1, 3)).faults)
    damaged = bytearray(stream)
    damaged[20] ^= 1
    assert any("CRC" in fault for fault in Reader().read(bytes(damaged)).faults)
    assert any("PCR" in fault for fault in read(stream + media("light", 20, 21)).faults)
    with pytest.raises(AssertionError):
        check(without(stream, {500}))
    assert clip("light").lap_bytes % PACKET == 0
