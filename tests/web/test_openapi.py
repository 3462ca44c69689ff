"""The description of the API, and the page that shows it."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from aceproxy.app import App
from aceproxy.errors import REASONS, Reason
from aceproxy.preparing import make_logs
from aceproxy.settings import Settings
from aceproxy.web import openapi
from aceproxy.web.openapi import describe
from aceproxy.web.operations import OPERATIONS
from aceproxy.web.rights import RIGHTS, Right
from tests.conftest import MakeApp, ask


def references(node: Any) -> set[str]:
    """Return everything that is referred to."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(one) for one in node.values()))
    return set().union(*(references(one) for one in node)) if isinstance(node, list) else set()


async def test_the_description_is_whole_and_anybody_may_read_it(make_app: MakeApp) -> None:
    app = await make_app(trusted_networks="192.0.2.0/24")
    api = (await ask(app, "/api/openapi.json")).json
    assert api["openapi"] == "3.1.0"
    told = {f"{method.upper()} {path}" for path, methods in api["paths"].items() for method in methods}
    assert told == set(OPERATIONS)
    names = {f"#/components/schemas/{name}" for name in api["components"]["schemas"]}
    assert references(api) <= names
    identifiers = [one["operationId"] for methods in api["paths"].values() for one in methods.values()]
    assert len(set(identifiers)) == len(identifiers)


async def test_it_is_made_beside_the_event_loop(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def noting(routes: dict[str, str], words_of: openapi.FieldWords) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return describe(routes, words_of)

    monkeypatch.setattr(openapi, "describe", noting)
    app = await make_app()
    told = [(await ask(app, "/api/openapi.json")).json for _ in range(2)]
    assert told[0] == told[1]
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_every_field_every_parameter_and_every_operation_is_described(make_app: MakeApp) -> None:
    app = await make_app()
    api = (await ask(app, "/api/openapi.json")).json
    fields = [
        (f"{name}.{field}", found.get("description", ""))
        for name, schema in api["components"]["schemas"].items()
        for field, found in schema.get("properties", {}).items()
    ]
    assert len(fields) > 400
    assert [name for name, words in fields if not words] == [], "add them to web/field_words.json and docs/api.md"
    operations = [one for methods in api["paths"].values() for one in methods.values()]
    assert [one["operationId"] for one in operations if len(one["summary"]) < 5] == []
    assert [one["name"] for method in operations for one in method["parameters"] if not one["description"]] == []


async def test_an_operation_tells_its_answer_its_parameters_its_right_and_its_errors(make_app: MakeApp) -> None:
    app = await make_app()
    api = (await ask(app, "/api/openapi.json")).json
    kick = api["paths"]["/api/aceproxy/streams/{key}/clients/{client_id}"]["delete"]
    assert [one["name"] for one in kick["parameters"]] == ["key", "client_id"]
    assert kick["summary"].startswith("Disconnect one client")
    assert kick["responses"]["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Kicked"}
    assert kick["security"] == [{"secret": []}]
    assert {"200", "400", "401", "403", "404"} <= set(kick["responses"])
    assert "client_not_found" in kick["responses"]["404"]["description"]
    kicked = api["components"]["schemas"]["Kicked"]
    assert set(kicked["required"]) == {"kicked", "stream_id", "client_id"}
    assert "security" not in api["paths"]["/api/health"]["get"]


def test_every_error_of_the_table_is_a_reason_that_the_right_of_the_route_does_not_imply() -> None:
    implied = {Reason.SIGN_IN_NEEDED, Reason.NOT_ALLOWED}
    for name, one in OPERATIONS.items():
        assert not implied & set(one.errors), name
        assert all(reason in REASONS for reason in one.errors)
        assert RIGHTS[name] in Right


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_shows_every_operation_and_sends_a_request_without_a_foreign_host_or_an_error(
    browser: Browser,
) -> None:
    settings = Settings.model_validate({"listen": "127.0.0.1:0", "engines": ["http://127.0.0.1:9"]})
    messages: list[str] = []
    hosts: set[str] = set()
    async with App(settings, make_logs(settings)) as app:
        page = await browser.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        await page.goto(f"http://127.0.0.1:{app.port}/api/docs")
        await page.wait_for_selector(".operation")
        assert await page.locator(".operation").count() == len(OPERATIONS)
        for summary in await page.locator("summary").all():
            await summary.click()
        await page.fill("#filter", "health")
        assert await page.locator(".operation:visible").count() == 1
        health = page.locator("#get_api_health")
        assert "last_ok_age_s" in await health.inner_text()
        await health.get_by_role("button", name="Send").click()
        await expect(health.locator("form + pre")).to_contain_text("uptime_s")
        first, _, body = (await health.locator("form + pre").inner_text()).partition("\n")
        await page.close()
        assert hosts == {f"127.0.0.1:{app.port}"}
    assert first == "200 OK"
    assert json.loads(body)["version"]
    assert messages == []
