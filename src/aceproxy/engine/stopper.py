"""The keeper of playbacks: whoever ends with one hands it over here, and nobody waits for the engine.

It owns every stop call, and every start call as well: a start that is given up while it is in flight still has to be
stopped once the engine answers. On some engines a stop ends *all* playbacks of that infohash (engine-api §7), so a
stop is not sent while another playback of the same broadcast is open on the engine (the engine ends the one without
a reader by itself), and `settle` lets a new start wait for stops that are under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

import aiohttp

from aceproxy.engine.api import EngineApi, EngineLimits, Playback
from aceproxy.engine.journal import Journal
from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError

OWN_END = "the engine ends the playback by itself once nobody has read it for a while"

log = logging.getLogger(__name__)


class PlaybackStopper:
    """Stops playbacks in the background. All methods belong to the event loop."""

    def __init__(self, session: aiohttp.ClientSession, limits: EngineLimits, journal: Journal | None = None) -> None:
        """Make stop calls through `session`; with a `journal`, open playbacks are noted there."""
        self._session = session
        self._limits = limits
        self._journal = journal
        self._open: dict[str, Playback] = {}
        self._stops: dict[str, tuple[Playback, asyncio.Task[bool]]] = {}
        self._starts: set[asyncio.Task[Playback]] = set()
        self._abandoned: set[asyncio.Task[Playback]] = set()

    @property
    def pending(self) -> int:
        """Stop calls under way, and given-up starts whose answer is still out."""
        return len(self._stops) + len(self._abandoned)

    @property
    def open_playbacks(self) -> tuple[Playback, ...]:
        """The playbacks that were opened and not handed in for stopping yet."""
        return tuple(self._open.values())

    def launch(
        self, api: EngineApi, link: Link, params: Mapping[str, str], pid: str, *, as_list: bool = False
    ) -> asyncio.Task[Playback]:
        """Make a start call in a task of its own; the playback counts as open once the engine has answered.

        Wait for the task with `asyncio.shield` (or `asyncio.wait`) and hand it to `abandon` if you give up.
        """
        task = asyncio.get_running_loop().create_task(
            self._start(api, link, params, pid, as_list=as_list), name=f"start {link.label}"
        )
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        return task

    def abandon(self, task: asyncio.Task[Playback]) -> None:
        """Give up a start call: what it has started, or will have when the engine answers, is stopped."""
        if task.done():
            self._stop_answered(task)
            return
        self._abandoned.add(task)
        task.add_done_callback(self._stop_answered)

    def forget(self, playback: Playback) -> None:
        """Note that the engine does not know a playback any more: no stop is needed."""
        self._open.pop(playback.pid, None)
        if self._journal is not None:
            self._journal.closed(playback)

    def stop_nowait(self, playback: Playback) -> asyncio.Task[bool]:
        """Stop a playback in the background; the task never raises. Again for the same playback: the same task."""
        self._open.pop(playback.pid, None)
        known = self._stops.get(playback.pid)
        if known is not None:
            return known[1]
        task = asyncio.get_running_loop().create_task(self._stop(playback), name="stop playback")
        self._stops[playback.pid] = (playback, task)
        task.add_done_callback(lambda _: self._stops.pop(playback.pid, None))
        return task

    async def settle(self, engine_url: str, link: Link, timeout_s: float) -> None:
        """Wait at most `timeout_s` for stops of the same broadcast on this engine, so that they do not hit a new
        playback of it. Cancel-safe.
        """
        same: set[asyncio.Task[bool]] = {
            task
            for playback, task in self._stops.values()
            if playback.engine_url == engine_url and link_matches(playback, link)
        }
        if same:
            await asyncio.wait(same, timeout=timeout_s)

    async def stop_leftovers(self, engine_urls: Collection[str]) -> int:
        """Stop, in the background, what an earlier run left open on one of these engines; return how many.

        Leftovers of other engines are forgotten: only configured engines are ever contacted.
        """
        if self._journal is None:
            return 0
        count = 0
        for playback in await self._journal.leftovers():
            if playback.engine_url in engine_urls:
                self.stop_nowait(playback)
                count += 1
            else:
                self._journal.closed(playback)
        if count:
            log.info("stopping %d playbacks that an earlier run left open", count)
        return count

    async def drain(self, timeout_s: float) -> int:
        """Wait at most `timeout_s` until nothing is pending, then cancel what is left; return how many those were.

        Open playbacks are not touched: hand them to `stop_nowait` first. Cancelled meanwhile, everything pending is
        cancelled at once.
        """
        loop = asyncio.get_running_loop()
        deadline_at = loop.time() + timeout_s
        try:
            while (tasks := self._tasks()) and loop.time() < deadline_at:
                await asyncio.wait(tasks, timeout=deadline_at - loop.time())
                await asyncio.sleep(0)  # an answered start turns into a stop in its callback
        finally:
            left = self._tasks()
            for task in left:
                task.cancel()
        if left:
            log.warning("%d stops were not confirmed by the engine in time", len(left))
            await asyncio.gather(*left, return_exceptions=True)
        if self._journal is not None:
            try:
                async with asyncio.timeout(max(0.1, deadline_at - loop.time())):
                    await self._journal.flush()
            except TimeoutError:
                log.warning("the journal of open playbacks could not be written in time")
        return len(left)

    def _tasks(self) -> set[asyncio.Task[bool] | asyncio.Task[Playback]]:
        return {*(task for _, task in self._stops.values()), *self._starts, *self._abandoned}

    async def _start(
        self, api: EngineApi, link: Link, params: Mapping[str, str], pid: str, *, as_list: bool
    ) -> Playback:
        playback = await api.start(link, params, pid, as_list=as_list)
        self._open[playback.pid] = playback
        if self._journal is not None:
            self._journal.opened(playback)
        return playback

    def _stop_answered(self, task: asyncio.Task[Playback]) -> None:
        self._abandoned.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.stop_nowait(task.result())
        elif not isinstance(error, AceProxyError):
            log.error("a start call failed", exc_info=error)

    async def _stop(self, playback: Playback) -> bool:
        if playback.command_url is None:  # an origin, or a direct file: there is nothing to be told
            self.forget(playback)
            return True
        others = (one for one in self._open.values() if one.engine_url == playback.engine_url)
        if playback.infohash is not None and any(one.infohash == playback.infohash for one in others):
            log.debug("not stopped, the broadcast is open in another playback: %s", playback.infohash)
            self.forget(playback)
            return True
        stopped = await EngineApi(playback.engine_url, self._session, self._limits).stop(playback)
        if stopped:
            self.forget(playback)
        else:
            again = "the next start of AceProxy asks for it again" if self._journal is not None else OWN_END
            log.warning("%s did not confirm a stop; %s", playback.engine_url, again)
        return stopped


def link_matches(playback: Playback, link: Link) -> bool:
    """Say whether a playback is known to be of the broadcast that a link names."""
    return playback.key == link.key or playback.infohash == link.value
