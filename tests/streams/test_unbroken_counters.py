"""Continuity counters go on for each PID, whatever sources follow each other, unless a source itself has a jump."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aceproxy.mpegts.splice import Outcome, Splicer
from tests.mpegts.splicing import check, clip, media, pieces, run
from tests.streams.sources_at_random import AC3, AUDIO, PACKET, PAT, PMT, VIDEO, Follower, Walk, changed, pid_at

SEEDS = 300
ONCE_WRONG = (
    *(380, 389, 898, 1016, 1485, 1525, 2171, 2192, 2421, 3456, 3578, 4579, 4590, 4722, 5199, 5427, 5658, 5999),
    *(6598, 13571, 26568, 51614, 56894, 57253, 58871),
)
ONCE_WRONG_SKIPS = (41, 833, 1161, 1466, 1524, 1529, 1834, 2204, 5947)


@pytest.mark.parametrize("seeds", [*(range(first, first + 100) for first in range(0, SEEDS, 100)), ONCE_WRONG])
def test_sources_of_all_kinds_one_after_the_other_leave_no_jump(seeds: Sequence[int]) -> None:
    found: list[str] = []
    for seed in seeds:
        walk = Walk(seed)
        walk.run()
        found += walk.found
    assert found == []


@pytest.mark.parametrize("seeds", [range(100), range(100, 200), ONCE_WRONG_SKIPS])
def test_sources_that_leave_something_out_leave_no_jump_but_that(seeds: Sequence[int]) -> None:
    found: list[str] = []
    for seed in seeds:
        walk = Walk(seed, skips=True)
        walk.run()
        found += walk.found
    assert found == []


@pytest.mark.parametrize("alike", [VIDEO, AUDIO])
def test_a_broadcast_multiplexed_anew_is_not_the_same_because_one_pid_has_the_same_counters(alike: int) -> None:
    splicer = Splicer()
    out = run(splicer, media("light", 0, 4))
    splicer.begin_source()
    again = changed(media("light", 2, 8), steps={VIDEO + AUDIO - alike: 5})
    out += run(splicer, again)
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_CLOCK
    check(out)


@pytest.mark.parametrize(("alike", "begun", "changes_in"), [(AUDIO, 5, 1), (VIDEO, 9, 100)])
def test_a_broadcast_multiplexed_anew_is_not_the_same_because_it_begins_with_one_that_is(
    alike: int, begun: int, changes_in: int
) -> None:
    """It has nothing else before the place, and what follows there does not go on from what was sent."""
    full = media("light", 0, 8)
    pids = [pid_at(full, at) for at in range(0, len(full), PACKET)]
    other = VIDEO + AUDIO - alike
    places = [at for at in range(1000, 3000) if set(pids[at - begun : at]) == {alike} and pids[at] != alike]
    places = [at for at in places if other in pids[at : at + changes_in]]
    assert len(places) > 5
    for place in places[::3]:
        splicer = Splicer()
        out = run(splicer, full[: place * PACKET])
        splicer.begin_source()
        out += run(splicer, changed(full[(place - begun) * PACKET :], steps={other: 5}))
        assert splicer.splice is not None
        assert splicer.splice.outcome is Outcome.SAME_CLOCK
        check(out, max_step_s=2)


def joined_elsewhere(*parts: bytes) -> bytes:
    """Return what comes of a source of sound alone, and then of one that has these parts one after the other."""
    splicer = Splicer()
    out = run(splicer, changed(media("light", 0, 3), types={AUDIO: AC3}))
    splicer.begin_source()
    return out + b"".join(bytes(splicer.feed(piece)) for part in parts for piece in pieces(part, 100))


def test_counters_go_on_where_a_joined_source_changes_its_pids() -> None:
    source = media("light", 20, 26)
    place = clip("light").entry_point(23).offset - clip("light").entry_point(20).offset
    parts = changed(source[:place], pids={AUDIO: 0x201}), changed(source[place:], pids={AUDIO: 0x202})
    assert Follower().feed(joined_elsewhere(*parts)) == []


def test_what_is_taken_back_of_a_loop_leaves_the_counters_as_they_were_before_it() -> None:
    splicer = Splicer()
    out = run(splicer, media("clock", 0, 2))
    splicer.begin_source()
    once = changed(media("light", 20, 23), pids={VIDEO: 0x300, AUDIO: 0x301})
    out += run(splicer, once)
    looped = run(splicer, once[len(once) // 3 :])
    assert splicer.mark(len(looped))
    run(splicer, once[len(once) // 3 :])  # it goes on in its loop, and nobody is sent that
    splicer.roll_back()
    splicer.begin_source()
    out += run(splicer, media("light", 60, 64))
    assert len(out) % PACKET == 0
    check(out)


@pytest.mark.parametrize("begun", range(300, 360, 12))
def test_where_the_begin_of_a_joined_sources_sound_is_taken_back_it_begins_there_again(begun: int) -> None:
    """Before that it has packets which are left out; the same source brings them once more."""
    source = media("light", 20.6, 24)
    splicer = Splicer()
    before = run(splicer, media("light", 0, 3))
    splicer.begin_source()
    joined = run(splicer, source[: begun * PACKET])
    back = 100 * PACKET
    assert splicer.mark(back)
    splicer.roll_back()
    splicer.begin_source()
    again = run(splicer, source)
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_BYTES
    out = before + joined[:-back] + again
    assert Follower().feed(out) == []
    check(out)


@pytest.mark.parametrize(("first_s", "begun"), [(0, 2), (0, 5), (0, 40), (1, 2)])
def test_where_the_begin_of_a_loop_was_sent_the_counters_go_on_from_it(first_s: float, begun: int) -> None:
    """A loop is known by its first picture: what comes before that has gone out, and no other source has it."""
    first, splicer = media("light", 0, 3), Splicer()
    out = run(splicer, media("light", first_s, 3) + first[: begun * PACKET])
    splicer.begin_source()
    joined = run(splicer, media("light", 2, 6))
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_BYTES
    assert Follower().feed(out + joined) == Follower().feed(out)
    assert uncounted(joined) == uncounted(media("light", 0, 6)[len(first) :])


def test_a_loop_begins_where_counters_are_a_few_ahead_as_if_packets_were_lost() -> None:
    """That it is none is seen by the next source, which has lost nothing and does not have what was sent."""
    before, full = media("light", 2, 3), media("light", 0, 6)
    rest = full[len(media("light", 0, 3)) :]
    places = {}
    for at in range(PACKET, len(media("light", 0, 1)), PACKET):
        begin = full[at : at + 3 * PACKET]
        jumps = Follower().feed(before + begin)
        if len(jumps) == 1 and {pid_at(begin, place) for place in range(0, len(begin), PACKET)} == {VIDEO}:
            places[jumps[0].by] = begin
    assert places.keys() >= set(range(1, 8))
    for begin in places.values():
        splicer = Splicer()
        out = run(splicer, before + begin)
        splicer.begin_source()
        joined = run(splicer, media("light", 2.5, 6))
        assert Follower().feed(out + joined) == Follower().feed(out)
        assert uncounted(joined) == uncounted(rest)


def test_after_a_loop_that_was_sent_a_source_goes_on_where_the_loop_ended() -> None:
    splicer = Splicer()
    out = run(splicer, media("light", 0, 3) + media("light", 1, 2))
    splicer.begin_source()
    joined = run(splicer, media("light", 1.5, 5))
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_BYTES
    assert joined == media("light", 0, 5)[len(media("light", 0, 2)) :]
    assert Follower().feed(out + joined) == Follower().feed(out)


def uncounted(stream: bytes) -> list[bytes]:
    """Return packets without their counters."""
    return [stream[at : at + 3] + stream[at + 4 : at + PACKET] for at in range(0, len(stream), PACKET)]


@pytest.mark.parametrize("is_whole", [True, False])
def test_sixteen_missing_packets_are_missed_though_the_counters_go_on(is_whole: bool) -> None:
    """They are seen by what comes: not the begin of a picture where the last one was whole, or not the next picture."""
    full = media("light", 0, 8)
    video = [full[at + 1 : at + 3] in (b"\x01\x00", b"\x41\x00") for at in range(0, len(full), PACKET)]
    begins = [full[at * PACKET + 1] & 0x40 != 0 for at in range(len(video))]
    places = [at for at in range(1200, 2400) if all(video[at : at + 16])]
    if is_whole:
        places = [at for at in places if begins[at] and not any(begins[at + 1 : at + 17])]
    else:
        places = [at for at in places if any(begins[at : at + 16])]
    assert len(places) > 3
    for place in places[::5]:
        splicer = Splicer()
        run(splicer, full[: (place + 5 * is_whole) * PACKET])
        if is_whole:  # of the next one some packets have come, which nobody was sent
            assert splicer.mark(5 * PACKET)
            splicer.roll_back(VIDEO)
        splicer.begin_source()
        run(splicer, full[(place + 16) * PACKET :])
        assert splicer.splice is not None
        assert splicer.splice.outcome is not Outcome.SAME_BYTES


@pytest.mark.parametrize("packets", [1, 30, 200])
def test_a_joined_source_is_taken_back_with_its_tables(packets: int) -> None:
    """Nobody was sent them: the next source has those that were sent before, and they are sent again."""
    splicer = Splicer()
    out = run(splicer, media("light", 0, 3))
    splicer.begin_source()
    other = memoryview(changed(media("light", 20, 26, 1 << 30), types={AUDIO: AC3}, pids={AUDIO: 0x201}))
    taken = at = 0
    while not taken:
        taken, at = len(splicer.feed(other[at : at + PACKET])), at + PACKET
    taken += len(splicer.feed(other[at : at + packets * PACKET]))
    assert splicer.splice is not None
    assert splicer.splice.new_tables
    assert splicer.mark(taken)
    splicer.roll_back()
    splicer.begin_source()
    out += run(splicer, media("light", 40, 46, 1 << 29))
    assert len(check(out).pmts) == 1
    assert Follower().feed(out) == []
    assert [pid_at(out, at) for at in range(len(media("light", 0, 3)), len(out), PACKET)][:2] == [PAT, PMT]
