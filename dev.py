#!/usr/bin/env python3
"""Set up and run AceProxy from a checkout, with nothing but Python 3.11 or later on the machine.

    python3 dev.py demo [ARGS]     set up, then `aceproxy demo` (built-in engine simulator, no engine needed)
    python3 dev.py run ARGS...     set up, then `aceproxy ARGS...`
    python3 dev.py check [STEP]    set up, then everything that must be green: `lint` (and types, boundaries), `tests`
    python3 dev.py test [ARGS]     set up, then only the tests
    python3 dev.py fix             set up, then let ruff format and repair what it can
    python3 dev.py bench [ARGS]    set up, then the benchmark (see bench/run.py --help)
    python3 dev.py chaos [ARGS]    set up, then engines that fail in every way while many watch (--help)
    python3 dev.py soak KINDS...   set up, then clients of some kinds for long, and what memory becomes of it (--help)
    python3 dev.py lock            compile the lock files anew from pyproject.toml

The packages go to `.venv`, pinned and hash-checked by `locks/`. uv is used where it is installed and is fetched
into `.tools` where it is not.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import venv
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
OLDEST_PYTHON = (3, 11)
BIN = "Scripts" if os.name == "nt" else "bin"
RUNTIME_LOCK = ROOT / "locks" / "runtime.txt"
DEV_LOCK = ROOT / "locks" / "dev.txt"

# The tests in parts, so that what needs the machine for itself has it (docs/decisions/0024). A file is one worker's:
# its tests share a browser, films or programs.
TEST_PARTS = {
    "plain": ("-m", "not system and not alone", "--numprocesses", "4", "--dist", "loadfile"),
    "system": ("-m", "system", "--numprocesses", "3", "--dist", "loadfile"),
    "alone": ("-m", "alone"),
}
TESTS_FAILED = 1  # pytest's exit status when all ran, some failed, and nothing else went wrong
CHANCE_LIMIT = 12  # when more tests fail than this, it is not for want of processor time


def call(*command: str | Path) -> None:
    """Run a command in the project's folder; leave with its status if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def find_uv() -> Path:
    """Return uv: the one on the PATH, or one fetched into `.tools`."""
    found = shutil.which("uv")
    if found:
        return Path(found)
    own = TOOLS / BIN / "uv"
    if not own.exists() and not own.with_suffix(".exe").exists():
        if importlib.util.find_spec("ensurepip") is None:
            sys.exit("Python has no pip here. Install python3-venv (Debian, Ubuntu) or uv, then run this again.")
        print("fetching uv ...", file=sys.stderr)
        venv.create(TOOLS, with_pip=True)
        pip = [str(TOOLS / BIN / "python"), "-m", "pip", "install", "--quiet", "--retries", "1", "uv"]
        if subprocess.run(pip, check=False).returncode:
            sys.exit("uv could not be fetched: the first run needs a way to PyPI. Run this again when there is one.")
    return own


def set_up(lock: Path) -> Path:
    """Bring `.venv` to the state that `lock` describes and return its folder of programs."""
    stamp = VENV / ".lock-stamp"
    pins = lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    wanted = lock.name + " " + hashlib.sha256(pins).hexdigest()
    have = stamp.read_text() if stamp.exists() else ""
    python = VENV / BIN / "python"
    # it is a link, and leads nowhere when the system's Python was replaced
    has_python = python.exists() or python.with_suffix(".exe").exists()
    if have != wanted or not has_python:
        uv = find_uv()
        if not has_python:
            shutil.rmtree(VENV, ignore_errors=True)
            call(uv, "venv", "--quiet", "--python", sys.executable, VENV)
        call(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
        call(uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "--editable", ROOT)
        stamp.write_text(wanted)
    return VENV / BIN


def set_up_to_run() -> Path:
    """Set up for running; a checkout that is already set up for development serves as it is."""
    stamp = VENV / ".lock-stamp"
    if stamp.exists() and stamp.read_text().startswith(DEV_LOCK.name):
        return set_up(DEV_LOCK)
    return set_up(RUNTIME_LOCK)


@dataclass(frozen=True)
class Outcome:
    """How a run of tests ended: pytest's exit status, the names of those that failed, how many passed."""

    status: int
    failed: tuple[str, ...] = ()
    passed: int = 0


def may_be_chance(first: Outcome) -> bool:
    """Tell whether a failed run is worth a second look: a few tests failed, and nothing crashed or was not found."""
    return first.status == TESTS_FAILED and 0 < len(first.failed) <= CHANCE_LIMIT


def was_chance(first: Outcome, alone: Outcome) -> bool:
    """Tell whether everything that failed first has passed alone; what was skipped then has not passed."""
    return may_be_chance(first) and alone.status == 0 and not alone.failed and alone.passed >= len(first.failed)


def run_tests(python: Path, root: Path, part: str, *arguments: str) -> Outcome:
    """Run tests of the project at `root`. What pytest itself keeps of the run goes to folders named after `part`."""
    kept = root / ".pytest_cache" / f"check-{part}"
    report = kept / "report.xml"
    command = [python, "-m", "pytest", "-o", f"cache_dir={kept}", f"--junitxml={report}", *arguments]
    report.unlink(missing_ok=True)
    status = subprocess.run([str(word) for word in command], cwd=root, check=False).returncode
    failed = kept / "v" / "cache" / "lastfailed"
    names = tuple(json.loads(failed.read_text())) if failed.exists() else ()
    passed = 0
    if report.exists():
        for suite in ET.parse(report).iter("testsuite"):  # noqa: S314 - pytest wrote it just now
            counts = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
            passed += 2 * counts["tests"] - sum(counts.values())
    return Outcome(status, names, passed)


def run_part(python: Path, root: Path, part: str, *arguments: str) -> tuple[str, ...]:
    """Run a part of the tests, and what failed once more alone; returns what passed only alone.

    Leaves with pytest's status when a test fails alone too, or something else went wrong than a few tests.
    """
    shutil.rmtree(root / ".pytest_cache" / f"check-{part}", ignore_errors=True)
    first = run_tests(python, root, part, *arguments)
    if first.status == 0:
        return ()
    if not may_be_chance(first):
        sys.exit(first.status)
    tell(f"failed beside others, and run once more alone ({part}):", first.failed)
    alone = run_tests(python, root, part, "--last-failed", *arguments, "--numprocesses", "0")
    if not was_chance(first, alone):
        sys.exit(alone.status or TESTS_FAILED)
    return first.failed


def tell(words: str, names: tuple[str, ...]) -> None:
    """Print a list that cannot be overlooked."""
    line = "!" * 100
    print("", line, f"{len(names)} {words}", *(f"    {name}" for name in names), line, "", sep="\n", flush=True)


def lint(bin_dir: Path) -> None:
    """Look at everything without running it."""
    call(bin_dir / "ruff", "format", "--check")
    call(bin_dir / "ruff", "check")
    call(bin_dir / "mypy")
    call(bin_dir / "lint-imports")


def test_parts(bin_dir: Path) -> None:
    """Run all tests, part by part, and tell at the end how long each took and what passed only alone."""
    chance: list[str] = []
    took: list[str] = []
    for part, arguments in TEST_PARTS.items():
        began_at = time.monotonic()
        chance += run_part(bin_dir / "python", ROOT, part, *arguments)
        took.append(f"{part} {time.monotonic() - began_at:.0f} s")
    print("tests passed:", ", ".join(took), flush=True)
    if chance:
        tell("FAILED BESIDE OTHERS AND PASSED ALONE; the check is passed, and these tests want mending:", tuple(chance))


STEPS = {"lint": lint, "tests": test_parts}


def check(steps: list[str]) -> None:
    """Run every check, or those named, cheapest first."""
    if not set(steps) <= set(STEPS):
        sys.exit(f"no such check: {' '.join(sorted(set(steps) - set(STEPS)))}; there are {', '.join(STEPS)}")
    bin_dir = set_up(DEV_LOCK)
    for name, step in STEPS.items():
        if not steps or name in steps:
            step(bin_dir)


def lock() -> None:
    """Compile both lock files for every platform and Python that the project supports."""
    uv = find_uv()
    common = ["pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--upgrade"]
    common += ["--python-version", "3.11", "--no-annotate", "--emit-build-options"]
    call(uv, *common, "pyproject.toml", "--output-file", RUNTIME_LOCK)
    call(uv, *common, "pyproject.toml", "--group", "dev", "--output-file", DEV_LOCK)


def main() -> None:
    """Do what the first argument says."""
    if sys.version_info < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        sys.exit(f"This is Python {sys.version.split()[0]}; Python {needed} or later is needed.")
    command, *rest = sys.argv[1:] or ["help"]
    if command in ("demo", "run"):
        program = set_up_to_run() / "aceproxy"
        args = ["demo", *rest] if command == "demo" else rest
        if os.name == "nt":
            call(program, *args)
        else:
            os.execv(program, [str(program), *args])
    elif command == "check":
        check(rest)
    elif command == "test":
        call(set_up(DEV_LOCK) / "python", "-m", "pytest", *rest)
    elif command == "bench":
        call(set_up(DEV_LOCK) / "python", "bench/run.py", *rest)
    elif command == "chaos":
        call(set_up(DEV_LOCK) / "python", "bench/chaos.py", *rest)
    elif command == "soak":
        call(set_up(DEV_LOCK) / "python", "bench/soak.py", *rest)
    elif command == "fix":
        bin_dir = set_up(DEV_LOCK)
        call(bin_dir / "ruff", "check", "--fix")
        call(bin_dir / "ruff", "format")
    elif command == "lock":
        lock()
    else:
        print(__doc__.strip())
        sys.exit(0 if command in ("help", "-h", "--help") else 2)


if __name__ == "__main__":
    main()
