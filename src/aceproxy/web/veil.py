"""Masks the addresses of others, and the names of tokens, in everything that is told to who is no admin.

It works on the text of the answer, not on its fields: a route that tells of addresses in a new place (a field, a log
record, a reason) is covered without knowing about it. What stands in a URL stays, since that is an engine or an origin
and no viewer, and so does the same host and port elsewhere in that answer (the label of an engine). Version numbers
behind a slash stay, and one's own address.

Names of tokens stand in the member `token_name` of JSON objects and become null. A quote within a JSON string is
escaped, so that no text from outside can look like that member.

A masked address becomes a name such as `hidden-3fa2b1`, the same one for the same address until the program ends, so
that devices can be told apart. It is made with a random key: trying all addresses does not reveal it.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from aiohttp import web

from aceproxy.access.networks import read_address
from aceproxy.web.callers import caller_of

NAMES_KEPT = 4096
LARGE_BYTES = 4096  # from which on a masked text is kept for the next one who asks the same
TEXTS_KEPT = 8
VEILED_TYPES = ("application/json", "text/plain")

# What gives an address away. Each begins with a literal, by which the search is fast; the rest is looked at around it.
_SIGNS = (
    (re.compile(rb":[0-9a-fA-F]{0,4}:"), frozenset(b"0123456789abcdefABCDEF:.")),
    (re.compile(rb"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9])"), frozenset(b"0123456789.")),
)
_TOKEN_NAME = re.compile(rb'"token_name":\s?"(?:[^"\\]|\\.)*"')
_WORD = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NOT_BEFORE = _WORD | frozenset(b"./")
LONGEST = 45  # characters of an address


class Veil:
    """Masks addresses. Any thread."""

    def __init__(self) -> None:
        key = secrets.token_bytes(32)

        @functools.lru_cache(NAMES_KEPT)
        def name(spelt: bytes) -> tuple[str, bytes]:
            """Return an address in its one spelling and masked; two empty texts for what is none."""
            address = read_address(spelt.decode("ascii"))
            if address is None or address.is_unspecified:
                return "", b""
            return str(address), b"hidden-" + hmac.new(key, address.packed, hashlib.sha256).hexdigest()[:6].encode()

        self._name = name
        self._kept: OrderedDict[tuple[int, str], tuple[bytes, bytes]] = OrderedDict()

    def mask(self, text: bytes, own: str) -> bytes:
        """Return `text` with all addresses masked but `own`."""
        if len(text) < LARGE_BYTES:
            return self._mask(text, own)
        kept = self._kept.get((id(text), own))
        if kept is not None and kept[0] is text:
            return kept[1]
        masked = self._mask(text, own)
        self._kept[id(text), own] = (text, masked)
        while len(self._kept) > TEXTS_KEPT:
            self._kept.popitem(last=False)
        return masked

    def _mask(self, text: bytes, own: str) -> bytes:
        text = _TOKEN_NAME.sub(b'"token_name":null', text)
        for sign, characters in _SIGNS:
            pieces: list[bytes] = []
            done = 0
            for found in sign.finditer(text):
                start, end = _around(text, found, characters)
                if start < done or not _stands_alone(text, start, end) or _is_place_of_url(text, start, end):
                    continue
                address, masked = self._name(text[start:end])
                if not address:  # perhaps a port stands behind it
                    end = max(start, text.rfind(b":", start, end))
                    address, masked = self._name(text[start:end])
                if address and address != own:
                    pieces += (text[done:start], masked)
                    done = end
            if pieces:
                text = b"".join((*pieces, text[done:]))
        return text


def _around(text: bytes, found: re.Match[bytes], characters: frozenset[int]) -> tuple[int, int]:
    """Return where the run of an address's characters around a sign begins and ends."""
    start, end = found.span()
    while start > 0 and text[start - 1] in characters and found.start() - start < LONGEST:
        start -= 1
    while end < len(text) and text[end] in characters and end - found.end() < LONGEST:
        end += 1
    while text[end - 1 : end] == b"." or (text[end - 1 : end] == b":" and text[end - 2 : end - 1] != b":"):
        end -= 1  # the end of a sentence, or of what introduces one
    if text[start : start + 1] == b":" and text[start + 1 : start + 2] != b":":
        start += 1
    return start, end


def _stands_alone(text: bytes, start: int, end: int) -> bool:
    """Say whether this is no part of a word, a version (`Player/1.2.3.4`) or a URL."""
    if start and text[start - 1] in _NOT_BEFORE:
        return False
    if text[start - 1 : start] == b"[" and text[max(0, start - 3) : start - 1] == b"//":
        return False
    return end >= len(text) or text[end] not in _WORD


def _is_place_of_url(text: bytes, start: int, end: int) -> bool:
    """Say whether an address and the port behind it stand in a URL of the same text: an engine's name is its place."""
    if text[start - 1 : start] == b"[" and text[end : end + 1] == b"]":
        start, end = start - 1, end + 1
    stop = end + 1
    while text[stop : stop + 1].isdigit():
        stop += 1
    if text[end : end + 1] != b":" or stop == end + 1:
        return False
    at = text.find(b"://" + text[start:stop])
    return at >= 0 and not text[at + 3 + stop - start : at + 4 + stop - start].isdigit()


VEIL = web.RequestKey("veil", Veil)
IS_VEILED = web.ResponseKey("is_veiled", bool)  # the answer was masked as it was made


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads an answer that is made of pieces: their own address, and the veil, None for an admin."""

    veil: Veil | None
    own: str


def reader_of(request: web.Request) -> Reader:
    """Return who reads the answer to `request`."""
    return Reader(request.get(VEIL), caller_of(request).address)


def veiled(request: web.Request, text: bytes) -> bytes:
    """Return `text` as it may be told to who makes `request`. For answers that are written piece by piece; a piece
    must not end inside an address.
    """
    veil = request.get(VEIL)
    return text if veil is None else veil.mask(text, caller_of(request).address)


def veil_answer(request: web.Request, answer: web.StreamResponse) -> None:
    """Mask the body of an answer that is not on its way yet, if it is one that tells something."""
    if answer.get(IS_VEILED):
        return
    if isinstance(answer, web.Response) and answer.content_type in VEILED_TYPES and isinstance(answer.body, bytes):
        masked = veiled(request, answer.body)
        if masked is not answer.body:
            answer.body = masked
