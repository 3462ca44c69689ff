"""A short way to the place: where in the newest bytes of a source stands what was sent a moment before the end.

The splice goes through all that it is given, packet for packet. Of a source that has run beside the one that was lost
seconds are kept, and nearly all of that was sent. A row of packets that begins with a PCR (ISO/IEC 13818-1 §2.4.3.5)
comes once in a day, so where the very same row is found, what lies before it need not be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.packets import PACKET_BYTES
from aceproxy.mpegts.splice_stamps import later, read_stamp, stamped

BACK_S: Final = (0.5, 1.0, 2.0)  # before the end; packets may be missing at one place
ROW_PACKETS: Final = 12
_TOO_FAR: Final = 10 * CLOCK_HZ  # before the end: the clock has jumped in between
_WITH_PCR: Final = bytes(1 if value & 2 else 0 for value in range(256))


def rows_of(sent: bytes) -> list[bytes]:
    """Return rows of packets by which the place is found up to which `sent`, whole packets, goes; the best first.

    Each begins with a PCR, some tenths of a second before the end at the least. Empty where there is none.
    """
    rows: list[bytes] = []
    backs = iter(BACK_S)
    back = next(backs)
    newest: dict[int, int] = {}
    for at, pid, clock in _clocks_backwards(sent):
        before = later(newest.setdefault(pid, clock), clock)
        if before > _TOO_FAR or before < 0:
            break
        if before < back * CLOCK_HZ:
            continue
        rows.append(sent[at : at + ROW_PACKETS * PACKET_BYTES])
        following = next(backs, None)
        if following is None:
            break
        back = following
    return rows


def offset_of(rows: list[bytes], fresh: bytes) -> int | None:
    """Return where in `fresh`, bytes that may begin anywhere, the first of the rows that is there begins."""
    return next((at for row in rows if (at := fresh.find(row)) >= 0), None)


def _clocks_backwards(sent: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield offset, PID and value of every PCR, the last one first."""
    with memoryview(sent) as view:
        marked = stamped(view).translate(_WITH_PCR)
    index = len(marked)
    while (index := marked.rfind(1, 0, index)) >= 0:
        at = index * PACKET_BYTES
        stamp = read_stamp(sent[at : at + PACKET_BYTES])
        if stamp.pcr is not None:
            yield at, stamp.pid, stamp.pcr
