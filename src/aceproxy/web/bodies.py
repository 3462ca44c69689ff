"""Reading what a request brings along: JSON of a known shape, bounded in size and in time."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from aceproxy.errors import AceProxyError, Reason

BODY_WAIT_S = 10.0  # for a body of at most 64 KiB; who sends slower than that is not sending

M = TypeVar("M", bound=BaseModel)


async def read_json(request: web.Request, model: type[M]) -> M:
    """Return the body as `model`. Raises BAD_PARAMETER for what is none, REQUEST_REFUSED for one that never ends.

    Only `application/json` is taken: forms of other sites can send anything else without asking.
    """
    if request.content_type != "application/json":
        raise AceProxyError(Reason.BAD_PARAMETER, "the body is JSON: Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            body = await request.read()
    except TimeoutError:
        raise AceProxyError(Reason.REQUEST_REFUSED, "the body did not come in time") from None
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise AceProxyError(Reason.BAD_PARAMETER, f"{place}: {first['msg']}" if place else first["msg"]) from None
