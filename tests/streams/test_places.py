"""Places: how much one address, or one token, may play."""

from __future__ import annotations

from typing import Any

import pytest

from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.client import Ticket, Visitor
from aceproxy.streams.places import Places


def places(**changes: Any) -> Places:
    """Places with these limits."""
    return Places(Settings.model_validate(changes))


def visitor(address: str = "192.0.2.1", ticket: Ticket | None = None) -> Visitor:
    """Somebody who wants to play."""
    return Visitor(address, "player", ticket)


def refusal(at: Places, who: Visitor, stream_id: str) -> Reason:
    """Return why a place is refused."""
    with pytest.raises(AceProxyError) as caught:
        at.take(who, stream_id)
    return caught.value.reason


def test_without_limits_everybody_may_play() -> None:
    at = places()
    taken = [at.take(visitor(), f"stream {number}") for number in range(100)]
    assert len(at) == 100
    for place in taken:
        place.leave()
        place.leave()
    assert len(at) == 0
    assert at._taken == {}


def test_an_address_has_so_many_clients_and_no_more_until_one_leaves() -> None:
    at = places(max_clients_per_address=2)
    first = at.take(visitor(), "a")
    at.take(visitor(), "a")
    assert refusal(at, visitor(), "a") is Reason.TOO_MANY_FOR_ADDRESS
    at.take(visitor("192.0.2.2"), "a")
    first.leave()
    at.take(visitor(), "b")


def test_an_address_has_so_many_streams_and_any_number_of_clients_of_them() -> None:
    at = places(max_streams_per_address=1)
    place = at.take(visitor(), "a")
    for _ in range(4):
        at.take(visitor(), "a")
    assert refusal(at, visitor(), "b") is Reason.TOO_MANY_FOR_ADDRESS
    place.leave()
    assert refusal(at, visitor(), "b") is Reason.TOO_MANY_FOR_ADDRESS


def test_a_token_has_its_own_limits_or_those_of_the_settings() -> None:
    at = places(max_clients_per_token=1)
    usual = Ticket("t1", "usual", None, None)
    large = Ticket("t2", "large", 3, None)
    free = Ticket("t3", "free", 0, 1)
    at.take(visitor("192.0.2.1", usual), "a")
    assert refusal(at, visitor("192.0.2.2", usual), "a") is Reason.TOO_MANY_FOR_TOKEN
    for number in range(3):
        at.take(visitor(f"192.0.2.{number}", large), f"{number}")
    assert refusal(at, visitor(ticket=large), "a") is Reason.TOO_MANY_FOR_TOKEN
    for _ in range(9):
        at.take(visitor(ticket=free), "a")
    assert refusal(at, visitor(ticket=free), "b") is Reason.TOO_MANY_FOR_TOKEN
    assert at.count("t2") == 3
    assert at.count("t3") == 9
    assert at.count("unknown") == 0


def test_a_refused_visitor_takes_no_place() -> None:
    at = places(max_clients_per_token=1)
    ticket = Ticket("t", "", None, None)
    at.take(visitor("192.0.2.1", ticket), "a")
    refusal(at, visitor("192.0.2.2", ticket), "a")
    assert len(at) == 1
    assert ("address", "192.0.2.2") not in at._taken


def test_as_many_may_wait_as_may_play() -> None:
    at = places(max_clients=2)
    for number in range(4):
        at.take(visitor(f"192.0.2.{number}"), "a")
    assert refusal(at, visitor("192.0.2.9"), "a") is Reason.TOO_MANY_CLIENTS


def test_taking_a_token_back_marks_its_places_and_no_others() -> None:
    at = places()
    ticket = Ticket("t", "", None, None)
    marked = at.take(visitor(ticket=ticket), "a")
    left = at.take(visitor(ticket=ticket), "a")
    other = at.take(visitor(), "a")
    left.leave()
    at.revoke("t")
    at.revoke("unknown")
    assert [place.is_revoked for place in (marked, left, other)] == [True, False, False]
    marked.leave()
    assert at._with_token == {}
