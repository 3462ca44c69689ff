"""`aceproxy check`: open one broadcast through an engine, tell how it is, and stop it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass, field, replace

from rich.console import Console
from rich.table import Table

from aceproxy.engine.api import EngineApi, EngineLimits, Playback, engine_session
from aceproxy.engine.links import Link, LinkKind, parse_link
from aceproxy.engine.opening import Opened, StartProgress, open_playback
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.errors import REASONS, AceProxyError, Reason
from aceproxy.mpegts.access import AccessPoint, Analyzer
from aceproxy.mpegts.clock import CLOCK_HZ, WRAP
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.mpegts.describe import Describer, StreamDescription
from aceproxy.mpegts.packets import Aligner
from aceproxy.settings import Settings

PLAYS, FAILS, NOT_UNDERSTOOD = 0, 1, 2  # exit statuses
ROOM_BYTES = 256 << 10
BAD_LINK_REASONS = (Reason.BAD_LINK, Reason.NO_LINK, Reason.TWO_LINKS, Reason.URL_HOST_REFUSED)


@dataclass(slots=True)
class CheckReport:
    """What a check found. Times in seconds since the start call; None: not reached."""

    link: str
    engine: str
    plays: bool = False
    reason: str | None = None
    message: str | None = None
    infohash: str | None = None
    is_live: bool | None = None
    answer_s: float | None = None
    prebuffer_s: float | None = None
    first_byte_s: float | None = None
    bitrate_bps: int | None = None
    peers: int | None = None
    engine_speed_bps: int | None = None
    received_bytes: int = 0
    dropped_bytes: int = 0
    continuity_errors: int = 0
    streams: list[StreamDescription] = field(default_factory=list)


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


class _Check:
    """One check in progress."""

    def __init__(self, settings: Settings, api: EngineApi, link: Link) -> None:
        self.report = CheckReport(link=link.mrl, engine=api.url)
        self._settings = settings
        self._api = api
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


async def check_link(settings: Settings, text: str, *, infohash: bool, watch_s: float, as_json: bool) -> int:
    """Check a link on the first engine that is enabled, print the report, and return the exit status."""
    console = Console()
    try:
        link = parse_link(text)
    except AceProxyError as error:
        Console(stderr=True).print(error.message, markup=False)
        return NOT_UNDERSTOOD
    if infohash and link.kind is LinkKind.CONTENT_ID:
        link = replace(link, kind=LinkKind.INFOHASH)
    limits = EngineLimits.from_settings(settings)
    engine = next((one for one in settings.engines if one.enabled), settings.engines[0])
    async with engine_session(limits) as session:
        stopper = PlaybackStopper(session, limits)
        check = _Check(settings, EngineApi(engine.url, session, limits), link)
        try:
            await check.run(stopper, watch_s)
        finally:
            await stopper.drain(settings.stop_timeout_s)
    if as_json:
        console.print_json(json.dumps(asdict(check.report)))
    else:
        _print(console, check.report)
    return PLAYS if check.report.plays else FAILS


def _print(console: Console, report: CheckReport) -> None:
    """Print a report for people. Outside text goes out as it is, without markup."""
    table = Table(show_header=False, box=None, pad_edge=False)
    rows: list[tuple[str, str | None]] = [
        ("link", report.link),
        ("engine", report.engine),
        ("result", "plays" if report.plays else f"does not play: {report.reason}"),
        ("", report.message),
        ("infohash", report.infohash),
        ("answer", _seconds(report.answer_s)),
        ("prebuffer", _seconds(report.prebuffer_s)),
        ("first byte", _seconds(report.first_byte_s)),
        ("bitrate", _rate(report.bitrate_bps)),
        ("peers", None if report.peers is None else str(report.peers)),
        ("engine speed", _rate(report.engine_speed_bps)),
        ("errors", f"{report.continuity_errors} continuity, {report.dropped_bytes} bytes outside of packets"),
    ]
    for name, value in rows:
        if value is not None:
            table.add_row(name, value)
    for stream in report.streams:
        table.add_row(f"PID {stream.pid}", _words(stream))
    console.print(table, markup=False)


def _words(stream: StreamDescription) -> str:
    """One elementary stream in words: `video h264 High 1280x720 25 fps`."""
    parts = [stream.kind or "other", stream.codec or f"type {stream.stream_type:#04x}", stream.profile]
    if stream.width and stream.height:
        parts.append(f"{stream.width}x{stream.height}{'i' if stream.interlaced else ''}")
    if stream.frame_rate:
        parts.append(f"{stream.frame_rate:.4g} fps")
    if stream.sample_rate:
        parts.append(f"{stream.sample_rate} Hz")
    if stream.channels:
        parts.append(f"{stream.channels} channels")
    parts.append(stream.language)
    return " ".join(part for part in parts if part)


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f} s"


def _rate(value: int | None) -> str | None:
    return None if value is None else f"{value / 1e6:.2f} Mbit/s"
