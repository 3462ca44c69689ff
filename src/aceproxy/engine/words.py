"""The engine's own words: made safe to show, and mapped to reasons (engine-api §9). Pure."""

from __future__ import annotations

import json

from aceproxy.errors import Reason

WORDS_LIMIT = 200  # characters of the engine's own words that are kept

# The engine's words, in lower case, and what they mean; the first that occurs counts.
_WORDS: tuple[tuple[str, Reason], ...] = (
    ("missing_option", Reason.ENGINE_OPTION_MISSING),
    ("missing option", Reason.ENGINE_OPTION_MISSING),
    ("you need to buy", Reason.ENGINE_OPTION_MISSING),
    ("or newer", Reason.ENGINE_OPTION_MISSING),
    ("newer version", Reason.ENGINE_OPTION_MISSING),
    ("unknown playback session", Reason.SESSION_LOST),
    ("got newer download", Reason.SESSION_LOST),
    ("failed to load content", Reason.CONTENT_NOT_FOUND),
    ("cannot load transport file", Reason.CONTENT_NOT_FOUND),
    ("couldn't find resource", Reason.CONTENT_NOT_FOUND),
    ("bad bencoded", Reason.CONTENT_NOT_FOUND),
    ("missing content id", Reason.CONTENT_NOT_FOUND),
    ("invalid content id", Reason.CONTENT_NOT_FOUND),
    ("no active peers", Reason.NO_PEERS),
    ("cannot find active peers", Reason.NO_PEERS),
    ("download not found", Reason.START_TIMEOUT),
    ("start timeout", Reason.START_TIMEOUT),
    ("failed to get manifest", Reason.START_TIMEOUT),
    ("broadcast is unavailable", Reason.START_TIMEOUT),
    ("auth_error", Reason.ENGINE_REFUSED),
)


def reason_for(text: str) -> Reason:
    """Map the engine's words to a reason.

    START_TIMEOUT stands for "not yet": the same request may succeed a little later. Words that are not known map to
    ENGINE_ERROR.
    """
    words = text.lower()
    for part, reason in _WORDS:
        if part in words:
            return reason
    return Reason.ENGINE_ERROR


def error_text(value: object) -> str:
    """Return the engine's own words from an `error` member (text, object with `message`, …) or an error page.

    One line without control, direction and other invisible characters, at most WORDS_LIMIT characters; empty only
    where nothing was said.
    """
    if isinstance(value, dict):
        inner = value.get("message") or value.get("error") or value.get("reason")
        text = inner if isinstance(inner, str) else "" if inner is None else _short_json(inner)
    elif isinstance(value, str):
        text = value
    else:
        text = "" if value is None else _short_json(value)
    text = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * WORDS_LIMIT])
    text = " ".join(text.split())
    return text if len(text) <= WORDS_LIMIT else text[: WORDS_LIMIT - 1] + "…"


def _short_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=True)[: 4 * WORDS_LIMIT]
    except (ValueError, TypeError, RecursionError):
        return type(value).__name__
