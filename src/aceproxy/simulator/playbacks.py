"""What is played: downloads, sessions, and their records (engine-api §3.3, §5).

A *download* is one content being fetched; a *session* is one player's handle on it, known by its key and infohash. What
the rest of the project calls a playback is a session seen from outside: `Playback` is its frozen record.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from aceproxy.simulator.broadcast import Channel
from aceproxy.simulator.faults import ActiveFault
from aceproxy.simulator.segments import Segmenter

TOKENS_KEPT = 16
EVENTS_KEPT = 32
Output = Literal["ts", "hls"]


@dataclass(frozen=True)
class Playback:
    """Record of one playback. Times are monotonic; `stop_reason` is one of `STOP_REASONS`, None while it runs."""

    pid: str | None
    infohash: str
    output: str
    started_at: float
    stopped_at: float | None
    stop_reason: str | None
    bytes_sent: int
    readers: int
    max_readers: int


STOP_REASONS = {
    "stopped": "its own stop command",
    "stopped_by_other": "the stop command of another session of the same content",
    "replaced": "the same player started something else",
    "restarted": "the same player started it again with force_session_restart=1, or with another output or file",
    "superseded": "another player started the same content",
    "idle": "nothing was read or asked for within the idle limit",
    "vanished": "a fault made the engine forget it",
    "option_missing": "a fault ended it with an event",
    "engine_down": "the engine went down",
    "shutdown": "the simulator was stopped",
}


@dataclass(eq=False)
class Download:
    """One content being fetched. Times are monotonic."""

    channel: Channel
    started_at: float
    prebuffer_s: float
    progress_at_dl: int
    psid: str
    ready_at: float | None = None
    dead_by: ActiveFault | None = None
    segmenter: Segmenter | None = None
    readers_stalled: int = 0
    pieces: int = 0
    sessions: list[Session] = field(default_factory=list)

    def progress(self, now: float) -> int:
        """Return the percentage shown while prebuffering."""
        if self.prebuffer_s <= 0:
            return self.progress_at_dl
        return min(self.progress_at_dl, int(self.progress_at_dl * (now - self.started_at) / self.prebuffer_s))


@dataclass(eq=False)
class Session:
    """One player's handle on a download. Times are monotonic."""

    key: str
    pid: str | None
    peer_host: str
    output: Output
    psid: str
    client_session_id: int
    base_url: str
    download: Download
    started_at: float
    active_at: float
    idle_limit_s: float
    many_readers: bool = False
    steal_reader: bool = False
    file_index: int = 0
    ended_at: float | None = None
    end_reason: str | None = None
    bytes_sent: int = 0
    max_readers: int = 0
    position: int | None = None
    readers: list[object] = field(default_factory=list)
    tokens: deque[str] = field(default_factory=lambda: deque(maxlen=TOKENS_KEPT))
    events: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))

    @property
    def channel(self) -> Channel:
        """What it plays."""
        return self.download.channel

    @property
    def infohash(self) -> str:
        """The content's infohash."""
        return self.channel.content.infohash

    @property
    def ended(self) -> bool:
        """Whether the engine no longer knows it."""
        return self.ended_at is not None

    def add_reader(self, reader: object) -> None:
        """Note a reader of the media."""
        self.readers.append(reader)
        self.max_readers = max(self.max_readers, len(self.readers))

    def record(self) -> Playback:
        """Return its record as of now."""
        return Playback(
            pid=self.pid,
            infohash=self.infohash,
            output=self.output,
            started_at=self.started_at,
            stopped_at=self.ended_at,
            stop_reason=self.end_reason,
            bytes_sent=self.bytes_sent,
            readers=len(self.readers),
            max_readers=self.max_readers,
        )


@dataclass(frozen=True)
class StartOrder:
    """What a start call asks for."""

    channel: Channel
    peer_host: str
    pid: str | None
    output: Output
    base_url: str
    client_session_id: int = -1
    many_readers: bool = False
    steal_reader: bool = False
    file_index: int = 0
    force_restart: bool = False
