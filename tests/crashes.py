"""A worker of pytest-xdist that crashed fails the whole run with a status of its own, not only the test it was at.

Whoever runs a failed test again (`dev.py check`) must not take a crash for a test that failed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

CRASHED = pytest.StashKey[bool]()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Note that a worker is gone that was not told to go."""
    if error:
        node.config.stash[CRASHED] = True


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """End with the status of an internal error."""
    if session.config.stash.get(CRASHED, False):
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
    yield
