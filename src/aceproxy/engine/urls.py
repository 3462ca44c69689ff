"""The normal form of http(s) URLs, and what their hosts are. Pure.

Programs read odd spellings of a host differently (`0177.0.0.1` is 127.0.0.1 to some and 177.0.0.1 to others). So the
spelling is resolved here, once, and only the resolved form is checked, compared, and sent on.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, quote, urlsplit

from aceproxy.errors import AceProxyError, Reason

URL_LIMIT = 2000  # characters of a URL, as given and in normal form

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\ufffd\u2028\u2029\ud800-\udfff]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT_IN_PATH = "%/:=&?~+!$,;'@()*[]|{}^`\"<>-._"
_LOCAL_SUFFIXES = (
    "localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa", "localdomain",
)  # fmt: skip
# ranges that carry an IPv4 address inside, so that a public look says nothing about where they lead
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def normal_url(text: str) -> str:
    """Return the normal form of an http(s) URL: lower-case host, no default port, no fragment, only ASCII.

    The normal form of a normal form is itself. Raises AceProxyError BAD_LINK for other schemes, user names, control
    characters, hosts that cannot be one, and more than URL_LIMIT characters.
    """
    text = text.strip()
    if len(text) > URL_LIMIT:
        raise _bad(f"a URL longer than {URL_LIMIT} characters")
    if _FORBIDDEN.search(text):
        raise _bad("a URL with blanks, backslashes or control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _bad("not a URL") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise _bad("a URL that is not http or https")
    if "@" in parts.netloc:
        raise _bad("a URL with a user name")
    host = normal_host(parts.hostname or "")
    place = f"[{host}]" if ":" in host else host
    if port == 0:
        raise _bad("port 0")
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        place += f":{port}"
    path = quote(parts.path or "/", safe=_KEPT_IN_PATH)
    query = quote(parts.query, safe=_KEPT_IN_PATH)
    normal = SplitResult(parts.scheme, place, path, query, "").geturl()
    if len(normal) > URL_LIMIT:
        raise _bad(f"a URL longer than {URL_LIMIT} characters")
    return normal


def normal_host(host: str) -> str:
    """Return the normal form of a host: an IPv4 address in dotted decimals, an IPv6 address without brackets, a name
    in lower-case ASCII without a final dot.

    Raises AceProxyError BAD_LINK.
    """
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host if "%" not in host else "").compressed
        except ValueError:
            raise _bad("not an IPv6 address") from None
    try:
        name = host.encode("idna").decode("ascii").lower() if not host.isascii() else host.lower()
    except UnicodeError:
        raise _bad("not a host name") from None
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _bad("not a host name")
    if _NUMBER_LABEL.fullmatch(labels[-1]):
        return str(_ipv4(labels))
    return name


def literal_address(host: str) -> Address | None:
    """Return the address that a host in normal form spells out, None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public_name(host: str) -> bool:
    """Say whether a host in normal form may be one on the public Internet.

    False for addresses that are not globally routed unicast ones, also when they are mapped into or tunnelled in
    IPv6, for names without a dot, and for suffixes that are only local.
    """
    address = literal_address(host)
    if address is not None:
        return _is_public(address)
    return "." in host and not any(host == suffix or host.endswith("." + suffix) for suffix in _LOCAL_SUFFIXES)


def named_itself(host: str, allowed: Sequence[str]) -> bool:
    """Say whether a list of hosts has this one itself, so that also an address that is not public may be behind it."""
    for entry in allowed:
        try:
            if normal_host(entry.strip().removeprefix("[").removesuffix("]")) == host:
                return True
        except AceProxyError:
            continue  # a pattern
    return False


def host_is_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Say whether a host in normal form is in a list of names, addresses, `*.example.org` and `*` (every public one).

    Addresses that are not public and names that only mean something locally must be listed themselves.
    """
    if named_itself(host, allowed):
        return True
    if is_public_name(host):
        for entry in allowed:
            word = entry.strip().lower()
            if word == "*" or (word.startswith("*.") and len(word) > 2 and host.endswith(word[1:].removesuffix("."))):
                return True
    return False


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address.sixtofour or address.teredo or any(address in network for network in _TRANSLATED):
            return False
        if address.is_site_local:
            return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_private or address.is_unspecified
    )


def _ipv4(labels: list[str]) -> ipaddress.IPv4Address:
    """Read an IPv4 address of one to four numbers, decimal, octal (0…) or hexadecimal (0x…), as `inet_aton` does."""
    if len(labels) > 4 or not all(_NUMBER_LABEL.fullmatch(label) and len(label) <= 16 for label in labels):
        raise _bad("not an IPv4 address")
    try:
        numbers = [_number(label) for label in labels]
    except ValueError:
        raise _bad("not an IPv4 address") from None
    value = numbers.pop()
    if value >= 1 << (8 * (4 - len(numbers))) or any(number > 255 for number in numbers):
        raise _bad("not an IPv4 address")
    for place, number in enumerate(numbers):
        value |= number << (8 * (3 - place))
    return ipaddress.IPv4Address(value)


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    if label.startswith("0") and len(label) > 1:
        return int(label, 8)
    return int(label)


def _bad(detail: str) -> AceProxyError:
    return AceProxyError(Reason.BAD_LINK, detail)
