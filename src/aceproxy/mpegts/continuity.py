"""Continuity counters, checked by the letter of ISO/IEC 13818-1 §2.4.3.3.

Looks at every packet in Python: for checks and tests, not for the way of the bytes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from aceproxy.mpegts.packets import NULL_PID, PACKET_BYTES, SYNC_BYTE, Buffer, adaptation_flags, pid_of


@dataclass(slots=True)
class _PidState:
    counter: int
    repeatable: bytes | None
    """The last packet if it may be sent once more: it had a payload and was not a duplicate itself."""


class ContinuityChecker:
    """Counts packets whose continuity counter is not what the one before on the PID demands.

    Keeps the last packet of each PID (at most 1.6 MB). Packets with transport_error_indicator or without a sync byte
    are counted as `damaged` and not looked at, so the gap they leave is an error of the next packet.
    """

    def __init__(self) -> None:
        self.errors: Counter[int] = Counter()
        """Errors by PID; a PID without errors is not in it."""
        self.packets = 0
        self.damaged = 0
        self._pids: dict[int, _PidState] = {}

    @property
    def total(self) -> int:
        """Return the errors of all PIDs together."""
        return self.errors.total()

    def feed(self, packets: Buffer) -> int:
        """Take whole packets (a partial one at the end is left out); return how many errors they brought."""
        before = self.total
        for at in range(0, len(packets) - PACKET_BYTES + 1, PACKET_BYTES):
            self._packet(bytes(packets[at : at + PACKET_BYTES]))
        return self.total - before

    def _packet(self, packet: bytes) -> None:
        self.packets += 1
        if packet[0] != SYNC_BYTE or packet[1] & 0x80:
            self.damaged += 1
            return
        pid = pid_of(packet)
        control = packet[3] >> 4 & 3
        if pid == NULL_PID or control == 0:
            return  # the null PID's counter means nothing; adaptation_field_control 00 is to be discarded
        counter, has_payload = packet[3] & 0x0F, bool(control & 1)
        comparable = _without_pcr(packet) if has_payload else None
        state = self._pids.get(pid)
        if state is None:
            self._pids[pid] = _PidState(counter, comparable)
            return
        expected = (state.counter + has_payload) & 0x0F
        if counter == state.counter and comparable is not None and comparable == state.repeatable:
            comparable = None  # the one duplicate that is allowed
        elif counter != expected and not adaptation_flags(packet) & 0x80:
            self.errors[pid] += 1
        state.counter, state.repeatable = counter, comparable


def _without_pcr(packet: bytes) -> bytes:
    """Return a packet with the PCR blanked: the one field in which a duplicate may differ."""
    if adaptation_flags(packet) & 0x10:
        return packet[:6] + bytes(6) + packet[12:]
    return packet
