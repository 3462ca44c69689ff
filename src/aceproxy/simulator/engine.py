"""The state of one simulated engine, shared by its routes. Nothing in it waits."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import replace

from aceproxy.simulator.broadcast import Channel, open_channels
from aceproxy.simulator.config import SimulatorConfig
from aceproxy.simulator.contents import DEFAULT_CONTENTS, Content, extra_channels
from aceproxy.simulator.damage import without_entry_points
from aceproxy.simulator.faults import FaultBoard
from aceproxy.simulator.http1 import Request
from aceproxy.simulator.playbacks import Download, Session
from aceproxy.simulator.segments import Segmenter
from aceproxy.simulator.sessions import SessionTable

REQUESTS_KEPT = 4096
STEP_S = 1_000_000  # engines that are in step count their broadcasts from the last multiple of this, in Unix time
MAGNET_HASH = re.compile(r"xt=urn:btih:([0-9a-fA-F]{40})")
HEX_40 = re.compile(rb"[0-9a-fA-F]{40}")


class Engine:
    """What the routes work on: configuration, faults, contents, sessions, clock."""

    def __init__(self, config: SimulatorConfig) -> None:
        """Build it stopped. Raises ValueError when two contents have one infohash."""
        self.config = config
        self.faults = FaultBoard()
        self.table = SessionTable(config, self.faults)
        base = DEFAULT_CONTENTS if config.contents is None else config.contents
        self.contents: tuple[Content, ...] = base + extra_channels(config.channels)
        if len({content.infohash for content in self.contents}) != len(self.contents):
            raise ValueError("two contents have one infohash")
        self.channels: dict[str, Channel] = {}
        self.requests: deque[tuple[str, str]] = deque(maxlen=REQUESTS_KEPT)
        self.looked_up: set[str] = set()
        self._infohash_of = {content.content_id: content.infohash for content in self.contents}
        self._infohash_of_url = {content.transport_url: content.infohash for content in self.contents}
        self._keyless: dict[str, Channel] = {}
        self._unix_at_zero = 0.0

    def open(self) -> None:
        """Load the clips and start the clocks. Raises OSError and ClipError."""
        now = self.now()
        self._unix_at_zero = time.time() - now
        epoch_at = (now - time.time() % STEP_S if self.config.in_step else now) + self.config.behind_s
        self.channels = open_channels(self.contents, epoch_at, float(self.config.live_window_s))
        for fault in self.config.faults:
            self.faults.set(fault, now)

    def now(self) -> float:
        """Return the monotonic time all state is kept in."""
        return time.monotonic()

    def unix(self, at: float) -> int:
        """Return the Unix time of a monotonic one."""
        return int(self._unix_at_zero + at)

    def by_content_id(self, content_id: str) -> Channel | None:
        """Return the channel with a content id."""
        return self.channels.get(self._infohash_of.get(content_id.lower(), ""))

    def by_request(self, request: Request) -> Channel | None:
        """Return what a request names, by the engine's precedence (engine-api §2).

        Content id, infohash, url, magnet, then the body of a POST: a transport file is anything that holds the
        infohash as text, which is this simulator's invention.
        """
        query = request.query
        content_id = query.get("content_id") or query.get("id")
        if content_id:
            return self.by_content_id(content_id)
        if query.get("infohash"):
            return self.channels.get(query["infohash"].lower())
        if query.get("url"):
            return self.channels.get(self._infohash_of_url.get(query["url"], ""))
        if query.get("magnet"):
            match = MAGNET_HASH.search(query["magnet"])
            return self.channels.get(match[1].lower()) if match else None
        hashes = [found.decode().lower() for found in HEX_40.findall(request.body)]
        return next((self.channels[one] for one in hashes if one in self.channels), None)

    def air_time(self, download: Download, now: float) -> float:
        """Return how far the broadcast has come for lists and `live_last`: `now`, unless a fault froze it."""
        infohash = download.channel.content.infohash
        loop = self.faults.find("loop", infohash)
        if loop is not None:
            now = min(now, self.loop_start(download, loop.set_at))
        stall = self.faults.find("stall-after", infohash)
        if stall is not None and download.ready_at is not None:
            now = min(now, max(stall.set_at, download.ready_at + stall.seconds))
        return now

    def loop_start(self, download: Download, set_at: float) -> float:
        """Return when a loop fault set at `set_at` took hold of a download."""
        return set_at if download.ready_at is None else max(set_at, download.ready_at)

    def segmenter(self, download: Download, now: float) -> Segmenter:
        """Return the download's segmenter, with everything cut that is there now."""
        channel, config = download.channel, self.config
        if download.segmenter is None:
            live = channel.content.live
            history_s = min(config.hls_history_s, 0.8 * config.hls_window * config.hls_segment_s)
            start = channel.position_at(now) - channel.span(history_s) if live else 0
            window = config.hls_window if live else None
            download.segmenter = Segmenter(channel, start, config.hls_segment_s, window)
        position = channel.position_at(self.air_time(download, now)) if channel.content.live else channel.size_bytes
        download.segmenter.advance(position)
        return download.segmenter

    def keyless(self, channel: Channel) -> Channel:
        """Return the channel without any entry point (made on first use, one for each clip in use)."""
        name = channel.clip.name
        if name not in self._keyless:
            self._keyless[name] = replace(channel, clip=without_entry_points(channel.clip))
        return replace(channel, clip=self._keyless[name].clip)

    def running(self, key: str, infohash: str) -> Session | None:
        """Return a session that runs."""
        session = self.table.find(key, infohash)
        return None if session is None or session.ended else session
