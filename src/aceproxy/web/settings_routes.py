"""The settings of the running program: what they are, changing them, reading the file anew."""

from __future__ import annotations

import json
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from aceproxy.errors import AceProxyError, Reason
from aceproxy.live import EFFECTS, Changed, Effect, LiveSettings, effect_of
from aceproxy.settings import Settings
from aceproxy.settings.group import LARGEST
from aceproxy.web.answers import json_answer
from aceproxy.web.models import SettingModel, SettingsAnswer, SettingsChanged

UNITS = {"_s": "s", "_bytes": "bytes", "_bps": "bit/s", "_days": "days"}
KINDS = {bool: "boolean", int: "integer", float: "number"}


def change_model() -> type[BaseModel]:
    """Return the model of a change, for the description of the API: every setting that may be changed, or null."""
    fields: dict[str, Any] = {}
    for name in Settings.model_fields:
        if name in EFFECTS:
            field = Settings.model_fields[name]
            kind: Any = field.annotation
            for bound in field.metadata:
                kind = Annotated[kind, bound]
            if _is_number(field) and _maximum(field) == LARGEST:
                kind = Annotated[kind, Field(le=LARGEST)]
            fields[name] = (kind | None, None)
    model: type[BaseModel] = create_model(
        "SettingsChange",
        __config__=ConfigDict(extra="forbid"),
        __doc__="`PATCH /api/settings`: values by name. null takes a change back.",
        **fields,
    )
    return model


class SettingsRoutes:
    """`/api/settings` and `/api/reload`."""

    def __init__(self, live: LiveSettings) -> None:
        self._live = live

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/settings", self.settings)
        app.router.add_patch("/api/settings", self.change)
        app.router.add_post("/api/reload", self.reload)

    async def settings(self, _request: web.Request) -> web.Response:
        """All settings, with their values, where those come from, and whether they can be changed now."""
        names = list(Settings.model_fields)
        return json_answer(
            SettingsAnswer(settings=[_setting(self._live, name) for name in names], kept=self._live.is_kept)
        )

    async def change(self, request: web.Request) -> web.Response:
        """Change settings while the program runs; null takes a change back. All of them, or none if one is wrong."""
        if request.content_type != "application/json":
            raise AceProxyError(Reason.BAD_PARAMETER, "the body is JSON: Content-Type: application/json")
        try:
            wanted = json.loads(await request.read())
        except (ValueError, RecursionError):
            raise AceProxyError(Reason.BAD_PARAMETER, "the body is not JSON") from None
        if not isinstance(wanted, dict):
            raise AceProxyError(Reason.BAD_PARAMETER, 'the body is not an object such as {"linger_s": 30}')
        return self._answer(await self._live.change(wanted))

    async def reload(self, _request: web.Request) -> web.Response:
        """Read the file of settings anew and take over what can be changed; as SIGHUP does."""
        return self._answer(await self._live.reload())

    def _answer(self, done: Changed) -> web.Response:
        return json_answer(
            SettingsChanged(
                changed=[_setting(self._live, name) for name in done.changed],
                needs_restart=done.needs_restart,
                overridden=done.overridden,
                kept=self._live.is_kept,
            )
        )


def _setting(live: LiveSettings, name: str) -> SettingModel:
    field = Settings.model_fields[name]
    value = getattr(live.current, name)
    bounds = _bounds(field)
    effect = effect_of(name)
    default = field.get_default(call_default_factory=True)
    return SettingModel(
        name=name,
        value=_plain(value),
        default=_plain(default),
        origin=live.origin.get(name, "the default"),
        unit=next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), ""),
        kind=KINDS.get(type(default), "list" if isinstance(default, tuple) else "text"),
        minimum=bounds.get("ge", bounds.get("gt")),
        maximum=_maximum(field) if _is_number(field) else None,
        description=field.description or "",
        changeable=effect in (Effect.NOW, Effect.NEXT_START),
        effect=effect,
    )


def _bounds(field: FieldInfo) -> dict[str, float]:
    return {key: getattr(one, key) for one in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(one, key)}


def _maximum(field: FieldInfo) -> float:
    """Return the largest value of a number: its own bound, or the one that all numbers have."""
    bounds = _bounds(field)
    return bounds.get("le", bounds.get("lt", LARGEST))


def _is_number(field: FieldInfo) -> bool:
    return field.annotation in (int, float)


def _plain(value: Any) -> str | int | float | bool | list[str] | None:
    """Return a value as JSON has it; what is no plain word in a list as the text that a person would write."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, tuple):
        return [one if isinstance(one, str) else _entry_words(one) for one in value]
    return str(value)


def _entry_words(entry: Any) -> str:
    found = getattr(entry, "url", None)
    return found if isinstance(found, str) else str(entry)
