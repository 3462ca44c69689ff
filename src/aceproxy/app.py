"""The composition root: builds every object, and starts and ends them in the right order.

Start: log, engines, pump, hub, server. End: stop listening, end the clients, stop the playbacks on their engines,
close the connections; all within `shutdown_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from aceproxy import __version__
from aceproxy.access.secret import AdminSecret, sign_in_link
from aceproxy.engine.api import EngineLimits, engine_session
from aceproxy.engine.fetching import Origins
from aceproxy.engine.journal import Journal
from aceproxy.engine.lookups import Lookups
from aceproxy.engine.pool import EnginePool
from aceproxy.engine.roster import Roster
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.errors import AceProxyError
from aceproxy.hls.desk import HlsDesk
from aceproxy.live import LiveSettings, Load
from aceproxy.logs import Logs
from aceproxy.preparing import connection_limit, credentials_of, own_folder, raise_descriptor_limit, state_folder
from aceproxy.settings import Settings, split_address
from aceproxy.store.links import LinkBook
from aceproxy.store.opening import FILE_NAME
from aceproxy.store.recorder import Recorder
from aceproxy.store.store import Store
from aceproxy.streams.giving_back import GivingBack
from aceproxy.streams.hub import Hub
from aceproxy.streams.pump import Pump, PumpLimits
from aceproxy.streams.recordings import Recordings
from aceproxy.streams.sending import Sending
from aceproxy.streams.source import Upstream
from aceproxy.web.api import ApiRoutes
from aceproxy.web.connections import Connections
from aceproxy.web.engine_face import EngineFaceRoutes
from aceproxy.web.engine_services import EngineServiceRoutes
from aceproxy.web.engine_starts import EngineStarts
from aceproxy.web.engines import EngineRoutes
from aceproxy.web.events import EventRoutes
from aceproxy.web.figures import Figures
from aceproxy.web.files import FileLists, FileRoutes
from aceproxy.web.guard import Guard
from aceproxy.web.history import HistoryRoutes
from aceproxy.web.hls import HlsRoutes
from aceproxy.web.links import LinkRoutes
from aceproxy.web.log_routes import LogRoutes
from aceproxy.web.loop_delay import LoopDelay
from aceproxy.web.metrics import MetricRoutes
from aceproxy.web.openapi import OpenApiRoutes
from aceproxy.web.own_urls import OwnUrls
from aceproxy.web.pages import PageRoutes
from aceproxy.web.playback_sessions import PlaybackSessions
from aceproxy.web.recordings import RecordingRoutes, RecordingServer
from aceproxy.web.server import Routes, Server
from aceproxy.web.settings_routes import SettingsRoutes
from aceproxy.web.signing_in import SessionRoutes
from aceproxy.web.sounds import Sounds
from aceproxy.web.spellings import SpellingRoutes
from aceproxy.web.sse import Seats
from aceproxy.web.still_maker import StillMaker
from aceproxy.web.stills import StillRoutes
from aceproxy.web.stream_lists import StreamLists
from aceproxy.web.streaming import StreamRoutes
from aceproxy.web.timelines import TimelineRoutes
from aceproxy.web.token_routes import TokenRoutes
from aceproxy.web.watch import WatchRoutes

STORE_CLOSE_S = 3.0  # for the last changes of the store at shutdown

log = logging.getLogger(__name__)


class App:
    """The whole program, but for the process around it. `async with App(settings, logs) as app` starts and ends it."""

    def __init__(self, settings: Settings, logs: Logs, load: Load | None = None) -> None:
        """Take settings and log; `load` reads the settings anew (without it a reload finds what is given here)."""
        self.settings = settings.model_copy()
        self.live = LiveSettings(self.settings, load, settings.state_dir)
        self.logs = logs
        self.addresses: list[tuple[str, int]] = []
        self._stack = contextlib.AsyncExitStack()

    @property
    def secret(self) -> AdminSecret:
        """The admin secret."""
        return self.credentials.secret

    @property
    def sign_in_link(self) -> str | None:
        """The link with which the admin signs in, for the terminal alone; None if it was told by an earlier start."""
        return sign_in_link(self.settings, self.port, self.secret) if self.secret.is_new else None

    @property
    def port(self) -> int:
        """The port that is served."""
        return self.addresses[0][1]

    async def __aenter__(self) -> App:
        """Start everything. Raises OSError if the address is taken; then nothing is left running."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything; see `close`."""
        await self.close()

    async def _start(self) -> None:
        raise_descriptor_limit()
        folder = state_folder(self.settings.state_dir) if self.settings.state_dir is not None else None
        if folder is not None:
            self._stack.enter_context(own_folder(folder))
        await self._restore_settings()
        await self._begin_streams(folder)
        self.credentials = credentials_of(self.settings)
        self._stack.push_async_callback(self.credentials.close)
        self._keep_running(self.credentials.run(), "password")
        self.hls = HlsDesk(self.hub, self.settings)
        self._keep_running(self.hls.sweep(), "HLS viewers")
        self._remember()
        self.server = Server([*self._players_routes(), *self._operators_routes()], *self._gate())
        self._stack.push_async_callback(self.server.close)
        self._stack.push_async_callback(self.hub.close)
        self._stack.callback(self.recordings.close)
        self._stack.callback(self.listeners.close)
        host, port = split_address(self.settings.listen)
        self.addresses = await self.server.start(host, port)
        self._stack.push_async_callback(self.server.stop_listening)
        log.info("AceProxy %s serves on port %d; engines: %s", __version__, self.port, ", ".join(self.pool.urls))
        if self.secret.path is not None:
            log.info("the admin secret is in %s", self.secret.path)

    def _keep_running(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something until the program ends; should it end before that by a mistake, the log says so."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_heed)
        self._stack.callback(task.cancel)
        return task

    async def _begin_streams(self, folder: Path | None) -> None:
        """Build engines, pump and hub, and stop what a crash left behind. Nothing waits for an engine."""
        settings = self.settings
        limits = EngineLimits.from_settings(settings)
        session = await self._stack.enter_async_context(engine_session(limits))
        self.pool = await self._make_pool(session, folder)
        journal = Journal(folder / "playbacks.json") if folder is not None else None
        self.stopper = PlaybackStopper(session, limits, journal)
        self.pump = Pump(PumpLimits(settings.batch_bytes, settings.client_stall_s), Sending(io_uring=settings.io_uring))
        self.links = LinkBook(settings.quality_links, settings.quality_half_life_days)
        origins = Origins(settings.origin_hosts)
        self._stack.push_async_callback(origins.close)
        upstream = Upstream(settings, self.pool, self.stopper, self.links, origins=origins)
        self.hub = Hub(upstream, self.pump)
        self.recordings = Recordings(upstream, self.hub)
        self.pump.start()
        self._stack.callback(self.pump.close)
        self.pool.start()
        self._stack.push_async_callback(self.pool.close)
        self._stack.push_async_callback(self.stopper.drain, settings.stop_timeout_s)
        await self.stopper.stop_leftovers(self.pool.urls)
        self._keep_running(self.hub.sample_rates(), "rates")
        giving_back = GivingBack(lambda: self.hub.client_count)
        self.hub.on_settled.append(giving_back.note_closed)
        self.recordings.on_end.append(giving_back.note_closed)
        self._keep_running(giving_back.watch(), "memory")

    def _operators_routes(self) -> list[Routes]:
        """Build what operators and monitoring speak to: the API, the dashboard, metrics."""
        figures = Figures(self.hub, self.pool, self.store.snapshot)
        lists = self._stack.enter_context(contextlib.closing(StreamLists(self.hub)))
        stills = self._stack.enter_context(contextlib.closing(StillMaker(is_wanted=self.settings.stills)))
        self.listeners = Seats(self.settings.max_listeners)
        self.live.subscribe(("max_listeners",), lambda now: self.listeners.resize(now.max_listeners))
        delay = LoopDelay()
        self._keep_running(delay.watch(), "loop delay")
        metrics = MetricRoutes(figures, self.logs, self.listeners, delay, self.settings)
        self._stack.callback(metrics.close)
        return [
            ApiRoutes(figures, lists),
            LogRoutes(self.logs, self.listeners),
            EventRoutes(figures, self.listeners, lists),
            TimelineRoutes(self.hub),
            StillRoutes(self.hub, stills),
            SessionRoutes(self.credentials),
            TokenRoutes(self.credentials, self.hub, self.recordings, self.sessions),
            HistoryRoutes(self.store),
            EngineRoutes(figures),
            metrics,
            SettingsRoutes(self.live),
            OpenApiRoutes(),
            LinkRoutes(self.links),
            PageRoutes(),
        ]

    def _gate(self) -> tuple[Guard, Connections]:
        """Build what every request passes, and let it follow the settings."""
        guard = Guard(self.settings, self.credentials)
        connections = Connections(self.settings, connection_limit())
        self.live.subscribe(("trusted_networks", "trusted_proxies", "allowed_hosts"), guard.settings_changed)
        self.live.subscribe(("trusted_proxies",), connections.settings_changed)
        self.live.subscribe(("sign_in_idle_s", "sign_in_limit_s"), self.credentials.settings_changed)
        return guard, connections

    def _players_routes(self) -> list[Routes]:
        """Build what players speak to: media in all forms, and the engine's interface."""
        settings = self.settings
        self.hub.make_way_elsewhere = self.recordings.make_way
        self.sessions = PlaybackSessions(settings.max_sessions, settings.session_idle_s)
        self._stack.callback(self.sessions.close)
        lookups = Lookups(self.pool)
        self._stack.push_async_callback(lookups.close)
        urls = OwnUrls(settings.trusted_proxies)
        self.live.subscribe(("trusted_proxies",), urls.settings_changed)
        sounds = Sounds(self.hub, settings)
        starts = EngineStarts(self.hub, self.recordings, settings, self.sessions, urls, sounds)
        files = FileLists(lookups, settings)
        streams = StreamRoutes(self.hub, settings, starts, RecordingServer(self.recordings, settings), files, sounds)
        hls = HlsRoutes(self.hub, self.hls, settings, starts, sounds, self.recordings)
        return [
            streams,
            hls,
            EngineFaceRoutes(self.sessions, streams, hls, self.recordings),
            RecordingRoutes(self.recordings),
            FileRoutes(files, urls),
            WatchRoutes(self.hub, files, urls),
            EngineServiceRoutes(self.pool, lookups, settings),
            SpellingRoutes(streams, hls),
        ]

    def _remember(self) -> None:
        """Begin to keep history. The store ends after the streams, so that it hears of their ends."""
        self.pool.suiting = self.links.suits
        folder = self.settings.state_dir
        self.store = Store(None if folder is None else state_folder(folder) / FILE_NAME)
        self.store.start()
        self._stack.push_async_callback(self.store.close, STORE_CLOSE_S)
        self.learning = self._keep_running(self.links.keep_in(self.store), "links")
        self.recorder = Recorder(self.hub, self.recordings, self.store, self.settings)
        self.recorder.start()
        self.live.subscribe(("history_rows", "history_days"), self.recorder.settings_changed)
        self._keep_running(self.recorder.run(), "history")

    async def _make_pool(self, session: aiohttp.ClientSession, folder: Path | None) -> EnginePool:
        """Build the engine pool as it was left, and let it follow the settings. Nothing is contacted yet."""
        pool = EnginePool(self.settings, session, Roster(folder / "engines.json") if folder is not None else None)
        await pool.restore()
        self.live.subscribe(("engines", "engine_max_streams"), lambda now: pool.configure(now.engines))
        return pool

    async def _restore_settings(self) -> None:
        """Take over what was changed at run time before this start, and let the log follow what changes."""
        self.live.subscribe(("log_level",), lambda now: self.logs.set_level(now.log_level))
        self.live.subscribe(("log_lines",), lambda now: self.logs.ring.resize(now.log_lines))
        await self.live.restore()
        self.live.subscribe(
            ("client_stall_s", "batch_bytes"),
            lambda now: self.pump.set_limits(PumpLimits(now.batch_bytes, now.client_stall_s)),
        )

    async def reload(self) -> None:
        """Read the settings anew and take over what can be changed; what is wrong with them is told in the log."""
        try:
            await self.live.reload()
        except AceProxyError as error:
            log.warning("the settings were not reloaded: %s", error.message)

    async def close(self) -> None:
        """End everything in order, within `shutdown_s`; what is not over by then is left to the process's end."""
        try:
            async with asyncio.timeout(self.settings.shutdown_s):
                await self._stack.aclose()
        except TimeoutError:
            log.warning("the shutdown took longer than %g s", self.settings.shutdown_s)


def _heed(task: asyncio.Task[None]) -> None:
    """Nobody waits for a task that is to run for ever: without this its failure would be heard of by nobody."""
    if not task.cancelled() and task.exception() is not None:
        log.error("the task %r has failed and does not run any more", task.get_name(), exc_info=task.exception())
