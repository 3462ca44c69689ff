"""The rest of what was cut off: PES packets of an old source carried on with the bytes of a new one.

The elementary streams of one broadcast are the same however it is multiplexed. Where the new source has the PES packet
that was cut off, its rest is enough. Sound is often grouped otherwise (some frames to a PES packet): then the place is
found in the elementary stream itself, the PES packet that was begun gets as many bytes as it said it has, and what is
left up to the next one of the new source comes in a PES packet without time stamps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

from aceproxy.mpegts.clock import CLOCK_HZ, WRAP
from aceproxy.mpegts.pes import read_pes_header
from aceproxy.mpegts.splice_sent import PidEnd
from aceproxy.mpegts.splice_source import NewSource, PesStart
from aceproxy.mpegts.splice_stamps import later

_LEAST_NEEDLE: Final = 32
_NEEDLE: Final = 1024
_NEAR: Final = CLOCK_HZ


class Rest(NamedTuple):
    """A payload to send before a PID goes on."""

    pid: int
    """As sent."""
    payload: bytes
    starts: bool = False
    """It is a PES packet of its own."""


def cut_off(source: NewSource, shift: int, pid: int, end: PidEnd) -> PesStart | None:
    """Return the PES packet of the new source that has the place of the last one sent, None where there is none.

    It is the one with the same time stamps, or as many after that as were sent without any. `shift`, added to the
    source's clocks, makes those sent.
    """
    starts = source.starts.get(pid, [])
    for number, start in enumerate(starts):
        if start.pts is None or start.dts is None:
            continue
        if ((start.pts + shift) % WRAP, (start.dts + shift) % WRAP) == (end.own_pts, end.dts):
            between = starts[number + 1 : number + 1 + end.unstamped]
            is_there = len(between) == end.unstamped and all(one.pts is None for one in between)
            return [start, *between][-1] if is_there else None
    return None


def start_after(source: NewSource, pid: int, start: PesStart) -> PesStart | None:
    """Return the PES packet that follows one on its PID, None where it has not begun."""
    return next((one for one in source.starts[pid] if one.offset > start.offset), None)


def rest_of(source: NewSource, pid: int, end: PidEnd, cut: PesStart, following: PesStart) -> bytes | None:
    """Return what is missing of the PES packet that was cut off, if the source has the very same one."""
    payload = source.payload(pid, cut.offset, following.offset)
    if payload is None or end.partial is None:
        return None
    sent, header = read_pes_header(end.partial), read_pes_header(payload)
    if sent is None or header is None:
        return None
    content, known = payload[header.content_at :], end.partial[sent.content_at :]
    length = end.partial[4] << 8 | end.partial[5]
    if not content.startswith(known) or (length and sent.content_at + len(content) != 6 + length):
        return None
    return content[len(known) :]


def regrouped(source: NewSource, shift: int, pid: int, end: PidEnd, out_pid: int) -> tuple[PesStart, list[Rest]] | bool:
    """Return where sound that is grouped otherwise goes on, and what is to be sent before.

    False: the place is not there. True: it is, but more is needed.
    """
    header = read_pes_header(end.partial) if end.partial else None
    if header is None or end.partial is None:
        return False
    needle = end.partial[header.content_at :][-_NEEDLE:]
    if len(needle) < _LEAST_NEEDLE:
        return False
    joined, bounds = _elementary(source, shift, pid, end)
    at = joined.find(needle)
    if at < 0 or joined.find(needle, at + 1) >= 0:
        return False
    place = at + len(needle)
    length = end.partial[4] << 8 | end.partial[5]
    until = place + max(0, 6 + length - len(end.partial)) if length else place
    bound = next(((stop, start) for stop, start in bounds if stop >= until), None)
    if bound is None:
        return True
    stop, following = bound
    if not length:
        until = stop
    rests = [Rest(out_pid, joined[place:until])] if until > place else []
    if stop > until:
        head = b"\x00\x00\x01" + end.partial[3:4] + min(stop - until + 3, 0xFFFF).to_bytes(2, "big") + b"\x80\x00\x00"
        rests.append(Rest(out_pid, head + joined[until:stop], starts=True))
    return following, rests


def _elementary(source: NewSource, shift: int, pid: int, end: PidEnd) -> tuple[bytes, list[tuple[int, PesStart]]]:
    """Return the elementary stream about the place, and where in it each PES packet ends with the one that follows."""
    joined = b""
    bounds: list[tuple[int, PesStart]] = []
    starts = source.starts.get(pid, [])
    for start, following in pairwise(starts):
        if start.pts is None or abs(later(start.pts + shift, end.own_pts)) > _NEAR:
            continue
        payload = source.payload(pid, start.offset, following.offset)
        header = read_pes_header(payload) if payload else None
        if payload is None or header is None:
            joined, bounds = b"", []  # packets are missing: begin anew after them
            continue
        joined += payload[header.content_at :]
        bounds.append((len(joined), following))
    return joined, bounds


def packets_with(rest: Rest, counters: dict[int, int]) -> bytes:
    """Return the packets that carry a payload, the last one stuffed; `counters` (by PID, of the last packet) go on."""
    packets: list[bytes] = []
    for at in range(0, len(rest.payload), 184):
        piece = rest.payload[at : at + 184]
        counter = (counters.get(rest.pid, 0x0F) + 1) & 0x0F
        counters[rest.pid] = counter
        room = 184 - len(piece)
        field = bytes((room - 1,)) + (b"\x00" + b"\xff" * (room - 2) if room > 1 else b"") if room else b""
        flags = 0x40 if rest.starts and not at else 0
        head = bytes((0x47, flags | rest.pid >> 8, rest.pid & 0xFF, (0x30 if room else 0x10) | counter))
        packets.append(head + field + piece)
    return b"".join(packets)
