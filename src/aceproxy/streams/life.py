"""The life of a stream: the task that leads it from one state to the next, and the time it goes on without anybody."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.attendance import Attendance
from aceproxy.streams.awaited import Awaited
from aceproxy.streams.owner import MetAnother, MetRecording, StreamOwner
from aceproxy.streams.states import State, check_edge
from aceproxy.streams.timeline import EventKind

if TYPE_CHECKING:
    from aceproxy.streams.stream import Stream


class Life:
    """The state of one stream, and what makes it change. Fields are written here alone, on the event loop.

    Whatever ends the stream goes through `Stream.close`, which tells `end`.
    """

    def __init__(
        self, stream: Stream, owner: StreamOwner, attendance: Attendance, awaited: Awaited, settings: Settings
    ) -> None:
        """Begin in state `starting`, without anybody who is interested; `begin` starts the task."""
        self.state = State.STARTING
        self.state_at = self.created_at = time.monotonic()
        self.created_utc = datetime.now(UTC)
        self.live_utc: datetime | None = None
        self.start_s: float | None = None  # from the request to the first data
        self.close_reason: Reason | None = None
        self.close_message: str | None = None
        self.idle_at: float | None = self.created_at  # since when nobody is interested
        self._stream = stream
        self._owner = owner
        self._attendance = attendance
        self._awaited = awaited
        self._settings = settings
        self._deserted = asyncio.Event()  # set when the last client leaves a stream that is draining
        self._idle_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        """Start the stream's own task; the owner keeps it."""
        stream = self._stream
        stream.timeline.note(EventKind.START_ASKED, link=stream.link.label)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"stream {stream.stream_id}")
        return self._task

    def end(self, reason: Reason, message: str) -> None:
        """Go to `closed`, with a reason and its words, and end the task; once only. Waits for nothing."""
        self.close_reason, self.close_message = reason, message
        self._go(State.CLOSED)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def interest_changed(self) -> None:
        """Begin to linger when nobody is left, and stop lingering when somebody comes."""
        if self.state is State.CLOSED:
            return
        if self.state is State.DRAINING and not self._attendance.has_clients:
            self._deserted.set()  # who only holds the stream reads nothing
        elif self._attendance.is_wanted:
            self.idle_at = None
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None
            if self.state is State.LINGERING:
                self._stream.timeline.note(EventKind.REVISITED)
                self._go(State.LIVE)
        elif self._idle_timer is None:
            self.idle_at = time.monotonic()
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._settings.linger_s, self._stream.close, Reason.LINGER_OVER)
            if self.state is State.LIVE:
                self._stream.timeline.note(EventKind.DESERTED, linger_s=self._settings.linger_s)
                self._go(State.LINGERING)
            self._owner.became_idle(self._stream)

    async def _run(self) -> None:
        stream = self._stream
        try:
            error = await self._start()
            while True:
                if error is None:
                    error = await stream.supply.watch()
                await self._recover(error)
                error = None
        except MetAnother as met:
            self._awaited.fail(met)
            stream.log.info("the same broadcast as %s", met.stream.stream_id)
            stream.close(Reason.GAVE_WAY)
        except MetRecording as met:
            self._awaited.fail(met)
            self._owner.met_recording(stream, met)
            stream.close(Reason.RECORDING)
        except AceProxyError as error:
            stream.close(error.reason, error.detail)
        except Exception:
            stream.log.exception("the stream failed")
            stream.close(Reason.INTERNAL)
        finally:
            stream.supply.close()
            await stream.supply.settle()

    async def _start(self) -> AceProxyError | None:
        """Bring the stream from `starting` to `live`; returns why its source has ended already, if it has."""
        deadline_at = asyncio.get_running_loop().time() + self._settings.start_timeout_s
        supply = self._stream.supply
        ended_early = await supply.start(deadline_at)
        self._go(State.LIVE if self.idle_at is None else State.LINGERING)
        self.live_utc = datetime.now(UTC)
        self.start_s = round(time.monotonic() - self.created_at, 3)
        self._stream.timeline.note(EventKind.LIVE, start_s=self.start_s, engine=supply.engine_words)
        self._awaited.deliver()
        if supply.source is not None and supply.source.playback is not None:
            self._awaited.tell(supply.source.playback)
        return ended_early

    async def _recover(self, error: AceProxyError) -> None:
        """Have the source replaced while clients stay connected. Raises `error` when the time for it is over."""
        supply = self._stream.supply
        is_over = supply.source is not None and supply.source.came_to_its_end
        if is_over:
            error = AceProxyError(Reason.ENDED)
        if is_over or not self._settings.recover_s:
            supply.close()
            await self._drain(error.reason)
        if is_over or self.state is not State.LIVE:
            raise error
        self._go(State.RECOVERING)
        self._stream.stall_watch.source_changed(time.monotonic())
        await supply.restore(error)
        self._go(State.LIVE if self.idle_at is None else State.LINGERING)

    async def _drain(self, reason: Reason) -> None:
        """Let the clients read what is there, to the end."""
        self._stream.timeline.note(EventKind.DRAINING, reason=reason, clients=len(self._attendance.clients))
        self._go(State.DRAINING)
        self._stream.intake.finish(reason)
        if self._attendance.has_clients:
            await self._deserted.wait()

    def _go(self, state: State) -> None:
        check_edge(self.state, state)
        self.state = state
        self._owner.changed()
        self.state_at = time.monotonic()
