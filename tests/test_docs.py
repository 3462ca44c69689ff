"""The documents and the code say the same: settings, reasons, routes, fields, layers, commands, links."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import dev
import pytest
from pydantic import TypeAdapter

from aceproxy import __version__, cli
from aceproxy.engine import links
from aceproxy.engine.breaker import BreakerState
from aceproxy.errors import REASONS, Reason
from aceproxy.live import EFFECTS, Effect
from aceproxy.settings import ENV_PREFIX, Settings
from aceproxy.store.history import PastStream, PastViewer
from aceproxy.streams.snapshot import (
    ClientSnapshot,
    CodecSnapshot,
    EndedClient,
    EndedStream,
    EngineStat,
    StandbySnapshot,
    StreamSnapshot,
    TimelineEvent,
)
from aceproxy.streams.states import EDGES, State
from aceproxy.streams.timeline import CLIENT_EVENTS, KINDS, STREAM_EVENTS, EventKind
from aceproxy.web import answers, engine_services, log_routes, models, openapi, operations, rights
from aceproxy.web.metric_table import METRICS
from tests.conftest import MakeApp

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
MODELS: list[Any] = [
    *(one for one in vars(models).values() if isinstance(one, type) and issubclass(one, models.Model)),
    *(PastStream, PastViewer),
    *(StreamSnapshot, StandbySnapshot, ClientSnapshot, EndedClient, EndedStream, EngineStat, CodecSnapshot),
    *(TimelineEvent, models.Stats),
]
MODELS.remove(models.Model)
EXAMPLES: dict[str, Any] = {
    "GET /api/health": models.Health,
    "GET /api/aceproxy/stats": models.Stats,
    "GET /api/aceproxy/streams": models.Streams,
    "GET /api/aceproxy/streams/{key}": models.StreamAnswer,
    "GET /api/aceproxy/streams/{key}/timeline": models.TimelineAnswer,
    "GET /api/aceproxy/history": models.HistoryAnswer,
    "GET /api/aceproxy/links": models.Links,
    "DELETE /api/aceproxy/history/{id}": models.Forgotten,
    "GET /api/aceproxy/engines": models.Engines,
    "POST /api/aceproxy/engines": models.EngineAnswer,
    "DELETE /api/aceproxy/engines/{label}": models.EngineRemoved,
    "DELETE /api/aceproxy/streams/{key}": models.Stopped,
    "DELETE /api/aceproxy/streams/{key}/clients/{client_id}": models.Kicked,
    "GET /api/logs/tail": models.LogTail,
    "GET /api/aceproxy/sessions": models.Sessions,
    "GET /api/aceproxy/files": models.Files,
    "GET /api/aceproxy/recordings": models.RecordingList,
    "DELETE /api/aceproxy/recordings/{recording_id}": models.RecordingEnded,
    "GET /ace/status": models.StatusOne,
}

ENGINE_NAMES = {  # parameters, calls and events of the engine's interface
    *engine_services._PUBLIC,
    *engine_services._SEARCH_PARAMETERS,
    *("use_api_events", "client_session_id", "skip_player_activity", "playback_session_id", "event_url"),
    "is_encrypted",
    *("set_stream", "set_player_activity_timeout", "live_changed", "download_stopped"),
    *("get_media_files", "get_content_id", "analyze_content"),
}


def page(name: str) -> str:
    """Return the text of a document."""
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of the tables in `text` whose first cell is code."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def section(text: str, heading: str) -> str:
    """Return what stands below `heading`, up to the next heading of any level."""
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no heading {heading!r}"
    return found[1]


# --- settings ---


def default_words(value: object) -> str:
    """Return how docs/settings.md writes a default."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{word}`" for word in value)
    if isinstance(value, float):
        return f"`{value:g}`"
    size = f" ({value >> 20} MiB)" if isinstance(value, int) and value >= 1 << 20 else ""
    return f"`{value}`{size}"


def setting_rows() -> list[list[str]]:
    """Return the rows that docs/settings.md must have, but for the allowed values."""
    units = {"_s": "s", "_bytes": "bytes", "_bps": "bit/s"}
    return [
        [
            f"`{name}`",
            f"`{ENV_PREFIX}{name.upper()}`",
            default_words(field.default),
            next((unit for suffix, unit in units.items() if name.endswith(suffix)), ""),
            field.description or "",
        ]
        for name, field in Settings.model_fields.items()
    ]


def bounds_words(name: str) -> str:
    """Return the bounds of a setting as docs/settings.md writes them; empty where it has none."""
    signs = {"gt": "> {}", "ge": "≥ {}", "le": "≤ {}"}
    found = [
        sign.format(f"{getattr(bound, key):.10g}")
        for bound in Settings.model_fields[name].metadata
        for key, sign in signs.items()
        if hasattr(bound, key)
    ]
    return ", ".join(found)


def test_every_setting_is_documented_as_it_is() -> None:
    told = rows(page("settings.md"))
    assert sorted([row[0], row[1], row[2], row[3], row[5]] for row in told) == sorted(setting_rows())
    for row in told:
        bounds = bounds_words(row[0].strip("`"))
        assert row[4] == bounds or not bounds, row


def test_the_effect_of_every_change_is_documented() -> None:
    text = section(page("settings.md"), "## Changing them while the program runs")
    now, _, later = text.partition("for what begins from now on")
    told = dict.fromkeys(re.findall(r"`(\w+)`", now.partition("**now**")[2]), Effect.NOW)
    told |= dict.fromkeys(re.findall(r"`(\w+)`", later.partition("at the next start")[0]), Effect.NEXT_START)
    assert told == EFFECTS


# --- reasons ---


def test_every_reason_is_documented_as_it_is_and_with_advice() -> None:
    text = page("reasons.md")
    wanted = [
        [
            f"`{reason}`",
            str(row.status),
            str(row.fault),
            "" if row.retry_after_s is None else f"{row.retry_after_s} s",
            row.message,
        ]
        for reason, row in REASONS.items()
    ]
    told = rows(text)
    assert [row[:5] for row in told] == wanted
    assert [row[0] for row in told if len(row) != 6 or len(row[5]) < 15] == []


# --- time lines ---


def test_every_kind_of_event_is_documented_as_it_is_and_with_its_details() -> None:
    text = page("timeline.md")
    wanted = [[f"`{kind}`", str(row.fault), row.message] for kind, row in KINDS.items()]
    assert list(KINDS) == list(EventKind)
    told = rows(section(text, "## The events"))
    assert [row[:3] for row in told] == wanted
    assert [row[0] for row in told if len(row) != 4 or not row[3]] == []
    assert f"{STREAM_EVENTS} events of the stream and the last {CLIENT_EVENTS} of its clients" in " ".join(text.split())


# --- the API ---


def type_words(kind: Any) -> str:
    """Return how docs/api.md writes the type of a field."""
    plain = {int: "integer", float: "number", str: "string", bool: "boolean", types.NoneType: "null"}
    if kind in plain:
        return plain[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(type_words(part) for part in parts)
    if origin is list:
        return f"list of {type_words(parts[0])}"
    if origin is dict:
        return f"object of {type_words(parts[1])}"
    return f"`{kind.__name__}`"


def fields_of(model: Any) -> list[tuple[str, str]]:
    """Return the fields of an answer with their types, as docs/api.md writes them."""
    if dataclasses.is_dataclass(model):
        hints = get_type_hints(model)
        return [(field.name, type_words(hints[field.name])) for field in dataclasses.fields(model)]
    return [(name, type_words(field.annotation)) for name, field in model.model_fields.items()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_of_an_answer_is_documented(model: Any) -> None:
    told = rows(section(page("api.md"), f"### `{model.__name__}`"))
    assert [(row[0].strip("`"), row[1]) for row in told] == fields_of(model)
    assert [row[0] for row in told if len(row) != 3 or not row[2]] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_of_an_answer_is_described_alike_in_the_api_and_its_document(model: Any) -> None:
    told = {row[0].strip("`"): row[2] for row in rows(section(page("api.md"), f"### `{model.__name__}`"))}
    words = openapi.field_words()
    assert words.get(model.__name__, {}) == told, "field_words.json has the third column of docs/api.md"
    assert set(words) >= {one.__name__ for one in MODELS}


@pytest.mark.parametrize("heading", EXAMPLES)
def test_the_example_of_a_route_is_an_answer_it_could_give(heading: str) -> None:
    example = re.search(r"```json\n(.*?)```", section(page("api.md"), f"### `{heading}`"), re.DOTALL)
    assert example is not None
    answer = TypeAdapter(EXAMPLES[heading])
    assert json.loads(answer.dump_json(answer.validate_json(example[1]))) == json.loads(example[1])


async def test_every_route_is_documented_and_no_other(make_app: MakeApp) -> None:
    app = await make_app()
    served = {
        f"{route.method} {route.resource.canonical.rstrip('/') or '/'}"
        for route in app.server._runner.app.router.routes()
        if route.resource is not None
        and route.method != "OPTIONS"
        and not (route.method == "HEAD" and "getstream" not in route.resource.canonical)
    }
    assert (
        set(re.findall(r"^### `((?:GET|HEAD|POST|PUT|PATCH|DELETE) [^`]+)`$", page("api.md"), re.MULTILINE)) == served
    )


async def test_every_route_of_the_api_is_in_the_table_of_operations_and_no_other(make_app: MakeApp) -> None:
    app = await make_app()
    served = openapi.routes_of(app.server._runner.app)
    described = set(operations.OPERATIONS)
    assert {name for name in served if " /api" in name} <= described, "web/operations.py says what each route answers"
    assert described <= set(served)
    assert [name for name in described if not served[name]] == []


async def test_every_route_is_in_the_table_of_rights_and_no_other(make_app: MakeApp) -> None:
    app = await make_app()
    served = {
        rights.route_name(route.method, route.resource.canonical)
        for route in app.server._runner.app.router.routes()
        if route.resource is not None
    }
    assert served == set(rights.RIGHTS), "web/rights.py says which right each route needs"


def test_the_numbers_in_the_api_document_are_those_of_the_code() -> None:
    text = section(page("api.md"), "### `GET /api/logs/tail`")
    assert f"default {log_routes.TAIL_DEFAULT}, at most {log_routes.TAIL_LIMIT}" in text
    for name in links._PARAMETERS:
        assert f"`{name}`" in section(page("api.md"), "### `GET /ace/getstream`"), name
        assert f"`{name}`" in page("security.md"), name
    for name, value in answers.SECURITY_HEADERS.items():
        assert f"{name}: {value}" in page("security.md")


def test_every_metric_is_documented_as_it_is() -> None:
    told = {row[0].strip("`"): row[1:] for row in rows(page("metrics.md"))}
    assert told == {
        name: [one.kind, ", ".join(f"`{label}`" for label in one.labels), one.about] for name, one in METRICS.items()
    }


# --- security ---


def test_every_promise_of_security_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page("security.md"))
    assert len(named) >= 40
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert missing == []


@pytest.mark.parametrize(
    "heading",
    ["## Who may do what", "## Signing in", "## Streams", "## Pages of other sites", "## Too much and too slow"],
)
def test_every_promise_about_access_names_a_test(heading: str) -> None:
    promises = re.findall(r"^- (?:.+\n)(?:  .+\n)*", section(page("security.md"), heading), re.MULTILINE)
    assert promises
    assert [promise for promise in promises if "Test: `tests/" not in promise] == []


# --- the rest ---


def test_the_layers_in_the_architecture_document_are_those_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    told = re.search(r"```layers\n(.*?)```", page("architecture.md"), re.DOTALL)
    assert told is not None
    names = [re.findall(r"[a-z]+", line.partition("  ")[0]) for line in told[1].splitlines()]
    assert names == [re.findall(r"aceproxy\.([a-z]+)", layer) for layer in layers]


def test_the_states_in_the_architecture_document_are_those_of_the_table() -> None:
    told = rows(section(page("architecture.md"), "## A stream's life"))
    assert {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in told} == {
        str(state): {str(after) for after in EDGES[state]} for state in State
    }


def test_the_newest_version_of_the_changelog_is_the_programs() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", text, re.MULTILINE)[0] == __version__


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_documents_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    commands = {command.name or getattr(command.callback, "__name__", "") for command in cli.cli.registered_commands}
    commands |= {group.name or "" for group in cli.cli.registered_groups}
    assert set(re.findall(r"(?:^aceproxy|`aceproxy|dev\.py run) ([a-z-]+)", text, re.MULTILINE)) <= commands
    steps = set(re.findall(r"python3 dev\.py ([a-z]+)", text))
    assert steps <= set(re.findall(r"dev\.py ([a-z]+)", dev.__doc__ or ""))


def test_names_in_the_prose_are_names_of_the_program() -> None:
    known = {*Settings.model_fields, *Reason, *State, *EventKind, *links._PARAMETERS, *get_args(BreakerState)}
    known |= set(METRICS)
    known |= {name for model in MODELS for name, _ in fields_of(model)}
    known |= {
        "next_start",
        "content_id",
        "playback_url",
        "stat_url",
        "command_url",
        "direct_url",
        "is_live",
        "watch_front",
        *ENGINE_NAMES,
        "live_last",
    }
    for path in PAGES:
        if path.name == "simulator.md":
            continue
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        strange = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)) - known
        assert not strange, (path.name, strange)
