"""The engines: which of them plays a stream, and which there are.

Every engine has its own probing task; nobody else ever waits for an engine here. Choosing is a plain function over
what is known, taking the slot at once, so two streams cannot get the same last one. Engines come, go and are drained
while streams run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Collection

import aiohttp

from aceproxy.engine import choice
from aceproxy.engine.api import EngineApi, EngineLimits
from aceproxy.engine.handle import EngineHandle
from aceproxy.engine.links import Link
from aceproxy.engine.pooled import EngineSnapshot, PooledEngine
from aceproxy.engine.probing import probe
from aceproxy.engine.roster import Member, Roster, apply, difference
from aceproxy.entries import ENGINES_LIMIT, EngineEntry
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings

__all__ = ["EngineHandle", "EnginePool", "EngineSnapshot"]

DOUBT_S = 120.0  # for how long it is remembered that a link failed on an engine
DOUBTS_LIMIT = 1000  # links of which that is remembered

log = logging.getLogger(__name__)


class EnginePool:
    """The engines. All methods belong to the event loop, and none but `restore` and `close` waits."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, roster: Roster | None = None) -> None:
        """Take engines and limits from the settings; nothing is contacted before `start`.

        With a `roster`, changes at run time are kept there.
        """
        self._settings = settings
        self._roster = roster
        self._session = session
        self._limits = EngineLimits.from_settings(settings)
        self._engines: dict[str, PooledEngine] = {}  # by label
        self._probes: dict[PooledEngine, asyncio.Task[None]] = {}
        self._doubts: OrderedDict[tuple[str, str], float] = OrderedDict()  # (link key, engine's label) -> since when
        self._is_started = False
        for entry in settings.engines:
            self._put(Member(entry, at_run_time=False, draining=not entry.enabled))

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of all engines."""
        return tuple(engine.api.url for engine in self._engines.values())

    @property
    def keeps_changes(self) -> bool:
        """Whether changes at run time outlast a restart."""
        return self._roster is not None

    async def restore(self) -> None:
        """Apply the changes that were made at run time before; to be called before `start`. Cancel-safe."""
        if self._roster is None:
            return
        changes = await self._roster.load()
        self._engines.clear()
        for member in apply(self._settings.engines, changes):
            self._put(member)
        if not self._engines:
            log.warning("no engine is left: all were removed at run time")

    def start(self) -> None:
        """Begin probing. Needs a running event loop; does not wait for any engine."""
        self._is_started = True
        for engine in self._engines.values():
            self._begin_probing(engine)

    async def close(self) -> None:
        """Stop probing, and wait until changes are kept. Slots stay as they are. Cancel-safe."""
        self._is_started = False
        tasks = list(self._probes.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._roster is not None:
            await self._roster.flush()

    # --- for streams ---

    def choose(
        self, link: Link, exclude: Collection[str] = (), *, prefer: str | None = None, spare: bool = False
    ) -> EngineHandle:
        """Take a slot on an engine for `link`, by what is known now; see `choice.choose`. Never waits.

        `exclude` names engines (by URL) that failed a moment ago; `prefer` names one (by URL) that is taken if nothing
        speaks against it. A `spare` slot is one that gives way: it is only given where there is room beyond it, and its
        `leave_requested` is set when another stream needs it. Where no engine is known to be reachable, one is handed
        out all the same: what is known may be old, and the start will tell.

        Raises AceProxyError: AT_CAPACITY if every engine that might be reached is full, ENGINE_UNREACHABLE if all are
        excluded, NO_ENGINE if none takes streams at all.
        """
        meant = [engine for engine in self._engines.values() if engine.takes_streams]
        if not meant:
            raise AceProxyError(Reason.NO_ENGINE)
        engines = [engine for engine in meant if engine.api.url not in exclude]
        if not engines:
            raise AceProxyError(Reason.ENGINE_UNREACHABLE, "; ".join(self._faults()))
        now = time.monotonic()
        fastest_s = min(
            (start_s for one in engines if (start_s := one.experience.start_s(now)) is not None), default=None
        )
        standings = [one.standing(now, fastest_s, doubted=self._is_doubted(link, one, now)) for one in engines]
        chosen = _preferred(standings, engines, prefer) or choice.choose(standings)
        if chosen is None or (spare and not _is_fit_for_spare(chosen)):
            raise AceProxyError(Reason.AT_CAPACITY)
        engine = self._engines[chosen.label]
        if chosen.streams >= chosen.capacity:
            _take_back_a_spare(engine)
        log.debug("%s goes to %s", link.label, chosen.label)
        return EngineHandle(engine, self, link.key, spare=spare)

    def api_for_lookups(self) -> EngineApi:
        """Return the API of the least busy engine that is up, for a call that plays nothing and takes no slot.

        Raises AceProxyError: ENGINE_UNREACHABLE if none is known to be up.
        """
        up = [engine for engine in self._engines.values() if engine.state == "up" and engine.takes_streams]
        if not up:
            raise AceProxyError(Reason.ENGINE_UNREACHABLE, "; ".join(self._faults()))
        return min(up, key=lambda engine: len(engine.handles) / engine.capacity).api

    def snapshot(self) -> tuple[EngineSnapshot, ...]:
        """Return what is known of every engine, in the order in which they came. Never waits."""
        now = time.monotonic()
        return tuple(engine.snapshot(now) for engine in self._engines.values())

    # --- which engines there are ---

    def find(self, label: str) -> EngineSnapshot:
        """Return what is known of one engine. Raises ENGINE_NOT_FOUND."""
        return self._find(label).snapshot(time.monotonic())

    def add(self, entry: EngineEntry) -> EngineSnapshot:
        """Take in an engine; it is probed at once. Raises ENGINE_EXISTS, BAD_PARAMETER if there are too many."""
        for engine in self._engines.values():
            if engine.entry.label == entry.label or engine.api.url == entry.url:
                detail = f"{engine.entry.label} is {engine.api.url}"
                raise AceProxyError(Reason.ENGINE_EXISTS, detail + (", which is leaving" if engine.leaving else ""))
        if len(self._engines) >= ENGINES_LIMIT:
            raise AceProxyError(Reason.BAD_PARAMETER, f"there are {ENGINES_LIMIT} engines already")
        engine = self._put(Member(entry, at_run_time=True, draining=not entry.enabled))
        log.info("engine %s at %s was added", entry.label, entry.url)
        if self._is_started:
            self._begin_probing(engine)
        self._keep_changes()
        return engine.snapshot(time.monotonic())

    def remove(self, label: str) -> EngineSnapshot:
        """Let an engine go: it gets no new streams, those on it move away, and without any it is forgotten.

        Raises ENGINE_NOT_FOUND.
        """
        engine = self._find(label)
        engine.leaving = True
        log.info("engine %s is to go; %d streams are on it", label, len(engine.handles))
        engine.ask_to_leave()
        self.released(engine)
        self._keep_changes()
        return engine.snapshot(time.monotonic())

    def drain(self, label: str) -> EngineSnapshot:
        """Give an engine no new streams and have those on it move away. Raises ENGINE_NOT_FOUND."""
        engine = self._find(label)
        if not engine.draining:
            engine.draining = True
            log.info("engine %s is drained; %d streams are on it", label, len(engine.handles))
        engine.ask_to_leave()
        self._keep_changes()
        return engine.snapshot(time.monotonic())

    def undrain(self, label: str) -> EngineSnapshot:
        """Give an engine streams again, also one that was to go. Raises ENGINE_NOT_FOUND."""
        engine = self._find(label)
        if not engine.takes_streams:
            engine.draining = engine.leaving = False
            log.info("engine %s takes streams again", label)
        for handle in engine.handles:
            handle.leave_requested.clear()
        self._keep_changes()
        return engine.snapshot(time.monotonic())

    # --- SlotOwner ---

    def delivered(self, handle: EngineHandle) -> None:
        """Hear that a playback delivers: engines on which the same link failed a moment ago were wrong about it."""
        now = time.monotonic()
        for label, engine in self._engines.items():
            since_at = self._doubts.pop((handle.link_key, label), None)
            if since_at is not None and now - since_at < DOUBT_S and label != handle.label:
                log.info("engine %s could not play what %s plays", label, handle.label)
                engine.note_proved_wrong()

    def failed(self, handle: EngineHandle, error: AceProxyError) -> None:
        """Hear that a start failed for the broadcast's sake, as it seems: another engine is tried first next time."""
        key = (handle.link_key, handle.label)
        self._doubts[key] = time.monotonic()
        self._doubts.move_to_end(key)
        while len(self._doubts) > DOUBTS_LIMIT:
            self._doubts.popitem(last=False)

    def released(self, engine: PooledEngine) -> None:
        """Hear that a slot is free: the last one of an engine that is to go was waited for."""
        if not engine.leaving or engine.handles or self._engines.get(engine.entry.label) is not engine:
            return
        del self._engines[engine.entry.label]
        task = self._probes.get(engine)
        if task is not None:
            task.cancel()
        log.info("engine %s is gone", engine.entry.label)

    def could_go_elsewhere(self, handle: EngineHandle) -> bool:
        """Say whether another engine is up and has room."""
        return any(
            engine.state == "up" and engine.takes_streams and len(engine.handles) - engine.spares < engine.capacity
            for engine in self._engines.values()
            if engine.api.url != handle.url
        )

    # --- own ---

    def _put(self, member: Member) -> PooledEngine:
        api = EngineApi(member.entry.url, self._session, self._limits)
        engine = PooledEngine(member.entry, api, self._settings, at_run_time=member.at_run_time)
        engine.draining = member.draining
        self._engines[member.entry.label] = engine
        return engine

    def _keep_changes(self) -> None:
        if self._roster is not None:
            stay = [engine for engine in self._engines.values() if not engine.leaving]
            members = [Member(engine.entry, engine.at_run_time, engine.draining) for engine in stay]
            self._roster.save(difference(self._settings.engines, members))

    def _begin_probing(self, engine: PooledEngine) -> None:
        task = asyncio.get_running_loop().create_task(
            probe(engine, self._settings.engine_probe_s), name=f"probe {engine.entry.label}"
        )
        self._probes[engine] = task
        task.add_done_callback(lambda _: self._probes.pop(engine, None))

    def _find(self, label: str) -> PooledEngine:
        engine = self._engines.get(label)
        if engine is None:
            raise AceProxyError(Reason.ENGINE_NOT_FOUND)
        return engine

    def _is_doubted(self, link: Link, engine: PooledEngine, now: float) -> bool:
        since_at = self._doubts.get((link.key, engine.entry.label))
        return since_at is not None and now - since_at < DOUBT_S

    def _faults(self) -> list[str]:
        return [f"{one.entry.label}: {one.last_error}" for one in self._engines.values() if one.last_error][:5]


def _preferred(
    standings: list[choice.Standing], engines: list[PooledEngine], prefer: str | None
) -> choice.Standing | None:
    """Return the engine that is preferred, if nothing speaks against it."""
    for standing, engine in zip(standings, engines, strict=True):
        fit = standing.is_reachable and standing.allowed and standing.has_room and not standing.doubted
        if engine.api.url == prefer and fit:
            return standing
    return None


def _is_fit_for_spare(standing: choice.Standing) -> bool:
    """Whether an engine may hold something ready: a spare is no reason to try a doubtful one, or to fill one up."""
    return standing.state == "up" and standing.allowed and standing.streams < standing.capacity


def _take_back_a_spare(engine: PooledEngine) -> None:
    """Ask for the slot of a spare; until its holder has let go there is one playback too many."""
    for handle in engine.handles:
        if handle.spare and not handle.leave_requested.is_set():
            handle.leave_requested.set()
            return
