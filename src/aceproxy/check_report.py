"""What `aceproxy check` has found, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from aceproxy.errors import Reason
from aceproxy.mpegts.describe import StreamDescription


@dataclass(slots=True)
class CheckReport:
    """What a check found. Times in seconds since the start call; None: not reached.

    `is_watched`: a running proxy has the broadcast, so nothing was started; `state` and `clients` are its stream's.
    """

    link: str
    engine: str
    proxy: str | None = None
    plays: bool = False
    is_watched: bool = False
    state: str | None = None
    clients: int | None = None
    title: str | None = None
    note: str | None = None
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


def print_report(console: Console, report: CheckReport) -> None:
    """Print a report for people. Outside text goes out as it is, without markup."""
    table = Table(show_header=False, box=None, pad_edge=False)
    rows: list[tuple[str, str | None]] = [
        ("link", report.link),
        ("engine", report.engine),
        ("proxy", report.proxy),
        ("result", _verdict(report)),
        ("", report.message),
        ("title", report.title),
        ("clients", None if report.clients is None else str(report.clients)),
        ("infohash", report.infohash),
        ("answer", _seconds(report.answer_s)),
        ("prebuffer", _seconds(report.prebuffer_s)),
        ("first byte", _seconds(report.first_byte_s)),
        ("bitrate", _rate(report.bitrate_bps)),
        ("peers", None if report.peers is None else str(report.peers)),
        ("engine speed", _rate(report.engine_speed_bps)),
        ("errors", f"{report.continuity_errors} continuity, {report.dropped_bytes} bytes outside of packets"),
    ]
    if report.is_watched or not report.received_bytes:
        del rows[-1]  # continuity was not looked at
    for name, value in rows:
        if value is not None:
            table.add_row(name, value)
    for stream in report.streams:
        table.add_row(f"PID {stream.pid}", _words(stream))
    console.print(table, markup=False)
    if report.note:
        console.print(report.note, markup=False)


def _verdict(report: CheckReport) -> str:
    if report.is_watched:
        return f"{'plays' if report.plays else 'does not play'} in AceProxy: {report.state}"
    if report.reason == Reason.PROXY_NOT_ASKED:
        return f"not checked: {report.reason}"
    return "plays" if report.plays else f"does not play: {report.reason}"


def _words(stream: StreamDescription) -> str:
    """One elementary stream in words: `video h264 High 1280x720 25 fps`."""
    unknown = f"type {stream.stream_type:#04x}" if stream.stream_type else "unknown"
    parts = [stream.kind or "other", stream.codec or unknown, stream.profile]
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
