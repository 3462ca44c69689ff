"""Settings that change while the program runs: which may, by whom a change is kept, and who hears of it.

Everyone holds the same `Settings` object and reads a value when it is needed, so a change is there at once, for all and
as a whole: it is checked first and then taken over on the event loop in one step. The few who have made something of a
value (the log, the seats of listeners) subscribe. What was changed at run time is the strongest place of all; it is
kept in `settings.json` of `state_dir`, where there is one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from aceproxy.errors import AceProxyError, Reason
from aceproxy.files import set_aside, write_private
from aceproxy.settings import Settings, SettingsError, checked_settings, nearest

Load = Callable[[], tuple[dict[str, Any], dict[str, str]]]
"""Reads all other places anew: the values given, and where each comes from. Raises SettingsError; for a thread."""

AT_RUN_TIME = "a change at run time"
THE_START = "the start"  # as the origin of what no place gave: who started the program did
FILE_BYTES = 256 << 10  # read of the file of changes at most

log = logging.getLogger(__name__)


class Effect(StrEnum):
    """When a change of a setting takes effect."""

    NOW = "now"
    NEXT_START = "next_start"  # streams, sources and viewers that begin from now on
    RELOAD = "reload"  # when the settings are read anew: it is no value to be changed by itself
    RESTART = "restart"  # only when the program starts anew; it cannot be changed while it runs


_NOW = (
    "url_hosts", "log_level", "log_lines", "max_clients", "max_listeners", "metrics_streams", "linger_s",
    "max_lingering", "recover_s", "reopen_s", "standby_clients", "keyframe_wait_s", "start_timeout_s", "stat_poll_s",
    "stat_max_age_s",
    "bad_link_memory_s", "history_rows", "history_days", "history_addresses", "hls_silence_s",
    "require_token", "foreign_streams", "max_clients_per_address", "max_streams_per_address", "max_clients_per_token",
    "max_streams_per_token", "head_timeout_s", "max_waiting", "max_waiting_per_address", "shutdown_s",
    "engine_max_streams", "client_stall_s", "trusted_networks", "trusted_proxies", "allowed_hosts", "sign_in_idle_s",
    "sign_in_limit_s",
)  # fmt: skip
_NEXT_START = (
    "quiet_s", "stuck_s", "silence_s", "garbage_s", "trickle_s", "slow_s", "keyframe_gap_s", "loop_s",
    "splice_wait_s", "batch_s", "batch_bytes", "block_s", "block_bytes", "ring_s", "ring_bytes", "burst_s",
)  # fmt: skip
EFFECTS: dict[str, Effect] = {
    **dict.fromkeys(_NOW, Effect.NOW),
    **dict.fromkeys(_NEXT_START, Effect.NEXT_START),
}
"""Of the settings that may be changed. All others are built into something at the start: the address that is
listened on, files, limits of calls. Engines have routes of their own, and follow the file when it is read anew."""
_ON_RELOAD = ("engines",)


def effect_of(name: str) -> Effect:
    """Return when a change of a setting takes effect."""
    return Effect.RELOAD if name in _ON_RELOAD else EFFECTS.get(name, Effect.RESTART)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change or a reload did."""

    changed: list[str] = field(default_factory=list)
    needs_restart: list[str] = field(default_factory=list)  # differ from what runs, and wait for the next start
    overridden: list[str] = field(default_factory=list)  # are what was changed at run time, whatever the file says


class LiveSettings:
    """The settings of a running program. Event loop only; changes follow each other."""

    def __init__(self, settings: Settings, load: Load | None = None, folder: Path | None = None) -> None:
        """Hold `settings`; `load` reads them anew (without it they are what they are), `folder` keeps changes."""
        self.current = settings
        self.origin: dict[str, str] = {}
        self._given = {name: getattr(settings, name) for name in settings.model_fields_set}
        self._load = load or (lambda: (dict(self._given), dict.fromkeys(self._given, THE_START)))
        self._path = None if folder is None else folder / "settings.json"
        self._overrides: dict[str, Any] = {}
        self._hearers: list[tuple[frozenset[str], Callable[[Settings], None]]] = []
        self._turn = asyncio.Lock()

    @property
    def is_kept(self) -> bool:
        """Whether a change outlasts a restart."""
        return self._path is not None

    def subscribe(self, names: tuple[str, ...], hear: Callable[[Settings], None]) -> None:
        """Have `hear` called when one of the settings has changed. It must not wait."""
        self._hearers.append((frozenset(names), hear))

    async def restore(self) -> None:
        """Take over what was changed at run time before this start. What cannot be used any more is told and left."""
        async with self._turn:
            _, self.origin = await asyncio.to_thread(self._load)
            kept = await asyncio.to_thread(_read, self._path) if self._path is not None else {}
            for name, value in kept.items():
                try:
                    self._check(name)
                    checked_settings({name: value}, {name: AT_RUN_TIME})
                except (AceProxyError, SettingsError) as error:
                    log.warning("a change of %s that was made at run time is left out: %s", name, error)
                else:
                    self._overrides[name] = value
            await self._apply(self._overrides)

    async def change(self, wanted: Mapping[str, Any]) -> Changed:
        """Change settings at run time; None takes a change back. Raises BAD_PARAMETER,

        or STATE_UNWRITABLE if it cannot be kept; then nothing is changed.
        """
        for name, value in wanted.items():
            self._check(name)
            _check_kind(name, getattr(self.current, name), value)
        async with self._turn:
            overrides = {**self._overrides, **wanted}
            return await self._apply({name: value for name, value in overrides.items() if value is not None})

    async def reload(self) -> Changed:
        """Read all places anew. Raises BAD_SETTINGS if they cannot be used; then nothing is changed."""
        async with self._turn:
            try:
                done = await self._apply(self._overrides)
            except AceProxyError as error:
                raise AceProxyError(Reason.BAD_SETTINGS, error.detail) from error
        log.info(
            "the settings were read anew; changed: %s%s",
            ", ".join(done.changed) or "none",
            f"; only at the next start: {', '.join(done.needs_restart)}" if done.needs_restart else "",
        )
        return done

    def _check(self, name: str) -> None:
        """Refuse what is no setting or cannot be changed."""
        if name not in Settings.model_fields:
            raise AceProxyError(Reason.BAD_PARAMETER, f"unknown setting {name[:100]!r}{nearest(name[:100])}")
        if effect_of(name) is Effect.RELOAD:
            raise AceProxyError(Reason.BAD_PARAMETER, f"{name} are changed by routes of their own, or in the file")
        if effect_of(name) is Effect.RESTART:
            raise AceProxyError(Reason.BAD_PARAMETER, f"{name} takes effect only when the program starts")

    async def _apply(self, overrides: Mapping[str, Any]) -> Changed:
        """Check everything, keep the overrides, and take it all over."""
        try:
            values, origin = await asyncio.to_thread(self._load)
            values.update(overrides)
            origin.update(dict.fromkeys(overrides, AT_RUN_TIME))
            wanted = checked_settings(values, origin)
        except SettingsError as error:
            raise AceProxyError(Reason.BAD_PARAMETER, str(error)) from error
        if dict(overrides) != self._overrides and self._path is not None:
            await self._keep(overrides)
        return self._take_over(wanted, origin, overrides)

    async def _keep(self, overrides: Mapping[str, Any]) -> None:
        assert self._path is not None
        text = json.dumps(dict(overrides), indent=2, sort_keys=True) + "\n"
        try:
            await asyncio.to_thread(write_private, self._path, text)
        except OSError as error:
            raise AceProxyError(Reason.STATE_UNWRITABLE, error.strerror or "") from error

    def _take_over(self, wanted: Settings, origin: dict[str, str], overrides: Mapping[str, Any]) -> Changed:
        """Become what is wanted, as far as that is possible while running. Nothing here waits."""
        before = self.current.model_copy()
        differing = [name for name in Settings.model_fields if getattr(before, name) != getattr(wanted, name)]
        changed = [name for name in differing if effect_of(name) is not Effect.RESTART]
        self._overrides = dict(overrides)
        self.origin = origin
        self.current.take_over({name: getattr(wanted, name) for name in changed})
        for name in changed:
            log.info("%s is now %s (was %s)", name, getattr(wanted, name), getattr(before, name))
        for names, hear in self._hearers:
            if names & set(changed):
                hear(self.current)
        return Changed(changed, [name for name in differing if name not in changed], sorted(self._overrides))


def _check_kind(name: str, now: object, value: object) -> None:
    """Refuse a value of another kind than the setting has. A text stands for anything only in files and variables."""
    if isinstance(now, bool):
        fits, words = isinstance(value, bool), "true or false"
    elif isinstance(now, int | float):
        fits, words = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    elif isinstance(now, tuple):
        fits, words = isinstance(value, list), "a list"
    else:
        fits, words = isinstance(value, str), "a text"
    if not fits and value is not None:
        raise AceProxyError(Reason.BAD_PARAMETER, f"{name} is {words}, or null")


def _read(path: Path) -> dict[str, Any]:
    """Read the file of changes; what cannot be read is told, and the program starts without it. For a thread."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(FILE_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.warning("the changes made at run time cannot be read from %s: %s", path, error)
        return {}
    except (ValueError, RecursionError) as error:
        log.warning("%s is not the changes made at run time; %s (%s)", path, set_aside(path), error)
        return {}
    if not isinstance(found, dict):
        log.warning("%s is not the changes made at run time; %s", path, set_aside(path))
        return {}
    return found
