"""Signing in and out over HTTP: sessions in cookies, CSRF, failures that cost time, passwords."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aceproxy.access import credentials
from aceproxy.access.attempts import FREE_FAILURES
from aceproxy.access.passwords import hash_password
from aceproxy.app import App
from aceproxy.files import write_private
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until

PASSWORD = "correct horse battery"
STREAM = "/api/aceproxy/streams/" + "a" * 40


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "FAILURE_DELAY_S", 0.0)


@dataclass
class Browser:
    """A browser that has signed in."""

    app: App
    cookie: str
    csrf: str

    async def ask(self, target: str, method: str = "GET", *, csrf: str | None = None, **more: Any) -> Answer:
        """Make a request with the cookie, and where something is changed with the CSRF value."""
        headers = f"Cookie: {self.cookie}\r\n{more.pop('headers', '')}"
        csrf = self.csrf if csrf is None else csrf
        if method != "GET" and csrf:
            headers += f"X-CSRF-Token: {csrf}\r\n"
        return await ask(self.app, target, method, headers=headers, admin=False, **more)


async def post(app: App, body: Any, **more: Any) -> Answer:
    """Try to sign in."""
    return await ask(app, "/api/session", "POST", admin=False, body=json.dumps(body).encode(), **more)


async def sign_in(app: App, **proof: str) -> Browser:
    """Sign in; with the admin secret unless something else is given."""
    answer = await post(app, proof or {"token": app.secret.value})
    assert answer.status == 200, answer.body
    return Browser(app, answer.headers["set-cookie"].partition(";")[0], answer.json["csrf"])


async def test_the_secret_signs_in_and_out(make_app: MakeApp) -> None:
    app = await make_app()
    assert (await ask(app, "/api/session")).json == {
        "role": "viewer",
        "name": "",
        "csrf": "",
        "signed_in": False,
        "password_set": None,
    }
    browser = await sign_in(app)
    told = (await browser.ask("/api/session")).json
    assert (told["role"], told["signed_in"], told["password_set"]) == ("admin", True, False)
    assert told["csrf"] == browser.csrf
    assert (await browser.ask(STREAM, "DELETE")).reason == "stream_not_running"
    out = await browser.ask("/api/session", "DELETE")
    assert out.json["signed_in"] is False
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert (await browser.ask(STREAM, "DELETE")).reason == "sign_in_needed"


async def test_the_cookie_is_for_the_server_alone(make_app: MakeApp) -> None:
    app = await make_app(trusted_proxies=["127.0.0.1"])
    told = (await post(app, {"token": app.secret.value})).headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="):
        assert part in told
    assert "Secure" not in told
    assert app.secret.value not in told
    behind_tls = "X-Forwarded-For: 192.168.1.9\r\nX-Forwarded-Proto: https\r\n"
    assert "Secure" in (await post(app, {"token": app.secret.value}, headers=behind_tls)).headers["set-cookie"]


@pytest.mark.parametrize("csrf", ["", "0" * 64, "ü", "a" * 5000])
async def test_a_change_without_the_csrf_value_of_the_session_is_refused(make_app: MakeApp, csrf: str) -> None:
    app = await make_app()
    browser, other = await sign_in(app), await sign_in(app)
    for wrong in (csrf, other.csrf):
        headers = f"X-CSRF-Token: {wrong}\r\n" if wrong else ""
        answer = await browser.ask(STREAM, "DELETE", csrf="", headers=headers)
        assert (answer.status, answer.reason) == (403, "cross_site")
    assert (await browser.ask(STREAM, "DELETE")).reason == "stream_not_running"


async def test_a_page_of_another_site_cannot_sign_anybody_in(make_app: MakeApp) -> None:
    app = await make_app()
    proof = {"token": app.secret.value}
    assert (await post(app, proof, headers="Origin: http://evil.example\r\n")).reason == "cross_site"
    form = f'{{"token": "{app.secret.value}"}}'.encode()
    headers = f"Content-Type: text/plain\r\nContent-Length: {len(form)}\r\n\r\n{form.decode()}"
    assert (await ask(app, "/api/session", "POST", admin=False, headers=headers)).reason == "bad_parameter"


@pytest.mark.parametrize(
    "body", [{}, {"password": "x", "token": "y"}, {"password": 5}, {"user": "x"}, [], "x", {"token": "x" * 2000}]
)
async def test_what_is_no_sign_in_is_told_and_costs_no_try(make_app: MakeApp, body: Any) -> None:
    app = await make_app()
    for _ in range(FREE_FAILURES + 2):
        assert (await post(app, body)).reason == "bad_parameter"
    await sign_in(app)


async def test_failures_are_slowed_down_and_then_refused_also_with_the_right_secret(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app()
    monkeypatch.setattr(credentials, "FAILURE_DELAY_S", 0.2)
    began_at = time.monotonic()
    assert (await post(app, {"password": "wrong"})).reason == "bad_credentials"
    assert time.monotonic() - began_at >= 0.2
    monkeypatch.setattr(credentials, "FAILURE_DELAY_S", 0.0)
    for _ in range(FREE_FAILURES - 1):
        await post(app, {"token": "wrong"})
    refused = await post(app, {"token": app.secret.value})
    assert (refused.status, refused.reason) == (429, "too_many_attempts")
    assert int(refused.headers["retry-after"]) >= 1
    other = await post(app, {"token": app.secret.value}, address="127.0.0.2")
    assert other.status == 200


async def test_many_at_once_are_as_many_failures(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "FAILURE_DELAY_S", 0.3)
    app = await make_app()
    answers = await asyncio.gather(*(post(app, {"password": f"guess {number}"}) for number in range(20)))
    reasons = [answer.reason for answer in answers]
    assert reasons.count("bad_credentials") == FREE_FAILURES
    assert reasons.count("too_many_attempts") == 20 - FREE_FAILURES


async def test_strangers_who_fail_do_not_lock_out_the_local_network(make_app: MakeApp) -> None:
    app = await make_app(trusted_networks=["127.0.0.9"])
    for number in range(20, 100):
        await post(app, {"password": "guess"}, address=f"127.0.0.{number}")
    assert (await post(app, {"token": app.secret.value}, address="127.0.0.5")).reason == "too_many_attempts"
    assert (await post(app, {"token": app.secret.value}, address="127.0.0.9")).status == 200


async def test_a_password_signs_in_and_its_change_signs_everybody_else_out(make_app: MakeApp) -> None:
    app = await make_app()
    first, other = await sign_in(app), await sign_in(app)
    assert (await post(app, {"password": PASSWORD})).reason == "bad_credentials"
    body = json.dumps({"password": PASSWORD}).encode()
    assert (await ask(app, "/api/password", "PUT", admin=False, body=body)).reason == "sign_in_needed"
    assert (await first.ask("/api/password", "PUT", body=body)).json == {"password_set": True}
    assert (await first.ask("/api/session")).json["role"] == "admin"
    assert (await other.ask("/api/session")).json["signed_in"] is False
    known = await sign_in(app, password=PASSWORD)
    assert (await known.ask("/api/session")).json["password_set"] is True
    new = {"password": "another " + PASSWORD}
    refused = await known.ask("/api/password", "PUT", body=json.dumps(new).encode())
    assert refused.reason == "bad_credentials"
    changed = await known.ask("/api/password", "PUT", body=json.dumps({**new, "current": PASSWORD}).encode())
    assert changed.status == 200
    assert (await first.ask("/api/session")).json["signed_in"] is False
    assert (await post(app, {"password": PASSWORD})).reason == "bad_credentials"
    assert (await known.ask("/api/password", "DELETE")).reason == "not_allowed"
    assert (await ask(app, "/api/password", "DELETE")).json == {"password_set": False}
    assert (await known.ask("/api/session")).json["signed_in"] is False


async def test_sessions_outlive_a_restart_unless_what_they_signed_in_with_is_gone(
    make_app: MakeApp, tmp_path: Path
) -> None:
    app = await make_app(state_dir=tmp_path)
    await ask(app, "/api/password", "PUT", body=json.dumps({"password": PASSWORD}).encode())
    by_secret, by_password = await sign_in(app), await sign_in(app, password=PASSWORD)
    await app.close()
    app = by_secret.app = by_password.app = await make_app(state_dir=tmp_path)
    assert (await by_secret.ask("/api/session")).json["role"] == "admin"
    assert (await by_password.ask("/api/session")).json["role"] == "admin"
    await app.close()
    write_private(tmp_path / "password", hash_password("changed meanwhile"))
    app = by_secret.app = by_password.app = await make_app(state_dir=tmp_path)
    assert (await by_secret.ask("/api/session")).json["role"] == "admin"
    assert (await by_password.ask("/api/session")).json["signed_in"] is False
    await app.close()
    (tmp_path / "admin-secret").unlink()
    app = by_secret.app = await make_app(state_dir=tmp_path)
    assert (await by_secret.ask("/api/session")).json["signed_in"] is False


async def test_a_password_changed_by_command_ends_its_sessions_while_we_run(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_AGAIN_S", 0.05)
    app = await make_app(state_dir=tmp_path)
    await ask(app, "/api/password", "PUT", body=json.dumps({"password": PASSWORD}).encode())
    await sign_in(app, password=PASSWORD)
    write_private(tmp_path / "password", hash_password("changed meanwhile"))
    await until(lambda: len(app.credentials.sessions) == 0)


async def test_signing_out_ends_what_is_still_sent_to_that_browser(make_app: MakeApp) -> None:
    app = await make_app()
    browser = await sign_in(app)
    events = await browser.ask("/api/events", stream=True)
    await asyncio.wait_for(events.reader.readuntil(b"\n\n"), 30)
    everybody = await ask(app, "/api/events", stream=True)
    assert (await ask(app, "/api/sessions", "DELETE")).json == {"sessions_ended": 1}
    await asyncio.wait_for(events.reader.read(), 30)
    await asyncio.wait_for(everybody.reader.readuntil(b"\n\n"), 30)
    for answer in (events, everybody):
        answer.close()


async def test_neither_secret_nor_password_nor_cookie_reaches_the_log(make_app: MakeApp) -> None:
    app = await make_app()
    await ask(app, "/api/password", "PUT", body=json.dumps({"password": PASSWORD}).encode())
    browser = await sign_in(app, password=PASSWORD)
    await post(app, {"password": "wrong " + PASSWORD})
    text = (await ask(app, "/api/logs/tail?lines=1000")).body.decode()
    assert "signed in" in text
    for hidden in (app.secret.value, PASSWORD, browser.cookie.partition("=")[2], browser.csrf):
        assert hidden not in text


async def test_the_page_that_signs_in_is_for_everybody(make_app: MakeApp) -> None:
    app = await make_app(trusted_networks=["198.51.100.0/24"])
    page = await ask(app, "/sign-in")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await ask(app, "/static/sign_in.js")).status == 200
