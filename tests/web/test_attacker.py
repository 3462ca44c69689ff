"""A scripted attacker goes through every route that there is, as everybody who is not the admin."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from aceproxy.app import App
from aceproxy.simulator import Simulator
from aceproxy.web.rights import RIGHTS, Right
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

STRANGERS = ["198.51.100.0/24"]  # where nobody is: whoever asks from loopback is a stranger then
AGENT = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
QUERIES = {"/ace/getstream": "id", "/ace/manifest.m3u8": "id", "/watch/qr.svg": "id", "/watch/play.m3u": "id"}
UNKNOWN = "ab" * 20


def target_of(name: str, stream_id: str = UNKNOWN) -> tuple[str, str]:
    """Return the method of a route of the table, and an address that leads to it."""
    method, _, path = name.partition(" ")
    values = {
        "key": stream_id,
        "infohash": UNKNOWN,
        "name": "style.css",
        "link": UNKNOWN,
        "rest": "a.ts",
        "number": "1",
    }
    path = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "1"), path)
    return method, f"{path}?{QUERIES[path]}={stream_id}" if path in QUERIES else path


async def status_of(app: App, name: str, headers: str = "", stream_id: str = UNKNOWN) -> tuple[int, str]:
    """Ask for a route without the admin's secret; returns the status and the reason of a refusal."""
    method, target = target_of(name, stream_id)
    answer = await ask(app, target, method, headers=headers, admin=False, stream=True, body=b"{}")
    answer.close()
    is_error = answer.status >= 400 and answer.headers.get("content-type", "").startswith("application/json")
    return answer.status, answer.reason if is_error else ""


async def token(app: App, role: str) -> str:
    """Make a token and return the header that carries it."""
    answer = await ask(app, "/api/tokens", "POST", body=json.dumps({"name": role, "role": role}).encode())
    return f"Authorization: Bearer {answer.json['token']}\r\n"


def routes(*rights: Right) -> list[str]:
    """Return the routes that need one of these rights."""
    return [name for name, right in RIGHTS.items() if right in rights]


# --- every route by role ---


async def test_a_stranger_reaches_what_is_public_and_nothing_else(make_app: MakeApp) -> None:
    app = await make_app(trusted_networks=STRANGERS)
    for name in routes(Right.PLAY, Right.VIEW, Right.ADMIN):
        assert await status_of(app, name) == (401, "sign_in_needed"), name
    for name in routes(Right.PUBLIC):
        status, reason = await status_of(app, name)
        assert status < 500 or reason == "engine_unreachable", (name, status, reason)
        assert status not in (401, 403), name
    assert not app.hub.streams


async def test_a_viewer_of_the_local_network_changes_nothing(make_app: MakeApp) -> None:
    app = await make_app(start_timeout_s=5)
    for name in routes(Right.ADMIN):
        assert await status_of(app, name) == (401, "sign_in_needed"), name
    for name in routes(Right.VIEW, Right.PLAY):
        status, reason = await status_of(app, name)
        assert status not in (401, 403), (name, reason)


@pytest.mark.parametrize("role", ["player", "viewer"])
async def test_a_token_from_outside_has_the_rights_of_its_role(make_app: MakeApp, role: str) -> None:
    app = await make_app(trusted_networks=STRANGERS, start_timeout_s=5)
    bearer = await token(app, role)
    for name in routes(Right.ADMIN):
        assert await status_of(app, name, bearer) == (403, "not_allowed"), name
    for name in routes(Right.VIEW):
        status, reason = await status_of(app, name, bearer)
        assert (status == 403) == (role == "player"), (name, reason)
    for name in routes(Right.PLAY):
        status, reason = await status_of(app, name, bearer)
        assert status not in (401, 403), (name, reason)


async def test_an_admins_browser_changes_nothing_for_a_page_of_another_site(make_app: MakeApp) -> None:
    app = await make_app()
    body = json.dumps({"token": app.secret.value}).encode()
    signed_in = await ask(app, "/api/session", "POST", body=body, admin=False)
    cookie = f"Cookie: {signed_in.headers['set-cookie'].partition(';')[0]}\r\n"
    changing = [name for name in RIGHTS if not name.startswith(("GET ", "OPTIONS "))]
    assert len(changing) > 10
    for name in changing:
        for forged in ("Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"):
            assert await status_of(app, name, cookie + forged) == (403, "cross_site"), name
        if name != "POST /api/session":
            assert await status_of(app, name, cookie) == (403, "cross_site"), name
    assert (await ask(app, "/api/session", headers=cookie)).json["role"] == "admin"


async def test_no_route_answers_to_a_name_that_is_not_ours(make_app: MakeApp) -> None:
    app = await make_app()
    for name in RIGHTS:
        method, target = target_of(name)
        answer = await ask(app, target, method, host="rebound.evil.example", admin=True)
        assert (answer.status, answer.reason) == (421, "host_refused"), name


# --- nothing leaks, nothing changes ---


def state(app: App) -> Any:
    """Return what an attacker might change."""
    return (
        [(stream.stream_id, stream.state, sorted(stream.clients)) for stream in app.hub.streams],
        [(engine.url, engine.state) for engine in app.pool.snapshot()],
        [one.token_id for one in app.credentials.tokens],
        len(app.credentials.sessions),
        app.credentials.passwords.is_set,
        app.secret,
    )


async def player(app: App, sim: Simulator) -> Answer:
    """Play a channel with an agent that is markup."""
    target = f"/ace/getstream?id={sim.contents[0].content_id}"
    answer = await ask(app, target, stream=True, headers=f"User-Agent: {AGENT}\r\nAuthorization: {bearer(app)}\r\n")
    assert answer.status == 200
    await asyncio.wait_for(answer.reader.readexactly(188), 10)
    return answer


def bearer(app: App) -> str:
    """The admin's own header."""
    return f"Bearer {app.secret.value}"


@pytest.mark.parametrize("networks", [STRANGERS, ["127.0.0.0/8"]])
async def test_no_method_on_any_address_changes_anything(
    make_app: MakeApp, sim: Simulator, networks: list[str]
) -> None:
    app = await make_app(trusted_networks=networks)
    playing = await player(app, sim)
    stream = app.hub.streams[0]
    client_id = next(iter(stream.clients))
    await until(lambda: app.pool.snapshot()[0].state == "up")
    before = state(app)
    values = {"key": stream.stream_id, "client_id": client_id, "label": "1", "name": "style.css"}
    paths = {name.partition(" ")[2] for name in RIGHTS if RIGHTS[name] is not Right.PLAY}
    for path in sorted(paths):
        target = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "1"), path)
        for method in METHODS[1:]:
            answer = await ask(app, target, method, admin=False, body=b'{"url":"http://127.0.0.1:1"}')
            assert answer.status in (400, 401, 404, 405) or path == "/api/session", (method, target, answer.status)
    assert state(app) == before
    await asyncio.wait_for(playing.reader.readexactly(188 * 1000), 10)
    playing.close()


async def test_what_is_public_tells_a_stranger_nothing_about_streams_engines_or_viewers(
    make_app: MakeApp, sim: Simulator
) -> None:
    app = await make_app(trusted_networks=STRANGERS)
    playing = await player(app, sim)
    stream = app.hub.streams[0]
    await until(lambda: app.pool.snapshot()[0].state == "up")
    secrets = [stream.stream_id, stream.infohash or "", sim.url, "onerror=alert", "127.0.0.1", app.secret.value]
    for name in routes(Right.PUBLIC):
        if name.startswith("GET "):
            method, target = target_of(name)
            answer = await ask(app, target, method)
            told = [secret for secret in secrets if secret.encode() in answer.body]
            examples = name in ("GET /api/openapi.json", "GET /api/docs", "GET /static/{name}")  # the same everywhere
            assert not told or (examples and told == ["127.0.0.1"]), (name, told)
    playing.close()


async def test_markup_from_outside_is_never_sent_as_markup(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    playing = await player(app, sim)
    await ask(app, "/api/tokens", "POST", body=json.dumps({"name": AGENT}).encode())
    found = 0
    for name in routes(Right.PUBLIC, Right.VIEW, Right.ADMIN):
        if not name.startswith("GET ") or name in ("GET /api/events", "GET /api/logs/stream"):
            continue
        method, target = target_of(name, app.hub.streams[0].stream_id)
        answer = await ask(app, target, method, admin=True)
        assert answer.headers["x-content-type-options"] == "nosniff", name
        assert "script-src 'unsafe" not in answer.headers["content-security-policy"], name
        if b"onerror=alert(2)" in answer.body:
            found += 1
            assert answer.headers["content-type"].startswith(("application/json", "text/plain")), name
    assert found >= 4
    for target in (
        "/static/%3Cscript%3E",
        "/api/aceproxy/streams/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/%3Cimg%20src=x%3E",
    ):
        answer = await ask(app, target)
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("application/json")
    playing.close()


@pytest.mark.parametrize(
    "target",
    [
        "/static/../app.py",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static//etc/passwd",
        "/static/....//....//etc/passwd",
        "/static/..%5c..%5capp.py",
        "/static/style.css%00.png",
        "/static/vendor/../../pages.py",
        "/hls/..%2f..%2fetc/1/1.ts",
        "//etc/passwd",
        "/..%252f..%252fetc/passwd",
    ],
)
async def test_no_path_leads_out_of_the_package(make_app: MakeApp, target: str) -> None:
    app = await make_app()
    answer = await ask(app, target)
    assert answer.status in (400, 404)
    assert b"root:" not in answer.body
    assert b"import" not in answer.body


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nHost: test\r\nHost: evil.example\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: -1\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\n X: folded\r\n",
        "GET / HTTP/9.9\r\nHost: test\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nX: \x00\r\n",
    ],
)
async def test_requests_that_could_mean_two_things_are_refused(make_app: MakeApp, head: str) -> None:
    app = await make_app()
    reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
    writer.write(f"{head}Connection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    assert re.match(rb"HTTP/1\.[01] 4\d\d ", answer), answer[:200]
    writer.close()
    assert (await ask(app, "/api/health")).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer \x80\xff",
        "Authorization: Bearer ü",
        "Authorization: Bearer apt_" + "a" * 5000,
        "Authorization: Bearer",
        "Authorization: bearer \t apt_x",
        "Cookie: {cookie}=" + "a" * 5000,
        "Cookie: {cookie}=\xff.\xff",
        "Cookie: {cookie}=a.b; {cookie}=c.d; =; ;;",
        'Cookie: "; {cookie}',
        "X-Forwarded-For: " + "1.1.1.1," * 3000,
        "Forwarded: " + 'for="' * 3000,
        "Forwarded: for=1.1.1.1;" * 1000,
        "Origin: \xff",
        "X-CSRF-Token: \xff",
    ],
)
async def test_no_header_is_a_mistake_of_ours(make_app: MakeApp, header: str) -> None:
    app = await make_app()
    header = header.replace("{cookie}", app.credentials.cookie_name)
    for method, target in (("GET", "/ace/status"), ("DELETE", "/api/aceproxy/streams/" + UNKNOWN)):
        answer = await ask(app, target, method, headers=f"{header}\r\n", admin=False)
        assert answer.status in (200, 400, 401, 403), answer.body


@pytest.mark.parametrize("value", ["apt_%ED%A0%80", "apt_%00", "%FF", "apt_" + "a" * 5000, "", "&token=apt_x"])
async def test_no_token_in_an_address_is_a_mistake_of_ours(make_app: MakeApp, value: str) -> None:
    app = await make_app()
    answer = await ask(app, f"/ace/getstream?id={UNKNOWN}&token={value}")
    assert (answer.status, answer.reason) == (401, "bad_credentials")


async def test_text_that_is_no_text_does_not_sign_in(make_app: MakeApp) -> None:
    app = await make_app()
    for body in (
        b'{"password": "\\ud800"}',
        b'{"token": "apt_\\udfff"}',
        b'{"password": "\xff"}',
        b"[" * 5000,
        b"\xff",
    ):
        answer = await ask(app, "/api/session", "POST", body=body, admin=False)
        assert answer.status in (400, 401), answer.body
