"""A short chaos run, as `python3 dev.py chaos` makes long ones."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.chaos_faults import DAMAGING, OF_PROCESSES, plan
from bench.chaos_jumps import ENGINE, MOVED, SPLICE, UNKNOWN, StreamWatch, causes_of

from aceproxy.simulator import FAULTS
from tests.system.programs import ROOT, Program

Keep = Callable[[Program], Program]
SEED = "7"


@pytest.mark.timeout(240)
def test_after_trouble_of_many_kinds_nothing_is_left_and_every_end_has_a_reason(programs: Keep, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench" / "chaos.py"), "--seconds", "9", "--hold", "1", "--warm-up", "2"]
    run = programs(
        Program([*command, "--players", "12", "--engines", "2", "--api-ms", "1000", "--seed", SEED], tmp_path)
    )
    assert run.wait(140) == 0, run.out[-3000:] + run.err[-2000:]
    found = json.loads(run.find("found (.*)"))
    assert found["seed"] == int(SEED)
    assert found["steps"] >= 3
    assert found["stats"]["clients_served"] >= 12
    assert found["tally"]["received_bytes"] > 1_000_000
    assert found["hls"]["segments"] > 0
    assert found["files"]["whole"] > 0
    assert found["operators"]["calls"] > 0
    assert found["operators"]["events"] > 0


def test_every_fault_of_the_simulator_is_made_alone_and_then_in_pairs() -> None:
    steps = plan(random.Random(1), 3, ["ab" * 20])
    alone = [next(steps) for _ in range(len(FAULTS) + len(OF_PROCESSES))]
    assert {step[0].name for step in alone} == {*FAULTS, *OF_PROCESSES}
    assert {len(step) for step in alone} == {1}
    pairs = [next(steps) for _ in range(400)]
    assert {len({trouble.name for trouble in step}) for step in pairs} == {2}
    assert {trouble.name for step in pairs for trouble in step} == {*FAULTS, *OF_PROCESSES}
    assert set(FAULTS) > DAMAGING


def packets(*counters: int, pid: int = 0x100) -> bytes:
    """Return packets with these continuity counters."""
    return b"".join(bytes([0x47, pid >> 8, pid & 255, 0x10 | counter]) + bytes(184) for counter in counters)


def test_a_jump_is_the_engines_or_a_change_of_source_or_without_a_cause() -> None:
    stream = StreamWatch()
    stream.begin_source()
    stream.received(packets(0, 1, 5, 6))
    assert [cause for _, cause in stream.appended(packets(0, 1, 5, 6))] == [ENGINE]
    assert [cause for _, cause in stream.appended(packets(9))] == [UNKNOWN]
    stream.begin_source()
    stream.received(packets(3, 4))
    assert [cause for _, cause in stream.appended(packets(3, 4))] == [SPLICE]


def test_a_jump_is_the_engines_also_where_its_pid_is_sent_as_another_one() -> None:
    stream = StreamWatch()
    stream.begin_source()
    stream.received(packets(0, 1, 5, 6, pid=0x101))
    stream.pid_map = {0x100: 0x100, 0x101: 0x103}
    assert [cause for _, cause in stream.appended(packets(8, 9, 13, 14, 3, pid=0x103))] == [ENGINE, UNKNOWN]


def test_what_players_saw_is_looked_up_in_what_the_rings_were_given() -> None:
    seen = [(100.5, 256, 1, 5), (101.0, 256, 2, 9), (300.0, 256, 2, 9)]
    told = {"jumps": [[100.0, 256, 1, 5, ENGINE]], "skipped_at": [99.0]}
    assert causes_of(seen, told) == {ENGINE: 1, MOVED: 1, UNKNOWN: 1}
