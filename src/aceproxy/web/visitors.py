"""Who asks: address and User-Agent, with outside text made harmless."""

from __future__ import annotations

import re

from aiohttp import web

from aceproxy.streams.client import Visitor
from aceproxy.web.callers import caller_of

AGENT_LIMIT = 200  # characters of a User-Agent that are kept
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def agent_of(request: web.Request) -> str:
    """Return the User-Agent, cut to a length and without control characters."""
    return _CONTROL.sub(" ", request.headers.get("User-Agent", ""))[:AGENT_LIMIT]


def visitor_of(request: web.Request) -> Visitor:
    """Say who asks."""
    caller = caller_of(request)
    return Visitor(address=caller.address, agent=agent_of(request), ticket=caller.ticket)
