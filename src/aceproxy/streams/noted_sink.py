"""The sink of a source, with an ear on what arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aceproxy.engine.body import ByteSink
from aceproxy.streams.gaps import Gaps


class NotedSink:
    """The sink of a source; notes its gaps, and hears of its first bytes before the sink does, which may tell what
    became of them.
    """

    def __init__(self, sink: ByteSink, gaps: Gaps, came: Callable[[], object]) -> None:
        """`came` is called once."""
        self._sink = sink
        self._gaps = gaps
        self._now = asyncio.get_running_loop().time
        self._came: Callable[[], object] | None = came

    def room(self) -> memoryview:
        """See ByteSink."""
        return self._sink.room()

    def filled(self, n: int) -> None:
        """See ByteSink."""
        came, self._came = self._came, None
        if came is not None:
            came()
        self._gaps.arrived(self._now())
        self._sink.filled(n)
