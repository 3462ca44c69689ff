"""Answers about the settings."""

from __future__ import annotations

from aceproxy.web.models.base import Model


class SettingModel(Model):
    """One setting. `effect`: now, next_start (streams that begin from now on) or restart (cannot be changed now)."""

    name: str
    value: str | int | float | bool | list[str] | None
    default: str | int | float | bool | list[str] | None
    origin: str
    unit: str
    kind: str
    minimum: float | None
    maximum: float | None
    description: str
    changeable: bool
    effect: str


class SettingsAnswer(Model):
    """`GET /api/settings`. `kept`: a change outlasts a restart."""

    settings: list[SettingModel]
    kept: bool


class SettingsChanged(Model):
    """What `PATCH /api/settings` or `POST /api/reload` did."""

    changed: list[SettingModel]
    needs_restart: list[str]
    overridden: list[str]
    kept: bool
