"""A transport stream multiplexer for clips that repeat for ever without a seam.

Rules of a clip, which the looper (`aceproxy.simulator.clips`) builds on:

- constant rate: packet `i` of `n` belongs to the moment `i / n` of the lap, and PCR says exactly that;
- a lap ends with nothing left to send: the last access unit of a lap is complete before the lap is over;
- the number of packets with payload of every PID is a multiple of 16, so continuity counters close over the seam;
- PAT and PMT stand right before every random-access point.

Sources: ISO/IEC 13818-1 clauses 2.4.3 (packets, PCR, PES) and 2.4.4 (PSI), ETSI EN 300 468 (SDT).
Used when clips are made, never while the simulator runs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

PACKET_BYTES = 188
CLOCK_HZ = 90_000
PMT_PID, VIDEO_PID, AUDIO_PID = 0x1000, 0x100, 0x101
PSI_INTERVAL_S = 0.08
SDT_INTERVAL_S = 0.5
SHORT_BYTES = 24  # payload of a packet cut short: enough for a PES header
PCR_INTERVAL_S = 0.022
NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184


@dataclass(frozen=True)
class Unit:
    """One access unit (or group of audio frames): what one PES packet carries. Times in 90 kHz ticks of the lap."""

    pid: int
    send_at: int
    pts: int
    dts: int
    payload: bytes
    random_access: bool


@dataclass
class Track:
    """What is left to send of one PID: whole units, and the rest of the PES packet under way."""

    pid: int
    units: deque[Unit]
    short_packets: int
    rest: bytes = b""
    unit: Unit | None = None
    packets: int = 0

    def ready(self, now: float) -> bool:
        """Say whether this track has bytes that may be sent at `now` (90 kHz ticks)."""
        return bool(self.rest) or (bool(self.units) and self.units[0].send_at <= now)

    def deadline(self) -> int:
        """Return when the next bytes are due, for earliest-deadline-first."""
        return self.unit.send_at if self.rest and self.unit else self.units[0].send_at


def crc32_mpeg(section: bytes) -> bytes:
    """Return the CRC_32 of a PSI section (13818-1 Annex A)."""
    crc = 0xFFFFFFFF
    for byte in section:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1
            crc &= 0xFFFFFFFF
    return crc.to_bytes(4, "big")


def psi_packet(pid: int, table_id: int, table_id_extension: int, body: bytes) -> bytes:
    """Return one packet with one section; its continuity counter is set later."""
    length = len(body) + 9
    flags = 0xF0 if table_id == 0x42 else 0xB0
    head = bytes((table_id, flags | length >> 8, length & 0xFF)) + table_id_extension.to_bytes(2, "big")
    section = head + b"\xc1\x00\x00" + body
    section += crc32_mpeg(section)
    packet = bytes((0x47, 0x40 | pid >> 8, pid & 0xFF, 0x10, 0x00)) + section
    return packet.ljust(PACKET_BYTES, b"\xff")


def tables(name: str, with_video: bool) -> tuple[bytes, bytes, bytes]:
    """Return the PAT, PMT and SDT packets of a one-programme stream called `name`."""
    pat = psi_packet(0, 0x00, 1, b"\x00\x01" + (0xE000 | PMT_PID).to_bytes(2, "big"))
    pcr_pid = VIDEO_PID if with_video else AUDIO_PID
    body = (0xE000 | pcr_pid).to_bytes(2, "big") + b"\xf0\x00"
    if with_video:
        body += b"\x1b" + (0xE000 | VIDEO_PID).to_bytes(2, "big") + b"\xf0\x00"
    language = b"\x0a\x04eng\x00"
    body += b"\x0f" + (0xE000 | AUDIO_PID).to_bytes(2, "big") + b"\xf0" + bytes((len(language),)) + language
    pmt = psi_packet(PMT_PID, 0x02, 1, body)
    provider, service = b"AceProxy", name.encode("ascii")
    texts = bytes((0x01 if with_video else 0x02, len(provider))) + provider + bytes((len(service),)) + service
    descriptor = bytes((0x48, len(texts))) + texts
    loop = b"\x00\x01\xfc" + (0x8000 | len(descriptor)).to_bytes(2, "big") + descriptor
    return pat, pmt, psi_packet(0x11, 0x42, 1, b"\xff\x01\xff" + loop)


def stamp(prefix: int, ticks: int) -> bytes:
    """Return the five bytes of a PTS or DTS (13818-1 clause 2.4.3.7)."""
    value = prefix << 36 | (ticks >> 30 & 7) << 33 | 1 << 32 | (ticks >> 15 & 0x7FFF) << 17 | 1 << 16
    return (value | (ticks & 0x7FFF) << 1 | 1).to_bytes(5, "big")


def pes(unit: Unit) -> bytes:
    """Return the PES packet of a unit."""
    ticks = 1 << 33
    if unit.pts == unit.dts:
        times = stamp(2, unit.pts % ticks)
    else:
        times = stamp(3, unit.pts % ticks) + stamp(1, unit.dts % ticks)
    header = bytes((0x84, 0xC0 if len(times) == 10 else 0x80, len(times))) + times
    video = unit.pid == VIDEO_PID
    length = 0 if video else len(header) + len(unit.payload)
    return b"\x00\x00\x01" + (b"\xe0" if video else b"\xc0") + length.to_bytes(2, "big") + header + unit.payload


def packet_of(track: Track, pcr: int | None) -> bytes:
    """Take the next packet from a track, with `pcr` (27 MHz) in its adaptation field if given."""
    starts = not track.rest
    if starts:
        track.unit = track.units.popleft()
        track.rest = pes(track.unit)
    flags = (0x40 if starts and track.unit and track.unit.random_access else 0) | (0x10 if pcr is not None else 0)
    field_bytes = bytes((flags,)) + (pcr_bytes(pcr) if pcr is not None else b"") if flags else b""
    room = PACKET_BYTES - 4 - (1 + len(field_bytes) if field_bytes else 0)
    if track.short_packets > 0 and len(track.rest) > SHORT_BYTES:
        track.short_packets -= 1
        room = min(room, SHORT_BYTES)
    payload, track.rest = track.rest[:room], track.rest[room:]
    head = bytes((0x47, (0x40 if starts else 0) | track.pid >> 8, track.pid & 0xFF))
    track.packets += 1
    missing = PACKET_BYTES - 4 - len(payload)
    if missing == 0:
        return head + b"\x10" + payload
    if not field_bytes and missing > 1:
        field_bytes = b"\x00"
    adaptation = bytes((missing - 1,)) + field_bytes.ljust(missing - 1, b"\xff")
    return head + b"\x30" + adaptation + payload


def pcr_bytes(pcr: int) -> bytes:
    """Return the six bytes of a PCR given in 27 MHz units."""
    base, extension = divmod(pcr, 300)
    return ((base % (1 << 33)) << 15 | 0x3F << 9 | extension).to_bytes(6, "big")


class Multiplexer:
    """One lap in the making: a slot of the constant rate after the other, earliest deadline first."""

    def __init__(self, tracks: list[Track], psi: tuple[bytes, bytes, bytes], lap_ticks: int, packet_count: int) -> None:
        self.tracks = tracks
        self.pcr_track = tracks[0]
        self.psi = psi
        self.ticks_per_packet = lap_ticks / packet_count
        self.packet_count = packet_count
        self.packets: list[bytes] = []
        self.next_psi_at = self.next_sdt_at = self.next_pcr_at = 0.0

    def run(self) -> list[bytes]:
        """Return the packets of the lap, continuity counters not yet set. Raises ValueError if units are left over."""
        while len(self.packets) < self.packet_count:
            self.fill_slot()
        if any(track.rest or track.units for track in self.tracks):
            raise ValueError("the lap is over before everything was sent")
        return self.packets[: self.packet_count]

    def now(self) -> float:
        """Return the moment of the next packet in 90 kHz ticks of the lap."""
        return len(self.packets) * self.ticks_per_packet

    def fill_slot(self) -> None:
        """Append what is to be sent next: tables, a PCR of its own, data, or a null packet."""
        now = self.now()
        ready = [track for track in self.tracks if track.ready(now)]
        track = min(ready, key=Track.deadline) if ready else None
        entry = track is self.pcr_track and not track.rest and track.units[0].random_access
        clock_due = now >= self.next_pcr_at  # before the tables: its interval is the tighter one
        if entry or (now >= self.next_psi_at and not clock_due):
            self.packets += self.psi[:2]
            self.next_psi_at = now + PSI_INTERVAL_S * CLOCK_HZ
        elif now >= self.next_sdt_at and not clock_due:
            self.packets.append(self.psi[2])
            self.next_sdt_at = now + SDT_INTERVAL_S * CLOCK_HZ
        if entry or self.now() >= self.next_pcr_at:
            # a PCR counts for the byte that ends its base field, the eleventh of the packet
            pcr = round((self.now() + self.ticks_per_packet * 11 / PACKET_BYTES) * 300)
            self.next_pcr_at = self.now() + PCR_INTERVAL_S * CLOCK_HZ
            self.packets.append(packet_of(self.pcr_track, pcr) if track is self.pcr_track else self.lone_pcr(pcr))
        else:
            self.packets.append(packet_of(track, None) if track else NULL_PACKET)

    def lone_pcr(self, pcr: int) -> bytes:
        """Return a packet that carries a PCR and no payload."""
        pid = self.pcr_track.pid
        packet = bytes((0x47, pid >> 8, pid & 0xFF, 0x20, 183, 0x10)) + pcr_bytes(pcr)
        return packet.ljust(PACKET_BYTES, b"\xff")


def multiplex(name: str, units: list[Unit], lap_ticks: int, packet_count: int) -> bytes:
    """Multiplex one lap of `lap_ticks` (90 kHz) in `packet_count` packets.

    `units` is in sending order for each PID. Raises ValueError when they do not fit into the lap.
    """
    pids = [pid for pid in (VIDEO_PID, AUDIO_PID) if any(unit.pid == pid for unit in units)]
    psi = tables(name, with_video=VIDEO_PID in pids)
    short_packets = dict.fromkeys(pids, 0)
    for _ in range(200):
        tracks = [Track(pid, deque(u for u in units if u.pid == pid), short_packets[pid]) for pid in pids]
        packets = Multiplexer(tracks, psi, lap_ticks, packet_count).run()
        if all(track.packets % 16 == 0 for track in tracks):
            return b"".join(close_counters(packets, psi))
        for track in tracks:
            short_packets[track.pid] += -track.packets % 16
    raise ValueError(f"{name}: no division into packets closes the continuity counters")


def close_counters(packets: list[bytes], psi: tuple[bytes, bytes, bytes]) -> list[bytes]:
    """Bring the tables to a multiple of 16 each, in place of null packets, and number all packets."""
    packets = list(packets)
    nulls = [index for index, packet in enumerate(packets) if packet == NULL_PACKET]
    wanted = [table for table in psi for _ in range(-packets.count(table) % 16)]
    if len(wanted) > len(nulls):
        raise ValueError("not enough null packets for the tables")
    for number, table in enumerate(wanted):
        packets[nulls[(number * 2 + 1) * len(nulls) // (len(wanted) * 2)]] = table
    counters: dict[int, int] = {}
    for index, packet in enumerate(packets):
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        if pid == 0x1FFF:
            continue
        counter = counters.get(pid, 0)
        if packet[3] & 0x10:
            counters[pid] = counter + 1
        else:
            counter -= 1  # 13818-1 2.4.3.3: no payload, no increment
        packets[index] = packet[:3] + bytes((packet[3] & 0xF0 | counter & 0x0F,)) + packet[4:]
    return packets
