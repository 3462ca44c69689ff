"""Playlists as text, as RFC 8216 has them. Pure.

A live list is a window on a growing row of segments. What a server must keep to, and who sees to it: the target
duration is no less than any EXTINF rounded and never changes (`window`); media and discontinuity sequence numbers only
grow (`window`); a list that has ended says so and stays (`window`); one tag per line, decimals, dates (here).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

VERSION: Final = 3  # the lowest that has decimals in EXTINF; nothing here needs a later one
_CODECS: Final = re.compile(r"[A-Za-z0-9.,]{1,200}")
LINE_LIMIT: Final = 8192  # characters of an address in a list
_BREAKS_LINE: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Segment:
    """One entry of a list. `starts_utc` belongs to its first picture.

    `is_break`: it does not go on where the segment before it ended. `is_independent`: all of it can be decoded without
    any other segment.
    """

    number: int
    duration_s: float
    starts_utc: datetime
    is_break: bool = False
    is_independent: bool = False


@dataclass(frozen=True, slots=True)
class MediaList:
    """A media playlist. `breaks_before` counts the breaks that were in it once and are not any more.

    `ended`: the last segment is the last one of all. `numbers_ahead`: by how much segments are numbered higher here
    than in their addresses.
    """

    target_s: int
    segments: tuple[Segment, ...]
    breaks_before: int = 0
    ended: bool = False
    numbers_ahead: int = 0


def media_text(playlist: MediaList, prefix: str) -> str:
    """Write a media playlist (RFC 8216 §4.3.2, §4.3.3); segment 7 is at `<prefix>7.ts`.

    Raises ValueError where an address cannot stand in a list, or a duration does not fit the target.
    """
    _check_address(prefix)
    first = playlist.segments[0].number + playlist.numbers_ahead if playlist.segments else 0
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        f"#EXT-X-TARGETDURATION:{playlist.target_s}",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.breaks_before}",
    ]
    if playlist.segments and all(segment.is_independent for segment in playlist.segments):
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    for segment in playlist.segments:
        if rounded(segment.duration_s) > playlist.target_s:
            raise ValueError(f"segment {segment.number} of {segment.duration_s} s is over {playlist.target_s} s")
        if segment.is_break:
            lines.append("#EXT-X-DISCONTINUITY")
        lines += [
            f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.starts_utc)}",
            f"#EXTINF:{_decimals(segment.duration_s)},",
            f"{prefix}{segment.number}.ts",
        ]
    if playlist.ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def master_text(
    address: str,
    peak_bps: float,
    average_bps: float,
    *,
    size: tuple[int, int] | None = None,
    frame_rate: float | None = None,
    codecs: str | None = None,
) -> str:
    """Write a master playlist with one variant (RFC 8216 §4.3.4.2); what is None is left out.

    Raises ValueError as `media_text`, and for codecs that cannot stand between quotes.
    """
    _check_address(address)
    variant = f"#EXT-X-STREAM-INF:BANDWIDTH={max(1, round(peak_bps))},AVERAGE-BANDWIDTH={max(1, round(average_bps))}"
    if codecs is not None:
        if not _CODECS.fullmatch(codecs):
            raise ValueError("no codecs of RFC 6381")
        variant += f',CODECS="{codecs}"'
    if size is not None:
        variant += f",RESOLUTION={size[0]}x{size[1]}"
    if frame_rate is not None:
        variant += f",FRAME-RATE={frame_rate:.3f}"
    return "\n".join(["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", variant, address]) + "\n"


def rounded(duration_s: float) -> int:
    """Return a duration as it is compared with the target: the nearest whole number, halves up."""
    return int(duration_s + 0.5)


def _decimals(duration_s: float) -> str:
    """Write a duration, cut off and not rounded: it must not come to exceed the target on paper."""
    ticks = max(1, int(duration_s * 100_000 + 1e-4))
    return f"{ticks // 100_000}.{ticks % 100_000:05d}"


def _date(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _check_address(text: str) -> None:
    if _BREAKS_LINE.search(text) or text.startswith("#") or len(text) > LINE_LIMIT:
        raise ValueError("the address cannot stand in a list")
