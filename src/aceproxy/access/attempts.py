"""Failed sign-ins: how long whoever failed has to wait. Pure; times are those of a monotonic clock, in seconds.

Counted for each address (IPv6: for each /64, of which one household has as many addresses as it likes) and for all
together, since an attacker with many addresses is one attacker all the same. Memory is bounded: the address that has
not failed for the longest is forgotten.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from dataclasses import dataclass

from aceproxy.access.networks import read_address

FREE_FAILURES = 5  # of one address before it has to wait: people mistype
LONGEST_WAIT_S = 300.0
FORGET_S = 900.0  # without a failure, after which an address begins afresh
TOTAL_FAILURES = 60  # of all addresses within TOTAL_PERIOD_S; then everybody waits
TOTAL_PERIOD_S = 60.0
KEPT_ADDRESSES = 2000


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last_at: float = 0.0


class Attempts:
    """Sign-ins that failed lately. Event loop only."""

    def __init__(self) -> None:
        self._by_place: OrderedDict[str, _Record] = OrderedDict()
        self._lately: deque[float] = deque(maxlen=TOTAL_FAILURES)

    def wait_s(self, address: str, now: float) -> float:
        """Return how long `address` has to wait before it may try; 0 if it may try now."""
        total_s = 0.0
        if len(self._lately) == TOTAL_FAILURES:
            total_s = self._lately[0] + TOTAL_PERIOD_S - now
        record = self._by_place.get(_place(address))
        if record is None or now - record.last_at > FORGET_S or record.failures < FREE_FAILURES:
            return max(0.0, total_s)
        pause_s = min(LONGEST_WAIT_S, 2.0 ** (record.failures - FREE_FAILURES))
        return max(0.0, total_s, record.last_at + pause_s - now)

    def count(self, address: str, now: float) -> None:
        """Count a try as failed; before its outcome is known, so that many at once are as many failures."""
        place = _place(address)
        record = self._by_place.setdefault(place, _Record())
        if now - record.last_at > FORGET_S:
            record.failures = 0
        record.failures = min(record.failures + 1, 64)
        record.last_at = now
        self._lately.append(now)
        self._by_place.move_to_end(place)
        while len(self._by_place) > KEPT_ADDRESSES:
            self._by_place.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Take back what `count` counted for a try that succeeded. Earlier failures stay: a token of one's own must
        not buy further tries at somebody else's password.
        """
        record = self._by_place.get(_place(address))
        if record is not None:
            record.failures = max(0, record.failures - 1)
        if self._lately:
            self._lately.pop()


def _place(address: str) -> str:
    found = read_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address
