"""Links that were left of late come last."""

from __future__ import annotations

from aceproxy.engine.links import parse_link
from aceproxy.streams.left_links import KNOWN_LINKS, SHUNNED_S, LeftLinks

LINKS = [parse_link(f"{number:040x}") for number in range(3)]
A, B, C = LINKS


def test_a_link_that_was_left_comes_last_for_a_while() -> None:
    left = LeftLinks()
    assert left.order(LINKS, 0.0) == LINKS, "on a machine that has just been started as well"
    left.note(A, 10.0)
    assert left.order(LINKS, 10.0 + SHUNNED_S - 1) == [B, C, A]
    left.note(B, 200.0)
    assert left.order(LINKS, 250.0) == [C, A, B]
    left.note(C, 260.0)
    assert left.order(LINKS, 261.0) == LINKS, "all are as bad"
    assert left.order(LINKS, 10.0 + SHUNNED_S) == [A, B, C]
    assert left.order([A], 261.0) == [A]


def test_no_more_than_some_links_are_remembered() -> None:
    left = LeftLinks()
    left.note(A, 0.0)
    for number in range(KNOWN_LINKS):
        left.note(parse_link(f"{number + 10:040x}"), 1.0)
    assert left.order([A, B], 2.0) == [A, B]
