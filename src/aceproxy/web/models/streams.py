"""Answers about streams: those that run, their clients, what has just happened to them."""

from __future__ import annotations

from aceproxy.streams.snapshot import EndedStream, StreamSnapshot, TimelineEvent
from aceproxy.web.models.base import Model
from aceproxy.web.models.engines import EngineModel
from aceproxy.web.models.state import Stats


class Streams(Model):
    """`GET /api/aceproxy/streams`. `recent`: streams that ended lately, newest first, with their reason."""

    total_streams: int
    total_clients: int
    streams: list[StreamSnapshot]
    recent: list[EndedStream]


class StreamAnswer(Model):
    """`GET /api/aceproxy/streams/{key}`."""

    stream: StreamSnapshot


class Overview(Model):
    """The event `overview` of `GET /api/events`. `streams` with few of their clients."""

    at: str
    stats: Stats
    streams: list[StreamSnapshot]
    engines: list[EngineModel]
    store_problem: str | None = None


class StreamEvent(Model):
    """The event `stream` of `GET /api/events`: the stream with its clients, null while it is not running."""

    stream: StreamSnapshot | None


class TimelineNews(Model):
    """The event `timeline` of `GET /api/events`: something that has just happened to a stream."""

    stream_id: str
    event: TimelineEvent


class TimelineAnswer(Model):
    """`GET /api/aceproxy/streams/{key}/timeline`. `forgotten`: older events that are not kept any more."""

    stream_id: str
    key: str
    is_over: bool
    last_seq: int
    forgotten: int
    events: list[TimelineEvent]


class Stopped(Model):
    """What a DELETE did."""

    stopped: bool
    stream_id: str
    clients_ended: int


class Kicked(Model):
    """What a DELETE of a client did."""

    kicked: bool
    stream_id: str
    client_id: str
