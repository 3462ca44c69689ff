"""Service calls and who may call."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aceproxy.simulator import Simulator, SimulatorConfig
from tests.simulator.wire import ask, content

Run = Callable[..., Awaitable[Simulator]]


async def api(simulator: Simulator, query: str) -> Any:
    """Ask `/server/api`."""
    return (await ask(simulator, f"/server/api?api_version=3&{query}")).json


async def test_get_version(simulator: Simulator) -> None:
    answer = (await ask(simulator, "/webui/api/service?method=get_version")).json
    assert answer == {
        "result": {"code": 3020300, "platform": "linux", "version": "3.2.3", "websocket_port": 43879},
        "error": None,
    }
    wrapped = await ask(simulator, "/webui/api/service?method=get_version&format=jsonp&callback=f&params=device-id")
    assert wrapped.body.startswith(b"f({")
    assert "device_id" in json.loads(wrapped.body[2:-2])["result"]
    assert (await ask(simulator, "/webui/api/service?method=x")).json == {"result": None, "error": "unknown method: x"}


@pytest.mark.parametrize(("version", "code"), [("3.1.70", 3017000), ("3.0.36", 3003600), ("3.2.11", 3021100)])
def test_version_codes_fit_the_samples(version: str, code: int) -> None:
    assert SimulatorConfig(version=version).version_code == code


async def test_status_network_and_token(simulator: Simulator) -> None:
    status = (await api(simulator, "method=get_status"))["result"]
    assert status == {
        "playlist_loaded": True,
        "version": {"code": 3020300, "platform": "linux", "version": "3.2.3"},
    }
    assert await api(simulator, "method=get_network_connection_status") == {"result": {"connected": True}}
    assert len(bytes.fromhex((await api(simulator, "method=get_api_access_token"))["result"]["token"])) == 32


async def test_media_files_content_id_and_analysis(simulator: Simulator) -> None:
    light, film = content(simulator, "Light"), content(simulator, "Film")
    assert (await api(simulator, f"method=get_media_files&content_id={light.content_id}"))["result"] == {
        "files": [{"index": 0, "filename": "Light"}],
        "name": "Light",
        "infohash": light.infohash,
        "transport_type": "bt",
        "type": "live",
        "transport_file_cache_key": None,
    }
    full = (await api(simulator, f"method=get_media_files&mode=full&infohash={film.infohash}"))["result"]
    assert (full["type"], full["files"][0]["size"]) == ("vod", 3 * 256_056)
    found = await api(simulator, f"method=get_content_id&infohash={light.infohash}")
    assert found == {"result": {"content_id": light.content_id}}
    seen = (await api(simulator, f"method=analyze_content&query=acestream:%3Finfohash={light.infohash}"))["result"]
    assert (seen["is_live"], seen["title"], seen["infohash"]) == (1, "Light", light.infohash)


async def test_failures_have_the_form_of_the_api_version(simulator: Simulator) -> None:
    error = {"error": {"message": "unknown protocol", "code": 0}}
    assert await api(simulator, "method=analyze_content&query=http://x") == error
    assert (await api(simulator, "method=get_content_id&infohash=0"))["error"]["message"] == "failed to load content"
    plain = (await ask(simulator, "/server/api?method=nothing")).json
    assert plain == {"error": "unknown method"}


async def test_search_knows_infohashes_and_no_content_ids(run: Run) -> None:
    simulator = await run(channels=25)
    answer = (await ask(simulator, "/search?query=channel&page=1&page_size=10")).json["result"]
    assert answer["total"] == 25
    assert [one["name"] for one in answer["results"]] == [f"Channel {number:03d}" for number in range(11, 21)]
    item = answer["results"][0]["items"][0]
    assert item["infohash"] == content(simulator, "Channel 011").infohash
    assert content(simulator, "Channel 011").content_id not in json.dumps(answer)
    assert (await ask(simulator, "/search?query=nothing%20here")).json["result"]["results"] == []
    assert (await ask(simulator, "/search?category=movies&page_size=9999999")).json["result"]["total"] == 0


async def test_unknown_paths_are_404(simulator: Simulator) -> None:
    for path in ("/", "/ace/r/short/key", "/webui/", "/server/api/x", f"/ace/stat/{'A' * 40}/{'0' * 32}"):
        assert (await ask(simulator, path)).status == 404
