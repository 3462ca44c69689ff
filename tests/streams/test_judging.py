"""What is made of a source, by what comes of it and what the engine says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aceproxy.engine.choice import NoAnswer
from aceproxy.errors import Reason
from aceproxy.streams.engine_word import EngineWord
from aceproxy.streams.judging import BREAKS, Call, JudgeLimits, Judgement, Look, SourceJudge

LIMITS = JudgeLimits(
    quiet_s=2, stuck_s=8, silence_s=30, garbage_s=5, trickle_s=10, slow_s=30, keyframe_gap_s=30, loop_s=30
)
PLAYS = EngineWord(asked_at=0.0, status="dl", speed_down_bps=5_000_000, peers=7)
WELL = Look(
    now=100.0,
    silent_s=0.0,
    received_bytes=0,
    packet_bytes=0,
    media_s=0.0,
    points=0,
    has_video=True,
    is_live=True,
    paused=False,
    engine=PLAYS,
)


def watch(seconds: float, pace: float = 1.0, judge: SourceJudge | None = None, **changes: object) -> Judgement | None:
    """Look at a source twice a second for so long; return the first judgement that is not good."""
    judge = judge or SourceJudge(LIMITS)
    first = replace(WELL, **changes)  # type: ignore[arg-type]  # fields of Look by name
    for step in range(int(seconds * 2) + 1):
        at_s = step / 2
        look = replace(
            first,
            now=first.now + at_s,
            received_bytes=int(at_s * 500_000),
            packet_bytes=int(at_s * 500_000) if first.packet_bytes == 0 else first.packet_bytes,
            media_s=pace * at_s,
            points=int(at_s) if first.points == 0 else first.points,
        )
        judgement = judge.look(look)
        if judgement is not None:
            return judgement
    return None


def silent(
    silent_s: float,
    engine: EngineWord,
    *,
    has_spare: bool = False,
    could_move: bool = False,
    is_unusual: bool = False,
    spare_is_behind: bool = False,
    better_left: NoAnswer | None = None,
    owed_s: float = 0.0,
) -> Judgement | None:
    """Judge a source that has been silent for so long."""
    look = replace(
        WELL,
        silent_s=silent_s,
        engine=engine,
        has_spare=has_spare,
        could_move=could_move,
        is_unusual=is_unusual,
        spare_is_behind=spare_is_behind,
        better_left=better_left,
        owed_s=owed_s,
    )
    return SourceJudge(LIMITS).look(look)


def lost(judgement: Judgement | None) -> Reason:
    """Return why a source was lost."""
    assert judgement is not None
    assert judgement.call is Call.LOST, judgement
    return judgement.error.reason


def test_a_source_that_delivers_is_left_alone() -> None:
    assert watch(120, engine=replace(PLAYS, edge_at=10_000.0)) is None


def test_a_short_silence_is_no_fault() -> None:
    assert silent(1.9, PLAYS) is None
    assert silent(7.9, PLAYS) is None


@pytest.mark.parametrize("refusal", [Reason.SESSION_LOST, Reason.ENGINE_UNREACHABLE, Reason.ENGINE_REFUSED])
def test_a_silence_that_the_engine_explains_is_not_waited_out(refusal: Reason) -> None:
    word = EngineWord(asked_at=99.0, refusal=refusal, refusals=1)
    assert lost(silent(2.5, word)) is refusal
    asked_before = replace(word, asked_at=97.0)
    assert silent(2.5, asked_before) is None, "what was asked before the silence explains nothing"
    assert silent(0.5, word) is None, "while bytes come the engine may say what it likes"


def test_an_engine_that_does_not_answer_twice_hangs() -> None:
    assert silent(7.5, EngineWord(asked_at=99.0, refusal=Reason.ENGINE_TIMEOUT, refusals=1)) is None
    assert lost(silent(7.5, EngineWord(asked_at=99.0, refusal=Reason.ENGINE_TIMEOUT, refusals=2))) is (
        Reason.ENGINE_TIMEOUT
    )


def test_a_source_that_its_standby_has_overtaken_is_lost_whatever_the_engine_says() -> None:
    waits = EngineWord(asked_at=90.0, status="buf", speed_down_bps=0, peers=3)
    for word, reason in ((PLAYS, Reason.ENGINE_STALLED), (waits, Reason.SOURCE_STALLED)):
        look = replace(WELL, silent_s=0.7, engine=word, has_spare=True, is_overtaken=True)
        assert lost(SourceJudge(LIMITS).look(look)) is reason
    assert SourceJudge(LIMITS).look(replace(WELL, silent_s=0.7, has_spare=True)) is None


def test_a_silent_engine_that_does_not_tell_its_version_is_left_where_another_could_do() -> None:
    waits = EngineWord(asked_at=90.0, status="buf", speed_down_bps=0, peers=3)
    mute = NoAnswer(98.0, Reason.ENGINE_TIMEOUT)
    assert lost(silent(2.5, waits, better_left=mute)) is Reason.ENGINE_TIMEOUT
    assert lost(silent(2.5, waits, better_left=replace(mute, reason=Reason.ENGINE_UNREACHABLE))) is (
        Reason.ENGINE_UNREACHABLE
    )
    assert silent(1.0, waits, better_left=mute) is None, "while bytes come it may answer what it likes"
    assert silent(2.5, waits) is None


def test_a_silent_engine_that_tells_of_the_playback_lives_though_it_does_not_tell_its_version() -> None:
    mute = NoAnswer(98.0, Reason.ENGINE_TIMEOUT)
    tells = EngineWord(asked_at=99.0, status="buf", speed_down_bps=0, peers=3)
    assert silent(2.5, tells, better_left=mute) is None
    froze_since = replace(tells, asked_at=97.9)
    assert lost(silent(2.5, froze_since, better_left=mute)) is Reason.ENGINE_TIMEOUT


def test_an_engine_that_claims_to_deliver_gets_less_patience_than_one_that_waits_for_the_swarm() -> None:
    waits = EngineWord(asked_at=99.0, status="buf", speed_down_bps=0, peers=3)
    assert lost(silent(8, PLAYS)) is Reason.ENGINE_STALLED
    judgement = silent(8, waits)
    assert judgement is not None
    assert judgement.call is Call.POOR
    judgement = silent(29.5, waits)
    assert judgement is not None
    assert judgement.call is Call.POOR
    assert lost(silent(30, waits)) is Reason.SOURCE_STALLED
    assert "buf, 3 peers" in str(silent(30, waits))


def test_with_another_source_at_hand_nobody_waits_for_a_silent_one() -> None:
    assert lost(silent(3, PLAYS, has_spare=True)) is Reason.ENGINE_STALLED
    assert silent(2.5, PLAYS, has_spare=True) is None


def test_a_swarm_that_stands_still_is_no_reason_to_take_a_source_that_has_nothing_new() -> None:
    waits = replace(PLAYS, status="buf")
    assert silent(3, waits, has_spare=True, spare_is_behind=True) is None
    assert lost(silent(3, waits, has_spare=True)) is Reason.SOURCE_STALLED
    assert lost(silent(3, PLAYS, has_spare=True, spare_is_behind=True)) is Reason.ENGINE_STALLED
    assert lost(silent(30, waits, has_spare=True, spare_is_behind=True)) is Reason.SOURCE_STALLED


def test_bytes_that_are_no_packets_are_garbage() -> None:
    assert lost(watch(6, packet_bytes=188, pace=0.0)) is Reason.NOT_MPEGTS


def test_a_packet_a_second_is_a_trickle_though_none_of_them_tells_the_time() -> None:
    judge = SourceJudge(LIMITS)
    looks = [
        replace(WELL, now=at, received_bytes=188 * at, packet_bytes=188 * at, media_s=float(at)) for at in range(20)
    ]
    told = [judgement for judgement in map(judge.look, looks) if judgement is not None]
    assert lost(told[0]) is Reason.SOURCE_STALLED
    assert told[0].error.detail == "1880 bytes in 10 s"


def test_a_trickle_counts_as_a_stall_but_not_of_a_recording() -> None:
    assert lost(watch(11, pace=0.05)) is Reason.SOURCE_STALLED
    assert watch(60, pace=0.05, is_live=False) is None
    assert watch(60, pace=0.0, paused=True) is None


def test_too_slow_a_source_is_poor_not_lost() -> None:
    judgement = watch(31, pace=0.5)
    assert judgement is not None
    assert (judgement.call, judgement.error.reason) == (Call.POOR, Reason.SOURCE_SLOW)


def test_video_without_any_random_access_point_is_poor() -> None:
    judgement = watch(31, points=1)
    assert judgement is not None
    assert (judgement.call, judgement.error.reason) == (Call.POOR, Reason.NO_KEYFRAMES)
    assert watch(60, points=1, has_video=False) is None


def test_a_repeat_is_a_loop_of_the_engine_where_the_live_edge_stands_still() -> None:
    def judge(repeating_s: float, edge_at: float | None) -> Judgement | None:
        word = replace(PLAYS, edge_at=edge_at)
        return SourceJudge(LIMITS).look(replace(WELL, repeating_s=repeating_s, is_held=True, engine=word))

    assert judge(2.9, 97.0) is None, "the edge may still move on"
    assert lost(judge(3.1, 96.0)) is Reason.SOURCE_LOOPS
    innocent = judge(2.5, 99.5)
    assert innocent is not None
    assert innocent.call is Call.INNOCENT
    assert judge(1.0, None) is None
    assert lost(judge(2.0, None)) is Reason.SOURCE_LOOPS, "where nothing is told of the edge the content decides"


def test_media_that_flows_on_long_after_the_live_edge_stopped_is_old() -> None:
    assert lost(watch(40, engine=replace(PLAYS, edge_at=95.0))) is Reason.SOURCE_LOOPS
    assert watch(40, engine=replace(PLAYS, edge_at=None)) is None, "an edge that never moved says nothing"


def test_what_jumps_ahead_after_a_stall_of_the_swarm_is_not_old() -> None:
    judge = SourceJudge(replace(LIMITS, silence_s=60))
    stalled = replace(PLAYS, status="buf", speed_down_bps=0, edge_at=100.0)
    for step in range(71):
        call = judge.look(replace(WELL, now=100 + step / 2, silent_s=step / 2, engine=stalled))
        assert call is None or call.call is Call.POOR
    back = replace(WELL, now=135.5, media_s=35.0, received_bytes=10**6, packet_bytes=10**6, engine=stalled)
    assert judge.look(back) is None


def test_the_looks_kept_are_bounded() -> None:
    judge = SourceJudge(LIMITS)
    assert watch(1000, judge=judge) is None
    assert len(judge._looks) <= 2 * LIMITS.longest_s + 2


def test_an_engine_that_claims_to_deliver_is_soon_suspect_where_another_one_has_room() -> None:
    judgement = silent(3.0, PLAYS, could_move=True)
    assert judgement is not None
    assert (judgement.call, judgement.error.reason) == (Call.POOR, Reason.ENGINE_STALLED)
    assert silent(2.9, PLAYS, could_move=True) is None
    waits = replace(PLAYS, status="buf")
    assert silent(7.9, waits, could_move=True) is None, "the swarm is waited for: another engine has the same"
    assert silent(8.0, waits, could_move=True) is not None


def test_an_engine_that_owes_its_version_gets_a_rival_long_before_it_is_left() -> None:
    judgement = silent(1.0, PLAYS, could_move=True, is_unusual=True, owed_s=0.6)
    assert judgement is not None
    assert (judgement.call, judgement.error.reason) == (Call.POOR, Reason.ENGINE_STALLED)
    assert silent(1.0, PLAYS, could_move=True, is_unusual=True, owed_s=0.5) is None, "it may be busy"
    assert silent(1.0, PLAYS, could_move=True, owed_s=0.6) is None, "it is often silent for so long"
    assert silent(1.0, PLAYS, is_unusual=True, owed_s=0.6) is None, "there is no other engine"
    spare = silent(1.0, PLAYS, could_move=True, is_unusual=True, owed_s=0.6, has_spare=True)
    assert spare is None, "one that is ready takes over when it has what viewers lack"


def test_an_engine_that_waits_for_the_swarm_for_unusually_long_gets_a_rival_as_soon() -> None:
    waits = replace(PLAYS, status="buf")
    judgement = silent(3.0, waits, could_move=True, is_unusual=True)
    assert judgement is not None
    assert (judgement.call, judgement.error.reason) == (Call.POOR, Reason.SOURCE_STALLED)
    assert silent(2.9, waits, could_move=True, is_unusual=True) is None
    assert silent(3.0, waits, is_unusual=True) is None, "there is no other engine"


def damaged(times: int, apart_s: float, spare_damage_s: float = 0.0, breaks: int = 1) -> Judgement | None:
    """Judge a source with garbage between its packets so many times."""
    judge = SourceJudge(LIMITS, spare_damage_s)
    judgement = None
    for step in range(times + 1):
        at_s = step * apart_s
        count = int(at_s * 500_000)
        judgement = judge.look(
            replace(
                WELL, now=100.0 + at_s, received_bytes=count + 900 * step, packet_bytes=count, media_s=at_s,
                points=step, breaks=breaks * step,
            )
        )  # fmt: skip
    return judgement


def test_garbage_between_good_packets_again_and_again_is_poor() -> None:
    judgement = damaged(BREAKS, 1.0)
    assert judgement is not None
    assert (judgement.call, judgement.error.reason) == (Call.POOR, Reason.NOT_MPEGTS)
    assert damaged(BREAKS, 9.0) is not None


def test_garbage_now_and_then_is_not_worth_a_move() -> None:
    assert damaged(BREAKS - 1, 1.0) is None
    assert damaged(1, 1.0, breaks=50) is None, "once, though in many pieces"
    assert damaged(20, 16.0) is None


def test_who_was_left_for_garbage_just_now_is_not_left_for_it_at_once() -> None:
    assert damaged(20, 1.0, spare_damage_s=60.0) is None
    assert damaged(61, 1.0, spare_damage_s=60.0) is not None


def test_a_silence_that_is_habit_is_no_reason_to_look_elsewhere() -> None:
    look = replace(WELL, silent_s=4.5, could_move=True)
    for one in (look, replace(look, has_spare=True, could_move=False)):
        assert SourceJudge(LIMITS).look(one) is not None
        assert SourceJudge(LIMITS).look(replace(one, habit_s=4.0)) is None
        assert SourceJudge(LIMITS).look(replace(one, habit_s=4.0, silent_s=6.1)) is not None
        assert SourceJudge(LIMITS).look(replace(one, habit_s=60.0, silent_s=LIMITS.stuck_s)) is not None


def test_slides_with_sound_are_no_stall() -> None:
    """A picture every twelve seconds: the sound tells that all comes."""
    judge = SourceJudge(LIMITS)
    for step in range(180):
        at_s = step / 2
        look = replace(
            WELL,
            now=100 + at_s,
            packet_bytes=int(at_s * 20_000),
            received_bytes=int(at_s * 20_000),
            media_s=at_s // 12 * 12,
            carried_s=at_s,
            points=int(at_s // 12),
            could_move=True,
        )
        assert judge.look(look) is None


@pytest.mark.parametrize(
    ("sound", "reason"),
    [(1.0, Reason.NO_KEYFRAMES), (0.0, Reason.SOURCE_STALLED)],
    ids=["sound goes on", "null packets"],
)
def test_packets_that_bring_no_picture_any_more_are_reason_to_look_elsewhere(sound: float, reason: Reason) -> None:
    judge = SourceJudge(LIMITS)
    called: list[tuple[float, Judgement]] = []
    for step in range(60):
        at_s = step / 2
        shown_s = min(at_s, 15.0)
        look = replace(
            WELL,
            now=100 + at_s,
            packet_bytes=int(at_s * 200_000),
            received_bytes=int(at_s * 200_000),
            media_s=shown_s,
            carried_s=shown_s + sound * (at_s - shown_s),
            points=int(shown_s),
            could_move=True,
        )
        judgement = judge.look(look)
        if judgement is not None:
            called.append((at_s, judgement))
    at_s, first = called[0]
    assert (first.call, first.error.reason) == (Call.POOR, reason)
    assert 19 <= at_s <= 19.5
    is_lost = any(judgement.call is Call.LOST for _, judgement in called)
    assert is_lost is (reason is Reason.SOURCE_STALLED), "sound alone is better than nothing"


def test_a_source_that_never_brought_a_picture_is_not_left_for_that() -> None:
    """It may have been begun because the one before brought none either."""
    assert watch(20, pace=0.0, carried_s=None, could_move=True, is_live=True) is not None, "nothing comes at all"
    judge = SourceJudge(LIMITS)
    for step in range(56):
        at_s = step / 2
        look = replace(WELL, now=100 + at_s, packet_bytes=step * 90_000, carried_s=at_s, could_move=True)
        assert judge.look(replace(look, received_bytes=look.packet_bytes)) is None


def test_a_source_that_flows_again_is_not_left_for_having_been_empty() -> None:
    judge = SourceJudge(LIMITS)
    calls = []
    for step in range(80):
        at_s = step / 4
        flows_s = max(0.0, at_s - 9)
        look = replace(WELL, now=100 + at_s, packet_bytes=step * 90_000, received_bytes=step * 90_000, media_s=flows_s)
        calls.append(judge.look(look))
    assert calls == [None] * 80


@pytest.mark.parametrize(
    ("could_move", "spare_doubt_s", "doubted"),
    [(True, 0.0, 20), (False, 0.0, 0), (True, 60.0, 0)],
    ids=["another engine", "the only engine", "left for this just now"],
)
def test_who_repeats_with_a_live_edge_that_moves_on_is_doubted_for_a_while(
    could_move: bool, spare_doubt_s: float, doubted: int
) -> None:
    judge = SourceJudge(LIMITS, spare_doubt_s=spare_doubt_s)
    innocent = judge.look(
        replace(WELL, repeating_s=2.5, is_held=True, engine=replace(PLAYS, edge_at=99.5), could_move=could_move)
    )
    assert innocent is not None
    assert innocent.call is Call.INNOCENT
    called = []
    for at_s in range(30):
        count = at_s * 500_000
        look = replace(WELL, now=100.5 + at_s, media_s=at_s, received_bytes=count, packet_bytes=count, points=at_s)
        judgement = judge.look(replace(look, could_move=could_move))
        if judgement is not None:
            called.append(judgement)
    assert len(called) == doubted
    assert all((one.call, one.error.reason) == (Call.POOR, Reason.SOURCE_LOOPS) for one in called)
    assert all(one.is_still for one in called), "left only for one that brings something new"
