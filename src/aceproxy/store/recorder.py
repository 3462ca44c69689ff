"""The recorder: notes streams in the store when they end, and while they run once in a while.

A stream that runs for days is in the history all the same, and a crash loses no more than the last minute of it.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aceproxy.errors import Fault, Reason
from aceproxy.settings import Settings
from aceproxy.store import history
from aceproxy.store.store import Store
from aceproxy.streams.hub import Hub
from aceproxy.streams.record import StreamRecord
from aceproxy.streams.recording import Recording
from aceproxy.streams.recordings import Recordings
from aceproxy.streams.stream import Stream
from aceproxy.streams.views import recording_record, stream_record
from aceproxy.ticks import tick

CHECKPOINT_S = 60.0  # between two notes of a stream that runs
PRUNE_EVERY = 60  # checkpoints between two looks at what is too old
MEMORY_ROWS = 200  # past streams kept where there is no disk
CLOCK_JUMP_S = 3600.0  # of the time of day against the clock that does not jump, from which on age is not trusted

log = logging.getLogger(__name__)


class Recorder:
    """Keeps the history. Belongs to the event loop; nothing of it waits for the disk."""

    def __init__(
        self,
        hub: Hub,
        recordings: Recordings,
        store: Store,
        settings: Settings,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the clocks are those of the time of day and of durations."""
        self._hub = hub
        self._recordings = recordings
        self._store = store
        self._settings = settings
        self._wall_clock = wall_clock
        self._clock = clock
        self._clocks_at_start = (wall_clock(), clock())

    @property
    def is_on(self) -> bool:
        """Whether history is kept at all."""
        return self._settings.history_rows > 0 and self._settings.history_days > 0

    def start(self) -> None:
        """Listen for ends, and give streams that a crash cut off theirs."""
        self._store.write_nowait(history.close_interrupted)
        self._prune()
        self._hub.on_settled.append(self._stream_over)
        self._recordings.on_end.append(self._recording_over)

    async def run(self) -> None:
        """Note the running streams once in a while, for ever. Cancel-safe."""
        count = 0
        while True:
            await tick(CHECKPOINT_S)
            self.checkpoint()
            count += 1
            if count % PRUNE_EVERY == 0:
                self._prune()

    def checkpoint(self) -> None:
        """Note all that runs as it is now."""
        for stream in self._hub.streams:
            self._write(stream_record(stream))
        for recording in self._recordings.all:
            if recording.sent_bytes:
                self._write(recording_record(recording))

    def settings_changed(self, _now: Settings) -> None:
        """Forget at once what is not to be kept any more."""
        self._prune()

    def _stream_over(self, stream: Stream) -> None:
        try:
            record = stream_record(stream)
            if record.is_worth_keeping:
                self._write(record)
        except Exception:
            stream.log.exception("the stream could not be noted in the history")

    def _recording_over(self, recording: Recording, reason: Reason) -> None:
        try:
            record = recording_record(recording, reason)
            if recording.sent_bytes or record.fault in (Fault.ENGINE, Fault.SWARM):
                self._write(record)
        except Exception:
            log.exception("a recording could not be noted in the history")

    def _write(self, record: StreamRecord) -> None:
        if not self.is_on:
            return
        job = functools.partial(
            history.write,
            record=record,
            now_utc=self._wall_clock(),
            with_addresses=self._settings.history_addresses,
        )
        self._store.write_nowait(job)
        if record.reason is not None and self._store.snapshot().place == "memory":
            self._prune()

    def _prune(self) -> None:
        """Forget what is too much or too old. With a clock that has jumped nothing is called old."""
        now = self._wall_clock()
        began, began_at = self._clocks_at_start
        jump_s = abs((now - began).total_seconds() - (self._clock() - began_at))
        older_than = None if jump_s > CLOCK_JUMP_S else now - timedelta(days=self._settings.history_days)
        in_memory = self._store.snapshot().place == "memory"
        rows = min(self._settings.history_rows, MEMORY_ROWS) if in_memory else self._settings.history_rows
        rows = rows if self.is_on else 0
        self._store.write_nowait(lambda db: history.prune(db, rows, older_than))
