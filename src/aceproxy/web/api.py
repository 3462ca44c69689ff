"""The API: health, stats, streams, clients. Every answer is made from values at hand; no route waits for an engine."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web
from pydantic import TypeAdapter

from aceproxy import __version__
from aceproxy.engine.links import link_from_query
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.stream import Stream
from aceproxy.web.answers import json_answer, json_body, json_veiled
from aceproxy.web.callers import caller_of
from aceproxy.web.figures import Figures
from aceproxy.web.models import (
    EngineModel,
    Health,
    Kicked,
    Stats,
    StatusAll,
    StatusOne,
    Stopped,
)
from aceproxy.web.stream_lists import StreamLists
from aceproxy.web.veil import reader_of

KICK_S = 1.0  # for the pump to let go of a client, so that the next list is without it
LINK_FIELDS = {"id", "content_id", "infohash", "magnet", "url"}


class ApiRoutes:
    """The routes below `/api`, and `/ace/status`."""

    def __init__(self, figures: Figures, lists: StreamLists) -> None:
        self._figures = figures
        self._hub = figures.hub
        self._lists = lists
        self._stats_json = TypeAdapter(Stats)

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        router = app.router
        router.add_get("/api/health", self.health)
        router.add_get("/api/aceproxy/stats", self.stats)
        router.add_get("/api/aceproxy/streams", self.streams)
        router.add_get("/api/aceproxy/streams/{key}", self.stream)
        router.add_delete("/api/aceproxy/streams/{key}", self.stop_stream)
        router.add_delete("/api/aceproxy/streams/{key}/clients/{client_id}", self.kick_client)
        router.add_get("/ace/status", self.status)

    async def health(self, request: web.Request) -> web.Response:
        """Whether the program and its engines are well, as last probed; to strangers the verdict alone."""
        engines = self._figures.engines()
        status, message = _verdict([engine for engine in engines if not (engine.draining or engine.leaving)])
        if not caller_of(request).may_view:
            nothing = Health(status=status, message="", version="", uptime_s=0, started_at="", engines=[])
            return json_answer(nothing)
        return json_answer(
            Health(
                status=status,
                message=message,
                version=__version__,
                uptime_s=self._figures.uptime_s,
                started_at=self._figures.started_text,
                engines=engines,
            )
        )

    async def stats(self, _request: web.Request) -> web.Response:
        """Sums over everything."""
        return json_body(self._stats_json.dump_json(self._figures.stats()))

    async def streams(self, request: web.Request) -> web.Response:
        """All streams with their clients, and those that ended lately; with `clients=0` without the clients."""
        wanted = request.query.get("clients", "1")
        if wanted not in ("0", "1"):
            raise AceProxyError(Reason.BAD_PARAMETER, "clients is 0 or 1")
        return json_veiled(await self._lists.all(reader_of(request), with_clients=wanted == "1"))

    async def stream(self, request: web.Request) -> web.Response:
        """One stream, by any of its names."""
        found = await self._lists.one(lambda: self._find(request), reader_of(request))
        return json_veiled(b'{"stream":%b}' % found)

    async def stop_stream(self, request: web.Request) -> web.Response:
        """Stop a stream: its clients end, its playback is stopped on the engine."""
        stream = self._find(request)
        clients = len(stream.clients)
        stream.close(Reason.STOPPED)
        return json_answer(Stopped(stopped=True, stream_id=stream.stream_id, clients_ended=clients))

    async def kick_client(self, request: web.Request) -> web.Response:
        """Disconnect one client. It is gone when the answer comes, unless sending is held up."""
        stream = self._find(request)
        client = stream.clients.get(request.match_info["client_id"])
        if client is None:
            raise AceProxyError(Reason.CLIENT_NOT_FOUND)
        stream.end_client(client, Reason.KICKED)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KICK_S):
                await asyncio.shield(client.ended)
        return json_answer(Kicked(kicked=True, stream_id=stream.stream_id, client_id=client.client_id))

    async def status(self, request: web.Request) -> web.Response:
        """How many streams there are, or how one of them is, as players' tools know it."""
        if not LINK_FIELDS & set(request.query):
            return json_answer(StatusAll(streams=len(self._hub.streams)))
        stream = self._hub.find(link_from_query(list(request.query.items())))
        if stream is None:
            raise AceProxyError(Reason.STREAM_NOT_RUNNING)
        return json_answer(StatusOne(clients=len(stream.clients), stream_id=stream.stream_id, state=stream.state))

    def _find(self, request: web.Request) -> Stream:
        stream = self._hub.find_by_id(request.match_info["key"])
        if stream is None:
            raise AceProxyError(Reason.STREAM_NOT_RUNNING)
        return stream


def _verdict(engines: list[EngineModel]) -> tuple[str, str]:
    """Say how well the engines that are meant to get streams are, in a word and in a sentence."""
    if not engines:
        return "unhealthy", "No engine takes streams: there is none, or all are drained."
    up = sum(engine.state == "up" for engine in engines)
    failing = [engine.label for engine in engines if engine.state == "up" and engine.breaker != "closed"]
    if up == len(engines) and not failing:
        return "healthy", "All engines answer."
    if not up and all(engine.state != "unknown" for engine in engines):
        advice = "Is it running, does it listen for us (--bind-all), is its address right?"
        return "unhealthy", f"No engine answers. {advice}"
    words = f" Starts fail on {', '.join(failing)}." if failing else ""
    return "degraded", f"{up} of {len(engines)} engines answer.{words}"
