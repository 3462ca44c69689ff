"""Clients of the chaos run that are slow, frozen, broken or rude. Each says itself what it expects to happen to it."""

from __future__ import annotations

import asyncio
import random

from bench.chaos_fates import Fates, Outcome
from bench.chaos_rude import RudeClients
from bench.chaos_sessions import SessionClients
from bench.chaos_slow import SlowClients
from bench.chaos_wire import NoHeadError


class OddCrowd:
    """So many odd clients at any time."""

    def __init__(self, port: int, links: list[str], count: int, rng: random.Random, fates: Fates) -> None:
        self._links = links
        self._count = count
        self._random = rng
        self._fates = fates
        self._leaving = asyncio.Event()
        self._slow = SlowClients(port, rng, fates, self._leaving)
        rude = RudeClients(port, rng, fates, self._leaving)
        self._kinds = (*self._slow.kinds, *rude.kinds, *SessionClients(port, rng, fates, self._leaving).kinds)

    async def run(self) -> None:
        """Go on until `leave`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._come_and_go())

    def leave(self) -> None:
        """Have all go."""
        self._leaving.set()

    async def _come_and_go(self) -> None:
        while not self._leaving.is_set():
            kind = self._random.choice(self._kinds)
            fate = self._fates.begin(kind.__name__.strip("_"))
            try:
                await kind(fate, f"/ace/getstream?{self._random.choice(self._links)}")
            except (ConnectionError, asyncio.IncompleteReadError):
                self._fates.end(fate, Outcome.CUT if fate.received_bytes else Outcome.REFUSED, "connection error")
            except NoHeadError:
                self._fates.end(fate, Outcome.REFUSED, "cut before the headers")
            except TimeoutError:
                self._fates.wrong(f"{fate.kind}: nothing happened in time")
            await self._slow.rest(self._random.uniform(0.1, 1.0))
