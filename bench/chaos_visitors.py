"""Everybody who uses the proxy in a chaos run: players, odd ones, viewers of HLS and of a recording, operators."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from bench.chaos_decoding import Decoding
from bench.chaos_engine import dolby
from bench.chaos_fates import Fates, at_drought, judge, judge_droughts, judge_slow
from bench.chaos_faults import Engines
from bench.chaos_files import FileCrowd
from bench.chaos_hls import HlsCrowd
from bench.chaos_jumps import causes_of
from bench.chaos_odd import OddCrowd
from bench.chaos_operators import Observer, Operators
from bench.chaos_players import PlayerCrowd
from bench.chaos_programs import STALL_S, Proxy

LAGS_S = 25.0  # for who reads less than half of what comes: until burst and socket are full
SLOW_BPS = 900_000
HELD_S = 20.0  # for which media may be in a list after it came
FILE = "Film One"


def links(engines: Engines, rng: random.Random, *, least_bps: int = 0) -> list[str]:
    """Return what players ask for: each live channel plain, with a fallback, and with a standby."""
    channels = [one for one in engines.contents() if one["live"] and int(str(one["bitrate_bps"])) >= least_bps]
    ids = [str(one["content_id"]) for one in channels]
    found = []
    for one in ids:
        found += [f"id={one}", f"id={one}&fallback={rng.choice(ids)}"]
    return [*found, f"id={ids[0]}&standby=1"]


class Visitors:
    """They come with `run` and go with `leave`. `players` is how many ordinary ones there are at any time."""

    def __init__(
        self, proxy: Proxy, engines: Engines, truth: bytes, players: int, seed: int, *, has_dolby: bool
    ) -> None:
        self._proxy = proxy
        self._engines = engines
        self._fates = Fates()
        self._random = rng = random.Random(seed)
        queries, port = links(engines, rng), proxy.port
        contents = engines.contents()
        film = next(str(one["content_id"]) for one in contents if one["name"] == FILE)
        self.players = PlayerCrowd(port, queries, players, seed, self._fates)
        sound = [f"id={dolby().content_id}&audio=aac"]
        self._sounds = PlayerCrowd(port, sound, 2 if has_dolby else 0, seed + 1, self._fates, "sound")
        pictures = links(engines, rng, least_bps=SLOW_BPS)  # of sound alone nobody reads too little
        self._odd = OddCrowd(port, pictures, max(1, players // 2), rng, self._fates)
        lists = queries + (sound if has_dolby else [])
        self._hls = HlsCrowd(
            port, lists, max(1, players // 6), rng, self._fates, lambda: engines.was_damaged(time.monotonic() - HELD_S)
        )
        self._files = FileCrowd(port, film, truth, 2, rng, self._fates)
        self._operators = Operators(port, proxy.secret, engines.ports, rng, self._fates)
        self._observer = Observer(port)
        self._decoding = Decoding(self._hls, engines, self._fates)
        self._crowds = (self.players, self._sounds, self._odd, self._hls, self._files, self._operators)

    async def run(self) -> None:
        """Go on until `leave`."""
        beside = [asyncio.create_task(one.run()) for one in (self._observer, self._decoding)]
        try:
            async with asyncio.TaskGroup() as group:
                for crowd in self._crowds:
                    group.create_task(crowd.run())
        finally:
            for task in beside:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def leave(self) -> None:
        """Have all go."""
        for crowd in self._crowds:
            crowd.leave()

    async def play_file(self) -> None:
        """Have the recording once more, now that all is at peace."""
        if not await self._files.play_whole():
            self._fates.wrong("the recording cannot be had whole after the trouble")

    async def told(self) -> dict[str, Any]:
        """Return what they saw, and where it does not fit what the program recorded."""
        seen = await asyncio.to_thread(self._proxy.seen)
        fates, tally = self._fates, self.players.tally
        wrongs = [f"{words} ({count} times)" for words, count in fates.wrongs.items()]
        wrongs += judge(fates.all, seen["ends"], seen["open"], STALL_S)
        wrongs += judge_droughts(fates.all, seen["ends"], self._engines.droughts, STALL_S)
        wrongs += judge_slow(fates.all, self._observer.shown, seen["ends"], LAGS_S)
        return {
            "wrongs": wrongs,
            "tally": {name: getattr(tally, name) for name in tally.__slots__ if name != "jumped"},
            "seen": dict(sorted(fates.seen.items())),
            "jumps_by_cause": causes_of(tally.jumped, seen),
            "ring_jumps": seen["jumps"],
            "droughts": at_drought(fates.all, self._engines.droughts),
            "hls": {
                "segments": self._hls.segments, "decoded": self._decoding.decoded, "leaps": dict(self._hls.leaps),
            },
            "files": {"compared_bytes": self._files.compared_bytes, "whole": self._files.whole},
            "operators": {
                "calls": self._operators.calls, "events": self._operators.events, "slowest": self._operators.slowest,
            },
        }  # fmt: skip
