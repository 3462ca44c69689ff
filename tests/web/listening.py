"""A listener of server-sent events, as a test needs it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from aceproxy.app import App
from tests.conftest import Answer, ask


@dataclass
class Event:
    """One event as it came."""

    kind: str
    body: Any


class EventReader:
    """Reads events from an answer that is left open."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.comments = 0
        self._text = ""

    async def next(self, kind: str = "", limit_s: float = 30.0) -> Event:
        """Return the next event, of a kind if one is given. Raises EOFError at the end of the answer."""
        async with asyncio.timeout(limit_s):
            while True:
                while "\n\n" in self._text:
                    found = self._take()
                    if found is not None and kind in ("", found.kind):
                        return found
                self._text += (await self._chunk()).decode()

    async def ended(self, limit_s: float = 30.0) -> None:
        """Read to the end of the answer."""
        async with asyncio.timeout(limit_s):
            while await self._chunk():
                pass

    def _take(self) -> Event | None:
        block, _, self._text = self._text.partition("\n\n")
        fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
        if "data" not in fields:
            self.comments += "" in fields
            return None
        return Event(fields["event"], json.loads(fields["data"]))

    async def _chunk(self) -> bytes:
        size = int(await self.answer.reader.readuntil(b"\r\n"), 16)
        chunk = await self.answer.reader.readexactly(size)
        await self.answer.reader.readexactly(2)
        if not size:
            raise EOFError("the server ended the events")
        return chunk


async def listen(app: App, target: str = "/api/events", *, admin: bool | None = None) -> EventReader:
    """Open an event stream."""
    answer = await ask(app, target, stream=True, admin=admin)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    return EventReader(answer)
