"""The routes of the engines: which there are, and adding, removing, draining and undraining them."""

from __future__ import annotations

import json

from aiohttp import web
from pydantic import ValidationError

from aceproxy.entries import EngineEntry
from aceproxy.errors import AceProxyError, Reason
from aceproxy.web.answers import json_answer
from aceproxy.web.figures import Figures, engine_model
from aceproxy.web.models import EngineAnswer, EngineRemoved, Engines

PATH = "/api/aceproxy/engines"


class EngineRoutes:
    """The routes below `/api/aceproxy/engines`. None of them waits for an engine: what it does is seen in the list."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._pool = figures.pool

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        router = app.router
        router.add_get(PATH, self.engines)
        router.add_post(PATH, self.add)
        router.add_delete(PATH + "/{label}", self.remove)
        router.add_post(PATH + "/{label}/drain", self.drain)
        router.add_post(PATH + "/{label}/undrain", self.undrain)

    async def engines(self, _request: web.Request) -> web.Response:
        """All engines."""
        return json_answer(Engines(engines=self._figures.engines(), kept=self._pool.keeps_changes))

    async def add(self, request: web.Request) -> web.Response:
        """Take in an engine; it is probed at once and gets streams as soon as it answers."""
        engine = self._pool.add(_entry(await request.read()))
        return json_answer(EngineAnswer(engine=engine_model(engine)), status=201)

    async def remove(self, request: web.Request) -> web.Response:
        """Let an engine go: it is drained, and forgotten when its last stream is off it."""
        engine = self._pool.remove(request.match_info["label"])
        gone = engine.streams == 0
        return json_answer(EngineRemoved(removed=True, label=engine.label, gone=gone, streams=engine.streams))

    async def drain(self, request: web.Request) -> web.Response:
        """Give an engine no new streams and have those on it move away."""
        return json_answer(EngineAnswer(engine=engine_model(self._pool.drain(request.match_info["label"]))))

    async def undrain(self, request: web.Request) -> web.Response:
        """Give an engine streams again, also one that is about to go."""
        return json_answer(EngineAnswer(engine=engine_model(self._pool.undrain(request.match_info["label"]))))


def _entry(body: bytes) -> EngineEntry:
    """Read an engine from a request. Raises BAD_PARAMETER with what is wrong."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise AceProxyError(Reason.BAD_PARAMETER, "the body is not JSON") from None
    if not isinstance(given, dict):
        raise AceProxyError(Reason.BAD_PARAMETER, 'the body is not an object such as {"url": "http://HOST:6878"}')
    try:
        return EngineEntry.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        words = first["msg"].removeprefix("Value error, ")
        raise AceProxyError(Reason.BAD_PARAMETER, f"{place}: {words}" if place else words) from None
