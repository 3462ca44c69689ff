"""A derived stream: the pictures of a running stream with its sound as AAC, made once for all who want it.

For clients and HLS it is a stream like any other, with a ring of its own. Its source is a process that reads the other
stream's ring; it keeps that stream alive, and ends with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.owner import StreamOwner
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import Join, Ring
from aceproxy.streams.source import Upstream
from aceproxy.streams.stream import Stream
from aceproxy.streams.supply import Supply
from aceproxy.streams.timeline import EventKind
from aceproxy.streams.transcoder import Transcoder
from aceproxy.streams.watching import LOOK_S

VARIANT = "aac"
PLAIN = "aac"  # the codec that needs no work
ENGINE_WORDS = "ffmpeg"
DELIVER_S = 20.0  # for the first of what ffmpeg makes
SILENT_S = 10.0  # without output, though there is something to read, after which ffmpeg is started anew
SILENT_BYTES = 256 << 10  # of the broadcast that came meanwhile or is still unread; null packets alone are less
RESTARTS = 6  # in a row, that is without a run of STEADY_S between them
STEADY_S = 30.0
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 8.0


def needs_work(stream: Stream) -> bool:
    """Whether a stream has sound that is not AAC, as far as its tables say."""
    tables = stream.intake.ingest.analyzer.psi.pmts.values()
    return any(one.kind == "audio" and one.codec != PLAIN for pmt in tables for one in pmt.streams)


def variant_id(stream: Stream) -> str:
    """Return the id of the stream that is derived from another one."""
    return f"{stream.stream_id}-{VARIANT}"


class DerivedStream(Stream):
    """A stream made of `parent`, which must be live."""

    def __init__(self, parent: Stream, upstream: Upstream, pump: Pump, owner: StreamOwner) -> None:
        """Create it in state `starting`; the owner calls `begin`."""
        self.parent = parent
        super().__init__([parent.link], {}, upstream, pump, owner, variant=VARIANT)

    @property
    def derived_from(self) -> str | None:
        """The id of the stream that it is made of."""
        return self.parent.stream_id

    @property
    def title(self) -> str | None:
        """The broadcast's name."""
        return self.parent.title

    def begin(self) -> asyncio.Task[None]:
        """See Stream; from now on the parent is kept alive."""
        self.parent.hold(self)
        return super().begin()

    def close(self, reason: Reason, detail: str = "") -> None:
        """See Stream."""
        super().close(reason, detail)
        self.parent.release(self)

    def stream_closed(self, reason: Reason, detail: str) -> None:
        """See Holder: the parent is over."""
        self.close(reason, detail)

    def _make_supply(
        self, links: Sequence[Link], params: Mapping[str, str], upstream: Upstream, pump: Pump
    ) -> TranscodingSupply:
        return TranscodingSupply(links, params, upstream, self.parent.ring, pump, self)


class TranscodingSupply(Supply):
    """Keeps one ffmpeg running over the parent's ring."""

    def __init__(
        self,
        links: Sequence[Link],
        params: Mapping[str, str],
        upstream: Upstream,
        ring: Ring,
        pump: Pump,
        stream: DerivedStream,
    ) -> None:
        super().__init__(links, params, upstream, stream.intake, stream, stream.timeline, stream.log)
        self.asks_standby = False
        self.run: Transcoder | None = None
        self._ring = ring
        self._pump = pump
        self._break = -1  # number of the block at which the present run had to begin, or could
        self._failures = 0

    @property
    def engine_words(self) -> str:
        """What delivers, in words."""
        return ENGINE_WORDS

    def close(self) -> None:
        """Let go of the process. Idempotent; waits for nothing."""
        super().close()
        if self.run is not None:
            self.run.close()

    async def settle(self) -> None:
        """Wait, after `close`, until the process is gone."""
        await super().settle()
        if self.run is not None:
            await self.run.settle()

    async def start(self, deadline_at: float) -> AceProxyError | None:
        """See Supply: run ffmpeg until clients can join. Raises NO_TRANSCODER, TRANSCODER_FAILED."""
        limit_s = min(DELIVER_S, deadline_at - asyncio.get_running_loop().time())
        await self._begin_run(self._intake.joinable, limit_s)
        return None

    async def watch(self) -> AceProxyError:
        """Wait until the present run is over or has to be, and say why. Cancel-safe."""
        run = self.run
        assert run is not None
        assert run.task is not None
        out_bytes, head = run.out_bytes, self._ring.head
        while True:
            await asyncio.wait({run.task}, timeout=LOOK_S)
            if run.task.done():
                return run.task.result()
            if self._newest_break() > self._break:
                return AceProxyError(Reason.TRANSCODER_FAILED, "the broadcast goes on with another encoding")
            if run.out_bytes > out_bytes or run.paused:
                out_bytes, head = run.out_bytes, self._ring.head
            is_silent = time.monotonic() - run.out_at > SILENT_S and not run.paused
            if is_silent and max(self._ring.head - head, run.lag_bytes) > SILENT_BYTES:
                return AceProxyError(Reason.TRANSCODER_FAILED, "ffmpeg makes nothing of the broadcast")

    async def restore(self, error: AceProxyError) -> None:
        """Start ffmpeg anew, a few times, with growing waits; raise `error` when that does not help."""
        self._timeline.note(EventKind.SOURCE_LOST, reason=error.reason, engine=ENGINE_WORDS, detail=error.detail)
        began_at = time.monotonic()
        if self.run is not None and began_at - self.run.began_at > STEADY_S:
            self._failures = 0
        while self._failures < RESTARTS:
            await self._close_run()
            await asyncio.sleep(min(FIRST_WAIT_S * 2**self._failures, LONGEST_WAIT_S))
            self._failures += 1
            try:
                await self._begin_run(self._intake.flowing, DELIVER_S)
            except AceProxyError as failure:
                self._timeline.note(EventKind.REOPEN_FAILED, reason=failure.reason, detail=failure.detail)
                continue
            self.recoveries += 1
            self._timeline.note(EventKind.RECOVERED, engine=ENGINE_WORDS, after_s=time.monotonic() - began_at)
            return
        raise error

    async def _close_run(self) -> None:
        if self.run is not None:
            self.run.close()
            await self.run.settle()

    async def _begin_run(self, sign: asyncio.Event, limit_s: float) -> None:
        """Start a run and wait for its `sign` of life. Raises AceProxyError."""
        self._break = self._newest_break()
        join = self._place()
        if join is None:
            raise AceProxyError(Reason.TRANSCODER_FAILED, "there is nothing to read")
        run = self.run = Transcoder(self._ring, join, self._pump, self._intake, self._log)
        self._intake.begin_source(run)
        ended = run.begin()
        happened = asyncio.ensure_future(sign.wait())
        try:
            await asyncio.wait({happened, ended}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            happened.cancel()
            await asyncio.gather(happened, return_exceptions=True)
        if not sign.is_set():
            raise (
                ended.result() if ended.done() else AceProxyError(Reason.TRANSCODER_FAILED, f"nothing in {limit_s:g} s")
            )

    def _newest_break(self) -> int:
        return max((block.number for block in self._ring.blocks() if block.is_break and block.points), default=-1)

    def _place(self) -> Join | None:
        """Return where a run begins: like a client, but never before a break, over which ffmpeg does not come."""
        join = self._ring.join()
        for block in self._ring.blocks():
            if join is not None and block.number == self._break and join.block.number < block.number:
                point = block.points[0]
                return Join(block, point.offset - block.start, point.preamble)
        return join
