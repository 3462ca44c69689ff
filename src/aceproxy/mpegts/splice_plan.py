"""Where and how a new source goes on: the plans of the rules "same clock" and "other clock".

**Same clock.** Each stream goes on by its own time stamps. Where the new source has the PES packet that was cut off,
byte for byte, only its rest is sent and the next one follows: no frame is repeated or lost. Else video begins with
the very next access unit if the last one was sent whole and the source begins with that one, and otherwise at the next
random-access point; sound begins with the first PES packet that was not sent. Time stamps stay as they are: a short
gap is a short jump forward.

**Other clock.** The source begins at a random-access point, its clocks shifted so that this picture comes one frame
after the last one. That is also for the same broadcast when it jumps by more than `max_jump_s`: players either wait
such a jump out or start anew (mpv resets its playback), and viewers have sat through the outage already. That it is the
same clock, and how much is missing, is told (`CLOSED_GAP`). Shorter jumps keep the clock of the broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ, WRAP
from aceproxy.mpegts.recovery import Recovery
from aceproxy.mpegts.splice_join import Rest, cut_off, regrouped, rest_of, start_after
from aceproxy.mpegts.splice_opening import Beginning, beginning_of, stamped
from aceproxy.mpegts.splice_rewrite import Gate
from aceproxy.mpegts.splice_sent import PidEnd
from aceproxy.mpegts.splice_source import NewSource, PesStart
from aceproxy.mpegts.splice_stamps import later
from aceproxy.mpegts.splice_tables import Tables, map_pids

_VIDEO_GAP: Final = 3600
_AUDIO_GAP: Final = 1920
_MOST_STEPS: Final = 1.75  # from one picture to the next, where they do not come quite evenly
_STAMP_JITTER: Final = 400  # less than a frame of sound
_MAX_REORDER: Final = 2 * CLOCK_HZ
_LONGEST_OUTAGE: Final = 600 * CLOCK_HZ  # clocks that are farther ahead tell nothing: any clock is that by chance
_AUDIO_PATIENCE: Final = CLOCK_HZ  # how far video may be past the place before sound is no longer waited for
_WITH_PES: Final = ("video", "audio", "subtitle")


class Outcome(StrEnum):
    """How a source was joined to what was sent before."""

    PENDING = "pending"
    SAME_BYTES = "same bytes"
    SAME_CLOCK = "same clock"
    OTHER_CLOCK = "other clock"
    CLOSED_GAP = "closed gap"
    """The same clock, ahead by more than players are shown: shifted like another one."""

    @property
    def is_shifted(self) -> bool:
        """Tell whether clocks are shifted so that they go on from the last ones."""
        return self in (Outcome.OTHER_CLOCK, Outcome.CLOSED_GAP)


@dataclass(frozen=True, slots=True)
class LastSent:
    """What was sent before the splice. Clocks and PIDs are those sent, unless said otherwise."""

    ends: Mapping[int, PidEnd]
    clock: int | None
    """The last PCR, or a DTS where there never was one."""
    clock_is_dts: bool
    own_tables: Tables | None
    """Of the last source, as it sent them."""
    tables: Tables | None
    shift: int
    """What was added to the last source's clocks."""
    is_used: Callable[[int], bool]
    """Tells whether a PID was ever sent."""
    tables_again: bool = False
    """Tables have to be sent although they are the same: others came after them, and were taken back."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a source goes on."""

    outcome: Outcome
    start: int
    """Offset in the source from which on it is looked at; gates may open later."""
    shift: int = 0
    gates: Mapping[int, Gate] = field(default_factory=lambda: MappingProxyType({}))
    rests: tuple[Rest, ...] = ()
    """What is missing of the PES packets that were cut off."""
    openings: tuple[Rest, ...] = ()
    """Pictures to send before the first one of the source, after the tables."""
    is_mapped: bool = False
    """Own tables are sent in the place of the source's."""
    trailing: bytes = b""
    """Packets of the source that may follow at once and were sent already."""
    before: bytes = b""
    """What was sent before those."""
    old_pids: frozenset[int] = frozenset()
    """PIDs on which the source is behind what was sent, though it is at its place."""
    gap: int = 0
    """Media time that is missing, 90 kHz; 0 where it cannot be known."""
    at_access_point: bool = False
    recovery: Recovery | None = None
    """Pictures that are not to be looked at."""


def needs_mapping(last: LastSent, new: Tables) -> bool:
    """Tell whether the tables of a new source differ in any way from those that were sent last."""
    sent = last.tables
    return sent is None or last.tables_again or (sent.pat, sent.pmt, sent.pmt_pid) != (new.pat, new.pmt, new.pmt_pid)


def same_clock(source: NewSource, last: LastSent, *, max_jump: int, is_last_resort: bool = False) -> Plan | bool:
    """Return the plan where the source has gone past the last time stamps sent, by the same clock.

    True: more of the source is needed. False: this rule does not apply.
    """
    tables, reference = source.tables, source.reference_pid
    if tables is None or reference is None:
        return True
    pid_map = _pid_map(last, tables)
    end = last.ends.get(pid_map.get(reference, reference))
    if end is None:
        return False
    found = _gates(source, last, pid_map, end)
    if isinstance(found, bool):
        return found
    gates, rests = found
    begin = min(_first_opening(source, last, pid, gate).offset for pid, gate in gates.items())
    start = _first_opening(source, last, reference, gates[reference])
    step = later(_moved(start.dts, last.shift), end.dts) if start.dts is not None else 0
    if step > max_jump:
        return False
    gap = end.gap or (_VIDEO_GAP if source.has_video else _AUDIO_GAP)
    is_jump = gates[reference].leading_before is not None
    beginning = beginning_of(source, start, is_last_resort=is_last_resort) if is_jump else Beginning()
    if beginning is None:
        return True
    openings = stamped(beginning, start, last.shift, end, pid_map.get(reference, reference))
    gates[reference] = replace(gates[reference], open_at=max(gates[reference].open_at, beginning.open_at))
    return Plan(
        Outcome.SAME_CLOCK,
        begin,
        last.shift,
        gates,
        tuple(rests),
        openings,
        needs_mapping(last, tables),
        gap=max(0, step - gap),
        at_access_point=start.offset in source.points,
        recovery=beginning.recovery,
    )


def is_next(source: NewSource, last: LastSent, offset: int) -> bool:
    """Tell whether the pictures from an offset on can be those that follow what was sent, for all that can be told.

    Counters alone say nothing where sixteen packets are missing: then a picture has lost its begin, or one is missing.
    """
    tables, pid = source.tables, source.reference_pid
    if tables is None or pid is None:
        return True
    end = last.ends.get(_pid_map(last, tables).get(pid, pid))
    start = next((one for one in source.starts.get(pid, []) if one.offset >= offset), None)
    if end is None or start is None:
        return True
    if end.is_whole and source.payload(pid, offset, start.offset) != b"":
        return False
    if start.dts is None or end.is_sparse or not end.gap:
        return True
    return later(_moved(start.dts, last.shift), end.dts) < _MOST_STEPS * end.gap


def other_clock(source: NewSource, last: LastSent, start: PesStart, *, is_last_resort: bool = False) -> Plan | None:
    """Return the plan to begin with a PES packet of the source, with its clocks made to go on.

    None: more of the source is needed to begin well, and it is not the last resort.
    """
    tables = source.tables
    pid_map = _pid_map(last, tables) if tables else {}
    gates: dict[int, Gate] = {}
    reference = source.reference_pid or 0
    out_pid = pid_map.get(reference, reference)
    before = last.ends.get(out_pid) if source.has_video else None
    beginning = beginning_of(source, start, is_last_resort=is_last_resort) if before is not None else Beginning()
    if beginning is None:
        return None
    shift = _shift(source, last, start, len(beginning.before))
    openings = stamped(beginning, start, shift, before, out_pid)
    for stream in tables.program.streams if tables else ():
        if stream.kind not in _WITH_PES and stream.pid not in source.starts:
            continue
        end = last.ends.get(pid_map.get(stream.pid, stream.pid))
        after = None
        if end is not None and stream.pid != source.reference_pid:
            after = _sent_until(end)
        is_opening = stream.pid == source.reference_pid and source.has_video
        gates[stream.pid] = _gate_at(source, start, shift) if is_opening else Gate(start.offset, after)
        if is_opening and beginning.open_at:
            gates[stream.pid] = replace(gates[stream.pid], open_at=beginning.open_at)
    is_mapped = tables is not None and needs_mapping(last, tables)
    point = start.offset in source.points
    gap = _closed_gap(source, last, start, out_pid)
    outcome = Outcome.CLOSED_GAP if gap else Outcome.OTHER_CLOCK
    return Plan(
        outcome,
        start.offset,
        shift,
        gates,
        (),
        openings,
        is_mapped,
        gap=gap,
        at_access_point=point,
        recovery=beginning.recovery,
    )


def _closed_gap(source: NewSource, last: LastSent, start: PesStart, out_pid: int) -> int:
    """Return the media time between what was sent and a source that evidently goes on by the same clock, else 0."""
    end, own, new = last.ends.get(out_pid), last.own_tables, source.tables
    if end is None or start.dts is None or own is None or new is None or own.layout != new.layout:
        return 0
    step = later(_moved(start.dts, last.shift), end.dts)
    usual = end.gap or (_VIDEO_GAP if source.has_video else _AUDIO_GAP)
    return max(0, step - usual) if step <= _LONGEST_OUTAGE else 0


def anywhere(source: NewSource, last: LastSent) -> Plan:
    """Return the plan where there is no random-access point: at any PES packet, or just at any packet."""
    starts = source.reference_starts() or [start for starts in source.starts.values() for start in starts]
    plan = other_clock(source, last, min(starts) if starts else PesStart(source.base, None, None), is_last_resort=True)
    assert plan is not None
    if starts:
        return plan
    return replace(plan, gates={})  # no PES packet has begun in all of it: none would ever open them


def _pid_map(last: LastSent, tables: Tables) -> Mapping[int, int]:
    return map_pids(last.tables, tables, last.is_used) if needs_mapping(last, tables) else {}


def _moved(ticks: int, shift: int) -> int:
    return (ticks + shift) % WRAP


def _gates(
    source: NewSource, last: LastSent, pid_map: Mapping[int, int], end: PidEnd
) -> tuple[dict[int, Gate], list[Rest]] | bool:
    """Return where every PID goes on and what is to be sent before that; True: wait, False: never.

    `end` is that of the reference PID.
    """
    waited = any(
        later(_moved(one.dts, last.shift), end.dts) > _AUDIO_PATIENCE
        for one in source.reference_starts()
        if one.dts is not None
    )
    gates: dict[int, Gate] = {}
    rests: list[Rest] = []
    for stream in source.tables.program.streams if source.tables else ():
        out_pid = pid_map.get(stream.pid, stream.pid)
        if stream.pid == source.reference_pid and source.has_video:
            found = _video_opening(source, last, stream.pid, end, out_pid)
        elif stream.kind in _WITH_PES or stream.pid in source.starts:
            found = _other_opening(source, last, stream.pid, out_pid, waited=waited)
        else:
            continue
        if isinstance(found, bool):
            return found
        gates[stream.pid] = found[0]
        rests += found[1]
    return gates, rests


def _gate_at(source: NewSource, start: PesStart, shift: int) -> Gate:
    """Return the gate of video that goes on with `start`: at a random-access point without its leading pictures."""
    is_point = start.offset in source.points and start.pts is not None
    return Gate(start.offset, None, _moved(start.pts or 0, shift) if is_point else None)


def _video_opening(
    source: NewSource, last: LastSent, pid: int, end: PidEnd, out_pid: int
) -> tuple[Gate, list[Rest]] | bool:
    """Return where video goes on and what is to be sent before that; True: wait, False: never."""
    gap = end.gap or _VIDEO_GAP
    starts = [start for start in source.starts.get(pid, []) if start.dts is not None]
    steps = [later(_moved(start.dts or 0, last.shift), end.dts) for start in starts]
    following = next((index for index, step in enumerate(steps) if step > gap // 2), None)
    if following is None:
        return True
    cut = cut_off(source, last.shift, pid, end)
    if cut is not None:
        after = start_after(source, pid, cut)
        rest = rest_of(source, pid, end, cut, after) if after else None
        if after is not None and rest is not None:
            return Gate(after.offset), [Rest(out_pid, rest)] if rest else []
    elif end.is_whole and not end.is_sparse and not following and steps[0] < gap * 3 // 2:
        return Gate(
            starts[0].offset
        ), []  # it begins right behind the place; had it begun before, that would have to be the same
    points = set(source.points)
    for start, step in zip(starts, steps, strict=True):
        if step > gap // 2 and start.offset in points:
            return _gate_at(source, start, last.shift), []
    return True


def _other_opening(
    source: NewSource, last: LastSent, pid: int, out_pid: int, *, waited: bool
) -> tuple[Gate, list[Rest]] | bool:
    """Return where a PID without random-access points goes on, and what is to be sent before that; True: wait."""
    end = last.ends.get(out_pid)
    if end is None:
        return Gate(source.base), []
    cut = cut_off(source, last.shift, pid, end)
    if cut is not None:
        after = start_after(source, pid, cut)
        rest = rest_of(source, pid, end, cut, after) if after else None
        if after is not None and rest is not None:
            return Gate(after.offset), [Rest(out_pid, rest)] if rest else []
        if after is None and not waited:
            return True
    found = regrouped(source, last.shift, pid, end, out_pid)
    if not isinstance(found, bool):
        return Gate(found[0].offset), found[1]
    gate = Gate(0, _sent_until(end))
    is_there = _first_opening(source, last, pid, gate).offset < source.end
    return (gate, []) if waited or (is_there and not found) else True


def _sent_until(end: PidEnd) -> int:
    """Return the PTS up to which sound was sent, as far as that can be told, a little less to be exceeded."""
    gap = end.gap or _AUDIO_GAP
    return (end.own_pts + max(0, round(gap * end.share) - _STAMP_JITTER)) % WRAP


def _first_opening(source: NewSource, last: LastSent, pid: int, gate: Gate) -> PesStart:
    """Return where a gate opens in what is held, or the end of that."""
    for start in source.starts.get(pid, []):
        if start.offset < gate.open_at:
            continue
        if gate.after is None:
            return start
        if start.pts is not None and later(_moved(start.pts, last.shift), gate.after) > 0:
            return start
    return PesStart(source.end, None, None)


def _shift(source: NewSource, last: LastSent, start: PesStart, pictures: int) -> int:
    """Return what to add to the clocks so that `start` comes one frame after the last one sent and `pictures` more."""
    end = _end_before(source, last)
    if start.dts is None or start.pts is None or end is None:
        return _shift_by_pcr(source, last, start.offset)
    gap = end.unit_gap or (_VIDEO_GAP if source.has_video else _AUDIO_GAP)
    way = gap * (pictures + 1) + min(gap * end.unstamped, CLOCK_HZ)
    by_dts, by_pts = end.dts + way - start.dts, end.pts + way - start.pts
    more = later(by_pts, by_dts)
    shift = by_pts if 0 < more < _MAX_REORDER else by_dts
    if last.clock is not None and not last.clock_is_dts:
        # of a source that was lost before its first picture, sound and clock were sent already
        late = later(last.clock + _VIDEO_GAP, start.dts - gap * pictures + shift)
        shift += late if 0 < late < _MAX_REORDER else 0
    return shift % WRAP


def _shift_by_pcr(source: NewSource, last: LastSent, offset: int) -> int:
    """Return what to add where there are no time stamps to go by."""
    clock = source.clock_after(offset)
    return 0 if clock is None or last.clock is None else (last.clock + _VIDEO_GAP - clock) % WRAP


def _end_before(source: NewSource, last: LastSent) -> PidEnd | None:
    """Return the end that a new source must go on from: of the same kind if there is one, else the latest."""
    kind = "video" if source.has_video else "audio"
    for stream in last.tables.program.streams if last.tables else ():
        if stream.kind == kind and stream.pid in last.ends:
            return last.ends[stream.pid]
    ends = list(last.ends.values())
    if not ends:
        return None
    return max(ends, key=lambda end: later(end.dts, ends[0].dts))
