"""The engine's service calls that are harmless: version, status, what a link names, search (engine-api §8).

Version and status are told from what the probes know. What only an engine can tell is asked there, with parameters
that are read and written anew, within a deadline, few at a time, and remembered for a moment. Everything private
(tokens, settings, playlists, pages) is refused without asking.
"""

from __future__ import annotations

import json
import re

from aiohttp import web

from aceproxy.engine.links import Link, LinkKind, check_url_host, link_from_query, parse_link
from aceproxy.engine.lookups import Lookups
from aceproxy.engine.pool import EnginePool
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.web.answers import json_body
from aceproxy.web.engine_answers import dumped, version_result, words_for

QUERY_LIMIT = 200  # characters of a search
REFUSED = "access denied"
UNKNOWN_METHOD = "unknown method"
_CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]{0,63}")
_SEARCH_PARAMETERS = {
    "category": re.compile(r"[A-Za-z_ ]{1,40}"),
    "page": re.compile(r"[0-9]{1,5}"),
    "page_size": re.compile(r"[1-9][0-9]?|1[0-9]{2}|200"),
    "group_by_channels": re.compile(r"[01]"),
    "show_epg": re.compile(r"[01]"),
}
_PUBLIC = ("get_version", "get_status", "get_network_connection_status", "get_available_players")


class EngineServiceRoutes:
    """`/webui/api/service`, `/server/api` and `/search`."""

    def __init__(self, pool: EnginePool, lookups: Lookups, settings: Settings) -> None:
        self._pool = pool
        self._lookups = lookups
        self._settings = settings

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/webui/api/service", self.service)
        for path in ("/server/api", "/server/api/"):
            app.router.add_get(path, self.server_api)
        app.router.add_get("/search", self.search)

    async def service(self, request: web.Request) -> web.Response:
        """The version, and nothing else."""
        version = self._version()
        if request.query.get("method") != "get_version":
            answer: dict[str, object] = {"result": None, "error": UNKNOWN_METHOD}
        elif version is None:
            answer = {"result": None, "error": "no engine answers"}
        else:
            answer = {"result": version, "error": None}
        callback = request.query.get("callback", "")
        if request.query.get("format") == "jsonp" and _CALLBACK.fullmatch(callback):
            body = f"{callback}({json.dumps(answer)});"
            return web.Response(text=body, content_type="application/javascript", headers={"Cache-Control": "no-store"})
        return json_body(dumped(answer))

    async def server_api(self, request: web.Request) -> web.Response:
        """The public calls; all others are refused, known or not."""
        try:
            return json_body(dumped({"result": await self._call(request)}))
        except AceProxyError as error:
            return _failed(request, words_for(error))
        except PermissionError as error:
            return _failed(request, str(error))

    async def search(self, request: web.Request) -> web.Response:
        """The search of an engine."""
        try:
            return json_body(dumped({"result": await self._search(request)}))
        except AceProxyError as error:
            return json_body(dumped({"result": None, "error": words_for(error)}))

    async def _call(self, request: web.Request) -> object:
        """Return the result of a call. Raises AceProxyError, and PermissionError for what is not public."""
        method = request.query.get("method", "")
        if method in _PUBLIC:
            return self._told(method)
        if method == "search":
            return await self._search(request)
        if method == "analyze_content":
            link = parse_link(request.query.get("query", ""))
            return await self._ask(method, link, {"query": link.mrl})
        if method not in ("get_media_files", "get_content_id"):
            raise PermissionError(REFUSED)
        link = link_from_query(list(request.query.items()))
        params = {link.kind.value: link.value}
        if method == "get_content_id" and link.kind is LinkKind.CONTENT_ID:
            return {"content_id": link.value}
        if method == "get_media_files" and request.query.get("mode") in ("brief", "full"):
            params["mode"] = request.query["mode"]
        if method == "get_media_files" and request.query.get("api_version") not in ("2", "3"):
            params["api_version"] = "1"
        return await self._ask(method, link, params)

    def _told(self, method: str) -> object:
        """The result of a call that is answered from what is known."""
        version = self._version()
        if method == "get_available_players":
            return {"players": []}
        if version is None:
            raise AceProxyError(Reason.ENGINE_UNREACHABLE)
        if method == "get_version":
            return version
        if method == "get_status":
            return {"playlist_loaded": True, "version": version}
        return {"connected": True}

    async def _ask(self, method: str, link: Link, params: dict[str, str]) -> object:
        check_url_host(link, self._settings.url_hosts)
        return await self._lookups.ask("/server/api", {"api_version": "3", "method": method, **params})

    async def _search(self, request: web.Request) -> object:
        words = request.query.get("query", "")
        if len(words) > QUERY_LIMIT:
            raise AceProxyError(Reason.BAD_PARAMETER, f"a search longer than {QUERY_LIMIT} characters")
        params = {"query": "".join(letter if letter.isprintable() else " " for letter in words)}
        for name, pattern in _SEARCH_PARAMETERS.items():
            value = request.query.get(name, "")
            if value and not pattern.fullmatch(value):
                raise AceProxyError(Reason.BAD_PARAMETER, name)
            if value:
                params[name] = value
        return await self._lookups.ask("/search", params)

    def _version(self) -> dict[str, object] | None:
        """The version of an engine that answers; None if none does."""
        versions = [engine.version for engine in self._pool.snapshot() if engine.state == "up" and engine.version]
        return version_result(versions[0]) if versions else None


def _failed(request: web.Request, words: str) -> web.Response:
    """A failure in the form of the API version that is spoken (§8.2)."""
    if request.query.get("api_version") in ("2", "3"):
        return json_body(dumped({"error": {"message": words, "code": 0}}))
    return json_body(dumped({"result": None, "error": words}))
