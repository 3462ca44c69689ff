"""Names, values and lives of faults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.simulator.faults import FAULTS, Fault, FaultBoard, FaultError

HASH = "a" * 40
DOCS = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"


def example(name: str) -> str | None:
    """Return a value that a fault takes."""
    kind = FAULTS[name].value
    return {"": None, "seconds": "1.5", "count": "3", "text": "engine.example:1"}.get(kind, kind.split("|")[-1])


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_read_back_from_its_text(name: str) -> None:
    kind = FAULTS[name]
    fault = Fault(name, example(name), None if kind.engine_wide else HASH, None if kind.lasting else 2)
    assert Fault.parse(str(fault)) == fault
    assert Fault.parse(name) == Fault(name)


@given(st.text(max_size=60))
def test_any_text_is_a_fault_or_a_fault_error(text: str) -> None:
    try:
        fault = Fault.parse(text)
    except FaultError:
        return
    assert fault.name in FAULTS


def test_an_unknown_name_tells_the_nearest_known_one() -> None:
    with pytest.raises(FaultError, match="'stall-after'"):
        Fault("stall-aftr", "5")


@pytest.mark.parametrize(
    "text",
    [
        "stall-after=soon",
        "stall-after=-1",
        "stall-after=nan",
        "stall-after=inf",
        "load-failed=0",
        "load-failed=1.5",
        "never-starts=1",
        "second-reader=maybe",
        "wrong-host=",
        "stall-after*0",
        "loop*2",
        "stall-after@abc",
        f"down@{HASH}",
        "",
        "=5",
    ],
)
def test_what_a_fault_does_not_take_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        Fault.parse(text)


def test_control_characters_cannot_reach_a_header() -> None:
    with pytest.raises(FaultError, match="printable"):
        Fault("foreign-redirect", "http://x/\r\nSet-Cookie: a")


def test_a_fault_for_a_content_goes_before_one_for_all() -> None:
    board = FaultBoard()
    board.set(Fault("stall-after", "1"), 0.0)
    board.set(Fault("stall-after", "2", HASH), 0.0)
    found, other = board.find("stall-after", HASH), board.find("stall-after", "b" * 40)
    assert found is not None
    assert other is not None
    assert (found.seconds, other.seconds) == (2.0, 1.0)


def test_a_fault_is_gone_after_its_times() -> None:
    board = FaultBoard()
    board.set(Fault("empty-body", "2"), 0.0)
    board.set(Fault("list-403", times=1), 0.0)
    assert [board.use("empty-body") is not None for _ in range(3)] == [True, True, False]
    assert [board.use("list-403", HASH) is not None for _ in range(2)] == [True, False]


def test_clearing_takes_one_name_or_all_and_says_so_to_who_holds_it() -> None:
    board = FaultBoard()
    held = board.set(Fault("loop"), 0.0)
    board.set(Fault("hung"), 0.0)
    assert board.clear("loop") == [Fault("loop")]
    assert held.cleared
    assert [active.fault.name for active in board.all()] == ["hung"]
    board.clear()
    assert board.all() == ()
    with pytest.raises(FaultError):
        board.clear("lopp")


def test_setting_a_fault_again_replaces_it() -> None:
    board = FaultBoard()
    first = board.set(Fault("loop", "1"), 0.0)
    second = board.set(Fault("loop", "2"), 1.0)
    assert first.cleared
    assert board.all() == (second,)


def test_the_docs_list_every_fault_with_its_value_and_default() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]*) \| ([^|]*) \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    documented = {name: (value.strip(), default.strip(), text.strip()) for name, value, default, text in rows}
    expected = {
        name: (kind.value.replace("|", ", ") or "-", f"`{kind.default}`" if kind.default else "-", kind.summary)
        for name, kind in FAULTS.items()
    }
    assert documented == expected
