"""Whether a silence is reason to try another engine soon though the present one says that it waits for the swarm.

Another engine has other peers, and may deliver what this one waits for. But swarms stand still for seconds now and
then, and then all engines wait: what is begun in vain is a start on an engine and a stop. So that is only done where
the source is silent for longer than it usually is, and once in a while.
"""

from __future__ import annotations

from typing import Final

from aceproxy.streams.gaps import Gaps
from aceproxy.streams.overtaking import GAP_SHARE

AGAIN_S: Final = 60.0  # between two silences of one stream for which another engine is tried so soon


class Elsewhere:
    """The silences of the sources of one stream. Pure: times are those of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._not_before = 0.0
        self._granted: float | None = None  # when the silence began for which another engine may be tried

    def is_worth_a_try(self, last_byte_at: float | None, gaps: Gaps, now: float) -> bool:
        """Say whether the silence since `last_byte_at` is an unusual one, and none was so a short time ago."""
        if last_byte_at is None or now - last_byte_at < GAP_SHARE * gaps.longest_s(now):
            return False
        return self._granted == last_byte_at or now >= self._not_before

    def tried(self, last_byte_at: float | None, now: float) -> None:
        """Another engine is being tried for the silence since `last_byte_at`; that may go on until it is over."""
        if self._granted != last_byte_at:
            self._granted, self._not_before = last_byte_at, now + AGAIN_S
