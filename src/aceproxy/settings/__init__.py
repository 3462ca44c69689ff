"""Every tunable of the program, with its unit, its bounds and a sentence.

A setting comes from, the strongest first: the command line, an `ACEPROXY_<NAME>` variable, the TOML file, the default.
An unknown name in any of them is an error that names the nearest known one: a typo must never be ignored in silence.
`docs/settings.md` lists them all, and a test compares the two.

Each group of settings has a file;
`whole` puts them together, `reading` reads them from the places where they are given.
"""

from aceproxy.settings.kinds import split_address
from aceproxy.settings.reading import (
    CONFIG_VARIABLE,
    ENV_PREFIX,
    SettingsError,
    checked_settings,
    load_settings,
    nearest,
    read_settings,
)
from aceproxy.settings.whole import Settings

__all__ = [
    "CONFIG_VARIABLE",
    "ENV_PREFIX",
    "Settings",
    "SettingsError",
    "checked_settings",
    "load_settings",
    "nearest",
    "read_settings",
    "split_address",
]
