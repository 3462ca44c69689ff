"""Probes: every engine is asked for its version again and again, each by a task of its own."""

from __future__ import annotations

import asyncio

from aceproxy.engine.pooled import PooledEngine
from aceproxy.errors import AceProxyError

LEAST_PAUSE_S = 0.1  # between two probes, however many streams tell of failures


async def probe(engine: PooledEngine, period_s: float) -> None:
    """Probe one engine for ever, every `period_s` and whenever `probe_now` is set. Cancel-safe.

    The period is counted from probe to probe, not from answer to probe; a probe ends within `stat_timeout_s`.
    """
    loop = asyncio.get_running_loop()
    while True:
        began_at = loop.time()
        engine.probe_now.clear()
        try:
            version = await engine.api.version()
        except AceProxyError as error:
            engine.note_silence(error)
        else:
            engine.note_answer(version.version)
        try:
            async with asyncio.timeout_at(began_at + period_s):
                await engine.probe_now.wait()
        except TimeoutError:
            continue  # the next probe is due
        await asyncio.sleep(min(period_s, LEAST_PAUSE_S))
