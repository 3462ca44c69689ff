"""The last continuity counter of every PID that was sent, and as it was before the newest packets."""

from __future__ import annotations

from typing import Final

from aceproxy.mpegts.packets import Heads, marks_of
from aceproxy.mpegts.splice_stamps import pids_of

_USUAL: Final = 8  # PIDs up to which a stream's packets are told apart by byte tables: a bit each
_TOGETHER: Final = 4096  # packets whose counters are looked at together
_NO_HEADS: Final = Heads(b"", b"", b"")


class Counters:
    """The last continuity counter of every PID that went by.

    They are asked for when a source has been lost. Until then the heads of packets are put aside; they are looked at
    when as many more have come, so that it is known of the newest ones how things stood before any of them.
    """

    def __init__(self, kept_packets: int = _TOGETHER) -> None:
        """`kept_packets` can be taken back at least."""
        self._together = max(_TOGETHER, kept_packets)
        self._last: dict[int, int] = {}  # before what is put aside
        self._older = _NO_HEADS  # put aside first
        self._aside: list[Heads] = []
        self._aside_packets = 0
        self._known: dict[int, int] | None = None  # of all packets, once somebody has asked
        self._usual: tuple[int, ...] = ()  # the PIDs of an ordinary stream, each with a bit in the tables
        self._first, self._second = bytes(256), bytes(256)

    def note(self, heads: Heads) -> None:
        """Take the next whole packets."""
        self._known = None
        self._aside.append(heads)
        self._aside_packets += len(heads.first)
        if self._aside_packets >= self._together:
            self._look(self._older)
            self._older = _joined(self._aside)
            self._aside, self._aside_packets = [], 0

    def _look(self, heads: Heads) -> None:
        """Look at what was put aside long ago."""
        if self._usual:
            marks = marks_of(heads, self._first, self._second)
            if not marks.count(0):
                for bit, pid in enumerate(self._usual):  # nothing is looked at but the last packet of each PID
                    at = marks.rfind(1 << bit)
                    if at >= 0:
                        self._last[pid] = heads.control[at]
                return
        known = len(self._last)
        self._last.update(zip(pids_of(heads), heads.control, strict=True))
        if len(self._last) != known:
            self._learn()

    def _learn(self) -> None:
        """Make the byte tables; of a stream with more PIDs than bits every packet is counted."""
        self._usual = tuple(self._last) if len(self._last) <= _USUAL else ()
        first, second = bytearray(256), bytearray(256)
        for bit, pid in enumerate(self._usual):
            for flags in range(0, 0x100, 0x20):
                first[flags | pid >> 8] |= 1 << bit
            second[pid & 0xFF] |= 1 << bit
        self._first, self._second = bytes(first), bytes(second)

    def before(self, packets: int) -> Counters:
        """Return a copy in which the last so many packets never came; of those that are kept, see `__init__`."""
        newest = self.newest()
        found = Counters(self._together)
        found._last = dict(self._last)
        found._older = newest.part(0, max(0, len(newest.first) - packets))
        found._learn()
        return found

    def newest(self) -> Heads:
        """Return the heads of the newest packets, oldest first."""
        return _joined([self._older, *self._aside])

    def all(self) -> dict[int, int]:
        """Return the last counter of every PID."""
        if self._known is None:
            self._known = {pid: control & 0x0F for pid, control in self._last.items()} | last_counters(self.newest())
        return dict(self._known)

    def seen(self, pid: int) -> bool:
        """Tell whether a PID was ever used."""
        return pid in (self.all() if self._known is None else self._known)


def _joined(parts: list[Heads]) -> Heads:
    """Return the heads of all parts, one after the other."""
    return Heads(*map(b"".join, zip(*parts, strict=True))) if parts else _NO_HEADS


def last_counters(heads: Heads) -> dict[int, int]:
    """Return the continuity counter of the last packet of each PID."""
    return {pid: control & 0x0F for pid, control in zip(pids_of(heads), heads.control, strict=True)}
