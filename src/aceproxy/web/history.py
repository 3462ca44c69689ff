"""The routes of the history: streams of the past, who watched them, and how they went."""

from __future__ import annotations

from aiohttp import web

from aceproxy.errors import AceProxyError, Reason
from aceproxy.store import history
from aceproxy.store.store import Store
from aceproxy.web.answers import json_answer
from aceproxy.web.models import Forgotten, HistoryAnswer, HistoryDetail, StoreModel

HISTORY_DEFAULT = 50
HISTORY_LIMIT = 200


class HistoryRoutes:
    """`/api/aceproxy/history`. The database answers from its own thread, in `READ_LIMIT_S` or not at all."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/aceproxy/history", self.history)
        app.router.add_get("/api/aceproxy/history/{id}", self.one)
        app.router.add_delete("/api/aceproxy/history/{id}", self.forget)

    async def history(self, request: web.Request) -> web.Response:
        """Past streams, newest first, one page of them."""
        limit = min(_number(request.query.get("limit", str(HISTORY_DEFAULT)), "limit"), HISTORY_LIMIT)
        before_text = request.query.get("before")
        before = None if before_text is None else _number(before_text, "before")
        found = await self._store.read(lambda db: history.page(db, limit + 1, before))
        kept = self._store.snapshot()
        return json_answer(
            HistoryAnswer(
                streams=found[:limit],
                next_before=found[limit - 1].id if len(found) > limit > 0 else None,
                store=StoreModel(
                    place=kept.place, problem=kept.problem or None, unsaved=kept.unsaved, dropped=kept.dropped
                ),
            )
        )

    async def one(self, request: web.Request) -> web.Response:
        """One past stream with its time line."""
        number = _number(request.match_info["id"], "the id")
        found = await self._store.read(lambda db: history.one(db, number))
        if found is None:
            raise AceProxyError(Reason.NOT_FOUND, "no such stream in the history")
        stream, events = found
        return json_answer(HistoryDetail(stream=stream, events=events))

    async def forget(self, request: web.Request) -> web.Response:
        """Forget one past stream."""
        number = _number(request.match_info["id"], "the id")
        if not await self._store.read(lambda db: history.one(db, number)):
            raise AceProxyError(Reason.NOT_FOUND, "no such stream in the history")
        self._store.write_nowait(lambda db: history.forget(db, number))
        return json_answer(Forgotten(forgotten=True, id=number))


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise AceProxyError(Reason.BAD_PARAMETER, f"{name} is a whole number")
    return int(text)
