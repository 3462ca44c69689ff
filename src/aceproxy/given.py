"""The settings as the command line gives them, and leaving with a sentence where they cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from aceproxy.logs import redact
from aceproxy.settings import Settings, SettingsError, load_settings

USAGE_STATUS = 2

Listen = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where to serve; an empty HOST is everywhere.")]
Engines = Annotated[
    list[str] | None, typer.Option("--engine", metavar="URL", help="An AceStream engine; may be repeated.")
]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="Settings as TOML.", dir_okay=False)]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting by name; may be repeated.")
]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")]


def fail(message: str) -> NoReturn:
    """Leave with a sentence, as for every setting that cannot be used. Never returns: raises typer.Exit."""
    typer.echo(f"aceproxy: {redact(message)}", err=True)
    raise typer.Exit(USAGE_STATUS)


def given_settings(sets: list[str] | None, **flags: Any) -> dict[str, Any]:
    """Return what the command line says about settings, by name."""
    given = {name: value for name, value in flags.items() if value is not None and value != []}
    for pair in sets or []:
        name, equals, value = pair.partition("=")
        if not equals:
            fail(f"--set {pair!r} is not NAME=VALUE")
        given[name.strip()] = value.strip()
    return given


def read_given(config: Path | None, sets: list[str] | None, **flags: Any) -> Settings:
    """Read the settings from everywhere, or leave with a sentence about what is wrong with them."""
    try:
        return load_settings(given_settings(sets, **flags), os.environ, config)[0]
    except SettingsError as error:
        fail(str(error))
