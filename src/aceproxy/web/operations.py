"""What the routes of the API take and answer: the one table from which the OpenAPI document is made.

A test fails for a route below `/api` that is not in it. The first sentence of a route's docstring is its summary; the
rights that it needs, and the answers to who lacks them, come from `rights`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from aceproxy.entries import EngineEntry
from aceproxy.errors import Reason
from aceproxy.logs import LEVELS, LogLine
from aceproxy.web import models, settings_routes, signing_in, token_routes

Schema = Mapping[str, Any]
JSON = "application/json"
EVENTS = "text/event-stream"
WHOLE: Schema = {"type": "integer", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the query or, with `place` "header", in the head of a request; never required unless it says so."""

    name: str
    about: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    place: str = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. `answer`: the type of a 200, None where it is no JSON; `events`: the models of what it sends."""

    tag: str
    answer: Any = None
    media: tuple[str, ...] = (JSON,)
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    errors: tuple[Reason, ...] = ()
    events: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    may_be_empty: bool = False  # then with 204


PATH_PARAMETERS = {
    "key": "A stream: its `stream_id`, its stream key or any of its aliases.",
    "client_id": "A client, as the stream's list of clients tells it.",
    "label": "An engine, by its label.",
    "id": "A past stream, by its number.",
    "recording_id": "A viewer's playback of a recording, as the list of recordings tells it.",
    "token_id": "A player's token, by its id.",
}

_SEARCH = {"type": "string", "maxLength": 200}
_PLACE = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_LOG_FILTERS = (
    Parameter("level", "Least important level.", {"type": "string", "enum": list(LEVELS), "default": "debug"}),
    Parameter("stream", "Only of streams whose id begins like this.", _SEARCH),
    Parameter("search", "A text that logger or message hold, in any case.", _SEARCH),
)
_LINK = (
    Parameter("id", "A content id of 40 hexadecimal digits, or any link."),
    Parameter("content_id", "The same as `id`."),
    Parameter("infohash", "40 hexadecimal digits."),
    Parameter("magnet", "A magnet link."),
    Parameter("url", "The URL of a transport file."),
)

OPERATIONS: dict[str, Operation] = {
    "GET /api/health": Operation("state", models.Health),
    "GET /api/aceproxy/stats": Operation("state", models.Stats),
    "GET /api/aceproxy/streams": Operation(
        "streams",
        models.Streams,
        parameters=(
            Parameter("clients", "0: without the clients.", {"type": "string", "enum": ["0", "1"], "default": "1"}),
        ),
        errors=(Reason.BAD_PARAMETER,),
    ),
    "GET /api/aceproxy/streams/{key}": Operation("streams", models.StreamAnswer, errors=(Reason.STREAM_NOT_RUNNING,)),
    "DELETE /api/aceproxy/streams/{key}": Operation("streams", models.Stopped, errors=(Reason.STREAM_NOT_RUNNING,)),
    "DELETE /api/aceproxy/streams/{key}/clients/{client_id}": Operation(
        "streams", models.Kicked, errors=(Reason.STREAM_NOT_RUNNING, Reason.CLIENT_NOT_FOUND)
    ),
    "GET /api/aceproxy/streams/{key}/timeline": Operation(
        "streams",
        models.TimelineAnswer,
        parameters=(Parameter("after", "The number of an event; only later ones are wanted.", WHOLE),),
        errors=(Reason.STREAM_NOT_RUNNING, Reason.BAD_PARAMETER),
    ),
    "GET /api/aceproxy/streams/{key}/still.jpg": Operation("streams", media=("image/jpeg",), may_be_empty=True),
    "GET /ace/status": Operation(
        "streams",
        models.StatusAll | models.StatusOne,
        parameters=_LINK,
        errors=(Reason.BAD_LINK, Reason.TWO_LINKS, Reason.NO_LINK, Reason.STREAM_NOT_RUNNING),
    ),
    "GET /api/events": Operation(
        "state",
        media=(EVENTS,),
        parameters=(Parameter("stream", "A stream that shall be told with its clients.", {"type": "string"}),),
        errors=(Reason.TOO_MANY_LISTENERS, Reason.SHUTDOWN),
        events={"overview": models.Overview, "stream": models.StreamEvent, "timeline": models.TimelineNews},
    ),
    "GET /api/logs/tail": Operation(
        "logs",
        models.LogTail,
        parameters=(
            Parameter("lines", "Records wanted; more than 1000 are not given.", {**WHOLE, "default": 100}),
            *_LOG_FILTERS,
            Parameter("before", "The newest records before this place.", _PLACE),
            Parameter("after", "The first records behind this place.", _PLACE),
        ),
        errors=(Reason.BAD_PARAMETER,),
    ),
    "GET /api/logs/stream": Operation(
        "logs",
        media=(EVENTS,),
        parameters=(
            *_LOG_FILTERS,
            Parameter("after", "Begin behind this place.", _PLACE),
            Parameter("Last-Event-ID", "The same, as browsers send it when they come back.", _PLACE, place="header"),
        ),
        errors=(Reason.BAD_PARAMETER, Reason.TOO_MANY_LISTENERS, Reason.SHUTDOWN),
        events={"line": LogLine},
    ),
    "GET /api/logs/download": Operation(
        "logs",
        media=("text/plain", "application/jsonl"),
        parameters=(
            Parameter(
                "format",
                "text for people, json for programs.",
                {"type": "string", "enum": ["text", "json"], "default": "text"},
            ),
        ),
        errors=(Reason.BAD_PARAMETER, Reason.INTERNAL),
    ),
    "GET /api/aceproxy/sessions": Operation("streams", models.Sessions),
    "GET /api/aceproxy/recordings": Operation("recordings", models.RecordingList),
    "DELETE /api/aceproxy/recordings/{recording_id}": Operation(
        "recordings", models.RecordingEnded, errors=(Reason.CLIENT_NOT_FOUND,)
    ),
    "GET /api/aceproxy/files": Operation(
        "recordings",
        models.Files,
        parameters=_LINK,
        errors=(
            Reason.BAD_LINK,
            Reason.TWO_LINKS,
            Reason.NO_LINK,
            Reason.URL_HOST_REFUSED,
            Reason.CONTENT_NOT_FOUND,
            Reason.ENGINE_UNREACHABLE,
            Reason.ENGINE_TIMEOUT,
            Reason.ENGINE_ERROR,
            Reason.TOO_MANY_CLIENTS,
        ),
    ),
    "GET /api/session": Operation("signing in", models.SessionAnswer),
    "POST /api/session": Operation(
        "signing in",
        models.SessionAnswer,
        body=signing_in.SignIn,
        errors=(Reason.BAD_PARAMETER, Reason.BAD_CREDENTIALS, Reason.TOO_MANY_ATTEMPTS),
    ),
    "DELETE /api/session": Operation("signing in", models.SessionAnswer),
    "DELETE /api/sessions": Operation("signing in", models.SignedOut),
    "GET /api/tokens": Operation("signing in", models.Tokens),
    "POST /api/tokens": Operation(
        "signing in",
        models.NewToken,
        body=token_routes.TokenWanted,
        errors=(Reason.BAD_PARAMETER, Reason.STATE_UNWRITABLE),
        status=201,
    ),
    "DELETE /api/tokens/{token_id}": Operation("signing in", models.TokenRevoked, errors=(Reason.TOKEN_NOT_FOUND,)),
    "PUT /api/password": Operation(
        "signing in",
        models.PasswordAnswer,
        body=signing_in.NewPassword,
        errors=(Reason.BAD_PARAMETER, Reason.TOO_MANY_ATTEMPTS, Reason.STATE_UNWRITABLE),
    ),
    "DELETE /api/password": Operation("signing in", models.PasswordAnswer, errors=(Reason.STATE_UNWRITABLE,)),
    "POST /api/secret": Operation(
        "signing in",
        models.SecretReplaced,
        body=signing_in.SecretWanted,
        errors=(Reason.BAD_PARAMETER, Reason.TOO_MANY_ATTEMPTS, Reason.STATE_UNWRITABLE),
        status=201,
    ),
    "GET /api/aceproxy/history": Operation(
        "history",
        models.HistoryAnswer,
        parameters=(
            Parameter("limit", "Streams wanted; more than 200 are not given.", {**WHOLE, "default": 50}),
            Parameter("before", "Only streams before the one with this id.", WHOLE),
        ),
        errors=(Reason.BAD_PARAMETER, Reason.STORE_UNAVAILABLE),
    ),
    "GET /api/aceproxy/history/{id}": Operation(
        "history",
        models.HistoryDetail,
        errors=(Reason.BAD_PARAMETER, Reason.NOT_FOUND, Reason.STORE_UNAVAILABLE),
    ),
    "GET /api/aceproxy/links": Operation(
        "history",
        models.Links,
        parameters=(
            Parameter("limit", "Links wanted; more than 500 are not given.", {**WHOLE, "default": 100}),
            Parameter("key", "Only the link with this stream key."),
        ),
        errors=(Reason.BAD_PARAMETER,),
    ),
    "DELETE /api/aceproxy/history/{id}": Operation(
        "history",
        models.Forgotten,
        errors=(Reason.BAD_PARAMETER, Reason.NOT_FOUND, Reason.STORE_UNAVAILABLE),
    ),
    "GET /api/aceproxy/engines": Operation("engines", models.Engines),
    "POST /api/aceproxy/engines": Operation(
        "engines",
        models.EngineAnswer,
        body=EngineEntry,
        errors=(Reason.BAD_PARAMETER, Reason.ENGINE_EXISTS),
        status=201,
    ),
    "DELETE /api/aceproxy/engines/{label}": Operation(
        "engines", models.EngineRemoved, errors=(Reason.ENGINE_NOT_FOUND,)
    ),
    "POST /api/aceproxy/engines/{label}/drain": Operation(
        "engines", models.EngineAnswer, errors=(Reason.ENGINE_NOT_FOUND,)
    ),
    "POST /api/aceproxy/engines/{label}/undrain": Operation(
        "engines", models.EngineAnswer, errors=(Reason.ENGINE_NOT_FOUND,)
    ),
    "GET /metrics": Operation("state", media=("text/plain", "application/openmetrics-text")),
    "GET /livez": Operation("state", models.Ready),
    "GET /readyz": Operation("state", models.Ready, errors=(Reason.ENGINE_UNREACHABLE,)),
    "GET /api/settings": Operation("settings", models.SettingsAnswer),
    "PATCH /api/settings": Operation(
        "settings",
        models.SettingsChanged,
        body=settings_routes.change_model(),
        errors=(Reason.BAD_PARAMETER, Reason.STATE_UNWRITABLE),
    ),
    "POST /api/reload": Operation("settings", models.SettingsChanged, errors=(Reason.BAD_SETTINGS, Reason.INTERNAL)),
    "GET /api/openapi.json": Operation("about the API"),
    "GET /api/docs": Operation("about the API", media=("text/html",)),
}
