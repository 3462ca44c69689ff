"""Progressive media: readers that follow a live channel or send a file, and what faults do to them (engine-api §4.1).

A reader belongs to the task of its connection. It looks up from its work every `tick_s`, so the end of its session, a
fault or a vanished caller is seen within that time. What a caller does not take is not buffered here: the reader waits,
and once it is `lag_window_s` behind it goes on at the live edge.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import replace
from enum import Enum
from itertools import cycle

from aceproxy.simulator.broadcast import File, whole_packets
from aceproxy.simulator.clips import PACKET_BYTES
from aceproxy.simulator.damage import mp4_like, noise, scramble, with_junk, with_stuck_clock
from aceproxy.simulator.engine import Engine
from aceproxy.simulator.faults import ActiveFault
from aceproxy.simulator.http1 import Connection
from aceproxy.simulator.playbacks import Session

BLOCK_BYTES = 348 * PACKET_BYTES  # below 64 KiB
JUNK_BYTES = 1000
JUMP_TICKS = 3 * 3600 * 90_000
JITTER_PERIOD_S = 10.0
SINGLE_BYTES = 400  # sent one by one at first, where media drips; two packets and a part of the third
DRIP_BYTES = (187, 1, 189, 3, 1315, 94, 564, 377)  # the sizes of its further pieces
SLOW_SHARES = {"half": 0.5, "tenth": 0.1}


class Verdict(Enum):
    """What a reader does next."""

    SEND = "send"
    STAND = "stand"
    RESET = "reset"
    END = "end"


ENDINGS = {  # faults that end the media of a reader after a time
    "rst-after": Verdict.RESET,
    "eof-after": Verdict.END,
    "stall-after": Verdict.STAND,
    "frozen-after": Verdict.STAND,
    "forgotten-after": Verdict.STAND,
}


class Reader:
    """Sends media of one session to one connection. Subclasses say which bytes come next."""

    def __init__(self, engine: Engine, session: Session, connection: Connection) -> None:
        """Nothing is sent before `run`."""
        self.engine = engine
        self.session = session
        self.connection = connection
        self.taken_over = False
        self.started_at = engine.now()
        self._stalled_by: ActiveFault | None = None
        self._orphaned_by: ActiveFault | None = None  # the session is forgotten, the socket is not
        self._is_counted = False
        self._held: dict[str, ActiveFault] = {}
        self._dripped = 0
        self._drips = cycle(DRIP_BYTES)
        self._infohash = session.infohash

    async def run(self) -> None:
        """Send until the session ends, the caller is gone, or a fault ends it. Leaves closing to the caller."""
        self.session.add_reader(self)
        try:
            while not (self._is_over or self.taken_over or self.connection.gone):
                if await self._step():
                    return
        finally:
            self._stall_over()
            self.session.readers.remove(self)

    @property
    def _is_over(self) -> bool:
        """Whether the session has ended, and its media with it."""
        return self.session.ended and (self._orphaned_by is None or self._orphaned_by.cleared)

    async def _step(self) -> bool:
        """Do one thing; return whether that was all."""
        tick_s = self.engine.config.tick_s
        if not self.connection.has_room:
            await self.connection.wait_for_room(tick_s)
            return False
        now = self.engine.now()
        self.session.active_at = now
        verdict = self._verdict(now)
        if verdict is Verdict.RESET:
            self.connection.reset()
        if verdict in (Verdict.RESET, Verdict.END):
            return True
        block = b"" if verdict is Verdict.STAND else self.next_block(now)
        if block is None:
            return True
        if block:
            self.session.bytes_sent += len(block)
            await self._send(block)
        # a short block means that the reader is at the live edge: wait, or it would send packet by packet
        await asyncio.sleep(0 if len(block) >= BLOCK_BYTES else tick_s)
        return False

    async def _send(self, block: bytes) -> None:
        """Send a block: at once, or in drips, none of which is a whole packet."""
        if self.fault("drip-media") is None:
            self.connection.write_nowait(block)
            return
        at = 0
        while at < len(block) and not self.connection.gone:
            count = 1 if self._dripped < SINGLE_BYTES else next(self._drips)
            self.connection.write_nowait(block[at : at + count])
            at += count
            self._dripped += count
            await asyncio.sleep(0)  # else they would be one piece on the wire

    def next_block(self, now: float) -> bytes | None:
        """Return the next bytes to send, b"" if there are none yet, None at the end."""
        raise NotImplementedError

    def fault(self, name: str) -> ActiveFault | None:
        """Return a fault that counts for this reader; it uses up one of the fault's times when it first shows."""
        held = self._held.get(name)
        if held is not None and not held.cleared:
            return held
        active = self.engine.faults.use(name, self._infohash)
        if active is not None:
            self._held[name] = active
        return active

    def _verdict(self, now: float) -> Verdict:
        """Return what the faults want of this reader now."""
        faults, age_s = self.engine.faults, now - self.started_at
        if self._orphaned_by is not None:
            return Verdict.STAND
        if self._stalled_by is not None:
            if not self._stalled_by.cleared:
                return Verdict.STAND
            self._stall_over()
        for name, verdict in ENDINGS.items():
            fault = faults.find(name, self._infohash)
            if fault is not None and age_s >= fault.seconds:
                faults.use(name, self._infohash)
                if verdict is Verdict.STAND:
                    self._stand(name, fault, now)
                return verdict
        pauses = self.fault("pauses")
        if pauses is not None and pauses.seconds > 0 and int(age_s / pauses.seconds) % 2:
            return Verdict.STAND
        return Verdict.STAND if faults.find("hung", self._infohash) else Verdict.SEND

    def _stand(self, name: str, fault: ActiveFault, now: float) -> None:
        """Stop sending, in the way of a fault."""
        if name == "forgotten-after":
            self._orphaned_by = fault
            self.engine.table.end(self.session, "vanished", now)
            return
        self._stalled_by = fault
        self._is_counted = name == "stall-after"  # else the engine does not notice
        self.session.download.readers_stalled += self._is_counted

    def _stall_over(self) -> None:
        if self._stalled_by is not None:
            self._stalled_by = None
            self.session.download.readers_stalled -= self._is_counted


class LiveReader(Reader):
    """Follows a live channel: the recent past at once, then real time."""

    def __init__(self, engine: Engine, session: Session, connection: Connection) -> None:
        """Begin `burst_s` before the live edge."""
        super().__init__(engine, session, connection)
        channel = session.channel
        self.position = max(0, channel.position_at(self.started_at) - channel.span(engine.config.burst_s))
        self._lag_limit = channel.span(max(engine.config.lag_window_s, engine.config.burst_s) + 1)
        self._random = random.Random(engine.config.seed)  # noqa: S311  rubbish bytes, not secrets
        self._junk_position = self.position
        self._sent_at = -math.inf
        self._slow_at: float | None = None  # since when it is slow, and what it has sent since
        self._slow_bytes = 0
        self._first = True
        self._stuck_pcr = b""

    def next_block(self, now: float) -> bytes:
        """Return what the pace allows, damaged as faults ask."""
        channel = self.session.channel
        missing = channel.position_at(now - self._jitter_s(now)) - self.position
        if missing > self._lag_limit:
            self.position += missing - missing % PACKET_BYTES
            return b""
        if self.fault("one-packet-per-second"):
            missing = PACKET_BYTES if now - self._sent_at >= 1 else 0
        missing = min(missing, self._slow_limit(now))
        if missing <= 0:
            return b""
        self._sent_at = now
        block = self._read(min(missing, BLOCK_BYTES))
        self.position += len(block)
        self._slow_bytes += len(block)
        self.session.position = self.position
        damaged = self._damage(block)
        self._first = False
        return damaged

    def _slow_limit(self, now: float) -> int:
        """Return how many bytes may go now, where a fault makes the media slow."""
        fault = self.fault("slow-media")
        if fault is None:
            self._slow_at = None
            return BLOCK_BYTES
        if self._slow_at is None:
            self._slow_at, self._slow_bytes = now, 0
        allowed = SLOW_SHARES[fault.value] * self.session.channel.span(now - self._slow_at)
        return whole_packets(allowed) - self._slow_bytes

    def _jitter_s(self, now: float) -> float:
        """Return how much later than planned delivery is: its rate swings by `jitter` within `JITTER_PERIOD_S`."""
        turn = 2 * math.pi / JITTER_PERIOD_S
        return self.engine.config.jitter / turn * (1 - math.cos(turn * (now - self.started_at)))

    def _read(self, count: int) -> bytes:
        channel = self.session.channel
        if self.fault("no-keyframes"):
            channel = self.engine.keyless(channel)
        jump = self.fault("clock-jumps")
        if jump is not None and self._sent_at - self.started_at >= jump.seconds:
            channel = replace(channel, base_ticks=channel.base_ticks + JUMP_TICKS)
        loop = self.engine.faults.find("loop", self._infohash) or self.engine.faults.find("repeats", self._infohash)
        if loop is None:
            return channel.read(self.position, count)
        edge = channel.position_at(self.engine.loop_start(self.session.download, loop.set_at))
        length = max(PACKET_BYTES, channel.span(loop.seconds))
        if self.position < edge:
            return channel.read(self.position, min(count, edge - self.position))
        into = (self.position - edge) % length
        return channel.read(max(0, edge - length) + into, min(count, length - into))

    def _damage(self, block: bytes) -> bytes:
        if self.fault("garbage"):
            return noise(self._random, len(block))
        first = self.fault("garbage-first")
        if first is not None and self._sent_at - self.started_at < first.seconds:
            return noise(self._random, len(block))
        if self.fault("clock-stuck"):
            block, self._stuck_pcr = with_stuck_clock(block, self._stuck_pcr)
        if self.fault("mp4-bytes"):
            return mp4_like(self._random, len(block), first=self._first)
        if self.engine.faults.find("encrypted", self._infohash):
            block = scramble(block)
        between = self.fault("garbage-between")
        if between is not None and self.position >= self._junk_position:
            self._junk_position = self.position + max(PACKET_BYTES, self.session.channel.span(between.seconds))
            block = with_junk(block, noise(self._random, JUNK_BYTES), self._random.randrange(len(block)))
        return block


class FileReader(Reader):
    """Sends a part of a file as fast as the socket takes it."""

    def __init__(
        self, engine: Engine, session: Session, connection: Connection, file: File, start: int, stop: int
    ) -> None:
        """Send bytes `start` to `stop`."""
        super().__init__(engine, session, connection)
        self._file = file
        self._at = start
        self._stop = stop

    def next_block(self, now: float) -> bytes | None:
        """Return the next part of the file."""
        if self._at >= self._stop:
            return None
        block = self._file.read(self._at, min(BLOCK_BYTES, self._stop - self._at))
        self._at += len(block)
        return block
