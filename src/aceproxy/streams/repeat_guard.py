"""Keeping old data away from clients: from where a stream's clock jumps back, packets are held until it is known why.

If the next random-access point is new, they go on: a new programme. If it went by before, the source repeats, and they
stay here until its judge has made up its mind. HOLD_BYTES bound what is held: of a repeat that is longer the oldest is
let go, up to a random-access point. What may go on after all then has no gap, from a whole picture to the newest.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from aceproxy.mpegts.repeats import RepeatWatch, Seen

HOLD_BYTES: Final = 8 << 20
HOLD_S: Final = 6.0  # without a random-access point that would decide


class Held(NamedTuple):
    """Packets that wait; `pts` and `preamble` are those of the random-access point they begin with, if they do."""

    packets: bytes
    pts: int | None
    preamble: bytes | None


class Action(Enum):
    """What follows from a random-access point."""

    NONE = auto()
    HOLD = auto()  # hold everything from there on
    RELEASE = auto()  # give out what is held


class RepeatGuard:
    """The packets held back in one stream. Belongs to the event loop."""

    def __init__(self) -> None:
        self.holding = False
        self.repeating_at: float | None = None
        self.left_out_bytes = 0  # before what is held, since there was too much
        self._watch = RepeatWatch()
        self._held: list[Held] = []
        self._bytes = 0
        self._began_at = 0.0
        self._tolerant = False
        self._until_new = False  # it is tolerated until something new comes
        self._strict = False

    def begin_source(self, *, strict: bool = False) -> None:
        """Another source follows: it is watched again. `strict`: any jump back is a repeat.

        After one that was let repeat it is watched from the first place on that has not gone by: it begins among those.
        """
        self._until_new = self._tolerant = self._tolerant and not strict
        self._strict = strict

    def note_clock(self, pts: int | None, now: float, *, steps_back: bool = False, point_waits: bool = False) -> bool:
        """Take the newest PTS, and whether the clock stepped back before it; return whether holding begins now.

        `point_waits`: the newest random-access point has not been given out yet, and will be held as well. What steps
        back twice without a random-access point between that would decide goes round in a circle.
        """
        if not self._watch.goes_back(pts, steps_back=steps_back) or self._tolerant:
            return False
        if self.holding:
            if steps_back and self.repeating_at is None:
                self.repeating_at = now
            return False
        self._begin(now, point_waits=point_waits)
        if self._strict:
            self.repeating_at = now
        return True

    def note_point(self, pts: int | None, packet: bytes, now: float) -> Action:
        """Take a random-access point and its first packet; return what is to be done from there on."""
        seen = self._watch.note_point(pts, packet)
        if self._until_new and seen is Seen.NEVER:
            self._until_new = self._tolerant = False
        if seen is Seen.BEFORE and not self._tolerant:
            was_holding = self.holding
            if not was_holding:
                self._begin(now)
            if self.repeating_at is None:
                self.repeating_at = now
            return Action.NONE if was_holding else Action.HOLD
        if self.holding and self.repeating_at is None and seen is Seen.NEVER:
            self._watch.accept()
            return Action.RELEASE
        return Action.NONE

    def knows_point(self, pts: int | None, packet: bytes) -> bool:
        """Tell whether a random-access point of any source was seen here; one without a time counts as seen."""
        return self._watch.knows_point(pts, packet)

    def forget_newest_point(self) -> None:
        """The newest random-access point goes to nobody: its source was lost before its picture was complete."""
        self._watch.forget_newest_point()

    def hold(self, held: Held, now: float) -> bool:
        """Keep packets; return whether all that is held must go on, since nothing is known for too long."""
        if self.left_out_bytes and not self._held and held.preamble is None:
            self.left_out_bytes += len(held.packets)
            return False
        self._held.append(held)
        self._bytes += len(held.packets)
        if self.repeating_at is None:
            return self._bytes >= HOLD_BYTES or now - self._began_at > HOLD_S
        if self._bytes > HOLD_BYTES:
            self._leave_out()
        return False

    def _leave_out(self) -> None:
        """Let go of the oldest packets up to a random-access point, of all if there is none."""
        points = (index for index, held in enumerate(self._held) if index and held.preamble is not None)
        stop = next(points, len(self._held))
        gone = sum(len(held.packets) for held in self._held[:stop])
        del self._held[:stop]
        self._bytes -= gone
        self.left_out_bytes += gone

    def tolerate(self) -> None:
        """This source may repeat: that is what is broadcast."""
        self._tolerant, self._until_new = True, False

    def take(self) -> list[Held]:
        """Stop holding and return what was held: it goes on."""
        self._watch.keep()
        return self._end()

    def drop(self) -> int:
        """Stop holding; what was held is forgotten as if it had never come. Returns how many bytes that was."""
        self._watch.roll_back()
        left_out = self.left_out_bytes
        return left_out + sum(len(held.packets) for held in self._end())

    def _begin(self, now: float, *, point_waits: bool = False) -> None:
        self.holding, self._began_at = True, now
        self._watch.mark(with_newest_point=point_waits)

    def _end(self) -> list[Held]:
        held, self._held = self._held, []
        self._bytes = self.left_out_bytes = 0
        self.holding, self.repeating_at = False, None
        return held
