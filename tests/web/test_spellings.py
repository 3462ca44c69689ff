"""Other spellings of a broadcast's address lead to the same stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from aceproxy.app import App
from aceproxy.simulator import Simulator
from tests.conftest import Answer, MakeApp, ask

Play = Callable[[App, str], Awaitable[Answer]]


async def test_all_spellings_meet_in_one_stream(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    app = await make_app()
    one = sim.contents[0]
    paths = [
        f"/ace/getstream?id={one.content_id}",
        f"/content_id/{one.content_id}/stream.ts",
        f"/content_id/{one.content_id}/Some%20Name.ts",
        f"/content_id/{one.content_id}.ts",
        f"/content_id/{one.content_id}",
        f"/pid/{one.content_id}/stream.mp4",
        f"/infohash/{one.infohash}/stream.ts",
        f"/infohash/{one.infohash}",
        f"/stream/{one.content_id}.ts",
        f"/stream/{one.content_id}",
        f"/stream/{quote(one.link, safe='')}.ts",
        f"/stream/acestream://{one.content_id}.ts",
        f"/stream/{quote('acestream:?infohash=' + one.infohash, safe='')}.ts",
        f"/stream/{quote('magnet:?xt=urn:btih:' + one.infohash, safe='')}",
    ]
    for path in paths:
        answer = await play(app, path)
        assert (path, answer.status) == (path, 200)
        assert (await answer.reader.readexactly(188))[0] == 0x47
    assert len(sim.playbacks) == 1
    assert app.hub.client_count == len(paths)


async def test_head_of_a_spelling_starts_nothing(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    answer = await ask(app, f"/pid/{sim.contents[0].content_id}/x.ts", "HEAD")
    assert (answer.status, answer.headers["content-type"]) == (200, "video/mp2t")
    assert sim.playbacks == ()


async def test_head_of_a_list_in_another_spelling_tells_hls_and_starts_nothing(
    sim: Simulator, make_app: MakeApp
) -> None:
    app = await make_app()
    one = sim.contents[0].content_id
    usual = await ask(app, f"/ace/manifest.m3u8?id={one}", "HEAD")
    for path in (f"/content_id/{one}/stream.m3u8", f"/pid/{one}.m3u8", f"/stream/{one}.m3u8"):
        answer = await ask(app, path, "HEAD")
        assert (path, answer.status) == (path, 200)
        for name in ("content-type", "cache-control", "access-control-allow-origin"):
            assert answer.headers[name] == usual.headers[name]
    refused = await ask(app, f"/stream/{quote('http://10.0.0.1/x.acelive', safe='')}.m3u8", "HEAD")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (403, "*")
    assert sim.playbacks == ()


NONSENSE = [
    ("/content_id/xyz/stream.ts", 400, "bad_link"),
    ("/infohash/zz", 400, "bad_link"),
    ("/stream/%00", 400, "bad_link"),
    ("/stream/..%2f..%2fetc%2fpasswd.ts", 400, "bad_link"),
    (f"/stream/{quote('http://10.0.0.1/x.acelive', safe='')}", 403, "url_host_refused"),
    (f"/content_id/{quote('http://127.0.0.1:1/x', safe='')}/a.ts", 403, "url_host_refused"),
]


async def test_nonsense_in_a_path_never_reaches_the_engine(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    for path, status, reason in NONSENSE:
        answer = await ask(app, path)
        assert (answer.status, answer.reason) == (status, reason)
    assert not [target for _, target in sim.requests if "getstream" in target]


async def test_pages_of_other_sites_may_ask_in_every_spelling(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(require_token=True)
    digits = sim.contents[0].content_id
    for path in (
        f"/ace/getstream?id={digits}",
        f"/ace/manifest.m3u8?id={digits}",
        f"/content_id/{digits}/list.m3u8",
        f"/infohash/{digits}",
        f"/pid/{digits}/x.ts",
        f"/stream/{digits}.m3u8",
    ):
        answer = await ask(app, path, "OPTIONS", headers="Origin: http://page.example\r\n")
        assert (path, answer.status, answer.headers["access-control-allow-origin"]) == (path, 204, "*")
        assert "Range" in answer.headers["access-control-allow-headers"]
    assert sim.playbacks == ()
