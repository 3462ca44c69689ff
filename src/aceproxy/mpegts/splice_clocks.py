"""The clocks of a spliced source: shifted, left out until they are later than all that were sent, pictures hurried on.

Offsets are those of the window of the source that is looked at, in bytes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from aceproxy.mpegts.clock import WRAP
from aceproxy.mpegts.packets import PACKET_BYTES
from aceproxy.mpegts.recovery import Recovery
from aceproxy.mpegts.splice_sent import PidEnd
from aceproxy.mpegts.splice_stamps import delay_stamps, later, read_stamp, shift_stamps, stamped, without_pcr

PATIENCE_BYTES: Final = 8 << 20  # after which nothing waits for its time any more
_EVENT: Final = re.compile(rb"[^\x00]", re.DOTALL)


class Clocks:
    """What is done with PCR, PTS and DTS of one source."""

    def __init__(self, offset: int, shift: int, floor: int | None, recovery: Recovery | None) -> None:
        """`shift` is added to all; every PCR is left out until it exceeds `floor`."""
        self.shift = shift % WRAP
        self._begun = offset
        self._floor = floor
        self._passed: tuple[int, int | None] = offset, None  # where the clock last exceeded a floor, and which
        self._recovery = recovery

    def begin_again(self, offset: int) -> None:
        """Have patience as at the begin."""
        self._begun = offset

    def is_patient(self, offset: int) -> bool:
        """Tell whether what waits for its time still does."""
        return offset - self._begun <= PATIENCE_BYTES

    def set_back(self, offset: int) -> None:
        """Take it that what came last was not sent: the floor may not have been exceeded."""
        if self._floor is None and offset - self._passed[0] < PATIENCE_BYTES:
            self._floor = self._passed[1]

    def is_due(self, pcr: int, offset: int) -> bool:
        """Tell whether a PCR of the source may be sent: it is later than all before the splice."""
        if self._floor is None:
            return True
        if later(pcr + self.shift, self._floor) > 0:
            self._passed, self._floor = (offset, self._floor), None
            return True
        if not self.is_patient(offset):
            self._floor = None
        return self._floor is None

    def move(self, view: memoryview, out: bytearray, codes: bytes, offset: int) -> None:
        """Change the clocks in `out`, a copy of the packets in `view`, where codes are those of plain packets."""
        if not self.shift and self._floor is None and self._recovery is None:
            return
        for found in _EVENT.finditer(stamped(view)):
            index = found.start()
            if codes[index] >= 0x10:
                continue
            at = index * PACKET_BYTES
            if self._floor is not None:
                pcr = read_stamp(bytes(view[at : at + PACKET_BYTES])).pcr
                if pcr is not None and not self.is_due(pcr, offset):
                    without_pcr(out, at)
            if self.shift:
                shift_stamps(out, at, self.shift)
            if self._recovery is not None:
                self._pass_quickly(self._recovery, view, out, at)

    def _pass_quickly(self, recovery: Recovery, view: memoryview, out: bytearray, at: int) -> None:
        """Have a picture pass quickly that is not to be looked at."""
        stamp = read_stamp(bytes(view[at : at + PACKET_BYTES]))
        if stamp.pid != recovery.pid or stamp.pts is None or stamp.dts is None:
            return
        delay_stamps(out, at, *recovery.later_by(stamp.pts, stamp.dts))
        if recovery.is_long_over(stamp.dts):
            self._recovery = None

    def delayed(self, pid: int, end: PidEnd) -> PidEnd:
        """Return where a PID of the source ended, if `end` is where it ended but for pictures that passed quickly."""
        recovery = self._recovery
        if recovery is None or pid != recovery.pid:
            return end
        pts, dts = recovery.later_by(*((stamp - self.shift) % WRAP for stamp in (end.own_pts, end.dts)))
        moved = ((stamp + by) % WRAP for stamp, by in ((end.own_pts, pts), (end.pts, pts), (end.dts, dts)))
        own_pts, highest, last_dts = moved
        return replace(end, own_pts=own_pts, pts=highest, dts=last_dts)
