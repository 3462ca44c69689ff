"""Reading the settings from the places where they may be given, and checking them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aceproxy.settings.kinds import words_of
from aceproxy.settings.whole import Settings

ENV_PREFIX = "ACEPROXY_"
CONFIG_VARIABLE = "ACEPROXY_CONFIG"  # names the TOML file; not a setting itself


class SettingsError(Exception):
    """The configuration cannot be used; the message says which name or value, where it stands, and what to do."""


def nearest(name: str, prefix: str = "") -> str:
    """Say which setting was probably meant, spelt as in the place where `prefix` is put before it; or nothing."""
    close = difflib.get_close_matches(name, list(Settings.model_fields), n=1, cutoff=0.5)
    if not close:
        return ""
    return f"; did you mean {prefix + close[0].upper() if prefix else close[0]}?"


def _refuse_unknown(names: list[str], where: str) -> None:
    for name in names:
        if name not in Settings.model_fields:
            raise SettingsError(f"unknown setting {name!r} in {where}{nearest(name)}")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    tables = values.pop("engine", None)
    if tables is not None:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise SettingsError(f"{path}: an engine is a table headed [[engine]], with two brackets on each side")
        values["engines"] = [*_listed(values.get("engines", [])), *tables]
    _refuse_unknown(list(values), str(path))
    return values


def _listed(value: object) -> list[object]:
    words = words_of(value)
    return list(words) if isinstance(words, (list, tuple)) else [words]


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values = {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(ENV_PREFIX) and name != CONFIG_VARIABLE
    }
    for name in values:
        if name not in Settings.model_fields:
            variable = ENV_PREFIX + name.upper()
            raise SettingsError(f"unknown setting {variable} in the environment{nearest(name, ENV_PREFIX)}")
    return values


def read_settings(
    flags: Mapping[str, Any], environ: Mapping[str, str], config: Path | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read what all places give, unchecked, and where each value comes from. Raises SettingsError.

    `flags` holds what the command line gave, by setting name; `config` is the file it named (else `ACEPROXY_CONFIG`).
    """
    if config is None and environ.get(CONFIG_VARIABLE):
        config = Path(environ[CONFIG_VARIABLE])
    _refuse_unknown(list(flags), "the command line")
    places: list[tuple[str, Mapping[str, Any]]] = []
    if config is not None:
        places.append((str(config), _from_file(config)))
    places.append(("the environment", _from_environment(environ)))
    places.append(("the command line", flags))
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for place, given in places:
        values.update(given)
        origin.update(dict.fromkeys(given, place))
    return values, origin


def load_settings(
    flags: Mapping[str, Any], environ: Mapping[str, str], config: Path | None = None
) -> tuple[Settings, dict[str, str]]:
    """Read the settings from all places and check them; see `read_settings`.

    Returns the settings and, for each one that is not a default, where it came from. Raises SettingsError.
    """
    values, origin = read_settings(flags, environ, config)
    return checked_settings(values, origin), origin


def checked_settings(values: Mapping[str, Any], origin: Mapping[str, str]) -> Settings:
    """Return the settings with these values. Raises SettingsError, which names the place of the value that is wrong."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        message = first["msg"].removeprefix("Value error, ")
        place = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in first["loc"][1:])
        place = place if "." in place else ""  # a word of a list is told by its own message
        raise SettingsError(f"{name}{place} (from {origin.get(name, 'the defaults')}): {message}") from error
