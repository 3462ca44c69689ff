"""`GET /api/openapi.json`: the API described for programs (OpenAPI 3.1.0), made from the table of operations and the
models that the answers are made of; and `GET /api/docs`: a page to read it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from importlib import resources
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from aceproxy import __version__
from aceproxy.errors import REASONS, Reason
from aceproxy.settings import Settings
from aceproxy.web.answers import json_body
from aceproxy.web.models import ErrorAnswer
from aceproxy.web.operations import JSON, OPERATIONS, PATH_PARAMETERS, Operation, Parameter
from aceproxy.web.rights import RIGHTS, Right, route_name

FieldWords = dict[str, dict[str, str]]
"""What a field means, by the name of its model and its own."""

SCHEMA_REF = "#/components/schemas/{model}"
ANYWHERE = (
    Reason.REQUEST_REFUSED,
    Reason.REQUEST_TIMEOUT,
    Reason.HOST_REFUSED,
)  # refusals that any route may answer with
REFUSALS = {
    Right.PUBLIC: (Reason.BAD_CREDENTIALS,),
    Right.PLAY: (Reason.SIGN_IN_NEEDED, Reason.BAD_CREDENTIALS),
    Right.VIEW: (Reason.SIGN_IN_NEEDED, Reason.BAD_CREDENTIALS),
    Right.ADMIN: (Reason.SIGN_IN_NEEDED, Reason.BAD_CREDENTIALS, Reason.NOT_ALLOWED),
}
ABOUT = (
    "AceProxy stands in front of AceStream engines. Answers are made from what is known; no route waits for an engine. "
    "Every error has one shape, with a stable reason; docs/reasons.md lists them."
)


class OpenApiRoutes:
    """The description of the API, and its page."""

    def __init__(self) -> None:
        self._page = b""
        self._app: web.Application | None = None
        self._document = b""

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        self._app = app
        app.router.add_get("/api/openapi.json", self.document)
        app.router.add_get("/api/docs", self.page)

    async def document(self, _request: web.Request) -> web.Response:
        """This description. It is made when it is first asked for."""
        if not self._document:
            assert self._app is not None
            self._document = await asyncio.to_thread(_document_of, self._app)
        return json_body(self._document)

    async def page(self, _request: web.Request) -> web.Response:
        """A page to read this description and to try it."""
        if not self._page:
            place = resources.files("aceproxy.web") / "static" / "api_docs.html"
            self._page = await asyncio.to_thread(place.read_bytes)
        return web.Response(
            body=self._page, content_type="text/html", charset="utf-8", headers={"Cache-Control": "no-cache"}
        )


def _document_of(app: web.Application) -> bytes:
    """Return the description as it is sent; takes some 50 ms. For a thread: the routes do not change any more."""
    return json.dumps(describe(routes_of(app), field_words()), separators=(",", ":")).encode()


def routes_of(app: web.Application) -> dict[str, str]:
    """Return what is served, by method and path, with the docstring of each."""
    return {
        f"{route.method} {route.resource.canonical}": inspect.getdoc(route.handler) or ""
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


def field_words() -> FieldWords:
    """Read what the fields of the models mean. docs/api.md says the same; a test compares them. For a thread."""
    text = (resources.files("aceproxy.web") / "field_words.json").read_text(encoding="utf-8")
    words: FieldWords = json.loads(text)
    words["SettingsChange"] = {name: field.description or "" for name, field in Settings.model_fields.items()}
    return words


def describe(routes: dict[str, str], words_of: FieldWords) -> dict[str, Any]:
    """Return the OpenAPI document of those routes that the table has."""
    schemas = _Schemas(OPERATIONS[name] for name in routes if name in OPERATIONS)
    schemas.tell(words_of)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, words in routes.items():
        if name in OPERATIONS:
            method, _, path = name.partition(" ")
            paths[path][method.lower()] = _operation(name, OPERATIONS[name], words, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "AceProxy", "version": __version__, "description": ABOUT},
        "paths": dict(paths),
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {
                "secret": {"type": "http", "scheme": "bearer", "description": "The admin secret, or a token."},
            },
        },
    }


class _Schemas:
    """The schemas of all models that operations name, each by its kind: as it is answered, or as it is taken."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        answers: dict[Any, None] = {ErrorAnswer: None}
        bodies: dict[Any, None] = {}
        for one in operations:
            answers.update({kind: None for kind in (one.answer, *one.events.values()) if kind is not None})
            bodies.update({} if one.body is None else {one.body: None})
        modes: list[tuple[Any, JsonSchemaMode]] = [
            *((kind, "serialization") for kind in answers),
            *((kind, "validation") for kind in bodies),
        ]
        inputs = [(number, mode, TypeAdapter(kind)) for number, (kind, mode) in enumerate(modes)]
        found, everything = TypeAdapter.json_schemas(inputs, ref_template=SCHEMA_REF)
        self._by_kind = {kind: found[number, mode] for number, (kind, mode) in enumerate(modes)}
        self.definitions: dict[str, Any] = everything.get("$defs", {})

    def tell(self, words_of: FieldWords) -> None:
        """Say of every field what it means."""
        for name, schema in self.definitions.items():
            for field, found in schema.get("properties", {}).items():
                words = words_of.get(name, {}).get(field)
                if words:
                    found["description"] = words

    def __getitem__(self, kind: Any) -> dict[str, Any]:
        return self._by_kind[kind]


def _operation(name: str, one: Operation, words: str, schemas: _Schemas) -> dict[str, Any]:
    method, _, path = name.partition(" ")
    summary, _, more = words.replace("\n", " ").partition(". ")
    right = RIGHTS.get(route_name(method, path), Right.ADMIN)
    found: dict[str, Any] = {
        "operationId": re.sub(r"[^a-z0-9]+", "_", f"{method} {path}".lower()).strip("_"),
        "tags": [one.tag],
        "summary": summary.rstrip("."),
        "description": " ".join(part for part in (more.strip(), _right_words(right)) if part),
        "parameters": [*map(_path_parameter, re.findall(r"\{(\w+)\}", path)), *map(_parameter, one.parameters)],
        "responses": {str(one.status): _success(one, schemas), **_failures(method, one, right, schemas)},
    }
    if one.may_be_empty:
        found["responses"]["204"] = {"description": "There is none."}
    if right is not Right.PUBLIC:
        found["security"] = [{"secret": []}] if right is Right.ADMIN else [{}, {"secret": []}]
    if one.body is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas[one.body]}}}
    return found


def _right_words(right: Right) -> str:
    return {
        Right.PUBLIC: "",
        Right.PLAY: "Needs a viewer or a player's token.",
        Right.VIEW: "Needs a viewer; trusted networks are viewers without signing in.",
        Right.ADMIN: "Needs an admin.",
    }[right]


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": PATH_PARAMETERS[name]}


def _parameter(one: Parameter) -> dict[str, Any]:
    return {
        "name": one.name,
        "in": one.place,
        "required": one.required,
        "description": one.about,
        "schema": dict(one.schema),
    }


def _success(one: Operation, schemas: _Schemas) -> dict[str, Any]:
    if one.answer is not None:
        schema: dict[str, Any] = schemas[one.answer]
    else:
        schema = {"type": "object"} if JSON in one.media else {"type": "string"}
    content = {media: {"schema": schema} for media in one.media}
    found: dict[str, Any] = {"description": "What was asked for.", "content": content}
    if one.events:
        found["x-events"] = {kind: schemas[model] for kind, model in one.events.items()}
        found["description"] = f"Server-sent events: {', '.join(one.events)}. The data of each is JSON (x-events)."
    return found


def _failures(method: str, one: Operation, right: Right, schemas: _Schemas) -> dict[str, Any]:
    """Describe the errors, by status; each names its reasons."""
    by_status: dict[int, list[Reason]] = defaultdict(list)
    changes = () if method == "GET" else (Reason.CROSS_SITE,)
    for reason in dict.fromkeys((*one.errors, *REFUSALS[right], *changes, *ANYWHERE)):
        by_status[REASONS[reason].status].append(reason)
    return {
        str(status): {
            "description": " · ".join(f"{reason}: {REASONS[reason].message}" for reason in reasons),
            "content": {JSON: {"schema": schemas[ErrorAnswer]}},
        }
        for status, reasons in sorted(by_status.items())
    }
