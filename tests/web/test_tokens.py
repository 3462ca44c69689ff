"""Tokens of players: made, shown once, needed where streams are closed, limited, taken back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aceproxy.app import App
from aceproxy.simulator import Content, Simulator, SimulatorConfig
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

STRANGERS = ["198.51.100.0/24"]


async def make(app: App, **wanted: Any) -> tuple[str, str]:
    """Make a token; returns its id and the token itself."""
    answer = await ask(app, "/api/tokens", "POST", body=json.dumps({"name": "tv", **wanted}).encode())
    assert answer.status == 201, answer.body
    return answer.json["details"]["token_id"], answer.json["token"]


def link(sim: Simulator, number: int = 0, token: str | None = None) -> str:
    """The address of a channel, with a token."""
    return f"/ace/getstream?id={sim.contents[number].content_id}" + (f"&token={token}" if token else "")


async def plays(answer: Answer) -> None:
    """Wait for media."""
    assert answer.status == 200, answer.body
    await asyncio.wait_for(answer.reader.readexactly(188), 10)


async def test_a_token_is_told_once_and_kept_as_a_digest(make_app: MakeApp, tmp_path: Path) -> None:
    app = await make_app(state_dir=tmp_path)
    token_id, token = await make(app, name='<img src=x onerror="alert(1)">', max_clients=2)
    listed = (await ask(app, "/api/tokens", admin=True)).json["tokens"]
    assert [(one["token_id"], one["name"], one["role"]) for one in listed] == [
        (token_id, '<img src=x onerror="alert(1)">', "player")
    ]
    assert token not in json.dumps(listed)
    await app.close()
    path = tmp_path / "tokens.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in path.read_text()
    app = await make_app(state_dir=tmp_path)
    assert (await ask(app, "/ace/status", headers=f"Authorization: Bearer {token}\r\n")).status == 200
    assert len((await ask(app, "/api/tokens", admin=True)).json["tokens"]) == 1


@pytest.mark.parametrize(
    "wanted",
    [{}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 100}, {"name": "x", "role": "king"}, {"name": "x", "z": 1},
     {"name": "x", "max_clients": -1}],
)  # fmt: skip
async def test_what_is_no_token_is_refused(make_app: MakeApp, wanted: dict[str, Any]) -> None:
    app = await make_app()
    answer = await ask(app, "/api/tokens", "POST", body=json.dumps(wanted).encode())
    assert (answer.status, answer.reason) == (400, "bad_parameter")


async def test_where_tokens_are_required_nothing_plays_without(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app(require_token=True)
    _, token = await make(app)
    for target in (link(sim), "/ace/manifest.m3u8?id=" + sim.contents[0].content_id, "/search?query=x"):
        refused = await ask(app, target)
        assert (refused.status, refused.reason) == (401, "token_needed"), target
    refused = await ask(app, link(sim, token="apt_wrong"))
    assert (refused.status, refused.reason) == (401, "bad_credentials")
    assert not app.hub.streams
    player = await ask(app, link(sim, token=token), stream=True)
    await plays(player)
    admin = await ask(app, link(sim), stream=True, admin=True)
    await plays(admin)
    for answer in (player, admin):
        answer.close()


async def test_strangers_play_with_a_token_or_where_streams_are_open_to_all(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app(trusted_networks=STRANGERS)
    _, token = await make(app)
    assert (await ask(app, link(sim))).reason == "sign_in_needed"
    player = await ask(app, link(sim, token=token), stream=True)
    await plays(player)
    player.close()
    assert (await ask(app, f"/api/aceproxy/streams?token={token}")).reason == "sign_in_needed"
    opened = await make_app(trusted_networks=STRANGERS, foreign_streams=True)
    player = await ask(opened, link(sim), stream=True)
    await plays(player)
    player.close()
    assert (await ask(opened, "/api/aceproxy/streams")).reason == "sign_in_needed"


async def test_a_list_of_segments_passes_the_token_on_and_its_segments_need_none(
    make_app: MakeApp, sim: Simulator
) -> None:
    app = await make_app(trusted_networks=STRANGERS, require_token=True, block_s=0.5)
    _, token = await make(app)
    master = await ask(app, f"/ace/manifest.m3u8?id={sim.contents[0].content_id}&token={token}")
    assert master.status == 200, master.body
    address = next(line for line in master.body.decode().splitlines() if not line.startswith("#"))
    assert f"token={token}" in address
    assert (await ask(app, "/ace/" + address.replace(token, "apt_wrong"))).reason == "bad_credentials"
    media = await ask(app, "/ace/" + address)
    segment = [line for line in media.body.decode().splitlines() if line.endswith(".ts")][-1]
    assert "token" not in segment
    assert (await ask(app, "/" + segment.removeprefix("../"))).status == 200


@pytest.mark.parametrize(("role", "sees", "changes"), [("player", 403, 403), ("viewer", 200, 403), ("admin", 200, 404)])
async def test_a_token_has_a_role(make_app: MakeApp, role: str, sees: int, changes: int) -> None:
    app = await make_app(trusted_networks=STRANGERS)
    _, token = await make(app, role=role)
    headers = f"Authorization: Bearer {token}\r\n"
    assert (await ask(app, "/api/aceproxy/streams", headers=headers)).status == sees
    stream = "/api/aceproxy/streams/" + "a" * 40
    assert (await ask(app, stream, "DELETE", headers=headers, admin=False)).status == changes
    body = json.dumps({"token": token}).encode()
    signed_in = await ask(app, "/api/session", "POST", body=body, admin=False)
    assert signed_in.status == (401 if role == "player" else 200)
    if role != "player":
        assert (signed_in.json["role"], signed_in.json["name"]) == (role, "tv")


async def test_a_token_that_is_taken_back_ends_what_plays_with_it_and_nothing_else(
    make_app: MakeApp, sim: Simulator
) -> None:
    app = await make_app()
    token_id, token = await make(app)
    with_it = await ask(app, link(sim, token=token), stream=True)
    without = await ask(app, link(sim), stream=True)
    await plays(with_it)
    await plays(without)
    told = (await ask(app, f"/ace/getstream?format=json&id={sim.contents[0].content_id}&token={token}")).json
    session = await ask(app, urlsplit(told["response"]["playback_url"]).path, stream=True)
    await plays(session)
    revoked = await ask(app, f"/api/tokens/{token_id}", "DELETE")
    assert revoked.json["revoked"] is True
    assert revoked.json["clients_ended"] >= 1
    for ended in (with_it, session):
        await asyncio.wait_for(ended.reader.read(), 10)
        ended.close()
    await asyncio.wait_for(without.reader.readexactly(188 * 1000), 10)
    without.close()
    assert (await ask(app, link(sim, token=token))).reason == "bad_credentials"
    assert (await ask(app, f"/api/tokens/{token_id}", "DELETE")).reason == "token_not_found"
    ended_clients = (await ask(app, "/api/aceproxy/streams")).json["streams"][0]["ended_clients"]
    assert "token_revoked" in [one["reason"] for one in ended_clients]


async def test_who_waits_for_a_start_with_a_token_that_is_taken_back_gets_nothing(
    make_app: MakeApp, sim: Simulator
) -> None:
    sim.set_fault("slow-start", "1")
    app = await make_app()
    token_id, token = await make(app)
    waiting = asyncio.create_task(ask(app, link(sim, token=token)))
    other = asyncio.create_task(ask(app, link(sim), stream=True))
    await until(lambda: app.hub.streams and app.hub.streams[0].waiting == 2)
    await ask(app, f"/api/tokens/{token_id}", "DELETE")
    assert (await waiting).reason == "token_revoked"
    await plays(await other)
    (await other).close()


async def test_a_session_of_a_token_ends_with_it(make_app: MakeApp) -> None:
    app = await make_app()
    token_id, token = await make(app, role="admin")
    answer = await ask(app, "/api/session", "POST", body=json.dumps({"token": token}).encode(), admin=False)
    headers = f"Cookie: {answer.headers['set-cookie'].partition(';')[0]}\r\n"
    assert (await ask(app, "/api/session", headers=headers)).json["role"] == "admin"
    await ask(app, f"/api/tokens/{token_id}", "DELETE")
    assert (await ask(app, "/api/session", headers=headers)).json["signed_in"] is False


async def test_limits_hold_for_an_address_and_for_a_token(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app(max_streams_per_address=1)
    _, token = await make(app, max_clients=1)
    first = await ask(app, link(sim), stream=True)
    await plays(first)
    refused = await ask(app, link(sim, 1))
    assert (refused.status, refused.reason) == (429, "too_many_for_address")
    assert [stream.stream_id for stream in app.hub.streams] == [sim.contents[0].content_id]
    assert len(sim.playbacks) == 1, "the engine was not even asked"
    second = await ask(app, link(sim, 0, token), stream=True)
    await plays(second)
    assert (await ask(app, link(sim, 0, token))).reason == "too_many_for_token"
    other = await ask(app, link(sim, 1), stream=True, address="127.0.0.2")
    await plays(other)
    second.close()
    await until(lambda: len(app.hub.places) == 2)
    again = await ask(app, link(sim, 0, token), stream=True)
    await plays(again)
    for answer in (first, other, again):
        answer.close()
    await until(lambda: len(app.hub.places) == 0)


async def test_no_token_reaches_the_log_or_another_viewer(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    _, token = await make(app)
    player = await ask(app, link(sim, token=token), stream=True)
    await plays(player)
    for target in ("/api/logs/tail?lines=1000", "/api/aceproxy/streams", "/api/aceproxy/sessions", "/api/tokens"):
        for admin in (False, True):
            assert token.encode() not in (await ask(app, target, admin=admin)).body
    player.close()


async def test_limits_and_taking_back_hold_for_recordings_too(make_app: MakeApp) -> None:
    contents = (Content("Long", "clock", live=False, duration_s=400), Content("Other", "light", live=False))
    async with Simulator(SimulatorConfig.fast(contents=contents)) as films:
        app = await make_app(engines=[films.url], max_streams_per_token=1)
        token_id, token = await make(app)
        watching = await ask(app, link(films, 0, token), stream=True)
        await plays(watching)
        assert (await ask(app, link(films, 1, token))).reason == "too_many_for_token"
        sought = await ask(app, link(films, 0, token), stream=True, headers="Range: bytes=1000-2000\r\n")
        assert sought.status == 206, sought.body
        sought.close()
        revoked = (await ask(app, f"/api/tokens/{token_id}", "DELETE")).json
        assert revoked["clients_ended"] >= 1
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(watching.reader.read(), 10)
        watching.close()
        assert len(app.hub.places) == 0


async def test_streams_are_closed_and_limited_while_the_program_runs(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    playing = await ask(app, link(sim), stream=True)
    await plays(playing)
    for change, reason in (
        ({"max_clients_per_address": 1}, "too_many_for_address"),
        ({"max_clients_per_address": None, "require_token": True}, "token_needed"),
    ):
        changed = await ask(app, "/api/settings", "PATCH", body=json.dumps(change).encode())
        assert changed.status == 200, changed.body
        assert (await ask(app, link(sim))).reason == reason
    await plays(playing)
    playing.close()


async def test_what_is_still_sent_to_who_bears_a_token_ends_with_it(make_app: MakeApp) -> None:
    app = await make_app()
    token_id, token = await make(app, role="viewer")
    events = await ask(app, "/api/events", stream=True, headers=f"Authorization: Bearer {token}\r\n")
    await asyncio.wait_for(events.reader.readuntil(b"\n\n"), 30)
    own = f"Authorization: Bearer {(await make(app, role='admin'))[1]}\r\n"
    assert (await ask(app, f"/api/tokens/{token_id}", "DELETE", headers=own, admin=False)).status == 200
    await asyncio.wait_for(events.reader.read(), 30)
    events.close()
    assert app.credentials.tokens._requests == {}


async def test_a_token_that_cannot_be_kept_is_none_and_one_that_is_revoked_tells_that_it_may_come_back(
    make_app: MakeApp, tmp_path: Path
) -> None:
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.mkdir()
    app = await make_app(state_dir=folder)
    token_id, _ = await make(app)
    folder.rename(away)
    for _ in range(2):  # also while the write before is being tried again
        refused = await ask(app, "/api/tokens", "POST", body=b'{"name": "tv"}')
        assert (refused.status, refused.reason) == (507, "state_unwritable")
        assert refused.json["error"]["detail"] == "No such file or directory"
    assert [one.token_id for one in app.credentials.tokens] == [token_id]
    revoked = await ask(app, f"/api/tokens/{token_id}", "DELETE")
    assert (revoked.status, revoked.json["revoked"], revoked.json["kept"]) == (200, True, False)
    assert not list(app.credentials.tokens)
    away.rename(folder)
    other, _ = await make(app)
    assert [one["token_id"] for one in json.loads((folder / "tokens.json").read_text())] == [other]
    assert (await ask(app, f"/api/tokens/{other}", "DELETE")).json["kept"] is True
