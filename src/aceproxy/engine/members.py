"""The engines of the pool, and the tasks that probe them. Belongs to the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import aiohttp

from aceproxy.engine.api import EngineApi, EngineLimits
from aceproxy.engine.arrivals import Arrivals
from aceproxy.engine.pooled import PooledEngine
from aceproxy.engine.probing import probe
from aceproxy.engine.roster import Member
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings

LOOK_AGAIN_S = 1.0  # between two probes of engines that do not answer, however many streams wait for one


class Members:
    """The engines in the order in which they came, each known by its address. They are probed from `start` on."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        """Begin without any."""
        self.arrivals = Arrivals()
        self._looked_at = -LOOK_AGAIN_S  # monotonic: when somebody who waits for an engine last had them probed
        self._settings = settings
        self._session = session
        self._limits = EngineLimits.from_settings(settings)
        self._engines: dict[str, PooledEngine] = {}
        self._probes: dict[PooledEngine, asyncio.Task[None]] = {}
        self._is_started = False

    def __iter__(self) -> Iterator[PooledEngine]:
        """Go through a copy: engines may come and go meanwhile."""
        return iter(list(self._engines.values()))

    def __len__(self) -> int:
        """Count those that are about to go as well."""
        return len(self._engines)

    def get(self, url: str) -> PooledEngine | None:
        """Return the engine at an address."""
        return self._engines.get(url)

    def find(self, label: str) -> PooledEngine:
        """Return the engine with a label, rather one that stays than one that goes. Raises ENGINE_NOT_FOUND."""
        found = [engine for engine in self if engine.entry.label == label]
        if not found:
            raise AceProxyError(Reason.ENGINE_NOT_FOUND)
        return min(found, key=lambda engine: engine.leaving)

    def put(self, member: Member) -> PooledEngine:
        """Take in an engine, or change what is known of the one at this address. A removal is taken back."""
        engine = self._engines.get(member.entry.url)
        if engine is None:
            api = EngineApi(member.entry.url, self._session, self._limits)
            engine = PooledEngine(api, self._settings, self.arrivals)
            self._engines[member.entry.url] = engine
            if self._is_started:
                self._begin_probing(engine)
        engine.become(member, self._settings.engine_max_streams)
        return engine

    def look_again(self) -> None:
        """Have the engines that do not answer probed now, unless there is one that does."""
        meant = [engine for engine in self if engine.takes_streams]
        now = time.monotonic()
        if any(engine.is_usable for engine in meant) or now - self._looked_at < LOOK_AGAIN_S:
            return
        self._looked_at = now
        for engine in meant:
            engine.probe_now.set()

    def forget(self, engine: PooledEngine) -> None:
        """Let an engine go for good."""
        self._engines.pop(engine.api.url, None)
        task = self._probes.get(engine)
        if task is not None:
            task.cancel()

    def start(self) -> None:
        """Begin probing. Needs a running event loop."""
        self._is_started = True
        for engine in self:
            self._begin_probing(engine)

    async def close(self) -> None:
        """Stop probing. Cancel-safe."""
        self._is_started = False
        tasks = list(self._probes.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin_probing(self, engine: PooledEngine) -> None:
        task = asyncio.get_running_loop().create_task(
            probe(engine, self._settings.engine_probe_s, self._settings.sign_of_life_s),
            name=f"probe {engine.api.url}",
        )
        self._probes[engine] = task
        task.add_done_callback(lambda _: self._probes.pop(engine, None))
