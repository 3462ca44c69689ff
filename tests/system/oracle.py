"""A judge of transport streams that shares no code with the program (ISO/IEC 13818-1 §2.4)."""

from __future__ import annotations

from collections.abc import Iterator

PACKET = 188


def packets(data: bytes | bytearray) -> Iterator[bytes]:
    """Yield the whole packets of `data`, which must begin with one."""
    for at in range(0, len(data) - PACKET + 1, PACKET):
        yield bytes(data[at : at + PACKET])


def pid_of(packet: bytes) -> int:
    """Return the PID of a packet."""
    return (packet[1] & 0x1F) << 8 | packet[2]


def faults_in(data: bytes | bytearray) -> list[str]:
    """Return what is wrong with a stream that nothing may be missing from: sync bytes and continuity counters."""
    found: list[str] = []
    last: dict[int, bytes] = {}
    for number, packet in enumerate(packets(data)):
        if packet[0] != 0x47:
            return [*found, f"packet {number} has no sync byte"]
        pid = pid_of(packet)
        if packet[3] & 0x30 == 0x20 and packet[4] and packet[5] & 0x80:
            last[pid] = packet  # it says that the counter begins anew
        if pid == 0x1FFF or not packet[3] & 0x10:
            continue
        before = last.get(pid)
        last[pid] = packet
        if before is None or packet == before:
            continue
        announced = packet[3] & 0x20 and packet[4] and packet[5] & 0x80
        if packet[3] & 15 != (before[3] + 1) & 15 and not announced:
            found.append(f"packet {number}: PID {pid} goes from {before[3] & 15} to {packet[3] & 15}")
    return found


def pmt_pids(data: bytes | bytearray) -> set[int]:
    """Return the PIDs of the PMTs that the first PAT names (a PAT of one packet, as nearly all are)."""
    for packet in packets(data):
        if pid_of(packet) == 0 and packet[1] & 0x40:
            start = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
            section = packet[start + 1 + packet[start] :]
            length = (section[1] & 0x0F) << 8 | section[2]
            entries = section[8 : 3 + length - 4]
            return {
                (entries[at + 2] & 0x1F) << 8 | entries[at + 3]
                for at in range(0, len(entries), 4)
                if entries[at : at + 2] != b"\0\0"
            }
    return set()


def preamble_packets(data: bytes | bytearray) -> int:
    """Return how many packets at the start are tables: PAT and PMTs."""
    tables = {0} | pmt_pids(data[: 50 * PACKET])
    count = 0
    for packet in packets(data):
        if pid_of(packet) not in tables:
            return count
        count += 1
    return count


def place_in(source: bytes, body: bytes | bytearray) -> tuple[int, int]:
    """Find a client's body in what the engine sent: (offset in `source`, packets of tables in front of that).

    Behind the tables at its start the body must be one piece of `source`, from a packet boundary on. Raises
    AssertionError if it is not.
    """
    tables = preamble_packets(body)
    rest = bytes(body[tables * PACKET :])
    at = source.find(rest[: 4 * PACKET])
    while at >= 0:
        if at % PACKET == 0 and source.startswith(rest, at):
            return at, tables
        at = source.find(rest[: 4 * PACKET], at + 1)
    raise AssertionError("the body is not one piece of what the engine sent")
