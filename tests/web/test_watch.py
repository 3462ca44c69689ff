"""What the watch page offers to other devices."""

from __future__ import annotations

import io

import pytest
import segno

from aceproxy.access.roles import Role
from aceproxy.simulator import Simulator
from tests.conftest import MakeApp, ask
from tests.waiting import until

ID = "0a4848271c91ce2d8965ce416267c25047dc8141"


def code_of(address: str) -> bytes:
    """Return the QR code that holds an address."""
    written = io.BytesIO()
    code = segno.make(address, error="m", micro=False)
    code.save(written, kind="svg", border=4, light="#fff", omitsize=True, svgclass=None, lineclass=None)
    return written.getvalue()


async def test_the_playlist_names_the_stream_by_the_address_the_asker_used(make_app: MakeApp) -> None:
    app = await make_app()
    _, token = app.credentials.tokens.create("TV", Role.PLAYER, None, None)
    answer = await ask(app, f"/watch/play.m3u?id=acestream://{ID.upper()}&token={token}")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("audio/x-mpegurl")
    assert answer.headers["content-disposition"] == f'attachment; filename="aceproxy-{ID[:8]}.m3u"'
    address = f"http://test/ace/getstream?id={ID}&token={token}"
    assert answer.body.decode() == f"#EXTM3U\n#EXTINF:-1,AceStream {ID[:8]}\n{address}\n"


async def test_the_playlist_has_the_title_of_a_running_stream(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    link = sim.contents[0].content_id
    stream = await ask(app, f"/ace/getstream?id={link}", stream=True)
    assert stream.status == 200
    answer = await ask(app, f"/watch/play.m3u?id={link}&as=hls")
    stream.close()
    title, address = answer.body.decode().splitlines()[1:]
    assert title == f"#EXTINF:-1,{sim.contents[0].name}"
    assert address == f"http://test/ace/manifest.m3u8?id={link}"


async def test_before_it_plays_an_engine_is_asked_what_it_is_called(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    await until(lambda: app.pool.snapshot()[0].state == "up")
    series = next(content for content in sim.contents if len(content.listing) > 1)
    for query, title in (
        (f"id={sim.contents[0].content_id}", sim.contents[0].name),
        (f"infohash={series.infohash}&_idx=1", series.listing[1].name),
        (f"id={'f' * 40}", "AceStream ffffffff"),
    ):
        answer = await ask(app, f"/watch/play.m3u?{query}")
        assert answer.body.decode().splitlines()[1] == f"#EXTINF:-1,{title}"
    assert sim.playbacks == ()


async def test_behind_a_proxy_the_address_is_the_one_that_it_tells(make_app: MakeApp) -> None:
    app = await make_app(trusted_proxies=["127.0.0.0/8"])
    told = "X-Forwarded-For: 192.168.1.9\r\nX-Forwarded-Host: tv.local\r\nX-Forwarded-Proto: https\r\n"
    told += "X-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /ace-proxy\r\n"
    address = f"https://tv.local:8443/ace-proxy/watch?id={ID}"
    assert (await ask(app, f"/watch/qr.svg?id={ID}", headers=told)).body == code_of(address)
    listed = (await ask(app, f"/watch/play.m3u?id={ID}&as=watch", headers=told)).body.decode()
    assert listed.splitlines()[2] == address


@pytest.mark.parametrize(
    ("query", "address"),
    [
        (f"id={ID}", f"http://test/watch?id={ID}"),
        (f"infohash={ID}&_idx=3&as=ts", f"http://test/ace/getstream?infohash={ID}&_idx=3"),
        (f"magnet=magnet:?xt=urn:btih:{ID}&as=hls", f"http://test/ace/manifest.m3u8?infohash={ID}"),
    ],
)
async def test_the_code_holds_the_address(make_app: MakeApp, query: str, address: str) -> None:
    app = await make_app()
    answer = await ask(app, f"/watch/qr.svg?{query}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.body == code_of(address)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/watch/qr.svg", "no_link"),
        ("/watch/play.m3u?id=nonsense", "bad_link"),
        (f"/watch/qr.svg?id={ID}&as=nothing", "bad_parameter"),
        (f"/watch/qr.svg?url=http://example.org/{'a' * 700}", "bad_parameter"),
        (f"/watch/qr.svg?id={ID}&token=a%0Ab%22", "bad_credentials"),
    ],
)
async def test_nonsense_is_refused(make_app: MakeApp, target: str, reason: str) -> None:
    answer = await ask(await make_app(), target)
    assert answer.status in (400, 401)
    assert answer.reason == reason


async def test_only_the_watch_page_may_play_what_script_has_made(make_app: MakeApp) -> None:
    app = await make_app()
    watch = (await ask(app, "/watch?id=x")).headers["content-security-policy"]
    assert "media-src 'self' blob:" in watch
    assert "unsafe" not in watch
    assert "blob:" not in (await ask(app, "/")).headers["content-security-policy"]
