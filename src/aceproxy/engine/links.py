"""Links: what people give to name a broadcast, and the one form the program uses (engine-api §2). Pure.

Everything read here comes from outside and is hostile: lengths are bounded first, nothing is echoed into an error,
and the only exception that leaves is AceProxyError.

A content id and an infohash look alike, 40 hexadecimal digits each; only where the digits came from tells them apart.
A bare number is taken for a content id, as everywhere in the AceStream world.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NewType
from urllib.parse import quote, unquote, urlsplit

from aceproxy.engine.urls import host_is_allowed, normal_url
from aceproxy.errors import AceProxyError, Reason

StreamKey = NewType("StreamKey", str)
"""The name of a broadcast inside the program: equal keys are the same broadcast."""

TEXT_LIMIT = 8192  # characters of a link as given; magnets with many trackers are long
FIELD_LIMIT = 64  # fields of one link that are looked at

_HEX40 = re.compile(r"[0-9a-fA-F]{40}")
_PLAIN = re.compile(r"(?i:acestream://)(?P<hex>[0-9a-fA-F]{40})(?:[/?#](?P<rest>.*))?", re.DOTALL)
_MRL = re.compile(r"(?i:acestream:)(?://)?\?(?P<query>.+)", re.DOTALL)
_MAGNET = re.compile(r"(?i:magnet:)\?(?P<query>.+)", re.DOTALL)
_BTIH = re.compile(r"(?i:urn:btih:)(?P<hex>[0-9a-fA-F]{40})")
_INDEX = re.compile(r"[0-9]{1,4}")
_HTTP = re.compile(r"(?i:https?):")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffd\u2028\u2029\ud800-\udfff]")

# Parameters of a start call that requests may set, each with the values it takes. They only choose between variants of
# the same broadcast or say where the engine fetches it from; they name no content, address, player or file, and they
# do not change the form of the answer. All are documented (engine-api §3.1). Everything else is dropped.
_PARAMETERS = {
    "stream_id": re.compile(r"[A-Za-z0-9_,.-]{1,32}"),  # which variant of a source with several qualities
    "quality": re.compile(r"[A-Za-z0-9_,.-]{1,32}"),  # the same, by name
    "provider": re.compile(r"[A-Za-z0-9_,.-]{1,32}"),  # the same, by origin
    "preferred_audio_language": re.compile(r"[A-Za-z]{3}"),  # which sound track, `eng`
    "disable_p2p": re.compile(r"[01]"),  # a broadcast with an HLS origin is fetched from there only
    "manifest_p2p_wait_timeout": re.compile(r"[0-9]{1,2}"),  # seconds to wait for peers when that origin fails
}

FALLBACK_LIMIT = 5  # further links of one request

_LINK_FIELDS = ("content_id", "id", "infohash", "url", "magnet")  # in the engine's order of precedence (§2)
_INDEX_FIELDS = ("_idx", "index")


class LinkKind(StrEnum):
    """What the value of a link is."""

    CONTENT_ID = "content_id"
    INFOHASH = "infohash"
    URL = "url"


@dataclass(frozen=True, slots=True)
class Link:
    """A link in its normal form; made by `parse_link` and `link_from_query`.

    `value` is 40 lower-case hexadecimal digits, or a URL in normal form. `index` picks a file of a transport file
    that has several.
    """

    kind: LinkKind
    value: str
    index: int = 0

    @property
    def digest(self) -> str:
        """40 hexadecimal digits: the value itself, or the SHA-1 of the URL."""
        if self.kind is LinkKind.URL:
            return hashlib.sha1(self.value.encode(), usedforsecurity=False).hexdigest()
        return self.value

    @property
    def key(self) -> StreamKey:
        """The stream key, such as `infohash:<40 hex>` or `url:<sha1>#2`."""
        return StreamKey(f"{self.kind}:{self.digest}" + (f"#{self.index}" if self.index else ""))

    @property
    def stream_id(self) -> str:
        """A form for addresses: 40 hexadecimal digits, with `-N` behind them for an index above 0."""
        return self.digest + (f"-{self.index}" if self.index else "")

    @property
    def label(self) -> str:
        """A short form for logs; of a URL only the host, since paths and queries may hold secrets."""
        place = f"{urlsplit(self.value).netloc}:" if self.kind is LinkKind.URL else ""
        return f"{self.kind}:{place}{self.digest[:8]}" + (f"#{self.index}" if self.index else "")

    @property
    def mrl(self) -> str:
        """The link as text that `parse_link` reads back: `acestream:?infohash=…&index=…`."""
        value = quote(self.value, safe="") if self.kind is LinkKind.URL else self.value
        return f"acestream:?{self.kind}={value}" + (f"&index={self.index}" if self.index else "")


def parse_link(text: str) -> Link:
    """Read a link in any form of engine-api §2.

    That is: 40 hexadecimal digits (a content id), `acestream://<content id>`, `acestream:?<field>=<value>&index=N`,
    `magnet:?xt=urn:btih:<infohash>` (its trackers are dropped: the engine has its own), or the http(s) URL of a
    transport file. White space around it and braces are dropped; case does not matter.

    Raises AceProxyError: BAD_LINK, NO_LINK (an MRL without a broadcast) or TWO_LINKS (an MRL with two).
    """
    text = _trimmed(text)
    if _HEX40.fullmatch(text):
        return Link(LinkKind.CONTENT_ID, text.lower())
    if plain := _PLAIN.fullmatch(text):
        rest = plain["rest"] or ""
        return Link(LinkKind.CONTENT_ID, plain["hex"].lower(), _index(_fields(rest.partition("#")[0])))
    if mrl := _MRL.fullmatch(text):
        return _link_from_fields(_fields(mrl["query"]), nested=True)
    if _MAGNET.fullmatch(text):
        return _magnet(text)
    if _HTTP.match(text):
        return Link(LinkKind.URL, normal_url(text))
    raise AceProxyError(Reason.BAD_LINK, _wrong_digits(text))


def link_from_query(query: Sequence[tuple[str, str]]) -> Link:
    """Read the link that a request names: `id`, `content_id`, `infohash`, `magnet` or `url`, and `_idx`.

    `query` holds decoded names and values. `id` takes what people paste, so any form that `parse_link` reads. Empty
    values count as not given. The same digits given as id and as infohash are one link, a content id.

    Raises AceProxyError: NO_LINK, TWO_LINKS or BAD_LINK.
    """
    return _link_from_fields(list(query), nested=False)


def fallback_links(query: Sequence[tuple[str, str]], first: Link) -> tuple[Link, ...]:
    """Read the further links of the same broadcast that a request names by `fallback`, best first.

    Each takes any form that `parse_link` reads. `first` is the request's own link; it and repeats are left out.

    Raises AceProxyError: BAD_PARAMETER for more than FALLBACK_LIMIT, BAD_LINK and the like for one that is none.
    """
    texts = [value for name, value in query if name == "fallback" and value.strip()]
    if len(texts) > FALLBACK_LIMIT:
        raise AceProxyError(Reason.BAD_PARAMETER, f"more than {FALLBACK_LIMIT} fallback links")
    links = dict.fromkeys(parse_link(text) for text in texts)
    return tuple(link for link in links if link != first)


def engine_params(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters of a request that are passed on to the engine's start call.

    Only those on the list above with a value they take; of a name given twice, the first good one. Never raises.
    """
    kept: dict[str, str] = {}
    for name, value in query:
        pattern = _PARAMETERS.get(name)
        if pattern is not None and name not in kept and pattern.fullmatch(value):
            kept[name] = value
    return kept


def check_url_host(link: Link, allowed: Sequence[str]) -> None:
    """Refuse a URL link whose host the operator has not allowed (`url_hosts`); other links always pass.

    `allowed` holds host names and addresses, `*.example.org` for every name below example.org, and `*` for every
    public host. Addresses that are not public (private, loopback, link-local, reserved, in any spelling) and names
    that only mean something locally pass only if they are listed themselves. What a public name resolves to is not
    known here: the engine does the lookup.

    Raises AceProxyError: URL_HOST_REFUSED.
    """
    if link.kind is not LinkKind.URL:
        return
    host = urlsplit(link.value).hostname or ""
    if host_is_allowed(host, allowed):
        return
    raise AceProxyError(Reason.URL_HOST_REFUSED, host[:100])


def _trimmed(text: str) -> str:
    if len(text) > TEXT_LIMIT:
        raise AceProxyError(Reason.BAD_LINK, f"longer than {TEXT_LIMIT} characters")
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    if _UNSAFE.search(text):
        raise AceProxyError(Reason.BAD_LINK, "control or undecodable characters")
    return text


def _wrong_digits(text: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]+", text):
        return f"40 hexadecimal digits are needed, these are {len(text)}"
    return "neither 40 hexadecimal digits nor an acestream:, magnet: or http(s): link"


def _fields(query: str) -> list[tuple[str, str]]:
    """Split `a=b&c=d`; `+` is left alone, since in links it is a plus and never a space."""
    pairs = []
    for part in query.split("&", FIELD_LIMIT)[:FIELD_LIMIT]:
        name, _, value = part.partition("=")
        pairs.append((unquote(name), unquote(value)))
    return pairs


def _index(fields: Sequence[tuple[str, str]]) -> int:
    values = {value.strip() for name, value in fields if name in _INDEX_FIELDS and value.strip()}
    if not values:
        return 0
    if len(values) > 1 or not _INDEX.fullmatch(value := values.pop()):
        raise AceProxyError(Reason.BAD_LINK, "the file index is not one number from 0 to 9999")
    return int(value)


def _magnet(text: str) -> Link:
    matched = _MAGNET.fullmatch(text)
    names = _fields(matched["query"]) if matched else []
    hashes = {btih["hex"].lower() for name, value in names if name == "xt" and (btih := _BTIH.fullmatch(value))}
    if len(hashes) != 1:
        raise AceProxyError(Reason.BAD_LINK, "the magnet has no single urn:btih: of 40 hexadecimal digits")
    return Link(LinkKind.INFOHASH, hashes.pop(), _index(names))


def _field_link(name: str, value: str, *, nested: bool) -> Link:
    """Read one field; inside an MRL (`nested`) no further MRL is followed."""
    value = _trimmed(value)
    if name in ("id", "content_id"):
        if nested and not _HEX40.fullmatch(value):
            raise AceProxyError(Reason.BAD_LINK, _wrong_digits(value))
        return parse_link(value)
    if name == "infohash":
        if not _HEX40.fullmatch(value):
            raise AceProxyError(Reason.BAD_LINK, "an infohash is 40 hexadecimal digits")
        return Link(LinkKind.INFOHASH, value.lower())
    if name == "magnet":
        return _magnet(value)
    return Link(LinkKind.URL, normal_url(value))


def _link_from_fields(fields: Sequence[tuple[str, str]], *, nested: bool) -> Link:
    found: list[Link] = []
    for name in _LINK_FIELDS:
        for given, value in fields:
            if given == name and value.strip():
                link = _field_link(name, value, nested=nested)
                if link not in found:
                    found.append(link)
    if not found:
        if any(name == "data" for name, _ in fields):
            raise AceProxyError(Reason.BAD_LINK, "links that carry a whole transport file (data=) are not supported")
        raise AceProxyError(Reason.NO_LINK)
    ids = {link.value for link in found if link.kind is LinkKind.CONTENT_ID}
    found = [link for link in found if link.kind is not LinkKind.INFOHASH or link.value not in ids]
    if len({(link.kind, link.value) for link in found}) > 1:
        raise AceProxyError(Reason.TWO_LINKS)
    indexes = {link.index for link in found if link.index}
    index = _index(fields) or (indexes.pop() if len(indexes) == 1 else 0)
    return replace(found[0], index=index)
