"""Whether the pictures of a stream go on: they come in the order of their decoding (ISO/IEC 13818-1 §2.4.3.7)."""

from __future__ import annotations

from typing import Final

from aceproxy.mpegts.clock import CLOCK_HZ, WRAP

STEP_BACK: Final = 7 * CLOCK_HZ // 10  # pictures without a DTS of their own are out of order by less
OWN_STEP_BACK: Final = CLOCK_HZ // 5  # those that have one are never; encoders begin anew by less


class DecodingOrder:
    """The time stamps of one stream's access units, 90 kHz, 33 bit."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._last_own: int | None = None  # of the last one that has a DTS beside its PTS

    def goes_back(self, pts: int, dts: int | None) -> bool:
        """Take the time stamps of the next access unit; tell whether it is decoded long before those that came."""
        last, own = self._last, self._last_own
        self._last = fresh = pts if dts is None else dts
        self._last_own = own if dts is None else dts
        is_back = _is_before(last, fresh, STEP_BACK) or _is_before(own, dts, OWN_STEP_BACK)
        if is_back:
            self._last_own = dts  # what came before does not count any more
        return is_back


def _is_before(last: int | None, fresh: int | None, least: int) -> bool:
    """Tell whether a time stamp is before the last one by more than `least`."""
    return last is not None and fresh is not None and least < (last - fresh) % WRAP < WRAP // 2
