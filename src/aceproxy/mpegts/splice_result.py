"""What became of a splice, for whoever wants to tell of it."""

from __future__ import annotations

from dataclasses import dataclass

from aceproxy.mpegts.splice_plan import Outcome


@dataclass(frozen=True, slots=True)
class Splice:
    """How the present source was joined to what was sent before."""

    outcome: Outcome
    skipped_bytes: int = 0
    """Bytes of the source that were not sent."""
    overlap_s: float = 0.0
    """How far back the source began: media that had been sent already. 0 where the clock is another one."""
    gap_s: float = 0.0
    """Media that is missing. 0 where that cannot be known."""
    at_access_point: bool = False
    """Video begins anew at a random-access point; always False for the same bytes."""
    new_tables: bool = False
    """PIDs or tables of the source are rewritten."""
