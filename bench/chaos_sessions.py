"""Clients of the chaos run that speak to the proxy as to an engine: start, read, ask for the state, stop."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from bench.chaos_fates import Fate, Outcome
from bench.chaos_odd_clients import OddClients
from bench.chaos_wire import Wire, fetch


class SessionClients(OddClients):
    """Each of `kinds` is one client, from its coming to its end."""

    @property
    def kinds(self) -> tuple[Callable[[Fate, str], Awaitable[None]], ...]:
        """Return what they may be."""
        return (self._stops_itself, self._forgets_to_stop)

    async def _stops_itself(self, fate: Fate, target: str) -> None:
        """Stop the session while its media is being read: the media ends."""
        answer = await self._start(fate, target)
        if answer is None:
            return
        wire = await Wire.open(self._port)
        try:
            wire.ask(_path(answer["playback_url"]), fate.agent)
            if not await self._begin(wire, fate):
                return
            verifier = self._verifier(fate)
            if not await self._read(wire, fate, self._random.uniform(0.5, 8.0), verifier):
                return
            await self._ask(fate, _path(answer["stat_url"]))
            if await self._ask(fate, _path(answer["command_url"]) + "?method=stop") != "ok":
                self._fates.seen["session was over before its stop"] += 1
            if await self._read(wire, fate, 10.0, verifier) and not self._leaving.is_set():
                self._fates.wrong(f"{fate.kind}: media goes on after the session was stopped")
            self._fates.end(fate, Outcome.LEFT)
        finally:
            wire.close()

    async def _forgets_to_stop(self, fate: Fate, target: str) -> None:
        """Read, or not, and go away without a word."""
        answer = await self._start(fate, target)
        if answer is None:
            return
        if self._random.random() < 0.3:
            self._fates.end(fate, Outcome.REFUSED, "left early")
            return
        await self._watch(fate, _path(answer["playback_url"]), self._random.uniform(0.5, 8.0))

    async def _start(self, fate: Fate, target: str) -> dict[str, Any] | None:
        found = await self._ask(fate, f"{target}&format=json&pid={fate.agent.replace('/', '-')}")
        if isinstance(found, dict) and {"playback_url", "stat_url", "command_url"} <= found.keys():
            return found
        self._fates.end(fate, Outcome.REFUSED, "the session did not start")
        return None

    async def _ask(self, fate: Fate, target: str) -> object:
        """Make a call as to an engine; return its response, None for an error, which has words."""
        head, body = await fetch(self._port, target, fate.agent)
        try:
            found = json.loads(body)
            response, error = found["response"], found["error"]
        except (ValueError, KeyError, TypeError):
            self._fates.wrong(f"{fate.kind}: {head.status} {body[:80]!r}")
            return None
        if (response is None) == (error is None):
            self._fates.wrong(f"{fate.kind}: neither or both of response and error in {body[:80]!r}")
        return response


def _path(url: str) -> str:
    """Return what to ask for of a URL that the proxy gave."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")
