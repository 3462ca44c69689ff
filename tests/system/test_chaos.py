"""A short chaos run, as `python3 dev.py chaos` makes long ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.programs import ROOT, Program

Keep = Callable[[Program], Program]
SEED = "7"


@pytest.mark.timeout(150)
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
