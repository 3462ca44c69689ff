"""What an engine says of a playback, and what that is worth. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from aceproxy.errors import Reason


def waits_for_swarm(status: str | None, peers: int | None, speed_down_bps: int | None) -> bool:
    """Whether an engine that tells this of its playback waits for the swarm: without peers, or collecting data.

    One that tells nothing, or claims to load and play, does not: where nothing comes of it, it is at fault itself.
    """
    return status is not None and (peers == 0 or status != "dl" or not speed_down_bps)


@dataclass(frozen=True, slots=True)
class EngineWord:
    """What the engine said of the playback when last asked. Times are in seconds of the same clock as `Look.now`.

    `asked_at`: when the newest answer, good or bad, was asked for; None before the first. `refusal`: its reason where
    it was bad, `refusals` how many of that kind there were in a row. `edge_at`: when `live_last` was last seen to
    grow, None while it never was.
    """

    asked_at: float | None = None
    status: str | None = None
    speed_down_bps: int | None = None
    peers: int | None = None
    refusal: Reason | None = None
    refusals: int = 0
    edge_at: float | None = None

    @property
    def claims_delivery(self) -> bool:
        """Whether the engine says that media arrives and is handed on."""
        return self.refusal is None and self.status is not None and not self.waits_for_swarm

    @property
    def waits_for_swarm(self) -> bool:
        """Whether the engine says that nothing arrives."""
        return self.refusal is None and waits_for_swarm(self.status, self.peers, self.speed_down_bps)

    def words(self) -> str:
        """What it says, for people."""
        if self.refusal is not None:
            return f"the engine's answer: {self.refusal}"
        if self.status is None:
            return "the engine says nothing"
        peers = f", {self.peers} peers" if self.peers is not None else ""
        return f"the engine says {self.status}{peers}"
