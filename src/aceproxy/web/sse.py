"""Server-sent events: boxes that never fill up, and the writing of one to its connection.

Who makes events never waits for who reads them. A listener has a box: of events that replace each other (a state) the
newest waits in it, of those that follow each other (log lines) a bounded number, the oldest giving way. A listener
that takes nothing for `WRITE_LIMIT_S` is disconnected; browsers come back by themselves.
Format: HTML Living Standard, 9.2 "Server-sent events".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator

from aiohttp import web

from aceproxy.errors import AceProxyError, Reason

HEARTBEAT_S = 15.0  # of silence, after which a comment is sent: middle boxes close what is quiet
WRITE_LIMIT_S = 20.0  # for one write; the socket's own buffer has to be full for a write to take any time
RETRY_MS = 2000  # after which a browser connects again
QUEUE_EVENTS = 500  # that wait for one listener
EVENT_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # or nginx would keep events until it has many
}


def event(kind: str, body: bytes | str, place: int | None = None) -> bytes:
    """Write one event. `body` is JSON: one line. `place` is what a browser tells as `Last-Event-ID` when it is back."""
    text = body.encode() if isinstance(body, str) else body
    place_line = b"" if place is None else b"id: %d\n" % place
    return b"event: %s\n%sdata: %s\n\n" % (kind.encode(), place_line, text)


class Box:
    """What waits for one listener, as they may read it. Event loop only."""

    def __init__(self, mask: Callable[[bytes], bytes] = bytes) -> None:
        """`mask` makes of a text what the listener may read."""
        self._mask = mask
        self.dropped = 0  # events that gave way since the last look
        self._newest: dict[str, bytes] = {}
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def replace(self, kind: str, message: bytes, *, is_masked: bool = False) -> None:
        """Leave a message that makes an older one of its kind worthless; `is_masked`: it was made for this listener."""
        self._newest[kind] = message if is_masked else self._mask(message)
        self._wake.set()

    def add(self, message: bytes) -> None:
        """Leave a message that follows the others."""
        if len(self._queue) >= QUEUE_EVENTS:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(message)
        self._wake.set()

    def close(self) -> None:
        """Nothing will follow: the listener ends when it has taken what is there."""
        self._closed = True
        self._wake.set()

    async def take(self) -> bytes | None:
        """Return everything that waits, a comment if nothing came for long, None at the end. Cancel-safe."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._wake.wait()
        except TimeoutError:
            return b": still here\n\n"
        self._wake.clear()
        if self.dropped:
            self._queue.appendleft(event("dropped", f'{{"events":{self.dropped}}}'))
            self.dropped = 0
        message = b"".join((*self._newest.values(), self._mask(b"".join(self._queue))))
        self._newest.clear()
        self._queue.clear()
        if not message and self._closed:
            return None
        if self._closed:
            self._wake.set()
        return message


class Seats:
    """A bounded number of listeners, of all event streams together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._boxes: set[Box] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._boxes)

    @contextlib.contextmanager
    def sit(self, mask: Callable[[bytes], bytes]) -> Iterator[Box]:
        """Take a seat for the time of the `with`. Raises AceProxyError if all are taken or the program is leaving.

        `mask` makes of a text what the listener may read.
        """
        if self._closed:
            raise AceProxyError(Reason.SHUTDOWN)
        if len(self._boxes) >= self.limit:
            raise AceProxyError(Reason.TOO_MANY_LISTENERS, f"{self.limit}")
        box = Box(mask)
        self._boxes.add(box)
        try:
            yield box
        finally:
            self._boxes.discard(box)

    def resize(self, limit: int) -> None:
        """Allow another number from now on; who sits stays."""
        self.limit = limit

    def close(self) -> None:
        """End all listeners, and take no more."""
        self._closed = True
        for box in self._boxes:
            box.close()


async def deliver(request: web.Request, box: Box) -> web.StreamResponse:
    """Answer `request` with the events of `box`, until it is closed or the listener leaves or takes nothing."""
    response = web.StreamResponse(headers=EVENT_HEADERS)
    response.force_close()
    await response.prepare(request)
    message: bytes | None = b"retry: %d\n\n" % RETRY_MS
    try:
        while message is not None:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await response.write(message)
            message = await box.take()
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()  # what is still in its buffer would wait for ever
    return response
