"""What an opening tells while it is under way, and what comes of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from aceproxy.engine.api import Playback
from aceproxy.engine.handle import EngineHandle
from aceproxy.engine.links import Link
from aceproxy.engine.media import SourceReader

ASKING = "asking the engine"


@dataclass(frozen=True, slots=True)
class StartProgress:
    """How far a start is. `status` is the engine's word or `starting`; `progress` is percent; `tries` counts start
    calls; `detail` says what is being waited for or what failed last.
    """

    status: str
    progress: int | None
    peers: int | None
    tries: int
    detail: str

    @property
    def refusal(self) -> str:
        """What the engine has just refused or failed to do, so that it is asked again; empty where nothing was."""
        return "" if self.detail == ASKING else self.detail


@dataclass(frozen=True, slots=True)
class Opened:
    """A playback that delivers. The owner closes `reader` and hands `playback` to the stopper.

    `link_used` differs from the link asked for where a content id turned out to be an infohash.
    """

    playback: Playback
    reader: SourceReader
    link_used: Link


class KeptPlayback(Exception):  # noqa: N818 - not an error: another one has use for the playback
    """Raised by `on_playback` to end an opening without a stop: whoever raises it takes over `playback`.

    `slot` is the place on the engine that goes with it, set by who holds that.
    """

    def __init__(self, playback: Playback) -> None:
        super().__init__(playback.key)
        self.playback = playback
        self.slot: EngineHandle | None = None


class EngineWatch(Protocol):
    """Who learns how the engine is while a playback is opened on it."""

    gone: asyncio.Event  # set when the engine does not answer anything and another one could do

    def note_slow(self) -> None:
        """An answer takes long."""
