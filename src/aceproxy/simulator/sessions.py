"""The table of sessions: who plays what, who gives way to whom, and how it ends (engine-api §15 rules 1 to 4)."""

from __future__ import annotations

import hashlib
import random
from collections import deque

from aceproxy.simulator.config import SimulatorConfig
from aceproxy.simulator.faults import FaultBoard
from aceproxy.simulator.playbacks import Download, Playback, Session, StartOrder

PIECE_BYTES = 16_384
ENDED_KEPT = 512
RECORDS_KEPT = 2048


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
