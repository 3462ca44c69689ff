"""Clients of the chaos run that are slow, frozen, broken or rude. Each says itself what it expects to happen to it."""

from __future__ import annotations

import asyncio
import random

from bench.chaos_crowd import Crowd
from bench.chaos_fates import Fates, Outcome
from bench.chaos_rude import RudeClients
from bench.chaos_sessions import SessionClients
from bench.chaos_slow import SlowClients
from bench.chaos_wire import NoHeadError


class OddCrowd(Crowd):
    """So many odd clients at any time."""

    def __init__(self, port: int, links: list[str], count: int, rng: random.Random, fates: Fates) -> None:
        super().__init__(port, links, count, rng)
        self._fates = fates
        sorts = (SlowClients, RudeClients, SessionClients)
        self._kinds = [kind for sort in sorts for kind in sort(port, rng, fates, self._leaving).kinds]

    async def _visit(self, number: int) -> None:
        del number
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
