"""How much media lies in a piece of a transport stream, by its clocks."""

from __future__ import annotations

from aceproxy.mpegts.packets import Buffer
from aceproxy.mpegts.splice_sent import events_of
from aceproxy.mpegts.splice_stamps import later


def media_span(packets: Buffer) -> int:
    """Return the media time in whole packets, 90 kHz: the longest way that one clock (PCR or PTS of a PID) goes.

    0 where no clock is told twice. Takes time in proportion to the bytes: some 1 ms for 384 KiB.
    """
    first: dict[tuple[int, bool], int] = {}
    span = 0
    with memoryview(packets) as view:
        for _, stamp in events_of(view):
            for is_pcr, clock in ((True, stamp.pcr), (False, stamp.pts)):
                if clock is not None:
                    span = max(span, abs(later(clock, first.setdefault((stamp.pid, is_pcr), clock))))
    return span
