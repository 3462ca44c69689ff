"""A crowd: so many visitors of one kind at any time, who come, stay and go."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

BETWEEN_S = (0.1, 1.0)  # from one's going to the next one's coming


class Crowd(ABC):
    """Keeps `count` visitors there with `run`; all go with `leave`. Subclasses say what a visitor does."""

    def __init__(self, port: int, links: Sequence[str], count: int, rng: random.Random) -> None:
        """`links` are what they may ask for, as queries."""
        self._port = port
        self._links = links
        self._count = count
        self._random = rng
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Go on until `leave`."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._come_and_go(number))

    def leave(self) -> None:
        """Have all go."""
        self._leaving.set()

    async def _come_and_go(self, number: int) -> None:
        while not self._leaving.is_set():
            await self._visit(number)
            await rest(self._random.uniform(*BETWEEN_S), self._leaving)

    @abstractmethod
    async def _visit(self, number: int) -> None:
        """Come, stay and go; `number` is that of the place that it takes in the crowd."""


async def rest(seconds: float, leaving: asyncio.Event) -> None:
    """Do nothing for so long, or until all are to go."""
    try:
        async with asyncio.timeout(seconds):
            await leaving.wait()
    except TimeoutError:
        return
