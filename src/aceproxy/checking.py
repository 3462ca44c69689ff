"""`aceproxy check`: open one broadcast through an engine, tell how it is, and stop it.

What a running AceProxy plays is not touched: its own figures are told instead.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, replace

from rich.console import Console

from aceproxy.asking import (
    ASK_LIMIT_S,
    RECORDING,
    CannotAskError,
    RunningProxy,
    StreamThere,
    find_stream,
    proxy_url,
    read_secret,
)
from aceproxy.check_report import CheckReport, print_report
from aceproxy.engine.api import EngineApi, EngineLimits, Playback, engine_session
from aceproxy.engine.links import Link, LinkKind, parse_link
from aceproxy.engine.opened import Opened, StartProgress
from aceproxy.engine.opening import open_playback
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.errors import REASONS, AceProxyError, Reason
from aceproxy.logs import redact
from aceproxy.mpegts.access import AccessPoint, Analyzer
from aceproxy.mpegts.clock import CLOCK_HZ, WRAP
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.mpegts.describe import Describer, StreamDescription
from aceproxy.mpegts.packets import Aligner
from aceproxy.settings import Settings

PLAYS, FAILS, NOT_UNDERSTOOD = 0, 1, 2  # exit statuses
ROOM_BYTES = 256 << 10
PLAYING_STATES = ("live", "lingering", "draining", RECORDING)  # of a stream in the proxy


class _Probe:
    """A sink that looks at what comes and keeps nothing."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.points: list[AccessPoint] = []
        self.aligner = Aligner()
        self._analyzer = Analyzer()
        self.describer = Describer()
        self.continuity = ContinuityChecker()
        self._memory = memoryview(bytearray(ROOM_BYTES))

    def room(self) -> memoryview:
        """See ByteSink."""
        return self._memory

    def filled(self, count: int) -> None:
        """See ByteSink."""
        self.received_bytes += count
        packets = self.aligner.feed(self._memory[:count])
        if packets:
            self._note_points(self._analyzer.feed(packets).points)
            self.describer.feed(packets)
            self.continuity.feed(packets)

    def _note_points(self, points: tuple[AccessPoint, ...]) -> None:
        """Keep the first and the newest keyframe."""
        if points:
            self.points = [(self.points or points)[0], points[-1]] if self.points or len(points) > 1 else [points[0]]

    @property
    def bitrate_bps(self) -> int | None:
        """Bits per second of media time, from the first keyframe to the last; None while there are not two.

        Not of our time: an engine sends its first seconds as fast as it can.
        """
        if len(self.points) < 2:
            return None
        first, last = self.points[0], self.points[-1]
        if first.pts is None or last.pts is None:
            return None
        media_s = ((last.pts - first.pts) % WRAP) / CLOCK_HZ
        return round((last.offset - first.offset) * 8 / media_s) if media_s > 0 else None


class _CarefulStopper(PlaybackStopper):
    """Stops nothing that a running proxy plays meanwhile: the engine would end the viewers' playback with ours."""

    proxy: RunningProxy | None = None
    left_open = False

    async def _stop(self, playback: Playback) -> bool:
        if self.proxy is not None and await _may_be_watched(self.proxy, playback):
            self.left_open = True
            self.forget(playback)
            return True
        return await super()._stop(playback)


async def _may_be_watched(proxy: RunningProxy, playback: Playback) -> bool:
    try:
        streams = await proxy.streams()
    except CannotAskError as error:
        return not error.is_absent
    return any(playback.infohash is None or stream.infohash in (playback.infohash, None) for stream in streams)


class _Check:
    """One check in progress."""

    def __init__(self, settings: Settings, api: EngineApi, link: Link) -> None:
        self.report = CheckReport(link=link.mrl, engine=api.url)
        self._settings = settings
        self._api = self.api = api
        self._link = link
        self._began_at = time.monotonic()
        self._probe = _Probe()

    async def run(self, stopper: PlaybackStopper, watch_s: float) -> None:
        """Open the broadcast, watch it, stop it; what went wrong stands in the report."""
        deadline_at = asyncio.get_running_loop().time() + self._settings.start_timeout_s
        try:
            opened = await open_playback(
                self._api,
                self._link,
                {},
                self._probe,
                deadline_at=deadline_at,
                on_progress=self._note_progress,
                on_playback=self._note_playback,
                stopper=stopper,
            )
        except AceProxyError as error:
            self.report.reason, self.report.message = error.reason, error.message
            return
        try:
            await self._watch(opened, watch_s)
        finally:
            opened.reader.close()
            stopper.stop_nowait(opened.playback)

    async def _watch(self, opened: Opened, watch_s: float) -> None:
        report, probe = self.report, self._probe
        report.link = opened.link_used.mrl
        report.first_byte_s = self._elapsed_s()
        ended = asyncio.ensure_future(opened.reader.wait_ended())
        try:
            await asyncio.wait({ended}, timeout=watch_s)
        finally:
            ended.cancel()
        try:
            stat = await self._api.stat(opened.playback)
            report.peers, report.engine_speed_bps = stat.peers, stat.speed_down_bps
        except AceProxyError as error:
            report.message = f"the engine does not tell its state: {error.message}"
        report.bitrate_bps = probe.bitrate_bps
        report.received_bytes = probe.received_bytes
        report.dropped_bytes = probe.aligner.dropped_bytes
        report.continuity_errors = sum(probe.continuity.errors.values())
        report.streams = list(probe.describer.streams)
        report.plays = bool(report.streams)
        if not report.plays:
            report.reason, report.message = Reason.NOT_MPEGTS, REASONS[Reason.NOT_MPEGTS].message

    def _note_playback(self, playback: Playback) -> None:
        self.report.answer_s = self._elapsed_s()
        self.report.infohash, self.report.is_live = playback.infohash, playback.is_live

    def _note_progress(self, progress: StartProgress) -> None:
        if progress.peers is not None:
            self.report.peers = progress.peers
        answered_s = self.report.answer_s
        if progress.status == "dl" and answered_s is not None and self.report.prebuffer_s is None:
            self.report.prebuffer_s = round(self._elapsed_s() - answered_s, 3)

    def _elapsed_s(self) -> float:
        return round(time.monotonic() - self._began_at, 3)


async def _ask_first(report: CheckReport, proxy: RunningProxy, api: EngineApi, link: Link, *, is_given: bool) -> bool:
    """Find out whether a start would disturb somebody; return whether it may be made. What was found is reported."""
    report.proxy = proxy.url
    try:
        streams = await proxy.streams()
        found = find_stream(streams, link, None)
        unknown = [stream for stream in streams if stream.may_be(link) or stream.infohash is None]
        infohash = None
        if found is None and unknown:
            infohash = await api.resolve(link)  # asks about the link, and plays nothing
            found = find_stream(streams, link, infohash)
    except CannotAskError as error:
        if error.is_absent and not is_given:
            report.proxy = None
            report.note = (
                f"No AceProxy answers at {proxy.url}. If one elsewhere plays this broadcast on this engine, the check "
                "may have disturbed it: name it with --proxy."
            )
            return True
        report.reason, report.message = Reason.PROXY_NOT_ASKED, f"{REASONS[Reason.PROXY_NOT_ASKED].message} ({error})"
        return False
    if found is not None:
        _tell_stream(report, found)
        return False
    if any(infohash is None or stream.infohash is None for stream in unknown):
        report.reason = Reason.PROXY_NOT_ASKED
        report.message = (
            "AceProxy plays broadcasts that may be this one under another name, and the engine cannot tell now. "
            "Nothing was started."
        )
        return False
    return True


def _tell_stream(report: CheckReport, stream: StreamThere) -> None:
    """Report a stream that the proxy has; the engine is not asked for anything."""
    report.is_watched = True
    report.plays = stream.state in PLAYING_STATES
    report.state, report.clients, report.title = stream.state, stream.client_count, redact(stream.title or "") or None
    report.engine = redact(stream.engine or report.engine)
    report.infohash = stream.infohash
    report.bitrate_bps = round(stream.bitrate_bps) if stream.bitrate_bps else None
    report.peers, report.engine_speed_bps = stream.engine_stat.peers, stream.engine_stat.speed_down_bps
    report.received_bytes, report.dropped_bytes = stream.inbound_bytes, stream.dropped_bytes
    report.streams = [
        StreamDescription(
            program_number=0,
            pid=codec.pid,
            stream_type=0,
            codec=codec.codec,
            kind=codec.kind if codec.kind in ("video", "audio", "subtitle") else None,  # type: ignore[arg-type] # checked
            language=codec.language,
        )
        for codec in stream.codecs
    ]
    report.note = "The broadcast is running in AceProxy: these are its figures, and nothing was started or stopped."
    if not report.plays:
        report.reason = stream.state
        report.message = redact(stream.start_detail or "") or None


async def check_link(
    settings: Settings, text: str, *, infohash: bool, watch_s: float, as_json: bool, proxy: str | None = None
) -> int:
    """Check a link on the first engine that is enabled, print the report, and return the exit status.

    `proxy` is the address of the AceProxy that is asked first, `none` for nobody; by default that of the settings.
    """
    console = Console()
    try:
        link = parse_link(text)
        asked_url = proxy_url(settings, proxy)
    except (AceProxyError, ValueError) as error:
        words = error.message if isinstance(error, AceProxyError) else str(error)
        Console(stderr=True).print(redact(words), markup=False)
        return NOT_UNDERSTOOD
    if infohash and link.kind is LinkKind.CONTENT_ID:
        link = replace(link, kind=LinkKind.INFOHASH)
    limits = EngineLimits.from_settings(settings)
    engine = next((one for one in settings.engines if one.enabled), settings.engines[0])
    async with engine_session(limits) as session:
        stopper = _CarefulStopper(session, limits)
        check = _Check(settings, EngineApi(engine.url, session, limits), link)
        may_start = True
        if asked_url is not None:
            asked = stopper.proxy = RunningProxy(session, asked_url, read_secret(settings.state_dir))
            may_start = await _ask_first(check.report, asked, check.api, link, is_given=proxy is not None)
        try:
            if may_start:
                await check.run(stopper, watch_s)
        finally:
            await stopper.drain(settings.stop_timeout_s + ASK_LIMIT_S)
        if stopper.left_open:
            check.report.note = (
                "Somebody may watch the broadcast through AceProxy meanwhile, so the playback of this check was not "
                "stopped: the engine ends it by itself."
            )
    if as_json:
        console.print_json(json.dumps(asdict(check.report)))
    else:
        print_report(console, check.report)
    return PLAYS if check.report.plays else FAILS
