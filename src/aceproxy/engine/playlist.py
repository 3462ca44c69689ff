"""HLS playlists as text, read strictly (RFC 8216 §4). Pure.

What comes here is hostile: an origin's list may say anything. Lengths and counts are bounded, addresses are resolved
but not judged (that is `fetching`'s affair), and what cannot be played from plain transport stream segments is an
error. The only exception that leaves is PlaylistError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin

TEXT_LIMIT = 512 << 10  # characters of a list
LINES_LIMIT = 20_000
SEGMENTS_LIMIT = 5_000
VARIANTS_LIMIT = 100
URL_LIMIT = 2_000
LONGEST_S = 120.0  # of a segment

_TAG = re.compile(r"#(EXT[A-Z0-9-]*)(?::(.*))?")
_WHOLE = re.compile(r"[0-9]{1,18}")
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{0,12})?)\s*(?:,.*)?")
_METHOD = re.compile(r"(?:^|,)\s*METHOD=([A-Z0-9-]+)")
_BANDWIDTH = re.compile(r"(?:^|,)\s*BANDWIDTH=([0-9]{1,12})")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\ufffd\u2028\u2029\ud800-\udfff]")


class PlaylistError(Exception):
    """This is no list that can be played; the message says why. `encrypted`: its segments are."""

    def __init__(self, words: str, *, encrypted: bool = False) -> None:
        super().__init__(words)
        self.encrypted = encrypted


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. `sequence` is its media sequence number, `url` absolute."""

    sequence: int
    url: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class MediaList:
    """A media playlist. `is_complete`: nothing will be added (EXT-X-ENDLIST)."""

    segments: tuple[Segment, ...]
    target_s: float
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """One stream of a master playlist."""

    url: str
    bandwidth_bps: int


def parse_playlist(text: str, url: str) -> MediaList | tuple[Variant, ...]:
    """Read a list that was fetched from `url`: a media playlist, or the variants of a master playlist, best first.

    Raises PlaylistError.
    """
    if len(text) > TEXT_LIMIT:
        raise PlaylistError("too long a list")
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].strip() != "#EXTM3U":
        raise PlaylistError("not a list: it does not begin with #EXTM3U")
    if len(lines) > LINES_LIMIT:
        raise PlaylistError("too many lines")
    reading = _Reading(url)
    for line in lines[1:]:
        reading.take(line.strip())
    return reading.result()


class _Reading:
    """A list that is being read line by line."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._segments: list[Segment] = []
        self._variants: list[Variant] = []
        self._sequence = 0
        self._target_s: float | None = None
        self._is_complete = False
        self._duration_s: float | None = None  # of the segment whose address comes next
        self._bandwidth_bps: int | None = None  # of the variant whose address comes next

    def take(self, line: str) -> None:
        if not line:
            return
        if not line.startswith("#"):
            self._address(line)
            return
        tag = _TAG.fullmatch(line)
        if tag is not None:
            self._tag(tag[1], tag[2] or "")

    def _tag(self, name: str, value: str) -> None:
        if name == "EXTINF":
            found = _DURATION.fullmatch(value.strip())
            if found is None or float(found[1]) > LONGEST_S:
                raise PlaylistError("a segment without a sensible duration")
            self._duration_s = float(found[1])
        elif name == "EXT-X-TARGETDURATION":
            self._target_s = float(_whole(value))
        elif name == "EXT-X-MEDIA-SEQUENCE":
            if self._segments:
                raise PlaylistError("the sequence number comes behind the first segment")
            self._sequence = _whole(value)
        elif name == "EXT-X-ENDLIST":
            self._is_complete = True
        elif name == "EXT-X-STREAM-INF":
            found = _BANDWIDTH.search(value)
            self._bandwidth_bps = int(found[1]) if found is not None else 0
        elif name == "EXT-X-KEY":
            found = _METHOD.search(value)
            if found is None or found[1] != "NONE":
                raise PlaylistError("its segments are encrypted", encrypted=True)
        elif name in ("EXT-X-MAP", "EXT-X-BYTERANGE"):
            raise PlaylistError("its segments are not whole transport stream files")

    def _address(self, line: str) -> None:
        try:
            url = urljoin(self._url, line)
        except ValueError:
            raise PlaylistError("a broken address") from None
        if len(url) > URL_LIMIT or _FORBIDDEN.search(url):
            raise PlaylistError("a broken address")
        if self._bandwidth_bps is not None:
            if len(self._variants) < VARIANTS_LIMIT:
                self._variants.append(Variant(url, self._bandwidth_bps))
            self._bandwidth_bps = None
        elif self._duration_s is not None:
            if len(self._segments) >= SEGMENTS_LIMIT:
                raise PlaylistError("too many segments")
            self._segments.append(Segment(self._sequence + len(self._segments), url, self._duration_s))
            self._duration_s = None
        else:
            raise PlaylistError("an address of nothing")

    def result(self) -> MediaList | tuple[Variant, ...]:
        if self._variants and self._segments:
            raise PlaylistError("a master list and a media list in one")
        if self._variants:
            return tuple(sorted(self._variants, key=lambda one: -one.bandwidth_bps))
        if self._target_s is None:
            raise PlaylistError("a list without a target duration")
        return MediaList(tuple(self._segments), min(max(self._target_s, 1.0), LONGEST_S), self._is_complete)


def _whole(value: str) -> int:
    if not _WHOLE.fullmatch(value.strip()):
        raise PlaylistError("a number that is none")
    return int(value)
