"""Faults: what can be made to go wrong, by name, with an optional value, for one content or for all.

Text form: `name[=value][*times][@infohash]`, for example `stall-after=5`, `load-failed*1@<infohash>`. A fault with
`times` is gone after it has shown itself that often. `docs/simulator.md` lists all of them; a test compares the two.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass


class FaultError(ValueError):
    """A fault was named or given a value that does not exist."""


@dataclass(frozen=True)
class FaultKind:
    """What a fault does. `value` says what it takes: "", "seconds", "count", "text" or choices separated by "|".

    A `lasting` fault is a state and takes no `times`; an `engine_wide` one takes no infohash.
    """

    summary: str
    value: str = ""
    default: str = ""
    lasting: bool = False
    engine_wide: bool = False


FAULTS: dict[str, FaultKind] = {
    # start calls
    "slow-start": FaultKind("the start call is answered that much later", "seconds", "10"),
    "never-starts": FaultKind("the start succeeds, then `prebuf` with no peers for ever"),
    "json-hang": FaultKind("a JSON start is never answered"),
    "load-failed": FaultKind("`failed to load content`, that many times or for ever", "count"),
    "missing-option": FaultKind(
        "an option was not bought: error of the start, or event that ends it", "start|event", "start"
    ),
    "got-newer-download": FaultKind("the start fails with `got newer download`"),
    "foreign-redirect": FaultKind(
        "the start is a 302 to a foreign address", "text", "http://cdn.example/live/chunklist_b1600000.m3u8"
    ),
    "wrong-host": FaultKind("URLs in answers name this host", "text", "192.0.2.1:6878", lasting=True),
    "encrypted": FaultKind("`is_encrypted` is 1 and the progressive stream is scrambled", lasting=True),
    # any JSON answer under /ace/
    "python-error": FaultKind("start, stat and command are 500 with a Python exception text"),
    "text-answer": FaultKind("start, stat and command answer text that is not JSON"),
    "truncated-json": FaultKind("start, stat and command answers break off in the middle"),
    "extra-fields": FaultKind("JSON answers carry unknown fields"),
    "drip-answers": FaultKind(
        "every answer but media comes byte by byte, with that much time between two",
        "seconds",
        "0.005",
        engine_wide=True,
    ),
    "stat-hang": FaultKind("stat is never answered"),
    "stop-hang": FaultKind("the stop command works but is never answered"),
    "livepos": FaultKind("`livepos` of stat is left out, all -1, or integers", "missing|unknown|ints", "missing"),
    # media
    "early-500": FaultKind("that many media requests get 500 `start timeout`, then it works", "count", "1"),
    "headers-held": FaultKind("media requests never get headers"),
    "empty-body": FaultKind("media is 200 and 0 bytes, that many times or for ever", "count"),
    "html-body": FaultKind("media is 200 and a page of HTML, that many times or for ever", "count"),
    "stall-after": FaultKind("media stops after that much time, the socket stays open", "seconds", "5"),
    "frozen-after": FaultKind("the same, but stat goes on as if it were delivered", "seconds", "5"),
    "forgotten-after": FaultKind("the session is forgotten; its socket stays open and silent", "seconds", "5"),
    "rst-after": FaultKind("media is reset after that much time", "seconds", "5"),
    "eof-after": FaultKind("media ends cleanly after that much time", "seconds", "5"),
    "pauses": FaultKind("media pauses that long, plays on for as long, and so on", "seconds", "3"),
    "loop": FaultKind(
        "the last seconds repeat; `live_last` and media sequence are frozen", "seconds", "8", lasting=True
    ),
    "repeats": FaultKind("the broadcaster repeats his last seconds; `live_last` goes on", "seconds", "8", lasting=True),
    "garbage": FaultKind("random bytes instead of a transport stream"),
    "garbage-between": FaultKind("random bytes mixed in, once in so much media", "seconds", "1"),
    "garbage-first": FaultKind(
        "the first so much of each body is random bytes, then it goes on as it should", "seconds", "1"
    ),
    "clock-jumps": FaultKind("after that much time all clocks are three hours later", "seconds", "3"),
    "clock-stuck": FaultKind("PCR stands still; PTS and DTS go on"),
    "slow-media": FaultKind("live media comes with that share of its rate", "half|tenth", "half"),
    "one-packet-per-second": FaultKind("one transport stream packet per second"),
    "no-keyframes": FaultKind("no random-access point ever"),
    "mp4-bytes": FaultKind("the body looks like MP4"),
    "drip-media": FaultKind("headers and the first bytes of media come one by one, the rest in odd pieces"),
    "chunked-body": FaultKind("media comes with chunked transfer coding"),
    "second-reader": FaultKind(
        "what a second reader of one playback gets", "corrupt|steal|ok", "corrupt", lasting=True
    ),
    "list-403": FaultKind("HLS lists are 403"),
    # sessions and the engine as a whole
    "session-vanishes": FaultKind("sessions are forgotten that long after their start", "seconds", "5"),
    "hung": FaultKind(
        "connections are accepted, nothing is answered, media stands still", lasting=True, engine_wide=True
    ),
    "down": FaultKind(
        "the port is closed, that long or until cleared; sessions are lost",
        "seconds",
        "inf",
        lasting=True,
        engine_wide=True,
    ),
    "remote-refused": FaultKind("the caller counts as remote and is refused", "close|403", "close", engine_wide=True),
}

FAULT_TEXT = re.compile(
    r"(?P<name>[a-z0-9-]+)(=(?P<value>[^@]*?))?(\*(?P<times>[0-9]{1,6}))?(@(?P<infohash>[0-9a-fA-F]{40}))?"
)


@dataclass(frozen=True)
class Fault:
    """One fault to set. `value` None means the kind's default; `infohash` None means every content."""

    name: str
    value: str | None = None
    infohash: str | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        """Check name and value. Raises FaultError, which names the nearest known fault."""
        kind = FAULTS.get(self.name)
        if kind is None:
            near = difflib.get_close_matches(self.name, FAULTS, n=1, cutoff=0.0)
            raise FaultError(f"no fault {self.name!r}; the nearest is {near[0]!r}")
        if self.value is not None:
            check_value(self.name, kind, self.value)
        if self.infohash is not None and not re.fullmatch(r"[0-9a-f]{40}", self.infohash):
            raise FaultError(f"an infohash has 40 lower-case hex digits, not {self.infohash!r}")
        if self.infohash is not None and kind.engine_wide:
            raise FaultError(f"{self.name} is about the whole engine, not one content")
        if self.times is not None and (self.times < 1 or kind.lasting):
            raise FaultError(f"{self.name} cannot show itself {self.times} times")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read the text form. Raises FaultError."""
        match = FAULT_TEXT.fullmatch(text.strip())
        if match is None:
            raise FaultError(f"not a fault: {text!r}; the form is name[=value][*times][@infohash]")
        times, infohash = match["times"], match["infohash"]
        return cls(match["name"], match["value"], infohash.lower() if infohash else None, int(times) if times else None)

    def __str__(self) -> str:
        """Return the text form."""
        value = "" if self.value is None else f"={self.value}"
        times = "" if self.times is None else f"*{self.times}"
        return f"{self.name}{value}{times}{'@' + self.infohash if self.infohash else ''}"


def check_value(name: str, kind: FaultKind, value: str) -> None:
    """Raise FaultError if a fault does not take `value`."""
    if kind.value == "":
        raise FaultError(f"{name} takes no value")
    if kind.value == "seconds":
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value):
            raise FaultError(f"{name} takes seconds, not {value!r}")
    elif kind.value == "count":
        if not re.fullmatch(r"[1-9][0-9]{0,5}", value):
            raise FaultError(f"{name} takes a count, not {value!r}")
    elif kind.value == "text":
        if not value.isascii() or not value.isprintable() or not value:
            raise FaultError(f"{name} takes printable ASCII text")
    elif value not in kind.value.split("|"):
        raise FaultError(f"{name} takes {kind.value}, not {value!r}")


class ActiveFault:
    """A fault that is set. `cleared` turns true when it is taken away (not when its times are used up)."""

    def __init__(self, fault: Fault, set_at: float) -> None:
        """`set_at` is monotonic."""
        kind = FAULTS[fault.name]
        self.fault = fault
        self.set_at = set_at
        self.value = kind.default if fault.value is None else fault.value
        self.left = fault.times
        if self.left is None and kind.value == "count" and self.value:
            self.left = int(self.value)
        self.cleared = False

    @property
    def seconds(self) -> float:
        """The value as seconds."""
        return float(self.value)


class FaultBoard:
    """The faults set now: at most one of each name and content; one for a content goes before one for all."""

    def __init__(self) -> None:
        """Nothing is set."""
        self._active: dict[tuple[str, str | None], ActiveFault] = {}

    def set(self, fault: Fault, now: float) -> ActiveFault:
        """Set a fault, replacing one of the same name and content."""
        key = (fault.name, fault.infohash)
        if key in self._active:
            self._active[key].cleared = True
        active = self._active[key] = ActiveFault(fault, now)
        return active

    def clear(self, name: str | None = None) -> list[Fault]:
        """Take away every fault called `name`, or all; return them. Raises FaultError for an unknown name."""
        if name is not None:
            Fault(name)
        gone = [key for key in self._active if name is None or key[0] == name]
        found = [self._active.pop(key) for key in gone]
        for active in found:
            active.cleared = True
        return [active.fault for active in found]

    def find(self, name: str, infohash: str | None = None) -> ActiveFault | None:
        """Return the fault that counts for a content, if one is set."""
        return self._active.get((name, infohash)) or self._active.get((name, None))

    def use(self, name: str, infohash: str | None = None) -> ActiveFault | None:
        """Return the fault that counts and note that it showed itself; the last of its times takes it away."""
        active = self.find(name, infohash)
        if active is not None and active.left is not None:
            active.left -= 1
            if active.left <= 0:
                del self._active[active.fault.name, active.fault.infohash]
        return active

    def all(self) -> tuple[ActiveFault, ...]:
        """Return every fault set now."""
        return tuple(self._active.values())
