"""How answers are written: JSON from typed models, errors in their one shape, and the headers all answers carry."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import BaseModel

from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import redact
from aceproxy.web.models import ErrorAnswer, ErrorBody
from aceproxy.web.veil import IS_VEILED

log = logging.getLogger(__name__)

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}
DETAIL_LIMIT = 300  # characters of outside text in an error


def json_answer(model: BaseModel, status: int = 200) -> web.Response:
    """Answer with a model as JSON; never stored by anybody, since it is old a moment later."""
    return json_body(model.model_dump_json().encode(), status)


def json_body(body: bytes, status: int = 200) -> web.Response:
    """Answer with JSON that is there already."""
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )


def json_veiled(body: bytes) -> web.Response:
    """Answer with JSON in which addresses are masked already, as far as whoever asked may not read them."""
    answer = json_body(body)
    answer[IS_VEILED] = True
    return answer


def error_answer(error: AceProxyError) -> web.Response:
    """Answer with a reason: its status, its sentence, and `Retry-After` where trying again helps."""
    row = error.row
    detail = redact(error.detail)[:DETAIL_LIMIT]
    message = AceProxyError(error.reason, detail).message
    body = ErrorBody(reason=error.reason, message=message, fault=row.fault, detail=detail)
    answer = json_answer(ErrorAnswer(error=body), row.status)
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if row.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 §11.6.1 demands a challenge
    return answer


def _http_reason(error: web.HTTPException) -> AceProxyError | None:
    if error.status == 404:
        return AceProxyError(Reason.NOT_FOUND)
    if error.status == 405:
        return AceProxyError(Reason.METHOD_NOT_ALLOWED)
    if 400 <= error.status < 500:
        return AceProxyError(Reason.REQUEST_REFUSED, error.reason)
    return None


@web.middleware
async def errors_as_json(request: web.Request, handler: Serve) -> web.StreamResponse:
    """Turn every failure into the one error shape."""
    try:
        return await handler(request)
    except AceProxyError as error:
        return error_answer(error)
    except web.HTTPException as error:
        known = _http_reason(error)
        if known is None:
            raise
        answer = error_answer(known)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except (ConnectionError, TimeoutError):
        raise  # the client is gone; there is nobody to answer
    except Exception:
        log.exception("serving %s failed", request.path)
        return error_answer(AceProxyError(Reason.INTERNAL))


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on every answer (a signal of the application)."""
    if "Access-Control-Allow-Origin" in response.headers:  # media, which pages of other sites may show
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "AceProxy"
