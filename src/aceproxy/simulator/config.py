"""Everything that can be chosen about a simulated engine. Defaults follow engine-api §15."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from aceproxy.simulator.contents import Content
from aceproxy.simulator.faults import Fault


@dataclass(frozen=True)
class SimulatorConfig:
    """Choices for one simulated engine. Times in seconds; see `docs/simulator.md` for the uncertain ones."""

    # where it listens; port 0 takes a free one
    host: str = "127.0.0.1"
    port: int = 0
    # what it plays; None is the default set; `channels` adds so many more
    contents: tuple[Content, ...] | None = None
    channels: int = 0
    # all engines that are in step send the same byte at the same time of day, as engines in one swarm about do
    in_step: bool = False
    # each byte reaches it that much later than other engines in step
    behind_s: float = 0.0
    # start: answer time of a start, more for the first one of a content, then prebuffering
    start_delay_s: float = 0.1
    lookup_delay_s: float = 1.0
    prebuffer_s: float = 6.0
    # progressive media: recent past sent at socket speed, then real time, +-`jitter` (0.5 is 50 %) within 10 s
    burst_s: float = 12.0
    jitter: float = 0.0
    tick_s: float = 0.04
    lag_window_s: float = 30.0
    deliver_at_r: bool = False
    second_reader: Literal["corrupt", "steal", "ok"] = "corrupt"
    # a second pid on the same content
    second_pid_progressive: Literal["share", "supersede"] = "share"
    second_pid_hls: Literal["share", "supersede"] = "supersede"
    # media asked for too early
    not_ready: Literal["hold", "fast500"] = "hold"
    hold_limit_s: float = 45.0
    start_timeout_s: float = 7.0
    # HLS
    hls_segment_s: float = 5.0
    hls_window: int = 15
    hls_history_s: float = 20.0
    segment_gone: Literal[404, 500] = 404
    # sessions
    idle_timeout_s: float = 60.0
    stat_is_activity: bool = True
    live_window_s: int = 1800
    buffer_pieces: str = "30"
    event_wait_s: float = 15.0
    # who may call; loopback always may
    allow_intranet: bool = True
    allow_remote: bool = False
    refusal: Literal["close", "403"] = "close"
    # HTTP
    keep_alive_s: float = 60.0
    max_connections: int = 4096
    # version shown
    version: str = "3.2.3"
    # for repeatable runs; None takes a new seed each time
    seed: int | None = None
    # faults set from the start
    faults: tuple[Fault, ...] = ()

    @classmethod
    def fast(cls, **changes: Any) -> SimulatorConfig:
        """Return a configuration for tests: starts at once, prebuffers 0.2 s, short bursts and segments."""
        quick = cls(
            start_delay_s=0.02,
            lookup_delay_s=0.0,
            prebuffer_s=0.2,
            burst_s=3.0,
            hls_segment_s=2.0,
            hls_window=5,
            hls_history_s=10.0,
            start_timeout_s=1.0,
            event_wait_s=1.0,
        )
        return replace(quick, **changes)

    @property
    def version_code(self) -> int:
        """The number `get_version` shows: major * 1000000 + minor * 10000 + patch * 100 (engine-api §8.1)."""
        major, minor, patch = (int(part) for part in self.version.split("."))
        return major * 1_000_000 + minor * 10_000 + patch * 100
