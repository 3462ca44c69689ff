"""Splicing a broadcast whose bytes come again: what clients get is what an unbroken broadcast would have been."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aceproxy.mpegts.packets import keep_alive
from aceproxy.mpegts.psi import PsiTracker
from aceproxy.mpegts.splice import Outcome, SpliceLimits, Splicer
from aceproxy.mpegts.splice_overlap import Overlap
from tests.mpegts.splicing import PACKET, check, clip, media, read, run, splice, without

LIGHT = media("light", 0, 30)
RATE = clip("light").bytes_per_s
CUTS = 500
GAPPED = 250
LOSSY = 250


def without_nulls(stream: bytes) -> bytes:
    """Return the packets that are not null packets."""
    return b"".join(
        stream[at : at + PACKET]
        for at in range(0, len(stream), PACKET)
        if stream[at + 1] & 31 != 31 or stream[at + 2] != 255
    )


def test_the_first_source_is_handed_through_as_the_very_object() -> None:
    splicer = Splicer()
    splicer.begin_source()
    view = memoryview(bytearray(LIGHT[: 500 * PACKET]))
    assert splicer.feed(view) is view
    assert splicer.is_untouched
    assert splicer.splice is None


def test_a_part_of_a_packet_is_an_error() -> None:
    with pytest.raises(ValueError, match="whole number"):
        Splicer().feed(LIGHT[:100])


def test_a_source_after_one_that_sent_nothing_is_the_first() -> None:
    splicer = Splicer()
    splicer.begin_source()
    splicer.begin_source()
    piece = LIGHT[: 10 * PACKET]
    assert splicer.feed(piece) is piece


def test_a_source_from_the_past_goes_on_with_the_next_packet_and_untouched() -> None:
    cut = int(9 * RATE) // PACKET * PACKET
    start = int(4 * RATE) // PACKET * PACKET
    out, splicer = splice(LIGHT[:cut], LIGHT[start:])
    assert out == LIGHT
    assert splicer.is_untouched
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_BYTES
    assert splicer.skipped_bytes == cut - start
    assert abs(splicer.splice.overlap_s - 5) < 0.1
    assert splicer.splice.gap_s == 0


def test_keep_alive_packets_are_null_packets_and_disturb_nothing() -> None:
    splicer = Splicer()
    cut = int(5 * RATE) // PACKET * PACKET
    out = run(splicer, LIGHT[:cut]) + keep_alive(100)
    splicer.begin_source()
    out += keep_alive(50) + run(splicer, LIGHT[cut - 1000 * PACKET :])
    assert len(keep_alive(3)) == 3 * PACKET
    assert check(out).units[0x100][0].whole
    assert without_nulls(out) == without_nulls(LIGHT)


def test_nothing_is_sent_before_the_place_is_found() -> None:
    splicer = Splicer()
    cut = int(5 * RATE) // PACKET * PACKET
    run(splicer, LIGHT[:cut])
    splicer.begin_source()
    assert run(splicer, LIGHT[cut - 2000 * PACKET : cut - PACKET]) == b""
    assert splicer.is_pending
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.PENDING
    assert run(splicer, LIGHT[cut - PACKET : cut + PACKET]) == LIGHT[cut : cut + PACKET]


@pytest.mark.parametrize("name", ["light", "clock", "radio"])
@pytest.mark.parametrize("overlap", [0, 1, 2, 7, 8, 9, 40, 400])
def test_any_overlap_at_all_is_enough(name: str, overlap: int) -> None:
    full = media(name, 1, 7)
    cut = len(full) // 2 // PACKET * PACKET
    out, splicer = splice(full[:cut], full[cut - overlap * PACKET :])
    assert out == full
    assert splicer.is_untouched


def test_an_equal_lap_at_another_time_is_not_taken_for_the_place() -> None:
    """The broadcast repeats its pictures every 8 s; only the clocks differ."""
    out, _ = splice(LIGHT[: int(9.5 * RATE) // PACKET * PACKET], LIGHT[int(1.0 * RATE) // PACKET * PACKET :])
    assert out == LIGHT


def test_any_cut_of_a_broadcast_gives_the_unbroken_bytes() -> None:
    """Sources end at any byte, and begin anywhere before the place, some so that they do not come to it."""
    for seed in range(CUTS):
        rng = random.Random(seed)
        cut = rng.randrange(int(2 * RATE), int(12 * RATE))
        first = max(0, cut - int(3 * RATE)) // PACKET * PACKET
        splicer = Splicer()
        out = run(splicer, LIGHT[first:cut])
        sent = first + len(out)
        for _ in range(rng.randrange(1, 4)):
            start = max(0, sent - rng.choice([rng.randrange(4000), rng.randrange(200_000), rng.randrange(700_000)]))
            start = start // PACKET * PACKET
            stop = rng.randrange(start, sent + 150_000)
            splicer.begin_source()
            out += run(splicer, LIGHT[start:stop], rng.choice([1, 7, 100, 512, 1394]))
            sent = max(sent, stop // PACKET * PACKET) if not splicer.is_pending else sent
        assert out == LIGHT[first : first + len(out)], f"seed {seed}"
        assert sent - first - len(out) < 100 * PACKET, f"seed {seed}"  # what is held while evidence is too thin


def test_loss_about_the_place_costs_no_more_than_what_was_lost() -> None:
    """Packets are missing from the end of the old source and from all of the new one."""
    for seed in range(LOSSY):
        rng = random.Random(seed)
        cut = rng.randrange(int(4 * RATE), int(9 * RATE)) // PACKET
        first, start = cut - int(2.5 * RATE) // PACKET, cut - int(rng.uniform(1.0, 3.0) * RATE) // PACKET
        stop = cut + 1500
        old_lost = {cut - 1 - rng.randrange(rng.choice([20, 400])) for _ in range(rng.randrange(1, 40))}
        new_lost = {rng.randrange(start, stop) for _ in range(rng.randrange(1, 40))}
        new_lost |= {cut - 1 - rng.randrange(20) for _ in range(rng.randrange(8))}
        old = without(LIGHT[first * PACKET : cut * PACKET], (at - first for at in old_lost))
        new = without(LIGHT[start * PACKET : stop * PACKET], (at - start for at in new_lost))
        both = (at for at in range(max(first, start), cut) if at not in old_lost | new_lost)
        end = max(at for at in both if LIGHT[at * PACKET + 1] & 31 != 31) + 1  # null packets tell nothing
        out, _ = splice(old, new)
        rest = without(LIGHT[end * PACKET : stop * PACKET], (at - end for at in new_lost if at >= end))
        assert without_nulls(out) == without_nulls(old + rest), f"seed {seed}"


def test_breaks_with_gaps_keep_every_rule_and_repeat_nothing() -> None:
    """Sources begin before and after the place in any order; nothing comes twice, and no counter or clock breaks."""
    broadcast = {pid: {unit.dts: unit.content for unit in units} for pid, units in read(LIGHT).units.items()}
    for seed in range(GAPPED):
        rng = random.Random(seed)
        at = rng.randrange(int(2 * RATE), int(8 * RATE))
        splicer, moved = Splicer(), False
        out = run(splicer, LIGHT[max(0, at - int(1.5 * RATE)) // PACKET * PACKET : at])
        for _ in range(rng.randrange(1, 4)):
            start = max(0, at + int(rng.uniform(-3, 1.5) * RATE)) // PACKET * PACKET
            stop = max(start, at) + int(rng.uniform(0.1, 2.5) * RATE)
            splicer.begin_source()
            out += run(splicer, LIGHT[start:stop], rng.choice([1, 33, 512]))
            moved |= splicer.splice is not None and splicer.splice.outcome is Outcome.OTHER_CLOCK
            at = at if splicer.is_pending else stop
        seen = check(out, max_step_s=6)
        for pid, units in seen.units.items() if not moved else ():
            damaged = sum(1 for unit in units if unit.whole and broadcast[pid][unit.dts] != unit.content)
            assert damaged <= 3, f"seed {seed}"  # one for each gap: what was cut off, and never came again


@given(st.lists(st.integers(1, 900), min_size=1, max_size=40), st.integers(0, 2**16))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_chunking_gives_the_same_output(sizes: list[int], seed: int) -> None:
    rng = random.Random(seed)
    sources = []
    for _ in range(3):
        start = rng.randrange(int(3 * RATE), int(7 * RATE)) // PACKET * PACKET
        sources.append(LIGHT[start : start + rng.randrange(200, 2500) * PACKET])
    sources.append(media("radio", 2, 6, 777))
    whole, chunked = Splicer(), Splicer()
    for source in sources:
        whole.begin_source()
        chunked.begin_source()
        expected = b"".join(bytes(whole.feed(source[:])) for _ in range(1))
        got, at, turn = b"", 0, 0
        while at < len(source):
            step = sizes[turn % len(sizes)] * PACKET
            got += bytes(chunked.feed(memoryview(source)[at : at + step]))
            at, turn = at + step, turn + 1
        assert got == expected
        assert chunked.splice == whole.splice


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_rubbish_never_raises_and_holds_no_more_than_its_bound(data: st.DataObject) -> None:
    limits = SpliceLimits(tail_bytes=100 * PACKET, max_hold_bytes=300 * PACKET, max_wait_bytes=2000 * PACKET)
    splicer = Splicer(limits)
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    fed = sent = 0
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            splicer.begin_source()
        kind = data.draw(st.sampled_from(["noise", "damaged", "light", "starts"]))
        part = bytearray(LIGHT[: rng.randrange(1, 900) * PACKET])
        if kind == "noise":
            part = bytearray(rng.randbytes(len(part)))
        elif kind == "damaged":
            for _ in range(len(part) // 60):
                part[rng.randrange(len(part))] = rng.randrange(256)
        elif kind == "starts":
            for at in range(0, len(part), PACKET):
                part[at : at + 13] = b"\x47\x41\x00" + rng.randbytes(3) + b"\x00\x00\x01\xe0" + rng.randbytes(3)
        fed += len(part)
        sent += len(splicer.feed(part))
        if data.draw(st.booleans()):
            sent += len(splicer.give_up())
    assert sent <= 2 * fed + 1000 * PACKET


def test_a_source_that_never_comes_to_the_place_is_joined_after_its_bound() -> None:
    splicer = Splicer(SpliceLimits(max_wait_bytes=3000 * PACKET))
    out = run(splicer, LIGHT[: int(16 * RATE) // PACKET * PACKET])
    splicer.begin_source()
    out += run(splicer, LIGHT[: 6000 * PACKET])
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.OTHER_CLOCK
    assert splicer.splice.at_access_point
    check(out)


def test_giving_up_joins_what_has_come_at_its_newest_random_access_point() -> None:
    splicer = Splicer()
    out = run(splicer, LIGHT[: int(16 * RATE) // PACKET * PACKET])
    splicer.begin_source()
    assert splicer.give_up() == b""
    assert run(splicer, LIGHT[: int(3 * RATE) // PACKET * PACKET]) == b""
    late = splicer.give_up()
    assert 0 < len(late) < RATE * 1.5
    assert not splicer.is_pending
    assert splicer.give_up() == b""
    check(out + late + run(splicer, LIGHT[int(3 * RATE) // PACKET * PACKET : int(6 * RATE) // PACKET * PACKET]))


def test_giving_up_on_a_source_that_is_still_behind_takes_no_known_packet_for_the_place() -> None:
    splicer = Splicer()
    out = run(splicer, LIGHT[: int(16 * RATE) // PACKET * PACKET])
    splicer.begin_source()
    begin, end = int(6 * RATE) // PACKET * PACKET, int(13 * RATE) // PACKET * PACKET
    assert run(splicer, LIGHT[begin:end]) == b""
    late = splicer.give_up()
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.OTHER_CLOCK
    check(out + late + run(splicer, LIGHT[end : int(18 * RATE) // PACKET * PACKET]))


@pytest.mark.parametrize("behind", [300, 1100, 1300, 1500])
def test_giving_up_on_a_source_that_is_hardly_behind_repeats_nothing(behind: int) -> None:
    """Of a broadcast of 6 Mbit/s the last 0.4 s are 1500 packets: the source has yet to send them once more."""
    one = clip("clock")
    sent, more = (int(at * one.bytes_per_s) // PACKET for at in (2.0, 3.0))
    stream = one.read(0, more * PACKET, 0)
    for lost in ((), (sent - behind + 2,), range(sent - behind + 20, sent - behind + 40)):
        splicer = Splicer()
        out = run(splicer, stream[: sent * PACKET])
        splicer.begin_source()
        again = without(stream, lost)
        place = (sent - behind) * PACKET
        out += run(splicer, again[:place]) + splicer.give_up()
        assert splicer.splice is not None
        assert splicer.splice.outcome is Outcome.SAME_BYTES
        assert out + run(splicer, again[place:]) == stream


def test_a_table_that_comes_round_again_is_no_evidence_where_content_is_missing() -> None:
    """Its counter is the same at every sixteenth time; what lies before that was never sent."""
    missing = media("light", 1.9, 2.1)
    tables = [missing[at : at + PACKET] for at in range(0, len(missing), PACKET) if missing[at + 1] & 0x5F == 0x40]
    later = media("light", 3, 4)
    assert tables
    for table in tables:
        overlap = Overlap(missing)
        with memoryview(later[: 200 * PACKET] + table + later[200 * PACKET :]) as view:
            out = overlap.feed(view)
        assert out is not None
        assert out == bytes(later[: 200 * PACKET] + table + later[200 * PACKET :])
        assert overlap.skipped_bytes == 0


def test_a_stream_without_tables_clocks_or_pictures_goes_on_too() -> None:
    rng = random.Random(5)
    packets = [bytes((0x47, 0x01, 0x23, 0x10 | number & 15)) + rng.randbytes(184) for number in range(3000)]
    full = b"".join(packets)
    limits = SpliceLimits(max_hold_bytes=1000 * PACKET)
    same, other = Splicer(limits), Splicer(limits)
    out = run(same, full[: 1000 * PACKET])
    same.begin_source()
    assert out + run(same, full[500 * PACKET :]) == full
    run(other, full[: 1000 * PACKET])
    other.begin_source()
    after = run(other, full[1500 * PACKET :])
    assert len(after) == 1500 * PACKET
    assert read(full[: 1000 * PACKET] + after).faults == []


class Kept:
    """What a caller has anyway: the packets that went through, of which it forgets the oldest."""

    def __init__(self, keeps_bytes: int) -> None:
        self.bytes = b""
        self.asked = 0
        self.keeps_bytes = keeps_bytes
        self.psi = PsiTracker()

    def sent(self, packets: bytes) -> None:
        """Take what came out."""
        self.bytes = (self.bytes + packets)[-self.keeps_bytes :]
        for at in range(0, len(packets), PACKET):
            self.psi.feed(packets[at : at + PACKET])

    def newest(self, count: int) -> bytes:
        """Return the newest bytes, as far as they are there."""
        self.asked += 1
        return self.bytes[-count:]


@pytest.mark.parametrize("keeps_bytes", [4 << 20, 600 * PACKET])
def test_a_splicer_whose_caller_keeps_what_was_sent_joins_as_one_that_keeps_it_itself(keeps_bytes: int) -> None:
    kept = Kept(keeps_bytes)
    limits = SpliceLimits(tail_bytes=min(keeps_bytes, 2 << 20))
    alone, aided = Splicer(limits), Splicer(limits, psi=kept.psi, recent=kept.newest)
    cut = 1500 * PACKET
    for first, last, backs in ((0, cut, 3), (cut - 900 * PACKET, 2 * cut, 5), (0, 3 * cut, 7)):
        for at in range(first, last, 250 * PACKET):
            piece = LIGHT[at : min(at + 250 * PACKET, last)]
            is_untouched = aided.is_untouched
            if is_untouched:
                kept.sent(piece)
            out = bytes(aided.feed(piece))
            if not is_untouched:
                kept.sent(out)
            assert out == bytes(alone.feed(piece))
        for few in (0, 5 * PACKET, 100 * PACKET + 1, 700 * PACKET, 8 << 20):
            assert aided.newest(few) == alone.newest()[max(0, len(alone.newest()) - few // PACKET * PACKET) :]
        assert aided.newest() == alone.newest()
        assert aided.mark(backs * PACKET) == alone.mark(backs * PACKET)
        alone.roll_back()
        aided.roll_back()
        assert aided.newest() == alone.newest()
        alone.begin_source()
        aided.begin_source()
        assert aided.splice == alone.splice
    assert kept.asked


def numbered(first: int, stop: int) -> bytes:
    """Packets of one PID that have a number and stuffing, and nothing else: no tables, no PES packets, no clock."""
    return b"".join(
        (bytes((0x47, 0x01, 0x00, 0x10 | number & 15)) + b"%012d" % number).ljust(PACKET, b"\xaa")
        for number in range(first, stop)
    )


@pytest.mark.parametrize("overlap", [8, 100, 3000, 9000])
def test_packets_that_all_end_in_stuffing_are_known_by_each_having_come_once(overlap: int) -> None:
    out, splicer = splice(numbered(0, 12_000), numbered(12_000 - overlap, 20_000))
    assert out == numbered(0, 20_000)
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_BYTES


def test_stuffing_that_comes_again_and_again_is_no_evidence() -> None:
    stuffing = b"".join(bytes((0x47, 0x01, 0x00, 0x10 | number & 15)).ljust(PACKET, b"\xaa") for number in range(4000))
    splicer = Splicer()
    run(splicer, stuffing)
    splicer.begin_source()
    assert run(splicer, stuffing) == b""
    assert splicer.is_pending


def test_a_source_in_which_no_pes_packet_begins_goes_on_when_its_place_is_given_up() -> None:
    tables = LIGHT[: 2 * PACKET]
    splicer = Splicer()
    run(splicer, tables + numbered(0, 4000))
    splicer.begin_source()
    run(splicer, tables + numbered(50_000, 54_000))
    out = splicer.give_up() + run(splicer, numbered(54_000, 58_000))
    assert out.count(b"\xaa" * 100) == 8000
    assert read(numbered(0, 4000) + out).faults == []
