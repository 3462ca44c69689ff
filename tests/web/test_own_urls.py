"""By which address we are known: Host, and forwarding headers of trusted proxies only."""

from __future__ import annotations

from aceproxy.simulator import Simulator
from tests.conftest import MakeApp, ask

FOR = "X-Forwarded-For: 192.168.1.9\r\n"
CASES = [
    ("", "http://test"),
    (FOR + "X-Forwarded-Host: tv.local\r\nX-Forwarded-Proto: https\r\n", "https://tv.local"),
    (FOR + "X-Forwarded-Host: tv.local:8443\r\n", "http://tv.local:8443"),
    (FOR + "X-Forwarded-Host: tv.local\r\nX-Forwarded-Port: 8080\r\n", "http://tv.local:8080"),
    (FOR + "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n", "https://test"),
    (FOR + "X-Forwarded-Port: 70x\r\n", "http://test"),
    (FOR + "X-Forwarded-Host: tv.local\r\nX-Forwarded-Prefix: /ace-proxy/\r\n", "http://tv.local/ace-proxy"),
    (FOR + "X-Forwarded-Prefix: //evil.example\r\n", "http://test"),
    (FOR + "X-Forwarded-Prefix: /a/../b\r\n", "http://test"),
    (FOR + "X-Forwarded-Prefix: /<script>\r\n", "http://test"),
    (FOR + "X-Forwarded-Proto: javascript\r\n", "http://test"),
    ("Forwarded: for=192.168.1.9;proto=https;host=tv.local\r\n", "https://tv.local"),
]


async def start(app: object, sim: Simulator, headers: str, host: str = "test") -> str:
    """Return scheme, host and prefix of the URLs that a start is answered with."""
    target = f"/ace/getstream?id={sim.contents[0].content_id}&format=json"
    answer = await ask(app, target, headers=headers, host=host)  # type: ignore[arg-type]  # an App
    return str(answer.json["response"]["stat_url"]).partition("/ace/stat/")[0]


async def test_a_trusted_proxys_headers_say_how_we_are_known(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(trusted_proxies=["127.0.0.0/8"])
    for headers, base in CASES:
        assert (headers, await start(app, sim, headers)) == (headers, base)


async def test_anybody_elses_headers_are_ignored(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(trusted_proxies=["10.0.0.0/8"])
    for headers, _ in CASES:
        direct = headers.replace(FOR, "").replace("for=192.168.1.9;", "")
        assert (direct, await start(app, sim, direct)) == (direct, "http://test")


async def test_without_a_usable_host_it_is_the_address_that_was_reached(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    assert await start(app, sim, "", host="") == f"http://127.0.0.1:{app.port}"
    assert await start(app, sim, "", host="[::1]:99") == "http://[::1]:99"
    assert await start(app, sim, "", host="test:x") == f"http://127.0.0.1:{app.port}"
