"""The engines: which of them plays a stream, and which there are.

Every engine has its own probing task; nobody else ever waits for an engine here. Choosing is a plain function over
what is known, taking the slot at once, so two streams cannot get the same last one. Engines come, go and are drained
while streams run.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

import aiohttp

from aceproxy.engine import choice
from aceproxy.engine.api import EngineApi
from aceproxy.engine.arrivals import Arrivals
from aceproxy.engine.handle import EngineHandle
from aceproxy.engine.links import Link
from aceproxy.engine.members import Members
from aceproxy.engine.pooled import EngineSnapshot, PooledEngine
from aceproxy.engine.roster import Changes, Member, Roster, apply, difference
from aceproxy.entries import ENGINES_LIMIT, EngineEntry
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings

__all__ = ["EngineHandle", "EnginePool", "EngineSnapshot"]

DOUBT_S = 120.0  # for how long it is remembered that a link failed on an engine
DOUBTS_LIMIT = 1000  # links of which that is remembered

log = logging.getLogger(__name__)

Suiting = Callable[[Link, str], float]
"""How well a link has played on an engine (by URL): 1 where nothing speaks against it, less where it went badly."""


class EnginePool:
    """The engines. All methods belong to the event loop, and none but `restore` and `close` waits."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, roster: Roster | None = None) -> None:
        """Take engines and limits from the settings; nothing is contacted before `start`.

        With a `roster`, changes at run time are kept there.
        """
        self._roster = roster
        self._configured = tuple(settings.engines)
        self._members = Members(settings, session)
        self._doubts: OrderedDict[tuple[str, str], float] = OrderedDict()  # (link key, engine's address) -> since when
        self.suiting: Suiting = _suits_anywhere
        self._take_over(apply(self._configured, Changes()))

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of all engines."""
        return tuple(engine.api.url for engine in self._members)

    @property
    def arrivals(self) -> Arrivals:
        """Tells of engines that can be used from now on."""
        return self._members.arrivals

    @property
    def keeps_changes(self) -> bool:
        """Whether changes at run time outlast a restart."""
        return self._roster is not None

    async def restore(self) -> None:
        """Apply the changes that were made at run time before; to be called before `start`. Cancel-safe."""
        if self._roster is None:
            return
        self._take_over(apply(self._configured, await self._roster.load()))
        if not len(self._members):
            log.warning("no engine is left: all were removed at run time")

    def start(self) -> None:
        """Begin probing. Needs a running event loop; does not wait for any engine."""
        self._members.start()

    async def close(self) -> None:
        """Stop probing, and wait until changes are kept. Slots stay as they are. Cancel-safe."""
        await self._members.close()
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
        excluded, NO_ENGINE if none takes streams at all. For a spare also ENGINE_UNREACHABLE if the best engine is not
        known to be up, ENGINE_ERROR if it is left alone for its failures.
        """
        meant = [engine for engine in self._members if engine.takes_streams]
        if not meant:
            raise AceProxyError(Reason.NO_ENGINE)
        engines = [engine for engine in meant if engine.api.url not in exclude]
        if not engines:
            raise AceProxyError(Reason.ENGINE_UNREACHABLE, "; ".join(self._faults()))
        now = time.monotonic()
        fastest_s = min(
            (start_s for one in engines if (start_s := one.experience.start_s(now)) is not None), default=None
        )
        standings = [
            one.standing(
                now, fastest_s, doubted=self._is_doubted(link, one, now), suits=self.suiting(link, one.api.url)
            )
            for one in engines
        ]
        chosen = _preferred(standings, engines, prefer) or choice.choose(standings)
        if chosen is None:
            raise AceProxyError(Reason.AT_CAPACITY)
        engine = engines[standings.index(chosen)]
        if spare:
            choice.refuse_unfit_for_spare(chosen, engine.last_error)
        if chosen.streams >= chosen.capacity:
            _take_back_a_spare(engine)
        log.debug("%s goes to %s", link.label, chosen.label)
        return EngineHandle(engine, self, link.key, spare=spare)

    def api_for_lookups(self) -> EngineApi:
        """Return the API of the least busy engine that is up, for a call that plays nothing and takes no slot.

        Raises AceProxyError: ENGINE_UNREACHABLE if none is known to be up.
        """
        up = [engine for engine in self._members if engine.state == "up" and engine.takes_streams]
        if not up:
            raise AceProxyError(Reason.ENGINE_UNREACHABLE, "; ".join(self._faults()))
        return min(up, key=lambda engine: len(engine.handles) / engine.capacity).api

    def snapshot(self) -> tuple[EngineSnapshot, ...]:
        """Return what is known of every engine, in the order in which they came. Never waits."""
        now = time.monotonic()
        return tuple(engine.snapshot(now) for engine in self._members)

    # --- which engines there are ---

    def find(self, label: str) -> EngineSnapshot:
        """Return what is known of one engine. Raises ENGINE_NOT_FOUND."""
        return self._members.find(label).snapshot(time.monotonic())

    def add(self, entry: EngineEntry) -> EngineSnapshot:
        """Take in an engine; it is probed at once. Raises ENGINE_EXISTS, BAD_PARAMETER if there are too many."""
        for engine in self._members:
            if engine.entry.label == entry.label or engine.api.url == entry.url:
                detail = f"{engine.entry.label} is {engine.api.url}"
                raise AceProxyError(Reason.ENGINE_EXISTS, detail + (", which is leaving" if engine.leaving else ""))
        if len(self._members) >= ENGINES_LIMIT:
            raise AceProxyError(Reason.BAD_PARAMETER, f"there are {ENGINES_LIMIT} engines already")
        engine = self._members.put(Member(entry, at_run_time=True, draining=not entry.enabled))
        log.info("engine %s at %s was added", entry.label, entry.url)
        return self._changed(engine)

    def remove(self, label: str) -> EngineSnapshot:
        """Let an engine go: it gets no new streams, those on it move away, and without any it is forgotten.

        Raises ENGINE_NOT_FOUND.
        """
        engine = self._members.find(label)
        self._let_go(engine)
        return self._changed(engine)

    def drain(self, label: str) -> EngineSnapshot:
        """Give an engine no new streams and have those on it move away. Raises ENGINE_NOT_FOUND."""
        engine = self._members.find(label)
        if not engine.draining:
            log.info("engine %s is drained; %d streams are on it", label, len(engine.handles))
        engine.set_use(draining=True, leaving=engine.leaving)
        return self._changed(engine)

    def undrain(self, label: str) -> EngineSnapshot:
        """Give an engine streams again, also one that was to go. Raises ENGINE_NOT_FOUND."""
        engine = self._members.find(label)
        if not engine.takes_streams:
            log.info("engine %s takes streams again", label)
        engine.set_use(draining=False, leaving=False)
        return self._changed(engine)

    def configure(self, configured: Sequence[EngineEntry]) -> None:
        """Take over the engines of settings that were read anew, as at a start: changes at run time are applied to
        them. Engines that are not named any more are let go, streams and experience of the others stay.
        """
        changes = self._changes()
        self._configured = tuple(configured)
        self._take_over(apply(self._configured, changes))
        if self._roster is not None:
            self._roster.save(self._changes())

    # --- SlotOwner ---

    def delivered(self, handle: EngineHandle) -> None:
        """Hear that a playback delivers: engines on which the same link failed a moment ago were wrong about it."""
        now = time.monotonic()
        for engine in self._members:
            since_at = self._doubts.pop((handle.link_key, engine.api.url), None)
            if since_at is not None and now - since_at < DOUBT_S and engine.api.url != handle.url:
                log.info("engine %s could not play what %s plays", engine.entry.label, handle.label)
                engine.note_proved_wrong()

    def failed(self, handle: EngineHandle, error: AceProxyError) -> None:
        """Hear that a start failed for the broadcast's sake, as it seems: another engine is tried first next time."""
        key = (handle.link_key, handle.url)
        self._doubts[key] = time.monotonic()
        self._doubts.move_to_end(key)
        while len(self._doubts) > DOUBTS_LIMIT:
            self._doubts.popitem(last=False)

    def released(self, engine: PooledEngine) -> None:
        """Hear that a slot is free: the last one of an engine that is to go was waited for."""
        if engine.leaving and not engine.handles and self._members.get(engine.api.url) is engine:
            self._members.forget(engine)
            log.info("engine %s is gone", engine.entry.label)

    def could_go_elsewhere(self, handle: EngineHandle) -> bool:
        """Say whether another engine is up and has room."""
        return any(engine.is_fit for engine in self._members if engine.api.url != handle.url)

    def fit_for_spares(self) -> frozenset[str]:
        """Return the engines (by URL) that could hold a further spare, as far as is known."""
        now = time.monotonic()
        return frozenset(
            engine.api.url
            for engine in self._members
            if engine.is_fit and len(engine.handles) < engine.capacity and engine.breaker.allows(now)
        )

    def look_for_engines(self) -> None:
        """Have those that do not answer asked again now, unless there is one that does: somebody waits for them."""
        self._members.look_again()

    def preferred_to(self, url: str | None, holding: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the engines (by URL) with a higher weight than the one at `url` that could hold a further spare.

        Those in `holding` hold one already that would do.
        """
        weights = {engine.api.url: engine.entry.weight for engine in self._members}
        mine = weights.get(url or "")
        if mine is None or max(weights.values()) <= mine:
            return frozenset()
        return frozenset(one for one in self.fit_for_spares() | holding if weights.get(one, 0.0) > mine)

    # --- own ---

    def _take_over(self, members: Sequence[Member]) -> None:
        """Have these engines and no others, but for those that have yet to get rid of their streams."""
        wanted = {member.entry.url for member in members}
        for engine in self._members:
            if engine.api.url not in wanted and not engine.leaving:
                self._let_go(engine)
        for member in members:
            self._members.put(member)

    def _let_go(self, engine: PooledEngine) -> None:
        log.info("engine %s is to go; %d streams are on it", engine.entry.label, len(engine.handles))
        engine.set_use(draining=engine.draining, leaving=True)
        self.released(engine)

    def _changed(self, engine: PooledEngine) -> EngineSnapshot:
        """Keep what was changed at run time; return the engine as it is now."""
        if self._roster is not None:
            self._roster.save(self._changes())
        return engine.snapshot(time.monotonic())

    def _changes(self) -> Changes:
        """Return how the engines differ from the settings."""
        stay = [engine for engine in self._members if not engine.leaving]
        return difference(self._configured, [Member(one.entry, one.at_run_time, one.draining) for one in stay])

    def _is_doubted(self, link: Link, engine: PooledEngine, now: float) -> bool:
        since_at = self._doubts.get((link.key, engine.api.url))
        return since_at is not None and now - since_at < DOUBT_S

    def _faults(self) -> list[str]:
        return [f"{one.entry.label}: {one.last_error}" for one in self._members if one.last_error][:5]


def _preferred(
    standings: list[choice.Standing], engines: list[PooledEngine], prefer: str | None
) -> choice.Standing | None:
    """Return the engine that is preferred, if nothing speaks against it."""
    for standing, engine in zip(standings, engines, strict=True):
        fit = standing.is_reachable and standing.allowed and standing.has_room and not standing.doubted
        if engine.api.url == prefer and fit:
            return standing
    return None


def _take_back_a_spare(engine: PooledEngine) -> None:
    """Ask for the slot of a spare; until its holder has let go there is one playback too many."""
    for handle in engine.handles:
        if handle.spare and not handle.asked_to_leave:
            handle.set_leaving(leaving=True)
            return


def _suits_anywhere(_link: Link, _url: str) -> float:
    """Know nothing of links."""
    return 1.0
