"""In which order a lost source is looked for."""

from __future__ import annotations

from aceproxy.streams.ways import Way, ways_back

ONE, OTHER = "http://one", "http://other"
BOTH = frozenset({ONE, OTHER})
HERE, ELSEWHERE = Way(0, frozenset({OTHER})), Way(0, frozenset({ONE}))


def test_the_same_engine_comes_first_then_the_others_then_the_other_links() -> None:
    ways = ways_back(0, ONE, BOTH, fallbacks=[2, 1], others_first=False)
    assert ways == [HERE, ELSEWHERE, Way(2), Way(1)]


def test_an_engine_under_suspicion_comes_after_the_others() -> None:
    assert ways_back(0, ONE, BOTH, fallbacks=[1], others_first=True) == [ELSEWHERE, HERE, Way(1)]


def test_an_engine_that_is_gone_from_the_settings_is_not_asked_again() -> None:
    only = frozenset({OTHER})
    assert ways_back(0, ONE, only, others_first=False) == [Way(0, frozenset({ONE}))]


def test_links_that_are_better_come_before_all_engines_of_the_one_that_was_lost() -> None:
    ways = ways_back(0, ONE, BOTH, better=[2], fallbacks=[1], others_first=True)
    assert ways == [Way(2), ELSEWHERE, HERE, Way(1)]
    alone = frozenset({ONE})
    assert ways_back(0, ONE, alone, better=[1], others_first=True) == [Way(1), Way(0)]


def test_an_engine_that_loses_the_link_again_is_left_for_another_one_that_does_not() -> None:
    def ways(**losses: int) -> list[Way]:
        return ways_back(0, ONE, BOTH, losses={f"http://{url}": n for url, n in losses.items()}, others_first=False)

    assert ways(one=1) == [HERE, ELSEWHERE]
    assert ways(one=2) == ways(one=2, other=1) == [ELSEWHERE, HERE]
    assert ways(one=2, other=2) == [HERE, ELSEWHERE], "the other one is no better"


def test_of_the_other_engines_those_on_which_the_link_was_lost_come_last() -> None:
    engines = BOTH | {"http://third"}
    losses = {ONE: 1, OTHER: 1}
    ways = ways_back(0, ONE, engines, losses=losses, others_first=True)
    assert ways == [Way(0, BOTH), Way(0, frozenset({ONE})), Way(0, engines - {ONE})]
    ahead = ways_back(0, ONE, engines, losses=losses, others_first=True, ahead=frozenset({OTHER}))
    assert ahead == ways, "one that is behind is better than one that loses the link"


def test_of_the_other_engines_those_that_are_ahead_come_first() -> None:
    engines = BOTH | {"http://late"}
    ways = ways_back(0, ONE, engines, fallbacks=[1], others_first=True, ahead=BOTH)
    assert ways == [
        Way(0, frozenset({ONE, "http://late"})), Way(0, frozenset({ONE})), Way(0, engines - {ONE}), Way(1)
    ]  # fmt: skip
    nobody = ways_back(0, ONE, engines, others_first=True, ahead=frozenset({ONE}))
    assert nobody == [Way(0, frozenset({ONE})), Way(0, engines - {ONE})]
