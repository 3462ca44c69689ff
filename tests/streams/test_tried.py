"""Engines that were of no use are left out while there is another one."""

from __future__ import annotations

from aceproxy.streams.tried import Tried
from aceproxy.streams.ways import Way

ALL = frozenset({"a", "b", "c"})


def test_each_engine_has_its_turn_for_each_link() -> None:
    tried = Tried()
    assert not tried
    tried.add(0, "a")
    tried.add(0, None)
    tried.add(1, "b")
    assert tried
    assert tried.others(Way(0), ALL) == Way(0, frozenset({"a"}))
    assert tried.others(Way(0, frozenset({"c"})), ALL) == Way(0, frozenset({"a", "c"}))
    assert tried.others(Way(1), ALL) == Way(1, frozenset({"b"}))
    assert tried.others(Way(0, frozenset({"c"})), ALL - {"b"}) is None
    tried.clear()
    assert tried.others(Way(0), ALL) == Way(0)
