"""What was sent after the place in a new source, and may follow there once more.

The last packet that is known by its content is not the last one sent: tables, null packets and stuffing came after it,
and packets may be missing on either side. Where one of the two sources went back in the broadcast, what was sent never
comes again.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile
from typing import Final

from aceproxy.mpegts.following import goes_back
from aceproxy.mpegts.packets import NULL_PACKET, PACKET_BYTES, heads_of, pid_of
from aceproxy.mpegts.splice_counters import last_counters
from aceproxy.mpegts.splice_match import has_pcr, is_distinctive
from aceproxy.mpegts.splice_stamps import pids_of

_TRAILING: Final = 1024  # packets that are looked at for one that was sent
_EARLY: Final = 64  # and so many more than were sent
_LEAST: Final = 8  # distinctive packets that are missing: then tables tell nothing
_MOST_LOST: Final = 7  # packets; a counter that jumps by more went back
_LOWEST_PID: Final = 0x20


class Overlap:
    """Leaves out what follows the place in a new source and was sent already: tables, null packets, stuffing.

    As a rule these are the very next packets. Where packets are missing on either side, those that were sent are
    looked for in a few more packets, and all before the last one found is left out.
    """

    def __init__(self, sent: bytes, before: bytes = b"", table_pids: Collection[int] = ()) -> None:
        """Take the packets that were sent after the place, and those before; and on which PIDs there are tables."""
        self.skipped_bytes = 0
        self._before = before
        self._table_pids = table_pids
        self._sent = sent
        self._at = 0  # of the next one of them, while they are the very next packets
        self._left: deque[bytes] = deque()  # of them, once packets are missing
        self._counts: Counter[bytes] = Counter()  # of those
        self._held: list[bytes] | None = None
        self._budget = 0

    def feed(self, view: memoryview) -> bytes | None:
        """Take packets from the place on; return those to send, once that is known."""
        for at in range(0, len(view), PACKET_BYTES):
            if self._is_over or (self._held is not None and len(self._held) >= self._budget):
                return self._finish(view[at:])
            packet = bytes(view[at : at + PACKET_BYTES])
            if self._held is None:
                if self._sent.startswith(packet, self._at):
                    self._at += PACKET_BYTES
                    self.skipped_bytes += PACKET_BYTES
                    continue
                self._held = self._look_farther()
            self._held.append(packet)
            if self._was_sent(packet):
                while (gone := self._left.popleft()) != packet:
                    self._counts[gone] -= 1  # the source has lost it
                self._counts[packet] -= 1
                self.skipped_bytes += len(self._held) * PACKET_BYTES
                self._held.clear()
        return self._finish(view[:0]) if self._is_over else None

    def strayed_pids(self) -> frozenset[int]:
        """Return the PIDs on which packets were sent that have not come again since one of the sources went in a loop.

        They are where counters jump in what was sent, or what was sent twice; any, if the new source goes back or what
        was sent is of elsewhere. What else has not come again the new source has lost. Tables say nothing of that, and
        come again soon.
        """
        if not self._left:
            return frozenset()
        missing, held = frozenset(map(pid_of, self._left)), b"".join(self._held or ())
        if goes_back(self._before, held) or self._is_elsewhere(missing, held):
            return missing
        known = set(packets_of(self._before))
        strayed = _jumping(self._before, self._sent).union(self._table_pids, range(_LOWEST_PID))
        strayed.update(pid_of(packet) for packet in self._left if packet in known)
        return missing & strayed

    def _is_elsewhere(self, missing: Collection[int], held: bytes) -> bool:
        """Tell whether what has not come again is not of the place, by the counters of one of its PIDs.

        The new source goes on there from what it has had itself, not from what was sent, and has lost nothing for as
        far as that reaches.
        """
        came = [packet for packet in packets_of(self._sent) if packet != NULL_PACKET]
        had = last_counters(heads_of(self._before + b"".join(came[: len(came) - len(self._left)])))
        for pid in had.keys() & missing:
            reach = sum(_steps(self._left, pid, had[pid]))
            unbroken = sum(takewhile((1).__ge__, _steps(packets_of(held), pid, had[pid])))
            if reach & 0x0F and unbroken >= reach:
                return True
        return False

    @property
    def _is_over(self) -> bool:
        return self._at == len(self._sent) if self._held is None else not self._left

    def _look_farther(self) -> list[bytes]:
        """The next packet is not the one that was sent: from now on any of them is looked for."""
        rest = range(self._at, len(self._sent), PACKET_BYTES)
        self._budget = min(len(rest), _TRAILING) + _EARLY
        self._left.extend(one for at in rest if (one := self._sent[at : at + PACKET_BYTES]) != NULL_PACKET)
        self._counts.update(self._left)
        return []

    def _was_sent(self, packet: bytes) -> bool:
        """Tell whether a packet is one of those that were sent.

        Tables are the same at every sixteenth time: where content is missing before them they tell nothing.
        """
        if self._counts.get(packet, 0) <= 0:
            return False
        before = takewhile(packet.__ne__, self._left)
        return is_distinctive(packet) or has_pcr(packet) or sum(map(is_distinctive, before)) < _LEAST

    def _finish(self, rest: memoryview) -> bytes:
        return b"".join(self._held or ()) + bytes(rest)


def _steps(packets: Iterable[bytes], pid: int, last: int) -> Iterator[int]:
    """Yield by how much the counter of a PID goes on with each of its packets, 1 where nothing is missing."""
    for packet in packets:
        if pid_of(packet) == pid:
            has_payload = packet[3] >> 4 & 1
            yield ((packet[3] - last - has_payload) & 0x0F) + has_payload
            last = packet[3] & 0x0F


def _jumping(before: bytes, after: bytes) -> set[int]:
    """Return the PIDs of which a counter jumps after `before`, and not for the sake of a few lost packets."""
    last = last_counters(heads_of(before))
    found: set[int] = set()
    heads = heads_of(after)
    for pid, control in zip(pids_of(heads), heads.control, strict=True):
        if (control - last.get(pid, control - (control >> 4 & 1)) - (control >> 4 & 1)) & 0x0F > _MOST_LOST:
            found.add(pid)
        last[pid] = control & 0x0F
    return found


def packets_of(part: bytes) -> Iterator[bytes]:
    """Yield the packets of a part, one by one."""
    return (packet for (packet,) in struct.iter_unpack(f"{PACKET_BYTES}s", part))
