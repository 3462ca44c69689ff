"""The guard: who may do what, names that are not ours, and pages of other sites."""

from __future__ import annotations

from pathlib import Path

import pytest

from aceproxy.simulator import Simulator
from tests.conftest import MakeApp, ask

STRANGERS = ["198.51.100.0/24"]  # a trusted network in which nobody is: 127.0.0.1 is a stranger then
STREAM = "/api/aceproxy/streams/" + "a" * 40


async def test_the_local_network_may_look_but_not_change(make_app: MakeApp) -> None:
    app = await make_app()
    for target in ("/", "/api/health", "/api/aceproxy/stats", "/api/aceproxy/streams", "/api/logs/tail", "/ace/status"):
        assert (await ask(app, target)).status == 200
    answer = await ask(app, STREAM, "DELETE", admin=False)
    assert (answer.status, answer.reason) == (401, "sign_in_needed")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (await ask(app, STREAM, "DELETE", admin=True)).reason == "stream_not_running"


async def test_a_stranger_gets_the_verdict_and_nothing_else(make_app: MakeApp) -> None:
    app = await make_app(trusted_networks=STRANGERS)
    health = (await ask(app, "/api/health")).json
    assert health["status"] in ("healthy", "degraded")
    assert health["engines"] == []
    assert health["version"] == ""
    refused = await ask(app, "/api/aceproxy/streams")
    assert (refused.status, refused.reason) == (401, "sign_in_needed")
    assert "127.0.0.1" in refused.json["error"]["detail"]
    assert (await ask(app, "/ace/getstream?id=" + "a" * 40)).reason == "sign_in_needed"
    assert (await ask(app, "/nothing")).status == 404
    assert (await ask(app, "/api/aceproxy/streams", admin=True)).status == 200


async def test_a_wrong_secret_is_refused_also_where_none_is_needed(make_app: MakeApp) -> None:
    app = await make_app()
    for given in ("wrong", "", app.secret.value + "x", app.secret.value[:-1]):
        answer = await ask(app, "/api/health", headers=f"Authorization: Bearer {given}\r\n")
        assert (answer.status, answer.reason) == (401, "bad_credentials")
    assert (await ask(app, "/api/health", headers="Authorization: Basic Zm9vOmJhcg==\r\n")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: http://test:81\r\n",
        "Origin: null\r\n",
        "Origin: http://[\r\n",
    ],
)
async def test_a_change_wanted_by_a_page_of_another_site_is_refused(make_app: MakeApp, headers: str) -> None:
    app = await make_app()
    answer = await ask(app, STREAM, "DELETE", headers=headers)
    assert (answer.status, answer.reason) == (403, "cross_site")
    same = "Origin: http://test\r\nSec-Fetch-Site: same-origin\r\n"
    assert (await ask(app, STREAM, "DELETE", headers=same)).reason == "stream_not_running"


@pytest.mark.parametrize(
    ("host", "settings", "passes"),
    [
        ("192.168.1.5:6880", {}, True),
        ("[::1]:6880", {}, True),
        ("localhost:6880", {}, True),
        ("nas", {}, True),
        ("nas.local", {}, True),
        ("nas.fritz.box:6880", {}, False),
        ("tv.example.org", {}, False),
        ("tv.example.org", {"allowed_hosts": ["TV.example.org"]}, True),
        ("TV.example.org.:6880", {"allowed_hosts": "tv.example.org"}, True),
        ("tv.example.org", {"allowed_hosts": ["*.example.org"]}, True),
        ("example.org", {"allowed_hosts": ["*.example.org"]}, False),
        ("tv.example.org.evil.example", {"allowed_hosts": ["*.example.org", "tv.example.org"]}, False),
        ("anything.example", {"allowed_hosts": ["*"]}, True),
        ("a b", {}, False),
        ("localhost@evil.example", {}, False),
    ],
)
async def test_only_our_own_names_are_answered_to(
    make_app: MakeApp, host: str, settings: dict[str, object], passes: bool
) -> None:
    app = await make_app(**settings)
    for target in ("/api/health", "/ace/getstream?id=x", "/"):
        answer = await ask(app, target, host=host)
        assert (answer.status != 421) == passes
        if not passes:
            assert answer.reason == "host_refused"
            assert "allowed_hosts" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("target", "host", "passes"),
    [
        ("http://evil.example/livez", "test", False),
        ("http://evil.example:6880/livez", "127.0.0.1", False),
        ("http://127.0.0.1@evil.example/livez", "test", False),
        ("HTTP://evil.example?x=/livez", "test", False),
        ("http:///livez", "test", False),
        ("http://127.0.0.1:6880/livez", "test", True),
        ("http://nas.local/livez", "evil.example", True),
    ],
)
async def test_a_target_in_absolute_form_is_judged_by_its_own_host(
    make_app: MakeApp, target: str, host: str, passes: bool
) -> None:
    """RFC 9112 §3.2.2: the Host header is ignored then."""
    app = await make_app()
    answer = await ask(app, target, host=host)
    assert (answer.status == 200) == passes
    if not passes:
        assert answer.reason in ("host_refused", "request_refused")


async def test_a_page_of_the_host_in_the_target_is_the_same_site(make_app: MakeApp) -> None:
    app = await make_app()
    page = "Origin: http://test\r\n"
    target = "http://nas.local" + STREAM
    assert (await ask(app, target, "DELETE", headers=page)).reason == "cross_site"
    assert (await ask(app, target, "DELETE", headers="Origin: http://nas.local\r\n")).reason == "stream_not_running"


async def test_the_host_that_a_trusted_proxy_tells_is_checked_as_well(make_app: MakeApp) -> None:
    app = await make_app(trusted_proxies=["127.0.0.1"], allowed_hosts=["tv.example.org"])
    told = "X-Forwarded-For: 192.168.1.9\r\nX-Forwarded-Host: {}\r\n"
    assert (await ask(app, "/api/health", headers=told.format("tv.example.org"))).status == 200
    assert (await ask(app, "/api/health", headers=told.format("evil.example"))).reason == "host_refused"


async def test_behind_a_trusted_proxy_its_clients_are_judged(make_app: MakeApp) -> None:
    app = await make_app(trusted_proxies=["127.0.0.1"])
    assert (await ask(app, "/ace/status", headers="X-Forwarded-For: 192.168.1.9\r\n")).status == 200
    assert (await ask(app, "/ace/status", headers="X-Forwarded-For: 192.168.1.9, 203.0.113.7\r\n")).status == 401
    assert (await ask(app, "/ace/status", headers="X-Forwarded-For: nonsense\r\n")).status == 401


async def test_a_proxy_nobody_told_us_about_does_not_make_strangers_local(make_app: MakeApp) -> None:
    app = await make_app()
    answer = await ask(app, "/ace/status", headers="X-Forwarded-For: 192.168.1.9\r\n")
    assert answer.reason == "sign_in_needed"
    assert "trusted_proxies" in answer.json["error"]["detail"]


async def test_the_secret_is_kept_and_told_once(make_app: MakeApp, tmp_path: Path) -> None:
    app = await make_app(state_dir=tmp_path)
    link = app.sign_in_link
    assert link == f"http://127.0.0.1:{app.port}/sign-in#{app.secret.value}"
    await app.close()
    again = await make_app(state_dir=tmp_path)
    assert again.secret.value == app.secret.value
    assert again.sign_in_link is None
    assert not any(app.secret.value in line.message for line in app.logs.ring.tail(100))


async def test_only_media_may_be_used_by_pages_of_other_sites(make_app: MakeApp, sim: Simulator) -> None:
    app = await make_app()
    for target in ("/", "/api/health", "/static/icon.svg", "/nothing"):
        answer = await ask(app, target)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    media = await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}", "HEAD")
    assert media.headers["access-control-allow-origin"] == "*"
    assert media.headers["cross-origin-resource-policy"] == "cross-origin"
