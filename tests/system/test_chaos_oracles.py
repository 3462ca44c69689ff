"""What the clients of a chaos run call wrong is wrong, and what they let pass is right."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench.chaos_crowd import Crowd
from bench.chaos_ends import read_ends
from bench.chaos_engine import dolby, make_clips
from bench.chaos_fates import Fate, Fates, Outcome, at_drought, judge, judge_droughts, judge_slow
from bench.chaos_hls import HlsCrowd, NotAListError, apart_s, read_list, stamps
from bench.chaos_jumps import ENGINE, UNKNOWN
from bench.chaos_players import Verifier
from bench.chaos_verdict import failures

from aceproxy.simulator import broadcast
from aceproxy.simulator.clips import load_clip
from tests.system.programs import tool
from tests.waiting import until

LIST = """#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXTINF:2.000,
/hls/a/1/7.ts
#EXT-X-DISCONTINUITY
#EXTINF:1.500,
/hls/a/1/8.ts
"""
STALL_S = 12.0


class Guests(Crowd):
    """Visitors who stay for a moment. `came` is who they were, `most` how many there were at a time."""

    def __init__(self, port: int, links: list[str], count: int, rng: random.Random) -> None:
        super().__init__(port, links, count, rng)
        self.came: list[int] = []
        self.most = self._here = 0

    async def _visit(self, number: int) -> None:
        self.came.append(number)
        self._here += 1
        self.most = max(self.most, self._here)
        await asyncio.sleep(0.01)
        self._here -= 1


def fate(outcome: Outcome, *rests: tuple[float, float], slow_s: float = 0.0) -> Fate:
    return Fate("a", "player", 0.0, outcome, rests=list(rests), slow_s=slow_s)


def ends(*reasons: str) -> dict[str, list[dict[str, Any]]]:
    return {"a": [{"reason": reason, "at": 100.0} for reason in reasons]}


def test_an_end_that_fits_is_right() -> None:
    assert not judge([fate(Outcome.LEFT)], ends("client_left"), [], STALL_S)
    assert not judge([fate(Outcome.CUT)], ends("source_stalled"), [], STALL_S)
    assert not judge([fate(Outcome.REFUSED)], {}, [], STALL_S)
    assert not judge([fate(Outcome.CUT, (20.0, 22.0), (87.5, 101.0))], ends("stalled_client"), [], STALL_S)


@pytest.mark.parametrize(
    "rests",
    [
        (),  # it waited for a swarm that stood still
        ((95.0, 140.0),),  # what it did not read after its end is of no account
        ((60.0, 80.0),),  # it had read on since
        ((80.0, 85.0), (91.0, 110.0)),
    ],
)
def test_nobody_may_end_as_stalled_but_after_a_rest_as_long_as_is_told(rests: tuple[tuple[float, float], ...]) -> None:
    (told,) = judge([fate(Outcome.CUT, *rests)], ends("stalled_client"), [], STALL_S)
    assert "was ended as stalled" in told


DROUGHT = (95.0, 111.0)


@pytest.mark.parametrize(
    ("rest", "is_wrong"),
    [
        ((99.5, 130.0), True),  # it had read all there was
        ((96.0, 130.0), False),  # it may not have
        ((80.0, 130.0), False),
        ((99.5, 105.0), False),  # it had read on by the end of the drought
    ],
)
def test_who_rests_while_there_is_nothing_to_take_may_not_end_for_it(rest: tuple[float, float], is_wrong: bool) -> None:
    stalled = {"a": [{"reason": "stalled_client", "at": 112.5}]}
    assert bool(judge_droughts([fate(Outcome.CUT, rest)], stalled, [DROUGHT], STALL_S)) == is_wrong
    assert not judge_droughts([fate(Outcome.CUT, rest)], ends("source_stalled"), [DROUGHT], STALL_S)
    trickling = Fate("a", "trickling", rest[0], Outcome.CUT, rests=[rest])
    assert not judge_droughts([trickling], stalled, [DROUGHT], STALL_S), "it has never read all there was"
    late = {"a": [{"reason": "stalled_client", "at": 122.0}]}
    assert not judge_droughts([fate(Outcome.CUT, rest)], late, [DROUGHT], STALL_S)


def test_a_drought_tells_who_was_there() -> None:
    gone, slow = fate(Outcome.LEFT), fate(Outcome.LEFT, (90.0, 99.0))
    gone.ended_at, slow.kind = 94.0, "slow"
    later = Fate("b", "player", 120.0)
    assert at_drought([gone, slow, later, fate(Outcome.WAITING)], [DROUGHT]) == [{"there": 2, "resting": 1, "slow": 1}]


def test_a_leap_between_segments_is_wrong_unless_the_engines_sent_it_so() -> None:
    fates, damaged = Fates(), False
    crowd = HlsCrowd(0, [], 0, random.Random(1), fates, lambda: damaged)
    crowd.judge_step(0.04, "1.ts")
    crowd.judge_step(-0.1, "2.ts")
    assert not crowd.leaps
    crowd.judge_step(9.0, "3.ts")
    crowd.judge_step(-2.0, "4.ts")
    told = [words.partition(" leaps")[0] for words in fates.wrongs]
    assert told == ["HLS: the segment 3.ts", "HLS: the segment 4.ts"]
    damaged = True
    crowd.judge_step(9.0, "5.ts")
    assert len(fates.wrongs) == 2
    assert crowd.leaps == {UNKNOWN: 2, ENGINE: 1}


async def test_a_crowd_is_as_large_as_it_should_be_until_all_are_to_go() -> None:
    crowd = Guests(0, [], 3, random.Random(1))
    running = asyncio.create_task(crowd.run())
    await until(lambda: len(crowd.came) == 6)
    crowd.leave()
    await running
    assert crowd.most == 3
    assert set(crowd.came) == {0, 1, 2}


def test_ends_are_read_from_the_lines_that_tell_them() -> None:
    lines = ["secret x", 'ended {"agent": "a", "reason": "client_left", "at": 1.5, "skips": 0}', "held {}"]
    assert read_ends(lines) == {"a": [{"agent": "a", "reason": "client_left", "at": 1.5, "skips": 0}]}


@pytest.mark.parametrize(
    ("outcome", "recorded", "still_there", "words"),
    [
        (Outcome.CUT, ends("client_left"), [], "cut off"),
        (Outcome.CUT, {}, [], "0 recorded ends"),
        (Outcome.LEFT, ends("client_left", "client_left"), [], "2 recorded ends"),
        (Outcome.LEFT, ends("internal"), [], "internal"),
        (Outcome.LEFT, ends("client_left"), ["b"], "b is a client still"),
        (Outcome.CUT, ends("stalled_client"), [], "was ended as stalled"),
    ],
)
def test_an_end_that_does_not_fit_is_told(
    outcome: Outcome, recorded: dict[str, list[dict[str, Any]]], still_there: list[str], words: str
) -> None:
    (told,) = judge([fate(outcome)], recorded, still_there, STALL_S)
    assert words in told


def test_a_slow_reader_has_to_be_shown_as_one() -> None:
    slow = fate(Outcome.LEFT, slow_s=50.0)
    assert len(judge_slow([slow], {}, {}, 25.0)) == 1
    assert not judge_slow([slow], {"a": {"lag_bytes": 1e6, "skips": 0}}, {}, 25.0)
    assert not judge_slow([fate(Outcome.LEFT, slow_s=5.0)], {}, {}, 25.0)


def test_who_was_moved_forward_has_to_be_shown_with_a_skip_but_for_a_few_that_ended_at_once() -> None:
    fates = [Fate(f"a{number}", "slow", 0.0, Outcome.LEFT) for number in range(10)]
    moved = {fate.agent: [{"reason": "client_left", "skips": 1, "at": 0.0}] for fate in fates}
    told = {fate.agent: {"lag_bytes": 1e6, "skips": 1.0} for fate in fates}
    assert not judge_slow(fates, dict(list(told.items())[2:]), moved, 25.0)
    (words,) = judge_slow(fates, dict(list(told.items())[3:]), moved, 25.0)
    assert "a0, a1, a2" in words


def test_a_byte_too_many_is_seen_once_and_a_missing_packet_by_its_counter() -> None:
    lost: list[bool] = []
    jumps: list[tuple[int, int, int]] = []
    packets = [b"\x47\x01\x00" + bytes([0x10 | number & 15]) + bytes(184) for number in range(40)]
    verifier = Verifier(lambda: lost.append(True), lambda *jump: jumps.append(jump))
    whole = b"".join(packets[:10] + packets[11:])
    for at in range(0, len(whole), 77):
        verifier.feed(whole[at : at + 77])
    assert (lost, jumps) == ([], [(0x100, 9, 11)])
    verifier.feed(b"\x00" + packets[8] * 3)
    verifier.feed(packets[9])
    assert lost == [True]


def test_a_list_is_read_and_one_that_is_none_is_refused() -> None:
    found = read_list(LIST)
    assert (found.sequence, found.breaks, found.target_s) == (7, 3, 2)
    assert found.entries == {7: ("/hls/a/1/7.ts", False), 8: ("/hls/a/1/8.ts", True)}
    for broken in ("", LIST.replace("#EXT-X-MEDIA-SEQUENCE:7\n", ""), LIST.replace("1.500", "9.5")):
        with pytest.raises(NotAListError):
            read_list(broken)
    with pytest.raises(NotAListError):
        read_list(LIST.replace("#EXTINF:1.500,\n", ""))


def test_a_segment_is_whole_packets_with_tables_first_and_the_same_for_everybody() -> None:
    fates = Fates()
    crowd = HlsCrowd(0, [], 0, random.Random(1), fates)
    clip = load_clip(broadcast.CLIPS_FOLDER / "light.ts").data
    start = next(at for at in range(0, len(clip), 188) if clip[at + 1 : at + 3] == b"\x40\x00")
    segment = clip[start : start + 188 * 50]
    crowd.judge_segment("1.ts", segment)
    assert not fates.wrongs
    crowd.judge_segment("2.ts", segment[:-1])
    crowd.judge_segment("3.ts", segment[188 * 3 :])
    crowd.judge_segment("1.ts", segment[: 188 * 40])
    assert len(fates.wrongs) == 3


def test_stamps_of_a_segment_are_those_of_its_pictures_and_count_over_the_wrap() -> None:
    clip = load_clip(broadcast.CLIPS_FOLDER / "light.ts")
    times = stamps(clip.data)
    assert times is not None
    assert apart_s(*times) == pytest.approx(8 - 1 / 25)
    assert stamps(b"\x47\x1f\xff\x10" * 47) is None
    assert apart_s((1 << 33) - 90_000, 90_000) == 2
    assert apart_s(90_000, 0) == -1


def test_the_channel_with_other_sound_decodes_and_repeats_without_a_seam(tmp_path: Path) -> None:
    ffmpeg = tool("ffmpeg")
    assert make_clips(tmp_path)
    clip = load_clip(tmp_path / f"{dolby().clip}.ts")
    assert clip.bitrate_bps == dolby().bitrate_bps
    two_laps = clip.read(0, 2 * clip.lap_bytes // 188 * 188)
    command = [ffmpeg, "-v", "error", "-xerror", "-f", "mpegts", "-i", "pipe:0", "-f", "null", "-"]
    decoded = subprocess.run(command, input=two_laps, capture_output=True, check=False, timeout=120)
    assert (decoded.returncode, decoded.stderr) == (0, b"")
    shown = [tool("ffprobe"), "-v", "error", "-show_entries", "stream=codec_name", "-of", "json", "-f", "mpegts"]
    probed = subprocess.run([*shown, "pipe:0"], input=two_laps, capture_output=True, check=True, timeout=60)
    assert {one["codec_name"] for one in json.loads(probed.stdout)["streams"]} == {"h264", "ac3"}


def fine() -> dict[str, Any]:
    """Return the outcome of a run in which nothing is wrong."""
    held = {"tasks": 9, "threads": 6, "descriptors": 14, "children": 0, "blocks": 0, "private_dirty_bytes": 50 << 20}
    times = {"p99": 4.0, "errors": 0}
    return {
        "stats": {"total_clients": 0, "clients_closed_by_reason": {"client_left": 3}, "closed_by_reason": {}},
        "log_errors": [],
        "tally": {"out_of_sync": 0, "gave_up": 0},
        "seen": {"player left": 3},
        "jumps_by_cause": {},
        "ring_jumps_by_cause": {"a source changed": 2},
        "wrongs": [],
        "before": held,
        "after": dict(held),
        "playbacks_left": 0,
        "is_long": True,
        "api_ms": {"/api/health": times},
        "control_ms": {"p99": 2.0},
    }


SPOILT: dict[str, Callable[[dict[str, Any]], None]] = {
    "clients are left": lambda run: run["stats"].update(total_clients=1),
    "times internal": lambda run: run["stats"]["closed_by_reason"].update(internal=1),
    "the log has": lambda run: run["log_errors"].append("12:00 ERROR a mistake"),
    "out_of_sync": lambda run: run["tally"].update(out_of_sync=1),
    "gave_up": lambda run: run["tally"].update(gave_up=1),
    "without a reason": lambda run: run["seen"].update({"player cut before the headers": 1}),
    "jumps without a cause": lambda run: run["jumps_by_cause"].update(unexplained=1),
    "HLS: something": lambda run: run["wrongs"].append("HLS: something"),
    "tasks": lambda run: run["after"].update(tasks=20),
    "children": lambda run: run["after"].update(children=1),
    "blocks": lambda run: run["after"].update(blocks=1),
    "playbacks": lambda run: run.update(playbacks_left=1),
    "memory": lambda run: run["after"].update(private_dirty_bytes=83 << 20),
    "requests failed": lambda run: run["api_ms"].update({"/x": {"p99": 1.0, "errors": 2}}),
    "p99": lambda run: run["api_ms"].update({"/x": {"p99": 51.0, "errors": 0}}),
}


@pytest.mark.parametrize("words", SPOILT)
def test_each_mistake_fails_the_run(words: str) -> None:
    run = fine()
    assert failures(run, 50.0) == []
    SPOILT[words](run)
    (told,) = failures(run, 50.0)
    assert re.search(re.escape(words), told)


def test_the_api_is_not_judged_on_a_machine_that_is_late_itself() -> None:
    run = fine()
    SPOILT["p99"](run)
    run["control_ms"]["p99"] = 30.0
    assert failures(run, 50.0) == []
