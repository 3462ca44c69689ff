"""How a stream begins at a join point, above all for a decoder that has seen an earlier part of it.

Between that part and the join point some media is missing. What is made here stands before the stream, which then goes
on untouched from a packet behind the join point:

- for each PID a packet without payload that says that its continuity counter is not continuous, and the program clock
  with it (discontinuity_indicator, ISO/IEC 13818-1 §2.4.3.5),
- the PAT and PMT,
- the opening by which a decoder begins anew (see `splice_opening`),
- the stream up to where every elementary stream goes on with an access unit of its own. Leading pictures, made
  from what was left out, are left out as well.

The counters of what is made lead to those of the stream, so all clients can be sent the same bytes. A decoder that has
seen nothing needs all but the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ, WRAP
from aceproxy.mpegts.packets import NULL_PID, PACKET_BYTES, heads_of
from aceproxy.mpegts.splice_counters import last_counters
from aceproxy.mpegts.splice_join import Rest, packets_with
from aceproxy.mpegts.splice_opening import Beginning, beginning_of, stamped
from aceproxy.mpegts.splice_rewrite import Gate, Rewriter
from aceproxy.mpegts.splice_sent import PidEnd, events_of
from aceproxy.mpegts.splice_source import NewSource, PesStart
from aceproxy.mpegts.splice_stamps import FRAME, later, pids_of

_ROOM: Final = CLOCK_HZ // 2  # of time stamps before the join point, for the pictures of an opening
_SOUND_PATIENCE: Final = CLOCK_HZ // 2  # how far pictures may go on while an elementary stream has not begun
_VIDEO_GAP: Final = 3600
_SERVICE_PIDS: Final = (0x10, 0x11, 0x12, 0x14)
"""Of NIT, SDT, EIT, and TDT with TOT (ETSI EN 300 468 §5.1.3): some of them come twice a minute."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What to send first, and how the stream goes on after it."""

    marks: bytes
    """For a decoder that has seen an earlier part: the packets that say that nothing is continuous."""
    packets: bytes
    """For every decoder, after that."""
    skipped: int
    """How many bytes behind the join point the stream goes on as it is."""


class EntryMaker:
    """Makes the entry at one join point: `feed` the stream from there on until it `is_ready`, then take the `entry`."""

    def __init__(self, tables: bytes) -> None:
        """`tables` are the packets of the PAT and PMT of the join point."""
        self._tables = tables
        self._source = NewSource()
        self._start: PesStart | None = None
        self._beginning: Beginning | None = None
        self._end: int | None = None
        self.feed(tables)

    def feed(self, packets: bytes) -> None:
        """Take the next whole packets. Raises ValueError where they are not whole."""
        with memoryview(packets) as view:
            taken = 0
            for index, stamp in events_of(view):
                end = (index + 1) * PACKET_BYTES
                self._source.take(view[taken:end], stamp)
                taken = end
            self._source.take(view[taken:], None)

    def is_ready(self, *, is_all: bool = False) -> bool:
        """Tell whether enough of the stream has come. If that is all there is, as much as can be is made of it."""
        if self._end is None:
            self._start = self._source.point_start(0)
            if self._start is not None and self._start.offset == len(self._tables):
                self._beginning = self._beginning or beginning_of(self._source, self._start, is_last_resort=is_all)
                if self._beginning is not None:
                    self._end = self._stop(self._start, self._beginning, is_all=is_all)
        return is_all or self._end is not None

    def entry(self, further: bytes = b"", earlier: Iterable[bytes] = ()) -> Entry:
        """Return the entry; of a stream that cannot be read it is the tables alone.

        `further` is what follows that which was fed, as far as that is known, and `earlier` what came before it, the
        newest part first: of PIDs that come seldom only their counters are wanted. No more is taken of `earlier` than
        is needed for the PIDs that the tables name and those of the service tables. To be called once it `is_ready`.
        """
        if self._start is None or self._beginning is None or self._end is None:
            return Entry(b"", self._tables, 0)
        return self._made(self._end, self._start, self._beginning, further, earlier)

    def _stop(self, start: PesStart, beginning: Beginning, *, is_all: bool) -> int | None:
        """Return where the stream goes on as it is: the leading pictures are over, and sound has begun."""
        source, pid = self._source, self._source.reference_pid
        if start.pts is None or pid is None:
            return start.offset
        first = start.pts
        after = [one for one in source.starts[pid] if one.offset > start.offset and one.pts is not None]
        if source.has_video:
            shown = next((one for one in after if later(one.pts or 0, first) >= FRAME), None)
            if shown is None:
                return start.offset if is_all else None
            recovery = beginning.recovery
            if recovery is not None:
                shown = next((one for one in after if one.dts is not None and recovery.is_over(one.dts)), None)
                if shown is None and not is_all:
                    return None
                shown = shown or start  # it has not come yet: then they are shown
        else:
            shown = start
        streams = source.tables.program.streams if source.tables else ()
        begun = [source.starts.get(one.pid, [PesStart(-1, None, None)])[0].offset for one in streams if one.pid != pid]
        is_late = is_all or (bool(after) and later(after[-1].pts or 0, first) > _SOUND_PATIENCE)
        if -1 in begun and not is_late:
            return None
        return max(shown.offset, beginning.open_at, *begun, 0)

    def _made(
        self, stop: int, start: PesStart, beginning: Beginning, further: bytes, earlier: Iterable[bytes]
    ) -> Entry:
        """Return the entry after which the stream goes on at `stop`."""
        source, base, pid = self._source, len(self._tables), self._source.reference_pid
        streams = source.tables.program.streams if source.tables else ()
        gates = {stream.pid: Gate(base) for stream in streams}
        openings: tuple[Rest, ...] = ()
        if stop > base and pid is not None and source.has_video:
            openings = stamped(beginning, start, 0, self._before(start, pid), pid)
            gates[pid] = Gate(max(base, beginning.open_at), None, start.pts)
        counters: dict[int, int] = {}
        opened = b"".join([packets_with(rest, counters) for rest in openings])
        further_on = (one.dts for one in source.starts.get(pid or 0, ()) if one.offset >= stop and one.dts is not None)
        recovery, then = beginning.recovery, next(further_on, None)
        is_in_it = recovery is not None and then is not None and recovery.is_over(then)
        rewriter = Rewriter(base, counters, gates=gates, recovery=recovery if is_in_it else None)
        with memoryview(source.held) as view, view[base:stop] as part:
            made = self._tables + opened + rewriter.feed(part)[0]
        following = _first_controls(bytes(source.held[stop:]) + further)
        made = _leading_to(made, following)
        begun = {**following, **_first_controls(made)}
        rest = self._before_silence(begun.keys(), earlier)
        counters = {pid: _before_it(control) for pid, control in begun.items()} | rest
        marks = [_mark(pid, counter) for pid, counter in sorted(counters.items())]
        return Entry(b"".join(marks), made, stop - base)

    def _before_silence(self, begun: Collection[int], earlier: Iterable[bytes]) -> dict[int, int]:
        """Return the last counter of each PID that is silent for now, as far as it is in `earlier`.

        Who has had packets of it before those may take what comes next for one that follows a loss.
        """
        program = self._source.tables.program if self._source.tables else None
        wanted = {*_SERVICE_PIDS, *(one.pid for one in (program.streams if program else ()))} - set(begun)
        found: dict[int, int] = {}
        for part in earlier if wanted else ():
            found = last_counters(heads_of(part)) | found
            if wanted <= found.keys():
                break
        return {pid: counter for pid, counter in found.items() if pid not in begun and pid != NULL_PID}

    def _before(self, start: PesStart, pid: int) -> PidEnd:
        """Return the end of a part that lies before the join point by more than an opening takes."""
        stamps = [one.dts for one in self._source.starts[pid] if one.dts is not None]
        steps = [step for one, other in pairwise(stamps) if 0 < (step := later(other, one)) < CLOCK_HZ]
        gap = median_low(steps) if steps else _VIDEO_GAP
        dts, pts = ((stamp - _ROOM) % WRAP if stamp is not None else 0 for stamp in (start.dts, start.pts))
        return PidEnd(dts, pts, pts, gap, gap)


def _controls(packets: bytes) -> dict[int, tuple[int, int]]:
    """Return the fourth byte of the first and of the last packet of each PID but that of null packets."""
    heads = heads_of(packets)
    found: dict[int, tuple[int, int]] = {}
    for pid, control in zip(pids_of(heads), heads.control, strict=True):
        found[pid] = found.get(pid, (control,))[0], control
    found.pop(NULL_PID, None)
    return found


def _first_controls(packets: bytes) -> dict[int, int]:
    return {pid: first for pid, (first, _) in _controls(packets).items()}


def _leading_to(made: bytes, following: Mapping[int, int]) -> bytes:
    """Return packets with continuity counters to which those of the packets that follow, by PID, are the next ones."""
    steps = {
        pid: step
        for pid, (_, last) in _controls(made).items()
        if pid in following and (step := (_before_it(following[pid]) - last) & 0x0F)
    }
    out = bytearray(made)
    for number, pid in enumerate(pids_of(made)) if steps else ():
        at = number * PACKET_BYTES + 3
        out[at] = out[at] & 0xF0 | (out[at] + steps.get(pid, 0)) & 0x0F
    return bytes(out)


def _before_it(control: int) -> int:
    """Return the counter that comes before a packet: only those with payload count (ISO/IEC 13818-1 §2.4.3.3)."""
    return (control - (control >> 4 & 1)) & 0x0F


def _mark(pid: int, counter: int) -> bytes:
    """Return a packet that says that the counter of a PID goes on from this one, whatever it was before."""
    head = bytes((0x47, pid >> 8, pid & 0xFF, 0x20 | counter, 183, 0x80))
    return head.ljust(PACKET_BYTES, b"\xff")
