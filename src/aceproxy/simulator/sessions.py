"""Downloads and sessions: who plays what, and how it ends (engine-api §3.3, §5, §15 rules 1 to 4).

A *download* is one content being fetched; a *session* is one player's handle on it, known by its key and infohash. What
the rest of the project calls a playback is a session seen from outside: `Playback` is its frozen record.
"""

from __future__ import annotations

import hashlib
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from aceproxy.simulator.broadcast import Channel
from aceproxy.simulator.config import SimulatorConfig
from aceproxy.simulator.faults import ActiveFault, FaultBoard
from aceproxy.simulator.segments import Segmenter

PIECE_BYTES = 16_384
ENDED_KEPT = 512
RECORDS_KEPT = 2048
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


def session_key(peer_host: str, pid: str | None) -> str:
    """Return the key in a session's URLs (engine-api §3.3)."""
    text = peer_host if pid is None else f"{peer_host}:{pid}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class SessionTable:
    """All sessions and downloads. Nothing in it waits; the caller passes the monotonic time."""

    def __init__(self, config: SimulatorConfig, faults: FaultBoard) -> None:
        """Start with nothing playing."""
        self._config = config
        self._faults = faults
        # random numbers are for identities that must differ, not for secrets
        self._random = random.Random(config.seed)  # noqa: S311
        self._downloads: dict[str, Download] = {}
        self._sessions: dict[tuple[str, str], Session] = {}
        self._tokens: dict[str, Session] = {}
        self._records: deque[Session] = deque(maxlen=RECORDS_KEPT)

    def random_hex(self) -> str:
        """Return 40 random hex digits."""
        return f"{self._random.getrandbits(160):040x}"

    def start(self, order: StartOrder, now: float) -> Session:
        """Start a session, or return the player's running one of the same content and output."""
        key, infohash = session_key(order.peer_host, order.pid), order.channel.content.infohash
        own = [session for session in self.active() if session.key == key]
        for session in own:
            if session.infohash != infohash:
                self.end(session, "replaced", now)
            elif order.force_restart or (session.output, session.file_index) != (order.output, order.file_index):
                self.end(session, "restarted", now)
        running = self.find(key, infohash)
        if running is not None and not running.ended:
            running.active_at, running.base_url = now, order.base_url
            return running
        policy = self._config.second_pid_hls if order.output == "hls" else self._config.second_pid_progressive
        if policy == "supersede":
            for session in [one for one in self.active() if one.infohash == infohash and one.output == order.output]:
                self.end(session, "superseded", now, keep_download=True)
        session = self._new_session(key, order, now)
        self._sessions[key, infohash] = session
        self._records.append(session)
        self._forget_oldest()
        return session

    def _new_session(self, key: str, order: StartOrder, now: float) -> Session:
        infohash, psid = order.channel.content.infohash, self.random_hex()
        download = self._downloads.get(infohash)
        if download is None:
            prebuffer_s = order.channel.content.prebuffer_s
            download = Download(
                channel=order.channel,
                started_at=now,
                prebuffer_s=self._config.prebuffer_s if prebuffer_s is None else prebuffer_s,
                progress_at_dl=self._random.randint(18, 100),
                psid=psid,
            )
            self._downloads[infohash] = download
        download.psid = psid
        if order.output == "hls" and not any(other.output == "hls" for other in download.sessions):
            download.segmenter = None  # the sequence starts at 0 in every session
        session = Session(
            key=key,
            pid=order.pid,
            peer_host=order.peer_host,
            output=order.output,
            psid=psid,
            client_session_id=order.client_session_id,
            base_url=order.base_url,
            download=download,
            started_at=now,
            active_at=now,
            idle_limit_s=self._config.idle_timeout_s,
            many_readers=order.many_readers,
            steal_reader=order.steal_reader,
            file_index=order.file_index,
        )
        download.sessions.append(session)
        return session

    def _forget_oldest(self) -> None:
        ended = [place for place, session in self._sessions.items() if session.ended]
        for place in ended[:-ENDED_KEPT]:
            del self._sessions[place]

    def end(self, session: Session, reason: str, now: float, *, keep_download: bool = False) -> None:
        """End one session; its download ends with the last of its sessions, unless it is taken over."""
        if session.ended:
            return
        session.ended_at, session.end_reason = now, reason
        for token in session.tokens:
            self._tokens.pop(token, None)
        download = session.download
        download.sessions.remove(session)
        if not download.sessions and not keep_download:
            self._downloads.pop(session.infohash, None)

    def stop(self, session: Session, now: float) -> None:
        """Do what the stop command does: end every session of the content (engine-api §7)."""
        for other in list(session.download.sessions):
            self.end(other, "stopped" if other is session else "stopped_by_other", now)

    def end_all(self, reason: str, now: float) -> None:
        """End everything."""
        for session in self.active():
            self.end(session, reason, now)

    def sweep(self, now: float) -> None:
        """End what was idle for too long and what a fault makes vanish."""
        for session in self.active():
            vanish = self._faults.find("session-vanishes", session.infohash)
            if vanish is not None and now - session.started_at >= vanish.seconds:
                self._faults.use("session-vanishes", session.infohash)
                session.events.append(event("download_stopped", reason="session_lost"))
                self.end(session, "vanished", now)
            elif now - session.active_at > session.idle_limit_s:
                self.end(session, "idle", now)
            elif (option := self._faults.find("missing-option", session.infohash)) and option.value == "event":
                self._faults.use("missing-option", session.infohash)
                session.events.append(event("download_stopped", reason="missing_option", option="proxyServer"))
                self.end(session, "option_missing", now)

    def find(self, key: str, infohash: str) -> Session | None:
        """Return the newest session with this key and content, running or not."""
        return self._sessions.get((key, infohash))

    def new_token(self, session: Session) -> str:
        """Return the last part of a new `/content/` address of a session, the form engine-api §3.4 shows."""
        token = f"0.{self._random.randrange(10**12):012d}"
        if len(session.tokens) == session.tokens.maxlen:
            self._tokens.pop(session.tokens[0], None)
        session.tokens.append(token)
        self._tokens[token] = session
        return token

    def by_token(self, token: str) -> Session | None:
        """Return the running session of a `/content/` address."""
        return self._tokens.get(token)

    def download_of(self, infohash: str) -> Download | None:
        """Return the running download of a content."""
        return self._downloads.get(infohash)

    def active(self) -> list[Session]:
        """Return the sessions that run."""
        return [session for download in self._downloads.values() for session in download.sessions]

    def records(self) -> tuple[Playback, ...]:
        """Return the record of every session, oldest first (the last `RECORDS_KEPT`)."""
        return tuple(session.record() for session in self._records)

    def is_ready(self, download: Download, now: float) -> bool:
        """Say whether a download has prebuffered enough, and note when that was first so."""
        if (
            download.ready_at is None
            and not self.is_dead(download)
            and now - download.started_at >= download.prebuffer_s
        ):
            download.ready_at = now
        return download.ready_at is not None

    def is_dead(self, download: Download) -> bool:
        """Say whether a fault keeps a download from ever becoming ready."""
        if download.ready_at is None and (download.dead_by is None or download.dead_by.cleared):
            download.dead_by = self._faults.use("never-starts", download.channel.content.infohash)
        return download.ready_at is None and download.dead_by is not None


def event(name: str, **params: object) -> dict[str, object]:
    """Return one engine event (engine-api §6)."""
    return {"name": name, "params": params}
