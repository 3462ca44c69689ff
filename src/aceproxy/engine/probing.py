"""Probes: every engine is asked for its version again and again, each by a task of its own.

An engine whose stream has fallen silent is in doubt: it is asked at once, and what it has not answered `sign_of_life_s`
later is noted, while the call itself goes on to its own end.
"""

from __future__ import annotations

import asyncio

from aceproxy.engine.messages import EngineVersion
from aceproxy.engine.pooled import PooledEngine
from aceproxy.errors import AceProxyError

LEAST_PAUSE_S = 0.1  # between two probes, however many streams tell of failures
STEPS = 4  # in which a sign of life is waited for: if this program is late itself, only one of them is cut short


async def probe(engine: PooledEngine, period_s: float, sign_of_life_s: float) -> None:
    """Probe one engine for ever, every `period_s` and whenever `probe_now` is set. Cancel-safe.

    The period is counted from probe to probe, not from answer to probe; a probe ends within `stat_timeout_s`.
    """
    loop = asyncio.get_running_loop()
    while True:
        began_at = loop.time()
        engine.probe_now.clear()
        try:
            version = await _ask(engine, sign_of_life_s)
        except AceProxyError as error:
            engine.note_silence(error, began_at)
        else:
            engine.note_answer(version.version)
        try:
            async with asyncio.timeout_at(began_at + period_s):
                await engine.probe_now.wait()
        except TimeoutError:
            continue  # the next probe is due
        await asyncio.sleep(min(period_s, LEAST_PAUSE_S))


async def _ask(engine: PooledEngine, sign_of_life_s: float) -> EngineVersion:
    """Ask for the version; an engine in doubt that takes longer than `sign_of_life_s` is noted as mute meanwhile.

    Raises AceProxyError. Cancel-safe.
    """
    loop = asyncio.get_running_loop()
    asked_at = engine.asked_at = loop.time()
    asking = loop.create_task(engine.api.version(), name="ask for the version")
    doubted = loop.create_task(engine.doubted.wait(), name="wait for a doubt")
    try:
        await asyncio.wait({asking, doubted}, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(STEPS):
            if not asking.done():
                await asyncio.wait({asking}, timeout=sign_of_life_s / STEPS)
        if not asking.done():
            engine.note_mute(asked_at)
        return await asking
    finally:
        engine.asked_at = None
        engine.doubted.clear()
        for task in (asking, doubted):
            task.cancel()
        await asyncio.gather(asking, doubted, return_exceptions=True)
