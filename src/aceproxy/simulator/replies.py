"""JSON answers under `/ace/`, and the faults that spoil them (engine-api §3.2, §9)."""

from __future__ import annotations

import json

from aceproxy.simulator.engine import Engine
from aceproxy.simulator.http1 import Answer, json_answer, text_answer

UNKNOWN_SESSION = "unknown playback session id"
EXCEPTION_TEXT = "<class 'KeyError'>: 'RequestBroker' (line 412, in get_session)"
EXTRA_FIELDS: dict[str, object] = {"x_new_field": {"nested": [1, None, "text"]}, "x_flag": True, "x_huge": 2**70}


def reply(engine: Engine, infohash: str | None, response: object) -> Answer:
    """Return a success answer."""
    return spoiled(engine, infohash, {"response": response, "error": None})


def error_reply(engine: Engine, infohash: str | None, error: str, extras: dict[str, object] | None = None) -> Answer:
    """Return a failure answer: HTTP 200, `response` null."""
    return spoiled(engine, infohash, {"response": None, "error": error, **(extras or {})})


def spoiled(engine: Engine, infohash: str | None, value: dict[str, object]) -> Answer:
    """Return `value` as JSON, or what a fault makes of it."""
    faults = engine.faults
    if faults.use("python-error", infohash):
        return text_answer(500, EXCEPTION_TEXT)
    if faults.use("text-answer", infohash):
        return text_answer(200, repr(value))
    if faults.use("extra-fields", infohash):
        inner = value["response"]
        if isinstance(inner, dict):
            value = {**value, "response": {**inner, **EXTRA_FIELDS}}
        value = {**value, **EXTRA_FIELDS}
    answer = json_answer(value)
    if faults.use("truncated-json", infohash):
        return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
    return answer


def media_reply(status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> Answer:
    """Return an answer whose body ends with the connection."""
    return Answer(status, body, headers, sized=False)


def dumped(value: object) -> bytes:
    """Return indented JSON for people."""
    return json.dumps(value, indent=2).encode() + b"\n"
