"""Which engine plays a stream: health by probes in the background, and slots.

Every engine has its own probing task; nobody else ever waits for an engine here. Choosing is a plain function over
what is known, taking the slot at once, so two streams cannot get the same last one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

import aiohttp

from aceproxy.engine.api import EngineApi, EngineLimits
from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings

EngineState = Literal["unknown", "up", "down", "hung"]
"""`hung` accepts connections but does not answer; `down` covers everything else that is not `up`."""

_PREFERENCE: dict[EngineState, int] = {"up": 0, "unknown": 1, "down": 2, "hung": 3}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """What is known of an engine. `last_ok_age_s` is the age of its last answered probe, None if there was none."""

    url: str
    state: EngineState
    version: str
    streams: int
    capacity: int
    last_ok_age_s: float | None
    last_error: str


@dataclass(slots=True, eq=False)
class _Engine:
    """One engine; only the pool touches it."""

    api: EngineApi
    capacity: int
    state: EngineState = "unknown"
    version: str = ""
    streams: int = 0
    last_ok_at: float | None = None
    last_error: str = ""
    probe_now: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def reachable(self) -> bool:
        return self.state in ("up", "unknown")


class EngineHandle:
    """A slot on an engine, held until `release`; a context manager that releases."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._held = True
        engine.streams += 1

    @property
    def url(self) -> str:
        """The engine's address."""
        return self._engine.api.url

    @property
    def api(self) -> EngineApi:
        """The engine's API."""
        return self._engine.api

    def release(self) -> None:
        """Give the slot back. May be called again."""
        if self._held:
            self._held = False
            self._engine.streams -= 1

    def note_failure(self, error: AceProxyError) -> None:
        """Tell the pool that a call on this engine failed, so that it does not have to find out by itself.

        An engine that cannot be reached counts as down from now on; after a timeout or refusal it is probed at once.
        Other reasons say nothing about the engine and are ignored.
        """
        if error.reason is Reason.ENGINE_UNREACHABLE:
            _note(self._engine, "down", error.detail)
        elif error.reason in (Reason.ENGINE_TIMEOUT, Reason.ENGINE_REFUSED):
            self._engine.probe_now.set()

    def __enter__(self) -> EngineHandle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class EnginePool:
    """The configured engines. All methods belong to the event loop."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        """Take engines and limits from the settings; nothing is contacted before `start`."""
        limits = EngineLimits.from_settings(settings)
        self._probe_s = settings.engine_probe_s
        self._engines = tuple(
            _Engine(EngineApi(url, session, limits), settings.engine_max_streams)
            for url in dict.fromkeys(settings.engines)
        )
        self._probes: list[asyncio.Task[None]] = []

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of all engines."""
        return tuple(engine.api.url for engine in self._engines)

    def start(self) -> None:
        """Begin probing. Needs a running event loop; does not wait for any engine."""
        loop = asyncio.get_running_loop()
        self._probes = [
            loop.create_task(self._probe(engine), name=f"probe {engine.api.url}") for engine in self._engines
        ]

    async def close(self) -> None:
        """Stop probing. Slots stay as they are. Cancel-safe."""
        for task in self._probes:
            task.cancel()
        if self._probes:
            await asyncio.wait(self._probes)
        self._probes = []

    def choose(self, link: Link, exclude: Collection[str] = ()) -> EngineHandle:
        """Take a slot on an engine for `link`: the least busy of those that can be reached, by what is known now.

        `exclude` names engines (by URL) that failed a moment ago. Where no engine is known to be reachable, one is
        handed out all the same: what is known may be old, and the start will tell. Never waits.

        Raises AceProxyError: AT_CAPACITY if every engine that might be reached is full, ENGINE_UNREACHABLE if all are
        excluded.
        """
        engines = [engine for engine in self._engines if engine.api.url not in exclude]
        if not engines:
            raise AceProxyError(Reason.ENGINE_UNREACHABLE, "; ".join(self._faults()))
        candidates = [engine for engine in engines if engine.reachable] or engines
        free = [engine for engine in candidates if engine.streams < engine.capacity]
        if not free:
            raise AceProxyError(Reason.AT_CAPACITY)
        chosen = min(free, key=lambda engine: (_PREFERENCE[engine.state], engine.streams / engine.capacity))
        log.debug("%s goes to %s", link.label, chosen.api.url)
        return EngineHandle(chosen)

    def snapshot(self) -> tuple[EngineSnapshot, ...]:
        """Return what is known of every engine, in the order of the settings. Never waits."""
        now = time.monotonic()
        return tuple(
            EngineSnapshot(
                url=engine.api.url,
                state=engine.state,
                version=engine.version,
                streams=engine.streams,
                capacity=engine.capacity,
                last_ok_age_s=None if engine.last_ok_at is None else now - engine.last_ok_at,
                last_error=engine.last_error,
            )
            for engine in self._engines
        )

    def _faults(self) -> list[str]:
        return [f"{engine.api.url}: {engine.last_error}" for engine in self._engines if engine.last_error][:5]

    async def _probe(self, engine: _Engine) -> None:
        """Probe one engine for ever; the period is counted from probe to probe, not from answer to probe."""
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            engine.probe_now.clear()
            try:
                version = await engine.api.version()
            except AceProxyError as error:
                state: EngineState = "hung" if error.reason is Reason.ENGINE_TIMEOUT else "down"
                _note(engine, state, error.detail or error.reason.value)
            else:
                engine.last_ok_at = time.monotonic()
                engine.version = version.version
                _note(engine, "up", "")
            try:
                async with asyncio.timeout_at(began_at + self._probe_s):
                    await engine.probe_now.wait()
            except TimeoutError:
                continue  # the next probe is due


def _note(engine: _Engine, state: EngineState, last_error: str) -> None:
    """Set an engine's state; a change is worth a line in the log."""
    engine.last_error = last_error
    if state == engine.state:
        return
    engine.state = state
    if state == "up":
        log.info("engine %s is up, version %s", engine.api.url, engine.version or "unknown")
    else:
        log.warning("engine %s is %s: %s", engine.api.url, state, last_error)
