"""Where a request comes from: the peer, or what trusted reverse proxies say of the client behind them.

`X-Forwarded-For` and `Forwarded` (RFC 7239) are lists to which every proxy appends who asked it, so only the right end
can be believed: from there, as long as the speaker is a trusted proxy. Whoever is not one could have written anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDictProxy

from aceproxy.access.networks import Networks, read_address

HOPS_LIMIT = 20  # entries at the right end that are looked at
NO_HOST = "://"  # of a target in absolute form that names no host: no name of ours
UNKNOWN = "unknown"  # the address of a client whom a proxy does not name, or about whom the headers disagree
_PAIR = re.compile(r'\s*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*(;|,|$)')


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, and how the client spelt where it went.

    `address` is an IP address or `unknown`. `host` is what the client wrote as Host (with its port), unchecked: the
    guard has refused names that are not ours before anybody uses it. `scheme` is http or https. `relayed`: the request
    says it passed a proxy that is not trusted, so `address` is that proxy's and tells nothing about who asks.
    """

    address: str
    scheme: str
    host: str
    relayed: bool


@dataclass(frozen=True, slots=True)
class _Hop:
    """What a proxy appended about who asked it."""

    address: str
    scheme: str = ""
    host: str = ""


class Forwarding:
    """Reads requests' origins, believing the proxies in `trusted` (the setting `trusted_proxies`)."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = Networks(trusted)

    def origin(self, request: web.BaseRequest) -> Origin:
        """Return where `request` comes from. Never raises."""
        peer = normal_address(request.remote or "")
        headers = request.headers
        if peer not in self._trusted:
            return Origin(peer, request.scheme, asked_host(request), relayed=_tells_of_a_client(headers))
        by_list = self._client(peer, _x_forwarded(headers))
        by_standard = self._client(peer, _forwarded(headers))
        hop = by_list or by_standard or _Hop(peer, *_x_names(headers))
        if by_list and by_standard and by_list.address != by_standard.address:
            # The proxy writes one of them, the client wrote the other, and we cannot know which is which.
            return Origin(UNKNOWN, request.scheme, asked_host(request), relayed=False)
        scheme = hop.scheme if hop.scheme in ("http", "https") else request.scheme
        return Origin(hop.address, scheme, hop.host or asked_host(request), relayed=False)

    def _client(self, peer: str, hops: list[_Hop]) -> _Hop | None:
        """Return the right-most hop that is no trusted proxy; the left-most one if all are."""
        found: _Hop | None = None
        speaker = peer
        for hop in reversed(hops):
            if speaker not in self._trusted:
                break
            found = hop
            speaker = hop.address
        return found


def asked_host(request: web.BaseRequest) -> str:
    """Return the host, with its port, that a request is made to, empty if it names none.

    Of a target in absolute form (`GET http://host/ HTTP/1.1`) it is the target's own: the Host header is ignored then
    (RFC 9112 §3.2.2). Never raises.
    """
    target = request.raw_path
    scheme, mark, rest = target.partition("://")
    if target.startswith("/") or not mark or not scheme.isalnum():
        return request.headers.get("Host", "")
    return re.split(r"[/?#]", rest, maxsplit=1)[0] or NO_HOST


def normal_address(text: str) -> str:
    """Return an address in its one spelling, `unknown` for what is none."""
    address = read_address(text)
    return UNKNOWN if address is None else str(address)


def _tells_of_a_client(headers: CIMultiDictProxy[str]) -> bool:
    return "X-Forwarded-For" in headers or any(hop.address for hop in _forwarded(headers))


def _x_forwarded(headers: CIMultiDictProxy[str]) -> list[_Hop]:
    """Read X-Forwarded-For, and -Proto and -Host, which the proxy next to us has set or checked."""
    if "X-Forwarded-For" not in headers:
        return []
    scheme, host = _x_names(headers)
    entries = ",".join(headers.getall("X-Forwarded-For")).split(",")[-HOPS_LIMIT:]
    return [_Hop(_node(entry.strip()), scheme, host) for entry in entries]


def _x_names(headers: CIMultiDictProxy[str]) -> tuple[str, str]:
    """Return the scheme and host that the proxy next to us tells, which it may without naming its client."""
    return _last(headers, "X-Forwarded-Proto").lower(), _last(headers, "X-Forwarded-Host")


def _last(headers: CIMultiDictProxy[str], name: str) -> str:
    return ",".join(headers.getall(name, [])).rpartition(",")[2].strip()


def _forwarded(headers: CIMultiDictProxy[str]) -> list[_Hop]:
    """Read Forwarded (RFC 7239 §4); of a malformed one nothing to the left of the damage is believed, nor it itself."""
    text = ",".join(headers.getall("Forwarded", []))
    hops: list[_Hop] = []
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            hops, pairs = [_Hop(UNKNOWN)], {}
            after = text.find(",", at)
            at = len(text) if after < 0 else after + 1
            continue
        name, quoted, plain, end = found.groups()
        pairs[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
        at = found.end()
        if end != ";":
            hops.append(_element(pairs))
            pairs = {}
    if pairs:
        hops.append(_element(pairs))
    return hops[-HOPS_LIMIT:] if any(hop.address for hop in hops) else []


def _element(pairs: dict[str, str]) -> _Hop:
    node = pairs.get("for")
    return _Hop("" if node is None else _node(node), pairs.get("proto", "").lower(), pairs.get("host", ""))


def _node(text: str) -> str:
    """Return the address of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`, else `unknown`."""
    if text.startswith("["):
        return normal_address(text[1:].partition("]")[0])
    if text.count(":") == 1:
        text = text.partition(":")[0]
    return normal_address(text)
