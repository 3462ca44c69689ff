"""What a run of trouble is played on: simulated engines with a film among their broadcasts, and a proxy in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.chaos_engine import make_clips
from bench.chaos_faults import Engines
from bench.chaos_files import read_truth
from bench.chaos_programs import Proxy
from bench.chaos_visitors import FILE


@dataclass(frozen=True, slots=True)
class Stage:
    """The programs of a run. `truth`: the bytes of the film. `has_dolby`: there is a channel with AC-3 sound."""

    engines: Engines
    proxy: Proxy
    truth: bytes
    has_dolby: bool


@asynccontextmanager
async def stage(engine_count: int, channel_count: int, folder: Path, keep_log: str = "") -> AsyncIterator[Stage]:
    """Start engines and a proxy, with what they write in `folder`; end them at the end, the proxy first.

    Its whole log is copied to `keep_log`, if that is given.
    """
    clips = folder / "clips"
    clips.mkdir()
    has_dolby = await asyncio.to_thread(make_clips, clips)
    engines = Engines(engine_count, channel_count, folder, clips if has_dolby else None)
    try:
        film = next(str(one["content_id"]) for one in engines.contents() if one["name"] == FILE)
        truth = await asyncio.to_thread(read_truth, engines.ports[0], film)
        proxy = Proxy(engines, folder)
        try:
            yield Stage(engines, proxy, truth, has_dolby)
        finally:
            proxy.end()
            proxy.keep_log(keep_log)
    finally:
        engines.end()
