"""What a source tells of its start: in the time line, and in words."""

from __future__ import annotations

from aceproxy.engine.opened import StartProgress
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.timeline import Detail, EventKind, Timeline

PROGRESS_STEP = 25  # percent of prebuffering between two events
PROGRESS_EVENTS = 12  # of one source; an engine that talks nonsense must not push out what matters


class StartStory:
    """The events of one source."""

    def __init__(self, timeline: Timeline, role: str | None) -> None:
        """`role` is told with every event, for a source that is not the stream's own."""
        self._timeline = timeline
        self._role = role
        self._told_steps: set[tuple[str, int, bool]] = set()  # steps of prebuffering that are in the time line

    def note(self, kind: EventKind, *, reason: Reason | None = None, **details: Detail) -> None:
        """Add an event."""
        if self._role is not None:
            details["role"] = self._role
        self._timeline.note(kind, reason=reason, fault=None, **details)

    def note_progress(self, progress: StartProgress, engine: str | None) -> None:
        """Add what the engine refused, and each larger step on the way to the first byte."""
        if progress.refusal:
            self.note(EventKind.NOT_YET, engine=engine, detail=progress.refusal)
        if progress.status == "starting":
            return
        step = (progress.status, (progress.progress or 0) // PROGRESS_STEP, bool(progress.peers))
        if step not in self._told_steps and len(self._told_steps) < PROGRESS_EVENTS:
            self._told_steps.add(step)
            self.note(
                EventKind.ENGINE_READY if progress.status == "dl" else EventKind.PREBUFFERING,
                engine_status=progress.status,
                progress=progress.progress,
                peers=progress.peers,
                tries=progress.tries,
            )


def start_words(progress: StartProgress | None, failure: AceProxyError | None) -> str | None:
    """How far a start is, in words; `failure` is that of the last try, told as long as the next has told nothing."""
    if progress is None:
        return f"the last try failed: {failure.reason}" if failure is not None else None
    parts = [progress.status or ""]
    if progress.progress is not None:
        parts.append(f"{progress.progress} %")
    if progress.peers is not None:
        parts.append(f"{progress.peers} peers")
    return ", ".join(part for part in [*parts, progress.detail] if part)
