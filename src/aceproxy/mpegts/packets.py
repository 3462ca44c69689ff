"""Transport packets: constants, alignment, and where the parts of one packet are (ISO/IEC 13818-1 §2.4.3).

The steady state never loops over packets: `synced_prefix` looks at every 188th byte with one strided slice. `Aligner`
is the slow path for input that has junk in it.
"""

from __future__ import annotations

import re
from mmap import mmap
from typing import Final, NamedTuple

PACKET_BYTES: Final = 188
SYNC_BYTE: Final = 0x47
NULL_PID: Final = 0x1FFF
NULL_PACKET: Final = b"\x47\x1f\xff\x10" + b"\xff" * 184

LOCK_PACKETS: Final = 5  # this many sync bytes in a row make a lock; chance alone does that once in 10^12 positions

Buffer = bytes | bytearray | memoryview | mmap
"""What every function here reads from; a memoryview must be of bytes and contiguous."""

_SYNC: Final = b"\x47"
_STRIDES: Final = (
    PACKET_BYTES,
    192,
    204,
)  # alone; with a time of arrival before it (M2TS); with parity bytes behind it


def _lock(stride: int) -> re.Pattern[bytes]:
    return re.compile(rb"\x47(?=(?:.{%d}\x47){%d})" % (stride - 1, LOCK_PACKETS - 1), re.DOTALL)


_LOCKS: Final = tuple((stride, _lock(stride)) for stride in _STRIDES)
_LOCK_SPAN: Final = max(_STRIDES) * (LOCK_PACKETS - 1) + 1  # bytes that must be there to judge one position
_LONE_AFTER: Final = 3  # sync bytes that must follow one bad one in their places to keep the lock


class Heads(NamedTuple):
    """The second, third and fourth byte of each of some packets: all that most of them are ever looked at for."""

    first: bytes
    """transport_error_indicator, payload_unit_start_indicator, transport_priority, the PID's high bits."""
    second: bytes
    """The PID's low bits."""
    control: bytes
    """Scrambling, adaptation_field_control, continuity_counter."""

    def part(self, start: int, end: int | None = None) -> Heads:
        """Return those of the packets from number `start` to before number `end`."""
        return Heads(self.first[start:end], self.second[start:end], self.control[start:end])


def heads_of(packets: Buffer, start: int = 0, end: int | None = None) -> Heads:
    """Return the heads of the whole packets from byte `start` to before byte `end`."""
    if isinstance(packets, memoryview):  # a step through it is thirty times slower than one through bytes
        packets, start, end = bytes(packets[start:end]), 0, None
    return Heads(
        bytes(packets[start + 1 : end : PACKET_BYTES]),
        bytes(packets[start + 2 : end : PACKET_BYTES]),
        bytes(packets[start + 3 : end : PACKET_BYTES]),
    )


def marks_of(heads: Heads, first: bytes, second: bytes) -> bytes:
    """Return one byte per packet: what the tables `first` and `second` (256 bytes each) both say of its PID bytes."""
    marked = int.from_bytes(heads.first.translate(first), "little")
    marked &= int.from_bytes(heads.second.translate(second), "little")
    return marked.to_bytes(len(heads.first), "little")


def synced_prefix(buf: Buffer, start: int = 0, end: int | None = None) -> int:
    """Return the length in bytes of the longest run of whole, synced packets at byte `start` of `buf`.

    A multiple of 188: every packet in it is whole, before byte `end`, and starts with 0x47. Reads one byte of each
    packet.
    """
    if isinstance(buf, memoryview):
        buf, start, end = bytes(buf[start:end]), 0, None
    whole = ((len(buf) if end is None else end) - start) // PACKET_BYTES * PACKET_BYTES
    syncs = bytes(buf[start : start + whole : PACKET_BYTES])
    if syncs.count(_SYNC) == len(syncs):
        return whole
    return (len(syncs) - len(syncs.lstrip(_SYNC))) * PACKET_BYTES


def pid_of(packet: Buffer) -> int:
    """Return the PID of a packet."""
    return (packet[1] & 0x1F) << 8 | packet[2]


def payload_start(packet: Buffer) -> int:
    """Return where the payload begins in a packet, or 188 where there is none or the adaptation field is broken."""
    control = packet[3] & 0x30
    if control == 0x10:
        return 4
    if control == 0x30:
        return min(5 + packet[4], PACKET_BYTES)
    return PACKET_BYTES


def adaptation_flags(packet: Buffer) -> int:
    """Return the flags byte of the adaptation field, 0 where there is none: 0x80 is discontinuity_indicator, 0x40
    random_access_indicator, 0x10 PCR_flag.
    """
    return packet[5] if packet[3] & 0x20 and packet[4] else 0


class Aligner:
    """Finds whole packets in bytes that may start anywhere and may have junk in between.

    It locks where 5 sync bytes stand 188 bytes apart, or 192 or 204: what stands between packets then is left out. Once
    locked, a packet with a broken sync byte costs only itself if the three after it stand where they should; otherwise
    the lock is lost and searched anew from the next byte. The result does not depend on how the input is cut into
    chunks. Holds less than 1200 bytes between calls.
    """

    def __init__(self) -> None:
        self.dropped_bytes = 0
        """Bytes that were not passed on so far."""
        self.resyncs = 0
        """How often a lock was lost."""
        self._held = b""
        self._locked = False
        self._stride = PACKET_BYTES
        self._skip = 0  # of the next bytes, what stands behind the last packet

    @property
    def is_needed(self) -> bool:
        """Tell whether what comes next cannot be taken as whole packets one after the other."""
        return bool(self._held) or self._stride != PACKET_BYTES

    @property
    def held_bytes(self) -> int:
        """Bytes held back because they do not make a certain packet yet; 0 means the next chunk starts with one."""
        return len(self._held)

    def feed(self, chunk: Buffer) -> bytes:
        """Take any number of bytes, return the whole packets that are certain now; all start with 0x47."""
        skipped = min(self._skip, len(chunk))
        self._skip -= skipped
        self.dropped_bytes += skipped
        buf = self._held + bytes(chunk)[skipped:]
        out: list[bytes] = []
        at = 0
        while True:
            if not self._locked:
                at = self._search(buf, at)
                if not self._locked:
                    break
            stride = self._stride
            at += self._run(buf, at, out)
            if len(buf) - at < stride and buf[at : at + 1] in (b"", _SYNC):
                break
            following = buf[at + stride : at + stride * _LONE_AFTER + 1 : stride]
            if following.strip(_SYNC):
                self._locked = False
                self.resyncs += 1
                self.dropped_bytes += 1
                at += 1
            elif len(following) < _LONE_AFTER:
                break
            else:
                self.dropped_bytes += stride
                at += stride
        self._held = buf[at:]
        self._skip += max(0, at - len(buf))
        return b"".join(out)

    def flush(self) -> bytes:
        """End of input: return what is held and can still be told to be packets; starts anew afterwards.

        At the end fewer sync bytes must do: two in a row, or one whose packet ends exactly where the input ends.
        """
        buf, self._held, self._locked, self._skip = self._held, b"", False, 0
        at = buf.find(_SYNC)
        while 0 <= at <= len(buf) - PACKET_BYTES:
            heads = buf[at::PACKET_BYTES]
            if not heads.strip(_SYNC) and (len(heads) > 1 or len(buf) - at == PACKET_BYTES):
                whole = (len(buf) - at) // PACKET_BYTES * PACKET_BYTES
                self.dropped_bytes += len(buf) - whole
                return buf[at : at + whole]
            at = buf.find(_SYNC, at + 1)
        self.dropped_bytes += len(buf)
        return b""

    def _search(self, buf: bytes, at: int) -> int:
        """Lock at the first position from `at` on that can be; return it, or the first one not yet to be judged."""
        judged = max(at, len(buf) - _LOCK_SPAN + 1)
        found = [(one.start(), stride) for stride, lock in _LOCKS if (one := lock.search(buf, at))]
        start, stride = min(found, default=(len(buf) + 1, 0))
        self._locked = start <= judged  # what lies before it was judged by all distances
        start = min(start, judged)
        self._stride = stride if self._locked else PACKET_BYTES
        self.dropped_bytes += start - at
        return start

    def _run(self, buf: bytes, at: int, out: list[bytes]) -> int:
        """Put the packets from `at` on into `out`; return how many bytes they take with what stands behind them, which
        may not have come yet.
        """
        stride = self._stride
        with memoryview(buf) as view, view[at:] as rest:
            if stride == PACKET_BYTES:
                run = synced_prefix(rest)
                out.append(bytes(rest[:run]))
                return run
            whole = (len(rest) + stride - PACKET_BYTES) // stride * stride
            syncs = bytes(rest[:whole:stride])
            run = (len(syncs) - len(syncs.lstrip(_SYNC))) * stride
            out += [bytes(rest[start : start + PACKET_BYTES]) for start in range(0, run, stride)]
            self.dropped_bytes += min(run, len(rest)) - run // stride * PACKET_BYTES
            return run


def keep_alive(count: int) -> bytes:
    """Return `count` null packets (PID 0x1FFF) for clients to get while nothing comes; they disturb no splice."""
    return NULL_PACKET * count
