"""Answers about what players ask for: recordings, the files of a link, sessions of the engine's interface."""

from __future__ import annotations

from aceproxy.web.models.base import Model


class RecordingModel(Model):
    """One viewer's playback of a recording. `state`: opening, reading, or idle (kept for the next request)."""

    recording_id: str
    stream_id: str
    infohash: str | None
    engine: str | None
    address: str
    agent: str
    state: str
    age_s: float
    size_bytes: int | None
    position: int | None
    sent_bytes: int


class RecordingList(Model):
    """`GET /api/aceproxy/recordings`."""

    recordings: list[RecordingModel]


class RecordingEnded(Model):
    """What a DELETE of a recording did."""

    ended: bool
    recording_id: str


class FileModel(Model):
    """One file of a link, with the address at which it plays."""

    index: int
    name: str
    size_bytes: int | None
    mime: str | None
    url: str | None


class Files(Model):
    """`GET /api/aceproxy/files`: what a link holds, as an engine says."""

    title: str | None
    infohash: str | None
    is_live: bool | None
    files: list[FileModel]


class SessionModel(Model):
    """One playback session: a player that speaks to us as to an engine."""

    session_id: str
    stream_id: str
    output: str  # ts or hls
    address: str
    agent: str
    is_live: bool | None
    age_s: float
    idle_s: float
    idle_limit_s: float
    readers: int
    failure: str | None


class Sessions(Model):
    """`GET /api/aceproxy/sessions`, oldest first."""

    sessions: list[SessionModel]
