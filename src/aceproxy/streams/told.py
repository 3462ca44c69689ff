"""Events of time lines as they are shown and kept."""

from __future__ import annotations

from aceproxy.streams.snapshot import TimelineEvent, utc_text
from aceproxy.streams.timeline import Event


def told(event: Event) -> TimelineEvent:
    """Return an event as the API shows it and the history keeps it."""
    return TimelineEvent(
        seq=event.seq,
        at=utc_text(event.at_utc),
        after_s=event.after_s,
        kind=event.kind,
        fault=event.fault,
        reason=event.reason,
        message=event.message,
        details=dict(event.details),
    )
