"""A strict reader of live lists that shares no code with the program: it holds them against RFC 8216.

Every list that a player would get, one after the other with the times at which it got them, goes to `ListChecker.take`,
which returns what is wrong with it. What the segments hold is judged by the callers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

ONCE = (
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
)
KNOWN = {*ONCE, "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-DISCONTINUITY", "EXT-X-PROGRAM-DATE-TIME", "EXTINF"}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True)
class Entry:
    """One segment of a list."""

    number: int
    uri: str
    duration_s: float
    is_break: bool
    date: datetime


@dataclass
class List:
    """A media playlist as read."""

    target_s: int = 0
    breaks_before: int = 0
    entries: list[Entry] = field(default_factory=list)
    ended: bool = False
    independent: bool = False

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return sum(entry.duration_s for entry in self.entries)


def read(text: str) -> tuple[List, list[str]]:
    """Read a media playlist by itself; returns it and what is wrong with it."""
    wrong: list[str] = []
    found = List()
    lines = text.split("\n")
    if lines[0] != "#EXTM3U" or lines[-1] != "":
        wrong.append("it does not begin with #EXTM3U and end with a line break")
    if any(ord(character) < 32 and character != "\n" for character in text):
        wrong.append("control characters")
    seen: list[str] = []
    number = first = 0
    duration: str | None = None
    date: str | None = None
    is_break = False
    for line in lines[1:-1]:
        name, _, value = line[1:].partition(":") if line.startswith("#") else ("", "", line)
        if name:
            seen.append(name)
        if name and name not in KNOWN:
            wrong.append(f"unknown tag {name}")
        if found.ended:
            wrong.append("something follows the end")
        if name in ("EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE") and found.entries:
            wrong.append(f"{name} after a segment")
        if name == "EXT-X-TARGETDURATION":
            found.target_s = int(value)
        elif name == "EXT-X-MEDIA-SEQUENCE":
            number = first = int(value)
        elif name == "EXT-X-DISCONTINUITY-SEQUENCE":
            found.breaks_before = int(value)
        elif name == "EXT-X-INDEPENDENT-SEGMENTS":
            found.independent = True
        elif name == "EXT-X-DISCONTINUITY":
            is_break = True
        elif name == "EXT-X-PROGRAM-DATE-TIME":
            date = value
        elif name == "EXTINF":
            duration = value
        elif name == "EXT-X-ENDLIST":
            found.ended = True
        elif not name:
            if duration is None or not re.fullmatch(r"\d+(\.\d+)?,", duration):
                wrong.append(f"segment {line!r} has EXTINF {duration!r}")
                continue
            if date is None or not DATE.fullmatch(date):
                wrong.append(f"segment {line!r} has date {date!r}")
                continue
            found.entries.append(Entry(number, line, float(duration[:-1]), is_break, datetime.fromisoformat(date)))
            number += 1
            duration, date, is_break = None, None, False
    wrong += [f"{name} {seen.count(name)} times" for name in ONCE[:4] if seen.count(name) != 1]
    if not 0 <= first < 1 << 53:
        wrong.append("a media sequence that players cannot count with")
    for entry in found.entries:
        if int(entry.duration_s + 0.5) > found.target_s:
            wrong.append(f"{entry.duration_s} s is over the target of {found.target_s} s")
        if entry.duration_s <= 0:
            wrong.append("a segment without duration")
    for one, other in zip(found.entries, found.entries[1:], strict=False):
        step_s = (other.date - one.date).total_seconds()
        if step_s < 0 or (not other.is_break and abs(step_s - one.duration_s) > 0.05):
            wrong.append(f"dates {step_s} s apart after a segment of {one.duration_s} s")
    return found, wrong


class ListChecker:
    """Follows the lists at one address."""

    def __init__(self) -> None:
        self.lists = 0
        self.breaks = 0
        self.last: List | None = None
        self._known: dict[int, Entry] = {}
        self._owed: dict[int, tuple[str, float]] = {}  # number -> address, until when it must be there
        self._longest_s: dict[int, float] = {}  # the longest list that each one was in

    def take(self, text: str, at: float) -> list[str]:
        """Take the next list, which came at `at`; returns what is wrong."""
        new, wrong = read(text)
        old, self.last = self.last, new
        self.lists += 1
        if not new.entries:
            wrong.append("a list without segments")
            return wrong
        if old is not None:
            wrong += self._compare(old, new, at)
        for entry in new.entries:
            known = self._known.setdefault(entry.number, entry)
            if known is entry:
                self.breaks += entry.is_break
            elif known != entry:
                wrong.append(f"segment {entry.number} was {known} and is {entry}")
            self._longest_s[entry.number] = max(self._longest_s.get(entry.number, 0.0), new.duration_s)
            self._owed[entry.number] = (entry.uri, float("inf"))
        return wrong

    def owed(self, at: float) -> list[str]:
        """Return the addresses of all segments that must be there at `at`."""
        self._owed = {number: pair for number, pair in self._owed.items() if pair[1] > at}
        return [uri for uri, _ in self._owed.values()]

    def _compare(self, old: List, new: List, at: float) -> list[str]:
        wrong = []
        first, last = new.entries[0].number, new.entries[-1].number
        if new.target_s != old.target_s:
            wrong.append(f"the target changed from {old.target_s} to {new.target_s}")
        if first < old.entries[0].number or last < old.entries[-1].number:
            wrong.append("numbers went back")
        if first > old.entries[-1].number + 1:
            wrong.append(f"segments between {old.entries[-1].number} and {first} were in no list")
        removed = [entry for entry in old.entries if entry.number < first]
        if new.breaks_before != old.breaks_before + sum(entry.is_break for entry in removed):
            wrong.append(f"discontinuity sequence {old.breaks_before} became {new.breaks_before}")
        if removed and new.duration_s < 3 * new.target_s:
            wrong.append(f"shortened to {new.duration_s} s, less than three targets of {new.target_s} s")
        if old.ended and new != old:
            wrong.append("a list that had ended changed")
        for entry in removed:
            self._owed[entry.number] = (entry.uri, at + entry.duration_s + self._longest_s[entry.number])
        return wrong
