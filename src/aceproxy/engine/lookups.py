"""Questions to an engine that play nothing: what a link names, the search.

They come from anybody, so an engine is asked few at a time, each within a limit, the same question once, and an answer
is remembered for a moment. Nothing here takes a slot on an engine.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping

from aceproxy.engine.pool import EnginePool
from aceproxy.errors import AceProxyError, Reason

REMEMBERED_S = 20.0
REMEMBERED_LIMIT = 64  # answers
AT_ONCE = 4  # questions under way
WAITING_LIMIT = 32  # questions that wait for their turn or are under way

_Question = tuple[tuple[str, str], ...]


class Lookups:
    """Asks an engine that is up. All methods belong to the event loop."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self._answers: OrderedDict[_Question, tuple[float, object]] = OrderedDict()
        self._asking: dict[_Question, asyncio.Task[object]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def ask(self, path: str, params: Mapping[str, str]) -> object:
        """Return the `result` of a service call (engine-api §8).

        Whoever asks the same meanwhile waits for the same answer. Raises AceProxyError with what the engine said, or
        ENGINE_UNREACHABLE, ENGINE_TIMEOUT, TOO_MANY_CLIENTS where too many questions wait, and SHUTDOWN. Cancel-safe:
        the question goes on for the others, within its limit.
        """
        question = (("", path), *sorted(params.items()))
        known = self._answers.get(question)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        task = self._asking.get(question)
        if task is None:
            if len(self._asking) >= WAITING_LIMIT:
                raise AceProxyError(Reason.TOO_MANY_CLIENTS, "questions to the engine")
            task = asyncio.get_running_loop().create_task(self._ask(question, path, params), name=f"lookup {path}")
            self._asking[question] = task
            task.add_done_callback(lambda done: self._over(question, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise AceProxyError(Reason.SHUTDOWN) from None
            raise

    async def close(self) -> None:
        """Give up all questions."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, question: _Question, path: str, params: Mapping[str, str]) -> object:
        async with self._turn:
            result = await self._pool.api_for_lookups().call(path, params)
        self._answers[question] = (time.monotonic() + REMEMBERED_S, result)
        self._answers.move_to_end(question)
        while len(self._answers) > REMEMBERED_LIMIT:
            self._answers.popitem(last=False)
        return result

    def _over(self, question: _Question, task: asyncio.Task[object]) -> None:
        self._asking.pop(question, None)
        if not task.cancelled():
            task.exception()  # seen: whoever asked may have left
