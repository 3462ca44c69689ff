"""A test that leaves a socket open is told so itself; what a failed test had open is nobody else's failure."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

LEAK = """
import gc
import socket

class Kept:
    def __init__(self):
        self.me, self.socket = self, socket.socket()  # garbage that only a collection finds
"""


@pytest.fixture(autouse=True)
def same_rules(pytester: pytest.Pytester) -> None:
    """As this suite is run: warnings are errors, and its plugin is there."""
    pytester.makeini(
        "[pytest]\nfilterwarnings = error\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )


def test_a_leak_is_told_by_the_test_that_made_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LEAK + "def test_leaks():\n    Kept()\n\ndef test_next():\n    pass\n")
    result = pytester.runpytest_inprocess("-p", "tests.leftovers", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*Exception ignored in: <socket.socket*"])


def test_what_a_failed_test_had_open_is_no_failure_of_the_next(pytester: pytest.Pytester) -> None:
    body = "def test_fails():\n    kept = Kept()\n    assert kept is None\n\ndef test_next():\n    gc.collect()\n"
    pytester.makepyfile(LEAK + body)
    result = pytester.runpytest_inprocess("-p", "tests.leftovers", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
