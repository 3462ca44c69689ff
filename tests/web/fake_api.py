"""A pretended API for tests of the dashboard: it answers as the real models do, and remembers what was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import LogLine
from aceproxy.store.history import PastStream, PastViewer
from aceproxy.streams.snapshot import (
    ClientSnapshot,
    CodecSnapshot,
    EndedClient,
    EndedStream,
    EngineStat,
    StreamSnapshot,
    TimelineEvent,
)
from aceproxy.web.answers import error_answer
from aceproxy.web.models import (
    EngineModel,
    Engines,
    Health,
    HistoryAnswer,
    Kicked,
    LinkEngine,
    LinkQuality,
    Links,
    LogTail,
    NewToken,
    Overview,
    Stats,
    Stopped,
    StoreModel,
    StreamAnswer,
    StreamEvent,
    Streams,
    TimelineAnswer,
    TokenModel,
    TokenRevoked,
    Tokens,
)

NOON = "2026-01-01T12:00:00.000Z"
STREAM_ID = "0a4848271c91ce2d8965ce416267c25047dc8141"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"
PERIOD_S = 0.25  # between two events: tests need not wait a second each time
STILL = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180" viewBox="0 0 320 180">'
    '<rect width="320" height="180" fill="#23476b"/><circle cx="160" cy="90" r="50" fill="#e2b04a"/></svg>'
)


def make_client(number: int) -> ClientSnapshot:
    """Return a client that keeps up."""
    return ClientSnapshot(
        client_id=f"c{number}",
        address=f"192.0.2.{number % 250}:5000",
        agent=f"VLC/{number}",
        token_name=None,
        protocol="mpegts",
        connected_at=NOON,
        connected_s=61.0 + number,
        sent_bytes=1_000_000,
        outbound_bps=8_000_000.0,
        lag_bytes=3_000_000,
        lag_s=3.0,
        skips=0,
        behind=False,
    )


def make_ended_client(**changes: Any) -> EndedClient:
    """Return a client that is gone."""
    values: dict[str, Any] = {
        "client_id": "e1",
        "address": "192.0.2.9",
        "agent": "mpv",
        "protocol": "mpegts",
        "ended_at": NOON,
        "connected_s": 5.0,
        "sent_bytes": 10,
        "skips": 0,
        "reason": "kicked",
        "fault": "none",
    }
    return EndedClient(**{**values, **changes})


def make_stream(stream_id: str = STREAM_ID, clients: int = 2, **changes: Any) -> StreamSnapshot:
    """Return a stream that is well."""
    values: dict[str, Any] = {
        "stream_id": stream_id,
        "key": f"content_id:{stream_id}",
        "aliases": [],
        "infohash": None,
        "title": "Sport Uno",
        "state": "live",
        "state_s": 100.0,
        "is_active": True,
        "engine": "http://127.0.0.1:6878",
        "created_at": NOON,
        "started_at": NOON,
        "uptime_s": 110.0,
        "client_count": clients,
        "waiting": 0,
        "clients": [make_client(number) for number in range(clients)],
        "ended_clients": [],
        "inbound_bytes": 10_000_000,
        "outbound_bytes": 20_000_000,
        "inbound_bps": 8_100_000.0,
        "bitrate_bps": 8_000_000.0,
        "buffer_s": 29.5,
        "buffer_bytes": 29_500_000,
        "access_points": 15,
        "last_byte_age_s": 0.1,
        "dropped_bytes": 0,
        "recoveries": 0,
        "codecs": [CodecSnapshot(pid=256, codec="h264", kind="video", language=None)],
        "engine_stat": EngineStat(status="dl", peers=42, speed_down_bps=9_000_000, speed_up_bps=1_000_000),
        "start_detail": None,
        "close_reason": None,
    }
    known = set(StreamSnapshot.__dataclass_fields__)
    later = dict.fromkeys(known - set(values))  # fields that others add and this page does not read
    return StreamSnapshot(**{**later, **values, **changes})


def make_engine(**changes: Any) -> EngineModel:
    """Return an engine that is up."""
    values: dict[str, Any] = {
        "url": "http://127.0.0.1:6878",
        "label": "127.0.0.1:6878",
        "state": "up",
        "reachable": True,
        "version": "3.2.11",
        "streams": 1,
        "capacity": 5,
        "last_ok_age_s": 1.0,
        "last_error": None,
    }
    return EngineModel(**{**values, **changes})


def make_past(number: int, **changes: Any) -> PastStream:
    """Return a stream of the past."""
    values: dict[str, Any] = {
        "id": number,
        "stream_id": STREAM_ID,
        "key": f"content_id:{STREAM_ID}",
        "title": f"Film {number}",
        "infohash": None,
        "engine": "http://127.0.0.1:6878",
        "began_at": NOON,
        "seen_at": NOON,
        "is_over": True,
        "lasted_s": 65.0,
        "start_s": 2.5,
        "inbound_bytes": 1_000_000,
        "outbound_bytes": 5_000_000,
        "bitrate_bps": 8e6,
        "visits": 3,
        "peak_clients": 2,
        "stalls": 1,
        "stalled_s": 4.0,
        "recoveries": 1,
        "skips": 0,
        "reason": "source_stalled",
        "fault": "swarm",
        "message": "The broadcast stopped arriving and could not be revived.",
        "viewers": [PastViewer("192.0.2.4", "Kodi/21", 2, 60.0, 4_000_000, 0, "client_left")],
    }
    return PastStream(**{**values, **changes})


def make_link(key: str = f"content_id:{STREAM_ID}", engines: int = 1, **changes: Any) -> LinkQuality:
    """Return a link that has played well, on so many engines."""
    values: dict[str, Any] = {
        "score": 0.72,
        "starts": 4.0,
        "failures": 0.0,
        "start_s": 2.4,
        "watched_s": 7200.0,
        "stalls": 0.0,
        "stalled_s": 0.0,
        "losses": 0.0,
        "speed_ratio": 1.0,
        "peers": 38.0,
        "last_reason": None,
        "seen_at": NOON,
        **changes,
    }
    title = values.pop("title", "Sport Uno")
    rows = [LinkEngine(engine=f"http://192.0.2.{number}:6878", **values) for number in range(1, engines + 1)]
    return LinkQuality(key=key, title=title, engines=rows, **values)


def make_token(name: str = "TV", role: str = "player", **changes: Any) -> TokenModel:
    """Return a token that nobody has used."""
    values: dict[str, Any] = {"max_clients": None, "max_streams": None, "last_used_at": None, "clients": 0}
    return TokenModel(**{"token_id": "t1", "name": name, "role": role, "created_at": NOON, **values, **changes})


def make_setting(name: str, value: Any, **changes: Any) -> dict[str, Any]:
    """Return a setting that may be changed."""
    kinds = {bool: "boolean", int: "integer", float: "number", list: "list"}
    values: dict[str, Any] = {
        "name": name,
        "value": value,
        "default": value,
        "origin": "the default",
        "unit": "",
        "kind": kinds.get(type(value), "text"),
        "minimum": None,
        "maximum": None,
        "description": f"What {name} is.",
        "changeable": True,
        "effect": "now",
    }
    return {**values, **changes}


def make_line(message: str, level: str = "info", stream: str | None = None, number: int = 0) -> LogLine:
    """Return a line of the log."""
    return LogLine(time=NOON, level=level, logger="a", message=message, stream=stream, id=number)


@dataclass
class FakeApi:
    """What the API answers; tests change it while the page is open."""

    streams: list[StreamSnapshot] = field(default_factory=lambda: [make_stream()])
    recent: list[EndedStream] = field(default_factory=list)
    past: list[PastStream] = field(default_factory=list)
    links: list[LinkQuality] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    engines: list[EngineModel] = field(default_factory=lambda: [make_engine()])
    events: list[TimelineEvent] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[TokenModel] = field(default_factory=list)
    disk_is_full: bool = False  # what is revoked cannot be kept
    store_problem: str | None = None
    role: str | None = "admin"
    signed_in: bool = True
    password: str | None = "right"
    refuses: bool = False  # this test makes it refuse something
    silent: bool = False  # hang up instead of answering, as a process that is gone
    without: set[str] = field(default_factory=set)  # paths that this server does not have
    asked: list[str] = field(default_factory=list)  # what was asked for: method and path
    changed: list[str] = field(default_factory=list)  # the same of what changes something
    bodies: list[Any] = field(default_factory=list)
    csrf: list[str | None] = field(default_factory=list)
    listeners: int = 0
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve everything below /api."""
        if self.silent:
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPServiceUnavailable
        self.asked.append(f"{request.method} {request.path}")
        if request.path in self.without:
            return error_answer(AceProxyError(Reason.NOT_FOUND))
        if self.role is None and request.path not in ("/api/session", "/api/health"):
            return error_answer(AceProxyError(Reason.SIGN_IN_NEEDED))
        try:
            if request.method != "GET":
                return await self.change(request)
            if request.path == "/api/events":
                return await self.send_events(request)
            if request.path == "/api/logs/stream":
                return await self.send_lines(request)
            return self.look(request)
        except AceProxyError as error:
            return error_answer(error)

    def look(self, request: web.Request) -> web.Response:
        """Answer what changes nothing."""
        parts = request.path.strip("/").split("/")
        match parts[1:]:
            case ["health"]:
                return as_json(self.health())
            case ["session"]:
                return web.json_response(self.session())
            case ["settings"]:
                return web.json_response({"settings": self.settings, "kept": True})
            case ["tokens"]:
                return as_json(Tokens(tokens=self.tokens))
            case ["logs", "tail"]:
                return as_json(self.tail(request))
            case ["logs", "download"]:
                return web.Response(text="the log\n", headers={"Content-Disposition": "attachment; filename=a.log"})
            case ["aceproxy", "stats"]:
                return as_json(self.stats())
            case ["aceproxy", "engines"]:
                return as_json(Engines(engines=self.engines, kept=True))
            case ["aceproxy", "links"]:
                return as_json(Links(total=len(self.links), links=self.links))
            case ["aceproxy", "history"]:
                return as_json(self.history(request))
            case ["aceproxy", "streams"]:
                return as_json(self.stream_list())
            case ["aceproxy", "streams", key]:
                return as_json(StreamAnswer(stream=self.find(key)))
            case ["aceproxy", "streams", key, "timeline"]:
                return as_json(self.timeline(key, int(request.query.get("after", "0"))))
            case ["aceproxy", "streams", _, "still.jpg"]:
                return web.Response(text=STILL, content_type="image/svg+xml")
        raise AceProxyError(Reason.NOT_FOUND)

    async def change(self, request: web.Request) -> web.Response:
        """Answer what changes something."""
        body = await request.json() if request.can_read_body else {}
        parts = request.path.strip("/").split("/")[1:]
        if parts == ["session"]:
            return self.change_session(request.method, body)
        if self.role != "admin":
            raise AceProxyError(Reason.SIGN_IN_NEEDED)
        self.changed.append(f"{request.method} {request.path}")
        self.bodies.append(body)
        self.csrf.append(request.headers.get("X-CSRF-Token"))
        match [request.method, *parts]:
            case ["DELETE", "aceproxy", "streams", key]:
                stream = self.find(key)
                self.streams = [one for one in self.streams if one is not stream]
                return as_json(Stopped(stopped=True, stream_id=key, clients_ended=stream.client_count))
            case ["DELETE", "aceproxy", "streams", key, "clients", client]:
                return as_json(Kicked(kicked=True, stream_id=key, client_id=client))
            case ["DELETE", "aceproxy", "history", number]:
                self.past = [one for one in self.past if one.id != int(number)]
                return web.json_response({"forgotten": True, "id": int(number)})
            case ["POST", "aceproxy", "engines", label, "drain" | "undrain" as order]:
                self.engines = [
                    one.model_copy(update={"draining": order == "drain"}) if one.label == label else one
                    for one in self.engines
                ]
                return web.json_response({"engine": {}})
            case ["POST", "aceproxy", "engines"]:
                self.engines = [*self.engines, make_engine(**{"label": body["url"], **body})]
                return web.json_response({"engine": {}})
            case ["DELETE", "aceproxy", "engines", label]:
                self.engines = [one for one in self.engines if one.label != label]
                return web.json_response({"removed": True, "label": label, "gone": True, "streams": 0})
            case ["PATCH", "settings"]:
                return self.change_settings(body)
            case ["POST", "reload"]:
                return web.json_response({"changed": []})
            case ["PUT", "password"]:
                if body.get("current") != self.password:
                    raise AceProxyError(Reason.BAD_CREDENTIALS)
                self.password = body["password"]
                return web.json_response({"password_set": True})
            case ["DELETE", "password"]:
                self.password = None
                return web.json_response({"password_set": False})
            case ["DELETE", "sessions"]:
                return web.json_response({"sessions_ended": 2})
            case ["POST", "tokens"]:
                made = make_token(body["name"], body["role"])
                self.tokens = [*self.tokens, made]
                return as_json(NewToken(token="secret-token", details=made))
            case ["DELETE", "tokens", name]:
                self.tokens = [one for one in self.tokens if one.token_id != name]
                return as_json(TokenRevoked(revoked=True, token_id=name, clients_ended=0, kept=not self.disk_is_full))
        raise AceProxyError(Reason.NOT_FOUND)

    def change_session(self, method: str, body: dict[str, Any]) -> web.Response:
        """Sign in with the right password, or out."""
        if method == "POST" and body.get("password") != "right":
            raise AceProxyError(Reason.BAD_CREDENTIALS)
        self.role, self.signed_in = ("admin", True) if method == "POST" else ("viewer", False)
        return web.json_response(self.session())

    def change_settings(self, body: dict[str, Any]) -> web.Response:
        """Take numbers above 0 only."""
        for name, value in body.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
                raise AceProxyError(Reason.BAD_PARAMETER, f"{name} must be above 0")
            for one in self.settings:
                if one["name"] == name:
                    one.update(value=one["default"] if value is None else value)
                    one.update(origin="the default" if value is None else "a change at run time")
        return web.json_response({"changed": [], "needs_restart": [], "overridden": [], "kept": True})

    def session(self) -> dict[str, Any]:
        """Return who asks."""
        name = "admin" if self.signed_in else ""
        csrf = "c5rf" if self.signed_in else ""
        told = {"role": self.role, "name": name, "csrf": csrf, "signed_in": self.signed_in}
        return told | {"password_set": self.password is not None if self.role == "admin" else None}

    def find(self, key: str) -> StreamSnapshot:
        """Return a running stream."""
        for stream in self.streams:
            if stream.stream_id == key:
                return stream
        raise AceProxyError(Reason.STREAM_NOT_RUNNING)

    def health(self) -> Health:
        """Return the state of the engines."""
        up = any(engine.state == "up" for engine in self.engines)
        status = "healthy" if up else "unhealthy"
        return Health(
            status=status, version="1.2.3", uptime_s=7265.0, started_at=NOON, engines=self.engines, message=""
        )

    def stats(self) -> Stats:
        """Return the sums."""
        clients = sum(stream.client_count for stream in self.streams)
        return Stats(
            total_streams=len(self.streams),
            total_clients=clients,
            streams_by_state={"live": len(self.streams)},
            inbound_bytes=10_000_000,
            outbound_bytes=20_000_000,
            inbound_bps=8_100_000.0,
            outbound_bps=8_000_000.0 * clients,
            streams_started=3,
            streams_failed=1,
            clients_served=9,
            skips=0,
            closed_by_reason={},
            clients_closed_by_reason={},
            started_at=NOON,
            uptime_s=7265.0,
        )

    def light(self) -> list[StreamSnapshot]:
        """Return the streams without their clients."""
        return [replace(stream, clients=[], ended_clients=[]) for stream in self.streams]

    def few(self) -> list[StreamSnapshot]:
        """Return the streams with five of their clients, as overviews have them."""
        return [replace(stream, clients=stream.clients[:5], ended_clients=[]) for stream in self.streams]

    def stream_list(self) -> Streams:
        """Return the list of streams, as with `clients=0`."""
        clients = sum(stream.client_count for stream in self.streams)
        return Streams(total_streams=len(self.streams), total_clients=clients, streams=self.light(), recent=self.recent)

    def timeline(self, key: str, after: int) -> TimelineAnswer:
        """Return the events of a stream."""
        events = [event for event in self.events if event.seq > after]
        last = self.events[-1].seq if self.events else 0
        return TimelineAnswer(stream_id=key, key=key, is_over=False, last_seq=last, forgotten=0, events=events)

    def history(self, request: web.Request) -> HistoryAnswer:
        """Return a page of two past streams."""
        before = int(request.query.get("before", "1000000"))
        found = [one for one in self.past if one.id < before]
        page = found[:2]
        store = StoreModel(place="disk", problem=None, unsaved=0, dropped=0)
        return HistoryAnswer(streams=page, next_before=page[-1].id if len(found) > 2 else None, store=store)

    def tail(self, request: web.Request) -> LogTail:
        """Return the log, filtered as the server does."""
        rank = ["debug", "info", "warning", "error", "critical"]
        least = rank.index(request.query.get("level", "debug"))
        stream, search = request.query.get("stream", ""), request.query.get("search", "").lower()
        lines = [
            line
            for line in self.log
            if rank.index(line.level) >= least
            and (not stream or line.stream == stream)
            and search in line.message.lower()
        ]
        return LogTail(lines=lines, total_lines=len(self.log), returned_lines=len(lines), newest=self.newest())

    def newest(self) -> int:
        """Return the number of the newest line of the log; lines count from 1."""
        return max((line.id for line in self.log), default=0) or 1

    async def send_events(self, request: web.Request) -> web.StreamResponse:
        """Send the state again and again."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.listeners += 1
        key = request.query.get("stream")
        try:
            while not self.silent:
                overview = Overview(
                    at=NOON,
                    stats=self.stats(),
                    streams=self.few(),
                    engines=self.engines,
                    store_problem=self.store_problem,
                )
                # Time goes on, or the rates would be those of no time at all.
                told = json.loads(overview.model_dump_json()) | {"at": None}
                await response.write(f"event: overview\ndata: {json.dumps(told)}\n\n".encode())
                if key is not None:
                    found = next((one for one in self.streams if one.stream_id == key), None)
                    detail = StreamEvent(stream=found).model_dump_json()
                    await response.write(f"event: stream\ndata: {detail}\n\n".encode())
                await asyncio.sleep(PERIOD_S)
        except ConnectionError:
            pass
        finally:
            self.listeners -= 1
        if request.transport is not None:
            request.transport.abort()
        return response

    async def send_lines(self, request: web.Request) -> web.StreamResponse:
        """Send what is added to the log from now on."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        after = int(request.query["after"])
        with contextlib.suppress(ConnectionError):
            while not self.silent:
                for line in [one for one in self.log if one.id > after]:
                    body = json.dumps(asdict(line))
                    await response.write(f"event: line\nid: {line.id}\ndata: {body}\n\n".encode())
                after = max(after, self.newest())
                await response.write(b": alive\n\n")
                await asyncio.sleep(PERIOD_S)
        return response


def as_json(answer: object) -> web.Response:
    """Answer with a model or a dataclass."""
    return web.Response(body=TypeAdapter(type(answer)).dump_json(answer), content_type="application/json")
