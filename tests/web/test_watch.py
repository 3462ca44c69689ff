"""What the watch page offers to other devices."""

from __future__ import annotations

import io

import pytest
import segno

from aceproxy.access.roles import Role
from aceproxy.simulator import Simulator
from tests.conftest import MakeApp, ask

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
