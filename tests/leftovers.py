"""What a test leaves unclosed is told by that very test, and by nobody when it failed.

A socket that is left open shows when the garbage of its test is collected, which Python does at its own time: pytest
then blames whichever test runs just then. So it is collected at the end of each test. Behind a failed test it is
collected in silence: what it had open at the line where it failed is no second failure, least of all of another test.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

FAILED = pytest.StashKey[bool]()
FILE = pytest.StashKey[Path]()


@pytest.fixture(autouse=True)
def _garbage(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect the garbage of the test: the first of its fixtures, and so the last that ends."""
    yield
    _collect(in_silence=request.node.stash.get(FAILED, False))


def _collect(*, in_silence: bool) -> None:
    heard = sys.unraisablehook
    if in_silence:
        sys.unraisablehook = lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = heard


def _let_be(item: pytest.Item) -> None:
    """Before the first test of a file, take what is loaded by now out of all collections to come.

    That is modules and what they keep, which makes collections cheap: they were a fifth of the tests' work.
    """
    if item.session.stash.get(FILE, None) != item.path:
        item.session.stash[FILE] = item.path
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test failed, in whichever of its phases."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Let go of what a failed test still holds through its traceback."""
    _let_be(item)
    done = yield
    if item.stash.get(FAILED, False):
        sys.last_value = sys.last_traceback = None
        _collect(in_silence=True)
    return done
