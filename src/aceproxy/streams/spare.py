"""A spare: a source that runs beside the present one of a stream, its newest bytes kept, ready to take over."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from math import inf
from typing import Final

from aceproxy.engine.media import ByteSink
from aceproxy.errors import AceProxyError, Reason
from aceproxy.mpegts.behind import behind_s
from aceproxy.mpegts.still import has_moving_pictures
from aceproxy.streams.patience import collects
from aceproxy.streams.source import Source

ROOM_BYTES: Final = 256 << 10
FRESH_S: Final = 2.0  # since its newest byte; engines send in bursts
SILENT_S: Final = 4.0  # since its newest byte, with which it is of no use; engines send every three seconds or oftener
BURST_S: Final = 5.0  # from its first bytes on, in which it may send faster than real time
CLOCKED_BYTES: Final = 64 << 10, 512 << 10  # of the newest bytes, in which there is a clock: to read them takes time
TURNS: Final = 3  # of the event loop between two steps that take milliseconds
LEAST_BYTES: Final = 64 << 10  # received before it counts as one that delivers


class Purpose(StrEnum):
    """What a spare is for."""

    STANDBY = "standby"  # to take over when the present source is lost
    MOVE = "move"  # to take over as soon as it can
    NEXT = "next"  # of the next link: to take over when the present one, lost again and again, is lost once more
    RETURN = "return"  # to go back to a link before the present one, if nobody notices
    RESTORE = "restore"  # after a loss: to be the first that delivers
    START = "start"  # the same at a start that gets nowhere


RACES = frozenset({Purpose.RESTORE, Purpose.START})
WAITING = frozenset({Purpose.STANDBY, Purpose.NEXT})  # for a loss


async def let_others() -> None:
    """Let the event loop turn a few times: a request takes some turns, which are short where no step of ours is in."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class TailSink:
    """Keeps the newest bytes it is given, until `hand_over`; from then on it passes everything on."""

    def __init__(self, limit_bytes: int) -> None:
        """Keep at most `limit_bytes`."""
        self.received_bytes = 0
        self.held_bytes = 0
        self._limit_bytes = limit_bytes
        self._parts: deque[bytes] = deque()
        self._times: deque[float] = deque()  # monotonic, when each of them came
        self._buffer: memoryview | None = None
        self._target: ByteSink | None = None
        self._is_given = False  # to the target: nothing may be missing in the middle

    def room(self) -> memoryview:
        """See ByteSink."""
        if self._target is not None:
            return self._target.room()
        if self._buffer is None:
            self._buffer = memoryview(bytearray(ROOM_BYTES))
        return self._buffer

    def filled(self, n: int) -> None:
        """See ByteSink."""
        self.received_bytes += n
        if self._target is not None:
            self._target.filled(n)
            return
        assert self._buffer is not None
        self._parts.append(bytes(self._buffer[:n]))
        self._times.append(time.monotonic())
        self.held_bytes += n
        while self.held_bytes > self._limit_bytes and not self._is_given:
            self._drop_oldest()

    def drop_before(self, came_at: float) -> None:
        """Let go of what came before a moment (monotonic), but for the part that came last before it."""
        while len(self._times) > 1 and self._times[1] < came_at:
            self._drop_oldest()

    def came_between(self, first_at: float, last_at: float) -> bytes:
        """Return what came from one moment to another one (monotonic), oldest first."""
        parts = zip(self._times, self._parts, strict=True)
        return b"".join(part for came_at, part in parts if first_at <= came_at <= last_at)

    def keep_newest(self, count: int) -> None:
        """Let go of all but the newest `count` bytes."""
        while self._parts and self.held_bytes - len(self._parts[0]) >= count:
            self._drop_oldest()
        if self.held_bytes > count:
            self._parts[0] = self._parts[0][self.held_bytes - count :]
            self.held_bytes = count

    def _drop_oldest(self) -> None:
        self._times.popleft()
        self.held_bytes -= len(self._parts.popleft())

    def clear(self) -> None:
        """Let go of what is kept, and keep nothing that still comes."""
        self._parts.clear()
        self._times.clear()
        self.held_bytes = self._limit_bytes = 0

    def content(self) -> bytes:
        """Return what is kept, oldest first."""
        return b"".join(self._parts)

    def newest(self, limit_bytes: int) -> bytes:
        """Return the newest of what is kept, oldest first: at least `limit_bytes` if there is so much."""
        found: deque[bytes] = deque()
        count = 0
        for part in reversed(self._parts):
            if count >= limit_bytes:
                break
            found.appendleft(part)
            count += len(part)
        return b"".join(found)

    async def hand_over(self, target: ByteSink) -> None:
        """Give `target` all that is kept and, from then on, all that comes. Raises what `target.filled` raises.

        Other tasks get their turn after every `ROOM_BYTES`, which is as much as may come meanwhile. Cancelled, it goes
        on keeping the rest.
        """
        self._is_given = True
        try:
            given = 0
            while self._parts:
                part = memoryview(self._parts.popleft())
                self._times.popleft()
                self.held_bytes -= len(part)
                given += len(part)
                while part:
                    room = target.room()
                    n = min(len(room), len(part))
                    room[:n] = part[:n]
                    target.filled(n)
                    part = part[n:]
                if given >= ROOM_BYTES:
                    given = 0
                    await let_others()
        finally:
            self._is_given = False
        self._buffer = None
        self._target = target


class Spare:
    """One source beside the present one. Belongs to the event loop; `close` or `take` must be called."""

    def __init__(self, source: Source, sink: TailSink, at: int, purpose: Purpose) -> None:
        """Prepare; `begin` opens it. `at` is the number of its link."""
        self.source = source
        self.sink = sink
        self.at = at
        self.purpose = purpose
        self.failure: AceProxyError | None = None  # why it will not deliver, or not any more
        self.ready_at: float | None = None  # loop time since when it delivers
        self.is_told = False  # its readiness is in the time line
        self.is_lag_told = False  # that it is far behind, too
        self.is_compared = False  # or is being compared with what is sent
        self.is_same: bool | None = None  # whether it sends the very broadcast that is being sent
        self.opened_at: float | None = None  # loop time of its first bytes
        self.moved_at = asyncio.get_running_loop().time()  # when it last got anywhere: it was begun, or collected data
        self.on_news: Callable[[], None] | None = None  # is called when it is open, and when it fails
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it could take over now."""
        if self.failure is not None or self.silent_s >= FRESH_S or self.sink.received_bytes < LEAST_BYTES:
            self.ready_at = None
            return False
        self.ready_at = self.ready_at or asyncio.get_running_loop().time()
        return True

    @property
    def silent_s(self) -> float:
        """Seconds since its newest byte; infinite before the first."""
        last_byte_at = self.source.last_byte_at
        return inf if last_byte_at is None else asyncio.get_running_loop().time() - last_byte_at

    @property
    def is_silent(self) -> bool:
        """Whether it was opened, and has sent nothing for so long that it is of no use."""
        return self.opened_at is not None and self.silent_s >= SILENT_S

    def gets_nowhere(self) -> bool:
        """Whether it is of no use: opened and silent, or begun a while ago, and no data comes in for it."""
        if self.opened_at is not None:
            return self.is_silent
        now = asyncio.get_running_loop().time()
        if collects(self.source.progress):
            self.moved_at = now
        return now - self.moved_at >= SILENT_S

    @property
    def is_at_pace(self) -> bool:
        """Whether it has sent what it had at the start, and goes on in real time."""
        return self.opened_at is not None and asyncio.get_running_loop().time() - self.opened_at >= BURST_S

    @property
    def engine_url(self) -> str | None:
        """The engine that was chosen for it."""
        return self.source.engine_url

    def lag_s(self, sent: Callable[[int], bytes]) -> float | None:
        """Return how far it is behind what was sent, see `mpegts.behind`; `sent` returns the newest bytes of that."""
        for newest_bytes in CLOCKED_BYTES:
            lag_s = behind_s(sent(newest_bytes), self.sink.newest(newest_bytes))
            if lag_s is not None:
                return lag_s
        return None

    def has_moving_pictures(self) -> bool:
        """Whether it has pictures that go on to its end."""
        return has_moving_pictures(self.sink.newest(CLOCKED_BYTES[-1]))

    def begin(self, deadline_at: float, exclude: frozenset[str]) -> asyncio.Task[None]:
        """Start the task that opens the source and waits for its end; the caller keeps it."""
        self._task = asyncio.get_running_loop().create_task(self._run(deadline_at, exclude), name="spare source")
        return self._task

    async def _run(self, deadline_at: float, exclude: frozenset[str]) -> None:
        try:
            is_extra = self.purpose is not Purpose.MOVE
            await self.source.open(deadline_at, exclude=exclude, spare=is_extra)
            self.opened_at = asyncio.get_running_loop().time()
            self._tell()
            self.failure = await self.source.wait_ended()
        except AceProxyError as error:
            self.failure = error
        except OSError as error:
            self.failure = AceProxyError(Reason.INTERNAL, error.strerror or "")
        self._tell()

    def _tell(self) -> None:
        if self.on_news is not None:
            self.on_news()

    def take(self) -> None:
        """Give the source away: it is not watched here any more."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Let go of it. Idempotent; waits for nothing."""
        self.take()
        self.source.close()
        self.sink.clear()
