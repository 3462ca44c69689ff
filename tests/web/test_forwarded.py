"""Where requests come from: only trusted proxies are believed, and only the right end of what they pass on."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aceproxy.access.networks import Networks, read_address
from aceproxy.web.forwarded import Forwarding, Origin

PROXY = "10.0.0.1"
Headers = list[tuple[str, str]]


def origin(peer: str, headers: Headers, trusted: tuple[str, ...] = (PROXY, "10.0.1.0/24")) -> Origin:
    """Return where a request of `peer` with these headers comes from."""
    request = make_mocked_request("GET", "/", headers=CIMultiDict([("Host", "own:6880"), *headers])).clone(remote=peer)
    return Forwarding(trusted).origin(request)


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([], PROXY),
        ([("X-Forwarded-For", "203.0.113.7")], "203.0.113.7"),
        ([("X-Forwarded-For", "127.0.0.1, 203.0.113.7")], "203.0.113.7"),
        ([("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "203.0.113.7")], "203.0.113.7"),
        ([("X-Forwarded-For", "203.0.113.7, 10.0.1.5")], "203.0.113.7"),
        ([("X-Forwarded-For", "127.0.0.1, 203.0.113.7, 10.0.1.5")], "203.0.113.7"),
        ([("X-Forwarded-For", "10.0.1.6, 10.0.1.5")], "10.0.1.6"),
        ([("X-Forwarded-For", "203.0.113.7:4711")], "203.0.113.7"),
        ([("X-Forwarded-For", "[2001:db8::7]:4711")], "2001:db8::7"),
        ([("X-Forwarded-For", "2001:DB8:0::7")], "2001:db8::7"),
        ([("X-Forwarded-For", "::ffff:203.0.113.7")], "203.0.113.7"),
        ([("X-Forwarded-For", "127.0.0.1, <script>")], "unknown"),
        ([("X-Forwarded-For", "127.0.0.1,")], "unknown"),
        ([("X-Forwarded-For", "")], "unknown"),
        ([("Forwarded", "for=203.0.113.7")], "203.0.113.7"),
        ([("Forwarded", 'for=127.0.0.1, For="[2001:db8::7]:4711";proto=https')], "2001:db8::7"),
        ([("Forwarded", "by=10.9.9.9;for=203.0.113.7;")], "203.0.113.7"),
        ([("Forwarded", "for=_hidden, for=unknown")], "unknown"),
        ([("Forwarded", "for=127.0.0.1 ???, for=203.0.113.7")], "203.0.113.7"),
        ([("Forwarded", 'for="127.0.0.1')], "unknown"),
        ([("Forwarded", "proto=https;host=tv.example.org")], PROXY),
        # the proxy wrote one of them, the client the other
        ([("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=127.0.0.1")], "unknown"),
        ([("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7")], "203.0.113.7"),
    ],
)
def test_behind_a_trusted_proxy_the_right_most_stranger_is_the_client(headers: Headers, address: str) -> None:
    found = origin(PROXY, headers)
    assert found.address == address
    assert not found.relayed


@pytest.mark.parametrize(
    "header", [("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1"), ("X-Forwarded-For", "")]
)
def test_a_stranger_is_not_believed_and_its_request_counts_as_relayed(header: tuple[str, str]) -> None:
    claims = [header, ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https")]
    assert origin("192.0.2.9", claims) == Origin("192.0.2.9", "http", "own:6880", relayed=True)
    assert origin("127.0.0.1", claims, trusted=()) == Origin("127.0.0.1", "http", "own:6880", relayed=True)


def test_a_trusted_proxy_tells_scheme_and_host() -> None:
    found = origin(
        PROXY,
        [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "tv.example.org")],
    )
    assert (found.scheme, found.host) == ("https", "tv.example.org")
    found = origin(PROXY, [("Forwarded", "for=203.0.113.7;proto=https;host=tv.example.org")])
    assert (found.scheme, found.host) == ("https", "tv.example.org")
    assert origin(PROXY, [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "gopher")]).scheme == "http"


def test_a_trusted_proxy_may_tell_scheme_and_host_without_its_client() -> None:
    names = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example, tv.example.org")]
    assert origin(PROXY, names) == Origin(PROXY, "https", "tv.example.org", relayed=False)
    assert origin(PROXY, names[:1]) == Origin(PROXY, "https", "own:6880", relayed=False)
    assert origin(PROXY, names[1:]) == Origin(PROXY, "http", "tv.example.org", relayed=False)
    assert origin("192.0.2.9", names) == Origin("192.0.2.9", "http", "own:6880", relayed=False)


def test_a_request_without_any_such_header_is_its_peers() -> None:
    assert origin("192.0.2.9", []) == Origin("192.0.2.9", "http", "own:6880", relayed=False)
    assert origin("", []).address == "unknown"


@given(st.lists(st.tuples(st.sampled_from(["Forwarded", "X-Forwarded-For"]), st.text(max_size=60)), max_size=5))
def test_no_header_makes_a_client_of_a_trusted_proxy_look_like_nonsense(headers: Headers) -> None:
    found = origin(PROXY, headers)
    assert found.address == "unknown" or read_address(found.address) is not None


def test_networks_take_addresses_of_both_kinds() -> None:
    networks = Networks(["192.168.0.0/16", "fe80::/10", "::1/128"])
    for address in ("192.168.3.4", "::ffff:192.168.3.4", "fe80::1%eth0", "::1"):
        assert address in networks
    for address in ("192.169.0.1", "2001:db8::1", "unknown", "", "192.168.3.4.5", "::ffff:8.8.8.8"):
        assert address not in networks
