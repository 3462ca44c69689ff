"""Service calls: `/webui/api/service`, `/server/api`, `/search` (engine-api §8, §15 rule 12)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from urllib.parse import parse_qsl

from aceproxy.simulator.contents import Content
from aceproxy.simulator.engine import Engine
from aceproxy.simulator.http1 import ALLOW_ALL, Answer, Connection, Request, json_answer

MAX_PAGE_SIZE = 200


class CallError(Exception):
    """A service call fails; the message is the engine's."""


async def service(engine: Engine, request: Request, _connection: Connection) -> Answer:
    """Answer `/webui/api/service`."""
    method = request.query.get("method", "")
    if method != "get_version":
        return json_answer({"result": None, "error": f"unknown method: {method[:40]}"})
    result = version(engine)
    if request.query.get("params") == "device-id":
        result["device_id"] = "0" * 40
    answer = json_answer({"result": result, "error": None})
    callback = request.query.get("callback", "")
    if request.query.get("format") == "jsonp" and callback.isidentifier():
        body = callback.encode() + b"(" + answer.body + b");"
        return Answer(200, body, (("Content-Type", "application/javascript"), ALLOW_ALL))
    return answer


def version(engine: Engine) -> dict[str, object]:
    """Return the version object (engine-api §8.1)."""
    shown = engine.config.version
    return {"code": engine.config.version_code, "platform": "linux", "version": shown, "websocket_port": 43879}


async def server_api(engine: Engine, request: Request, connection: Connection) -> Answer:
    """Answer `/server/api`."""
    method = CALLS.get(request.query.get("method", ""), unknown_method)
    try:
        return json_answer({"result": method(engine, request, connection)})
    except CallError as error:
        if request.query.get("api_version") in ("2", "3"):
            return json_answer({"error": {"message": str(error), "code": 0}})
        return json_answer({"error": str(error)})


def unknown_method(_engine: Engine, _request: Request, _connection: Connection) -> object:
    """Any method that is not there."""
    raise CallError("unknown method")


def get_status(engine: Engine, _request: Request, _connection: Connection) -> object:
    """`get_status`."""
    shown = version(engine)
    del shown["websocket_port"]
    return {"playlist_loaded": True, "version": shown}


def get_network_connection_status(_engine: Engine, _request: Request, _connection: Connection) -> object:
    """`get_network_connection_status`."""
    return {"connected": True}


def get_api_access_token(engine: Engine, _request: Request, connection: Connection) -> object:
    """`get_api_access_token`: for localhost alone."""
    if not ipaddress.ip_address(connection.peer_host).is_loopback:
        raise CallError("access denied")
    return {"token": (engine.table.random_hex() * 2)[:64]}


def get_media_files(engine: Engine, request: Request, _connection: Connection) -> object:
    """`get_media_files`."""
    content = named_content(engine, request)
    kind = "live" if content.live else "vod"
    files: list[dict[str, object]] = []
    for index, entry in enumerate(content.listing):
        files.append({"index": index, "filename": entry.name})
        if request.query.get("mode") == "full":
            files[-1] |= {
                "infohash": content.infohash,
                "type": kind,
                "transport_type": "bt",
                "mime": "video/mp2t" if content.live else entry.mime,
                "size": 0 if content.live else engine.channels[content.infohash].files[index].size_bytes,
            }
    return {
        "files": files,
        "name": content.name,
        "infohash": content.infohash,
        "transport_type": "bt",
        "type": kind,
        "transport_file_cache_key": None,
    }


def get_content_id(engine: Engine, request: Request, _connection: Connection) -> object:
    """`get_content_id`."""
    return {"content_id": named_content(engine, request).content_id}


def analyze_content(engine: Engine, request: Request, _connection: Connection) -> object:
    """`analyze_content`; its query is a link such as `acestream:?infohash=...`."""
    scheme, mark, rest = request.query.get("query", "").partition(":?")
    if scheme != "acestream" or not mark:
        raise CallError("unknown protocol")
    named = dict(parse_qsl(rest))
    content = named_content(engine, Request("GET", "", "", named, {}, b"", keep_alive=False))
    return {
        "is_live": int(content.live),
        "item_url": None,
        "transport_type": "bt",
        "content_type": "transport_file",
        "title": content.name,
        "content_id": None,
        "infohash": content.infohash,
        "categories": [content.category],
    }


def named_content(engine: Engine, request: Request) -> Content:
    """Return the content a call names. Raises CallError."""
    channel = engine.by_request(request)
    if channel is None:
        raise CallError("failed to load content")
    return channel.content


CALLS: dict[str, Callable[[Engine, Request, Connection], object]] = {
    "get_status": get_status,
    "get_network_connection_status": get_network_connection_status,
    "get_api_access_token": get_api_access_token,
    "get_media_files": get_media_files,
    "get_content_id": get_content_id,
    "analyze_content": analyze_content,
}


async def search(engine: Engine, request: Request, _connection: Connection) -> Answer:
    """Answer `/search`: contents whose name holds every word, infohashes only."""
    words = request.query.get("query", "").lower().split()
    category = request.query.get("category", "")
    page, page_size = number(request, "page", 0), min(MAX_PAGE_SIZE, max(1, number(request, "page_size", 10)))
    matching = [
        content
        for content in engine.contents
        if all(word in content.name.lower() for word in words) and category in ("", content.category)
    ]
    shown = matching[page * page_size : (page + 1) * page_size]
    results = [search_result(engine, content) for content in shown]
    return json_answer({"result": {"total": len(matching), "results": results, "time": 0.0012}})


def number(request: Request, name: str, default: int) -> int:
    """Return a small number from the query."""
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else default


def search_result(engine: Engine, content: Content) -> dict[str, object]:
    """Return one channel of a search (engine-api §8.2)."""
    item = {
        "infohash": content.infohash,
        "name": content.name,
        "status": 2 if content.availability >= 0.8 else 1,
        "availability": content.availability,
        "availability_updated_at": engine.unix(engine.now()),
        "categories": [content.category],
        "languages": ["eng"],
        "countries": ["int"],
        "channel_id": int(content.infohash[:6], 16),
        "bitrate": content.bitrate_bps // 8,
    }
    return {"name": content.name, "icons": [], "items": [item]}
