"""Single members of the engine's answers, read tolerantly (engine-api §3.2, §5): numbers as text, flags as numbers,
objects as text. What cannot be used counts as not told. Pure.
"""

from __future__ import annotations

import json
import re

from aceproxy.engine.words import error_text
from aceproxy.errors import AceProxyError, Reason

URL_LIMIT = 2000
URL_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
NUMBER_LIMIT = 1 << 63  # what is larger counts nothing that there is

_HEX40 = re.compile(r"[0-9a-fA-F]{40}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{0,6})?")


def whole_object(value: object) -> dict[str, object]:
    """Return an object; one that is written as a string of JSON counts as well (§6).

    Raises AceProxyError ENGINE_ERROR.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            raise AceProxyError(Reason.ENGINE_ERROR, f"not an object: {error_text(value)}") from None
    if not isinstance(value, dict):
        raise AceProxyError(Reason.ENGINE_ERROR, f"not an object: {error_text(value)}")
    return value


def number(value: object) -> int | None:
    """Return a whole number, also one written as text or as a float; None for anything else and for what is endless."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # compared before anything is made a float of: a whole number may be too large to be one. No NaN passes
    return int(value) if -NUMBER_LIMIT < value < NUMBER_LIMIT else None


def count(value: object) -> int | None:
    """Return a number that is not negative, None for anything else."""
    whole = number(value)
    return whole if whole is not None and whole >= 0 else None


def scaled(value: object, factor: int) -> int | None:
    """Return a count times a factor."""
    whole = count(value)
    return None if whole is None else whole * factor


def flag(value: object) -> bool | None:
    """Return what true and false, 1 and 0, "1" and "0" say; None for anything else, as -1 (unknown)."""
    if isinstance(value, bool):
        return value
    whole = number(value)
    return bool(whole) if whole in (0, 1) else None


def infohash_in(value: object) -> str | None:
    """Return an infohash in lower case, None for anything else."""
    return value.lower() if isinstance(value, str) and _HEX40.fullmatch(value) else None


def url_in(value: object) -> str | None:
    """Return a URL, or a path that begins with a slash: where it leads is the configured engine in any case."""
    if not isinstance(value, str) or len(value) > URL_LIMIT or URL_FORBIDDEN.search(value):
        return None
    return value if value.lower().startswith(("http://", "https://", "/")) else None
