"""In which order a lost source is looked for."""

from __future__ import annotations

from aceproxy.streams.ways import Way, ways_back

ONE, OTHER = "http://one", "http://other"
BOTH = frozenset({ONE, OTHER})
HERE, ELSEWHERE = Way(0, frozenset({OTHER})), Way(0, frozenset({ONE}))


def test_the_same_engine_comes_first_then_the_others_then_the_other_links() -> None:
    ways = ways_back(0, ONE, BOTH, [2, 1], others_first=False, short_runs=0)
    assert ways == [HERE, ELSEWHERE, Way(2), Way(1)]


def test_an_engine_under_suspicion_comes_after_the_others() -> None:
    assert ways_back(0, ONE, BOTH, [1], others_first=True, short_runs=0) == [ELSEWHERE, HERE, Way(1)]


def test_an_engine_that_is_gone_from_the_settings_is_not_asked_again() -> None:
    only = frozenset({OTHER})
    assert ways_back(0, ONE, only, [], others_first=False, short_runs=0) == [Way(0, frozenset({ONE}))]


def test_a_link_that_ends_again_and_again_comes_last_and_at_once_where_no_other_engine_could_help() -> None:
    assert ways_back(0, ONE, BOTH, [1], others_first=True, short_runs=1) == [ELSEWHERE, HERE, Way(1)]
    assert ways_back(0, ONE, BOTH, [1], others_first=True, short_runs=2) == [Way(1), ELSEWHERE, HERE]
    alone = frozenset({ONE})
    assert ways_back(0, ONE, alone, [1], others_first=True, short_runs=1) == [Way(1), Way(0)]


def test_of_the_other_engines_those_that_are_ahead_come_first() -> None:
    engines = BOTH | {"http://late"}
    ways = ways_back(0, ONE, engines, [1], others_first=True, short_runs=0, ahead=BOTH)
    assert ways == [
        Way(0, frozenset({ONE, "http://late"})), Way(0, frozenset({ONE})), Way(0, engines - {ONE}), Way(1)
    ]  # fmt: skip
    nobody = ways_back(0, ONE, engines, [], others_first=True, short_runs=0, ahead=frozenset({ONE}))
    assert nobody == [Way(0, frozenset({ONE})), Way(0, engines - {ONE})]
