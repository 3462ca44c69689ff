"""How far one source of a broadcast is behind another one, by their program clocks (ISO/IEC 13818-1 §2.4.2.2)."""

from __future__ import annotations

from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ
from aceproxy.mpegts.packets import Aligner
from aceproxy.mpegts.splice_sent import events_of
from aceproxy.mpegts.splice_stamps import later

COMPARABLE_S: Final = 60.0  # clocks that are farther apart are not those of one broadcast


def behind_s(sent: bytes, fresh: bytes) -> float | None:
    """Return by how many seconds the newest clock in `fresh` is behind the newest one in `sent`; negative: ahead.

    Both are the newest bytes of a source, taken at one moment. None where they have no clock on the same PID, or clocks
    that cannot be of one broadcast. Never raises.
    """
    one, other = _newest_clocks(sent), _newest_clocks(fresh)
    lags = [later(clock, other[pid]) / CLOCK_HZ for pid, clock in one.items() if pid in other]
    return lags[0] if lags and abs(lags[0]) <= COMPARABLE_S else None


def _newest_clocks(part: bytes) -> dict[int, int]:
    """Return the last PCR of each PID."""
    with memoryview(Aligner().feed(part)) as packets:
        return {stamp.pid: stamp.pcr for _, stamp in events_of(packets) if stamp.pcr is not None}
