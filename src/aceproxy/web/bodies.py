"""Reading what a request brings along: JSON of a known shape, bounded in size and in time."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from aceproxy.errors import AceProxyError, Reason

M = TypeVar("M", bound=BaseModel)


async def wait_for_body(request: web.Request, limit_s: float) -> None:
    """Wait for the body, if there is one, so that whoever reads it later need not wait. Raises REQUEST_TIMEOUT."""
    if not request.can_read_body:
        return
    try:
        async with asyncio.timeout(limit_s):
            await request.read()
    except TimeoutError:
        raise AceProxyError(Reason.REQUEST_TIMEOUT) from None


async def read_json(request: web.Request, model: type[M]) -> M:
    """Return the body, which the guard has waited for, as `model`. Raises BAD_PARAMETER for what is none.

    Only `application/json` is taken: forms of other sites can send anything else without asking.
    """
    if request.content_type != "application/json":
        raise AceProxyError(Reason.BAD_PARAMETER, "the body is JSON: Content-Type: application/json")
    try:
        return model.model_validate_json(await request.read(), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise AceProxyError(Reason.BAD_PARAMETER, f"{place}: {first['msg']}" if place else first["msg"]) from None
