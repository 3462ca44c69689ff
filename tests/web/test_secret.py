"""Replacing the admin secret over HTTP and by the command, while the program runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aceproxy.access import credentials
from aceproxy.access.secret import make_admin_secret
from aceproxy.app import App
from aceproxy.cli import cli
from tests.conftest import Answer, MakeApp, ask
from tests.waiting import until
from tests.web.test_signing_in import PASSWORD, Browser, post, sign_in

SECRET = "/api/secret"


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "FAILURE_DELAY_S", 0.0)


def body(**words: str) -> bytes:
    return json.dumps(words).encode()


async def make_token(app: App, role: str) -> str:
    answer = await ask(app, "/api/tokens", "POST", body=body(name="a", role=role))
    token: str = answer.json["token"]
    return token


async def as_bearer(app: App, value: str) -> Answer:
    return await ask(app, "/api/session", admin=False, headers=f"Authorization: Bearer {value}\r\n")


async def test_a_replaced_secret_ends_the_old_one_and_every_session(make_app: MakeApp, tmp_path: Path) -> None:
    app = await make_app(state_dir=tmp_path)
    old = app.secret.value
    own, other = await sign_in(app), await sign_in(app)
    token = await make_token(app, "viewer")
    events = await other.ask("/api/events", stream=True)
    await asyncio.wait_for(events.reader.readuntil(b"\n\n"), 10)
    answer = await own.ask(SECRET, "POST", body=body(current=old))
    assert (answer.status, answer.json["sessions_ended"], answer.json["kept"]) == (201, 2, True)
    fresh = answer.json["secret"]
    assert fresh != old
    assert (tmp_path / "admin-secret").read_text().strip() == fresh
    await asyncio.wait_for(events.reader.read(), 10)  # it is sent nothing any more
    events.close()
    assert (await other.ask("/api/session")).json["signed_in"] is False
    assert (await own.ask("/api/session")).json["signed_in"] is False  # its old cookie is as dead as the others'
    again = Browser(app, answer.headers["set-cookie"].partition(";")[0], "")
    session = (await again.ask("/api/session")).json
    assert (session["role"], session["signed_in"]) == ("admin", True)
    assert (await post(app, {"token": old})).reason == "bad_credentials"
    assert (await as_bearer(app, old)).reason == "bad_credentials"
    assert (await as_bearer(app, fresh)).json["role"] == "admin"
    assert (await as_bearer(app, token)).json["role"] == "viewer"
    await app.close()
    app = again.app = await make_app(state_dir=tmp_path)
    assert app.secret.value == fresh
    assert (await again.ask("/api/session")).json["signed_in"] is True


async def test_neither_an_open_browser_nor_a_token_is_enough_to_replace_the_secret(make_app: MakeApp) -> None:
    app = await make_app()
    old = app.secret.value
    browser = await sign_in(app)
    token = await make_token(app, "admin")
    bearer = f"Authorization: Bearer {token}\r\n"
    assert (await browser.ask(SECRET, "POST", body=body(current="a guess"))).reason == "bad_credentials"
    assert (await browser.ask(SECRET, "POST", body=b"{}")).reason == "bad_parameter"
    assert (await browser.ask(SECRET, "POST", body=body(current=old), csrf="wrong")).reason == "cross_site"
    refused = await ask(app, SECRET, "POST", admin=False, headers=bearer, body=body(current=token))
    assert refused.reason == "not_allowed"
    assert (await ask(app, SECRET, "POST", admin=False, body=body(current=old))).reason == "sign_in_needed"
    assert app.secret.value == old
    assert (await browser.ask("/api/session")).json["signed_in"] is True


async def test_the_password_replaces_the_secret_too_and_stays(make_app: MakeApp) -> None:
    app = await make_app()
    await ask(app, "/api/password", "PUT", body=body(password=PASSWORD))
    browser = await sign_in(app, password=PASSWORD)
    answer = await browser.ask(SECRET, "POST", body=body(current=PASSWORD))
    assert (answer.status, answer.json["kept"]) == (201, False)
    assert (await post(app, {"password": PASSWORD})).status == 200
    assert answer.json["secret"] == app.secret.value
    assert not any(app.secret.value in line.message for line in app.logs.ring.tail(100))


async def test_a_secret_that_cannot_be_kept_changes_nothing(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app(state_dir=tmp_path)
    browser = await sign_in(app)

    def fail(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(credentials, "make_admin_secret", fail)
    answer = await browser.ask(SECRET, "POST", body=body(current=app.secret.value))
    assert (answer.status, answer.reason) == (507, "state_unwritable")
    assert answer.json["error"]["detail"] == "No space left on device"
    assert app.secret.value == (tmp_path / "admin-secret").read_text().strip()
    assert (await browser.ask("/api/session")).json["signed_in"] is True


async def test_a_secret_replaced_by_the_command_counts_while_we_run(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_AGAIN_S", 0.05)
    app = await make_app(state_dir=tmp_path)
    old = app.secret.value
    await sign_in(app)
    place = f"state_dir={tmp_path}"
    told = await asyncio.to_thread(CliRunner().invoke, cli, ["secret", "rotate", "--set", place])
    assert told.exit_code == 0
    fresh = told.output.strip().partition("#")[2]
    assert fresh not in ("", old)
    await until(lambda: app.secret.value == fresh)
    assert len(app.credentials.sessions) == 0
    assert (await post(app, {"token": fresh})).status == 200
    (tmp_path / "admin-secret").write_text("damaged")
    monkeypatch.setattr(credentials, "read_admin_secret", lambda _folder: None)
    assert (await post(app, {"token": fresh})).status == 200


def test_the_link_is_told_again_and_only_where_there_is_a_secret(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["secret", *arguments])
        return result.exit_code, result.output.strip()

    place = ("--set", f"state_dir={tmp_path}")
    status, words = run("link", *place)
    assert (status, "no admin secret in" in words) == (2, True)
    secret = make_admin_secret(tmp_path)
    link = (0, f"http://127.0.0.1:6880/sign-in#{secret.value}")
    assert run("link", *place) == link
    assert run("link", *place, "--set", "listen=[2001:db8::1]:80") == (
        0,
        f"http://[2001:db8::1]:80/sign-in#{secret.value}",
    )
    assert run("rotate", *place)[1] != link[1]
    for command in ("link", "rotate"):
        status, words = run(command)
        assert (status, "state_dir, which is not set" in words) == (2, True)
        status, words = run(command, "--set", f"state_dir={tmp_path / 'none'}")
        assert status == 2
