"""`dev.py`: a test that fails beside others is run once more alone, and nothing else is forgiven; setting up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dev import CHANCE_LIMIT, ROOT, Outcome, find_uv, may_be_chance, run_part, set_up, was_chance

ONE_FAILED = Outcome(1, ("a",), 9)
BARE = tuple(f"-pno:{name}" for name in ("asyncio", "anyio", "schemathesis", "hypothesispytest"))  # they load for long
RUN = ("--numprocesses", "0", *BARE)
BESIDE = ("--numprocesses", "2", "-p", "tests.crashes", *BARE)
CHANCE = """
from pathlib import Path

def test_fails_once():
    mark = Path(__file__).with_name("mark")
    seen = mark.exists()
    mark.touch()
    assert seen
"""
PASSES = "\ndef test_passes():\n    pass\n"


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (ONE_FAILED, True),
        (Outcome(1, tuple(str(number) for number in range(CHANCE_LIMIT)), 0), True),
        (Outcome(1, tuple(str(number) for number in range(CHANCE_LIMIT + 1)), 900), False),
        (Outcome(1, (), 9), False),  # it fails, and nothing says why
        (Outcome(2, ("a",), 9), False),  # not collected, crashed, or interrupted
        (Outcome(3, ("a",), 9), False),  # an error in pytest
        (Outcome(4), False),
        (Outcome(5), False),  # no tests
        (Outcome(-11, ("a",), 9), False),  # killed
    ],
)
def test_only_a_few_tests_that_failed_are_looked_at_again(first: Outcome, expected: bool) -> None:
    assert may_be_chance(first) is expected


@pytest.mark.parametrize(
    ("first", "alone", "expected"),
    [
        (ONE_FAILED, Outcome(0, (), 1), True),
        (ONE_FAILED, Outcome(1, ("a",), 0), False),
        (ONE_FAILED, Outcome(0, (), 0), False),  # skipped
        (ONE_FAILED, Outcome(5), False),  # not found again
        (Outcome(1, ("a", "b"), 9), Outcome(0, (), 1), False),
        (Outcome(2, ("a",), 9), Outcome(0, (), 1), False),
    ],
)
def test_only_what_passes_alone_was_chance(first: Outcome, alone: Outcome, expected: bool) -> None:
    assert was_chance(first, alone) is expected


def project(folder: Path, body: str) -> Path:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(body)
    return folder


def test_what_passes_alone_is_told_and_forgiven(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = project(tmp_path, CHANCE + PASSES)
    assert run_part(Path(sys.executable), root, "plain", *RUN) == ("test_it.py::test_fails_once",)
    told = capfd.readouterr().out
    assert "1 failed beside others, and run once more alone (plain):\n    test_it.py::test_fails_once" in told
    assert run_part(Path(sys.executable), root, "plain", *RUN) == ()


@pytest.mark.parametrize(
    ("body", "arguments", "status", "words"),
    [
        (
            CHANCE + PASSES + "\ndef test_fails():\n    assert False\n",
            RUN,
            1,
            "2 failed beside others, and run once more",
        ),
        (PASSES + "\nimport os\ndef test_crashes():\n    os._exit(0)\n", BESIDE, 3, "crashed while running"),
        (PASSES + "\nimport nothing_of_that_name\n", RUN, 2, "1 error during collection"),
    ],
    ids=["fails", "crashes", "is not collected"],
)
def test_all_else_fails_the_check(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    body: str,
    arguments: tuple[str, ...],
    status: int,
    words: str,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(SystemExit) as left:
        run_part(Path(sys.executable), project(tmp_path, body), "plain", *arguments)
    told = capfd.readouterr().out
    assert left.value.code == status
    assert words in told
    assert told.count("test session starts") == (2 if status == 1 else 1)


def test_a_python_without_pip_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dev.TOOLS", tmp_path / "tools")
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)  # as Debian's Python without python3-venv
    with pytest.raises(SystemExit, match="python3-venv"):
        find_uv()
    assert not (tmp_path / "tools").exists()


def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, calls = tmp_path / "runtime.txt", list[str]()
    lock.touch()
    monkeypatch.setattr("dev.VENV", tmp_path / "venv")
    monkeypatch.setattr("dev.find_uv", lambda: Path("uv"))

    def uv(*command: object) -> None:
        calls.append(" ".join(map(str, command[1:3])))
        (tmp_path / "venv" / "bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / "venv" / "bin" / "python").touch()

    monkeypatch.setattr("dev.call", uv)
    made = ["venv --quiet", "pip sync", "pip install"]
    set_up(lock)
    set_up(lock)
    assert calls == made
    (tmp_path / "venv" / "bin" / "python").unlink()  # a link into the system's Python, which has become another one
    set_up(lock)
    assert calls == made * 2
