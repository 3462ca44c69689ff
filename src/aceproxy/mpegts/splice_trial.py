"""Trying a splice out, before a source takes the place of another one."""

from __future__ import annotations

from aceproxy.mpegts.packets import Aligner
from aceproxy.mpegts.splice import Outcome, Splicer


def trial(sent: bytes, fresh: bytes) -> Outcome:
    """Tell how a source whose newest bytes are `fresh` would be joined to `sent`, the newest packets of another.

    PENDING: it has not come to that place yet. Takes time in proportion to the bytes: some 0.1 s for 8 MB.
    """
    splicer = Splicer()
    splicer.feed(sent)
    splicer.begin_source()
    splicer.feed(Aligner().feed(fresh))
    return splicer.splice.outcome if splicer.splice is not None else Outcome.PENDING
