"""Whether a source goes on where it was: by the continuity counters of its streams (ISO/IEC 13818-1 §2.4.3.3). Pure.

An engine whose swarm has stood still may go on elsewhere in the broadcast, since what lies between cannot be had any
more. The connection stays, and nothing but the packets tells of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.packets import PACKET_BYTES, Aligner, adaptation_flags, payload_start, pid_of, synced_prefix
from aceproxy.mpegts.splice_sent import events_of
from aceproxy.mpegts.splice_stamps import later

BACK_S: Final = 600.0  # as far as a source may have gone back in a broadcast; more than that is another clock
_DISCONTINUITY = 0x80
_UNIT_START = 0x40
_PES_START = b"\x00\x00\x01"


def follows(before: bytes, fresh: bytes) -> bool | None:
    """Say whether `fresh` goes on where `before` ended; None where that cannot be told.

    `before` are whole packets, the newest ones; `fresh` may end within a packet. One packet of a stream of pictures or
    sound is enough. A packet that is there twice goes on, and so does what says itself that its counters do not. What
    does not stand where packets must, since one was cut off, does not go on. Never raises.
    """
    whole = synced_prefix(fresh)
    if whole < len(fresh) // PACKET_BYTES * PACKET_BYTES:
        return False
    last = _last_packets(before)
    verdict = None
    for packet in _packets(fresh[:whole]):
        known = last.pop(pid_of(packet), None)
        if known is None or payload_start(packet) == PACKET_BYTES:
            continue
        is_next = packet[3] & 0x0F == (known[3] + 1) & 0x0F
        if not is_next and packet != known and not adaptation_flags(packet) & _DISCONTINUITY:
            return False
        verdict = True
    return verdict


def goes_back(before: bytes, fresh: bytes) -> bool | None:
    """Say whether `fresh` is of the past of `before`, by the clocks of both; None where they cannot be compared.

    `before` are whole packets. Never raises.
    """
    last = dict(_clocks(before))
    for clock, ticks in _clocks(Aligner().feed(fresh)):
        if clock in last:
            return 0 <= later(last[clock], ticks) <= BACK_S * CLOCK_HZ
    return None


def _clocks(part: bytes) -> list[tuple[tuple[int, str], int]]:
    """Return which clock, by PID and kind, says what, packet by packet."""
    found: list[tuple[tuple[int, str], int]] = []
    with memoryview(part) as packets:
        for _, stamp in events_of(packets):
            told = (("pcr", stamp.pcr), ("dts", stamp.dts))
            found += [((stamp.pid, kind), ticks) for kind, ticks in told if ticks is not None]
    return found


def _last_packets(part: bytes) -> dict[int, bytes]:
    """Return the last packet with a payload of each stream of pictures or sound that begins a unit in `part`."""
    last: dict[int, bytes] = {}
    streams: set[int] = set()
    for packet in _packets(part):
        start = payload_start(packet)
        if start == PACKET_BYTES:
            continue
        pid = pid_of(packet)
        if packet[1] & _UNIT_START and packet[start : start + 3] == _PES_START:
            streams.add(pid)
        last[pid] = packet
    return {pid: packet for pid, packet in last.items() if pid in streams}


def _packets(part: bytes) -> Iterator[bytes]:
    return (part[at : at + PACKET_BYTES] for at in range(0, len(part) - PACKET_BYTES + 1, PACKET_BYTES))
