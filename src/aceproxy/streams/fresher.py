"""After a loss: where the source that is to go on is far behind what viewers have, another engine may be less behind.

Engines of one swarm deliver a broadcast at different times. What a source is behind by, viewers would wait for; in that
time another engine can often be started.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aceproxy.engine.pool import EnginePool
from aceproxy.streams.ingest import Ingest
from aceproxy.streams.lags import BETTER_S
from aceproxy.streams.present import Present
from aceproxy.streams.reserve import Reserve
from aceproxy.streams.spare import BURST_S
from aceproxy.streams.ways import Way

FAR_S: Final = 2.0  # behind: about as long as a start takes at best
CATCH_UP_S: Final = 1.5  # which a source that was just opened has for sending its past
LOOK_S: Final = 0.2


async def fresher_comes(
    present: Present, reserve: Reserve, ingest: Ingest, pool: EnginePool, shunned: str | None, until_at: float
) -> None:
    """Return once a spare has media that viewers lack while the present source is still far from that. Cancel-safe.

    Where there is no spare, one is begun on an engine that may be less behind, but not on the one that is `shunned`;
    its start may take until `until_at`. Waits for ever where that comes to nothing.
    """
    loop = asyncio.get_running_loop()
    source = present.source
    is_new = source is None or source.gaps.known_s(loop.time()) < BURST_S
    begin_at = loop.time() + (CATCH_UP_S if is_new else 0.0)
    while True:
        await asyncio.sleep(LOOK_S)
        reserve.drop_failed()
        behind_s = ingest.behind_s
        if behind_s is None or behind_s < FAR_S:
            continue
        if reserve.spare is None:
            others = _better(reserve, pool, behind_s) - {present.engine_url, shunned}
            if others and begin_at <= loop.time() < until_at:
                reserve.race(Way(present.at, frozenset(pool.urls) - others), until_at)
        elif reserve.spare.at == present.at and reserve.delivering.is_set() and reserve.is_ahead():
            return


def _better(reserve: Reserve, pool: EnginePool, behind_s: float) -> frozenset[str]:
    """Return the engines that have room, and are not known to be about as far behind."""
    known = {url: reserve.lags.of(url) for url in pool.fit_for_spares()}
    return frozenset(url for url, lag_s in known.items() if lag_s is None or lag_s < behind_s - BETTER_S)
