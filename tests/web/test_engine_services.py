"""Service calls: harmless ones are answered, private ones never reach an engine."""

from __future__ import annotations

import asyncio
from typing import Any

from aceproxy.app import App
from aceproxy.simulator import Simulator
from tests.conftest import MakeApp, ask
from tests.waiting import until


async def up(make_app: MakeApp, **settings: Any) -> App:
    """Return the program once it knows its engine."""
    app = await make_app(**settings)
    await until(lambda: app.pool.snapshot()[0].state == "up")
    return app


def asked(sim: Simulator, word: str) -> list[str]:
    """Return the targets with a word in them that the engine was asked for."""
    return [target for _, target in sim.requests if word in target]


async def test_the_version_is_told_without_asking(sim: Simulator, make_app: MakeApp) -> None:
    app = await up(make_app, engine_probe_s=60)
    before = len(asked(sim, "get_version"))
    answer = await ask(app, "/webui/api/service?method=get_version&format=json")
    version = {"code": 3020300, "platform": "linux", "version": "3.2.3"}
    assert answer.json == {"result": version, "error": None}
    status = (await ask(app, "/server/api?api_version=3&method=get_status")).json
    assert status == {"result": {"playlist_loaded": True, "version": version}}
    connected = (await ask(app, "/server/api?api_version=3&method=get_network_connection_status")).json
    assert connected == {"result": {"connected": True}}
    assert len(asked(sim, "get_version")) == before
    assert not asked(sim, "/server/api")


async def test_jsonp_takes_only_a_name(sim: Simulator, make_app: MakeApp) -> None:
    app = await up(make_app)
    answer = await ask(app, "/webui/api/service?method=get_version&format=jsonp&callback=cb_1")
    assert answer.headers["content-type"].startswith("application/javascript")
    assert answer.body.startswith(b'cb_1({"result": {"code"')
    assert answer.body.endswith(b");")
    answer = await ask(app, "/webui/api/service?method=get_version&format=jsonp&callback=alert(1)//")
    assert answer.headers["content-type"].startswith("application/json")
    assert b"alert" not in answer.body


async def test_without_an_engine_nothing_is_pretended(make_app: MakeApp) -> None:
    app = await make_app(engines=["http://127.0.0.1:9"])
    answer = (await ask(app, "/webui/api/service?method=get_version")).json
    assert answer == {"result": None, "error": "no engine answers"}
    for target in (
        "/server/api?method=get_status",
        "/server/api/?method=get_status",
        "/search?query=x",
        "/server/api?method=get_content_id&infohash=" + "a" * 40,
    ):
        assert (await ask(app, target)).json["error"].startswith("engine_unreachable: ")


PRIVATE = [
    "method=get_api_access_token",
    "method=set_allow_remote_access&value=1",
    "method=sign_out",
    "method=playlist_get",
    "method=trim_memory",
    "method=",
    "",
]


async def test_private_calls_are_refused_and_never_reach_an_engine(sim: Simulator, make_app: MakeApp) -> None:
    app = await up(make_app)
    for query in PRIVATE:
        assert (await ask(app, f"/server/api?{query}")).json == {"result": None, "error": "access denied"}
        answer = await ask(app, f"/server/api?api_version=3&{query}")
        assert answer.json == {"error": {"message": "access denied", "code": 0}}
        assert (await ask(app, f"/webui/api/service?{query}")).json == {"result": None, "error": "unknown method"}
    assert not asked(sim, "/server/api")


async def test_what_a_link_names_is_asked_of_the_engine_once(sim: Simulator, make_app: MakeApp) -> None:
    app = await up(make_app)
    content = sim.contents[0]
    target = f"/server/api?api_version=3&method=get_media_files&content_id={content.content_id}"
    target += "&token=x&dump_transport_file=1"
    answers = await asyncio.gather(*(ask(app, target) for _ in range(5)))
    for answer in answers:
        assert answer.json["result"]["files"] == [{"index": 0, "filename": "Clock One"}]
        assert answer.json["result"]["infohash"] == content.infohash
    (only,) = asked(sim, "get_media_files")
    assert "token" not in only
    assert "dump" not in only
    answer = await ask(app, f"/server/api?api_version=3&method=get_content_id&infohash={content.infohash}")
    assert answer.json == {"result": {"content_id": content.content_id}}
    answer = await ask(
        app, f"/server/api?api_version=3&method=analyze_content&query=acestream:%3Finfohash={content.infohash}"
    )
    assert answer.json["result"]["title"] == "Clock One"


async def test_links_that_are_not_allowed_are_not_asked_about(sim: Simulator, make_app: MakeApp) -> None:
    app = await up(make_app)
    for query in (
        "get_media_files&url=http://127.0.0.1/x",
        "analyze_content&query=acestream:%3Furl=http%3A%2F%2F10.0.0.1%2F",
    ):
        answer = await ask(app, f"/server/api?api_version=3&method={query}")
        assert answer.json["error"]["message"].startswith("url_host_refused")
    answer = await ask(app, "/server/api?api_version=3&method=get_media_files&content_id=" + "3" * 40)
    assert answer.json == {"error": {"message": "failed to load content", "code": 0}}
    assert not asked(sim, "http%3A")


async def test_the_search_is_an_engines(sim: Simulator, make_app: MakeApp) -> None:
    app = await up(make_app)
    answer = (await ask(app, "/search?query=clock&page=0&page_size=1&token=secret")).json["result"]
    assert answer["total"] == 2
    assert [one["name"] for one in answer["results"]] == ["Clock One"]
    assert asked(sim, "/search") == ["/search?query=clock&page=0&page_size=1"]
    await ask(app, "/search?query=clock&page=0&page_size=1")
    assert len(asked(sim, "/search")) == 1
    for bad in ("page_size=201", "page=-1", "category=%00", "query=" + "x" * 201):
        assert (await ask(app, f"/search?{bad}")).json["error"].startswith("bad_parameter")
    assert len(asked(sim, "/search")) == 1


async def test_an_engine_that_hangs_holds_a_question_up_no_longer_than_its_limit(
    sim: Simulator, make_app: MakeApp
) -> None:
    app = await up(make_app, stat_timeout_s=0.3, engine_probe_s=60)
    sim.set_fault("hung")
    answer = await asyncio.wait_for(ask(app, "/search?query=x"), 30)
    assert answer.json["error"].startswith("engine_timeout")


async def test_a_token_of_the_engine_is_none_of_ours(sim: Simulator, make_app: MakeApp) -> None:
    app = await up(make_app)
    answer = await ask(app, "/webui/api/service?method=get_version&token=abc")
    assert (answer.status, answer.json["error"]) == (200, None)
    closed = await up(make_app, require_token=True)
    refused = await ask(closed, "/webui/api/service?method=get_version&token=abc")
    assert refused.reason == "token_needed"
