"""Whom the program trusts changes while it runs: networks, proxies, names, and how long a sign-in lasts."""

from __future__ import annotations

import asyncio
import json

from aceproxy.app import App
from aceproxy.simulator import Simulator
from tests.conftest import MakeApp, ask
from tests.web.test_signing_in import sign_in

STREAMS = "/api/aceproxy/streams"


async def change(app: App, **values: object) -> None:
    answer = await ask(app, "/api/settings", "PATCH", body=json.dumps(values).encode())
    assert answer.status == 200, answer.body


async def test_a_network_that_is_not_trusted_any_more_is_shown_no_more(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    near = await ask(app, "/api/events", stream=True, admin=False, address="127.0.0.9")
    stays = await ask(app, "/api/events", stream=True, admin=False, address="127.0.0.5")
    player = await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}", stream=True, address="127.0.0.9")
    await change(app, trusted_networks=["127.0.0.5"])
    await asyncio.wait_for(near.reader.read(), 10)  # to its end
    assert (await ask(app, STREAMS, admin=False, address="127.0.0.9")).reason == "sign_in_needed"
    assert (await ask(app, STREAMS, admin=False, address="127.0.0.5")).status == 200
    assert await asyncio.wait_for(stays.reader.readuntil(b"\n\n"), 10)
    assert await asyncio.wait_for(player.reader.readexactly(188 * 100), 10)  # who plays goes on
    await change(app, trusted_networks=None)
    assert (await ask(app, STREAMS, admin=False, address="127.0.0.9")).status == 200
    for answer in (near, stays, player):
        answer.close()


async def test_a_proxy_is_trusted_from_the_moment_it_is_named(make_app: MakeApp) -> None:
    app = await make_app()
    relayed = "X-Forwarded-For: 192.168.7.7\r\nX-Forwarded-Proto: https\r\n"
    refused = await ask(app, STREAMS, admin=False, headers=relayed)
    assert "trusted_proxies" in refused.json["error"]["detail"]
    await change(app, trusted_proxies=["127.0.0.1"])
    assert (await ask(app, STREAMS, admin=False, headers=relayed)).status == 200
    stranger = await ask(app, STREAMS, admin=False, headers="X-Forwarded-For: 203.0.113.5\r\n")
    assert "203.0.113.5 is in none" in stranger.json["error"]["detail"]
    await change(app, trusted_proxies=[])
    assert (await ask(app, STREAMS, admin=False, headers=relayed)).reason == "sign_in_needed"


async def test_a_name_is_answered_to_from_the_moment_it_is_allowed(make_app: MakeApp) -> None:
    app = await make_app()
    host = "tv.example.org"
    assert (await ask(app, "/livez", host=host)).reason == "host_refused"
    await change(app, allowed_hosts=["*.example.org"])
    assert (await ask(app, "/livez", host=host)).status == 200
    await change(app, allowed_hosts=None)
    assert (await ask(app, "/livez", host=host)).reason == "host_refused"


async def test_a_shorter_limit_ends_sessions_that_are_over_by_it(make_app: MakeApp) -> None:
    app = await make_app()
    browser = await sign_in(app)
    await change(app, sign_in_idle_s=3600.0)
    assert (await browser.ask("/api/session")).json["signed_in"] is True
    await change(app, sign_in_limit_s=0.001)
    assert (await browser.ask("/api/session")).json["signed_in"] is False
    assert len(app.credentials.sessions) == 0
