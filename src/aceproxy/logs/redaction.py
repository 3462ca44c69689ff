"""What must not stand in a log: secrets, and characters that make one line look like two."""

from __future__ import annotations

import re

MESSAGE_LIMIT = 2000  # characters of one record that are kept

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_LONE = re.compile(r"[\ud800-\udfff]")  # halves of characters; no encoding can write them
_SECRET = re.compile(
    r"(?i)\b(token|password|passwd|secret|api_?key|access_token|csrf|pid|sid)"
    r"([\"']?\s{0,3}[=:]\s{0,3}[\"']?)([^\s&\"'#,}]+)"
)
_AUTHORIZATION = re.compile(r"(?i)\b(authorization\s{0,3}[=:]\s{0,3})(\w{1,20}\s{1,3})?[^\s,]+")
_BEARER = re.compile(r"(?i)\b(bearer\s{1,3})[\w.~+/=-]{6,}")
_COOKIE = re.compile(r"(?i)\b(cookie\s{0,3}[=:]\s{0,3})[^\r\n|]+")
_HASH = re.compile(r"\$argon2[a-z]{1,2}\$[^\s\"',}]+")
_TOKEN = re.compile(r"\bapt_[\w-]{8,}")  # a token of ours, wherever it stands
_SIGN_IN = re.compile(r"(/sign-in#)[\w-]+")
_USERINFO = re.compile(r"://[^/\s?#]{1,500}@")


def redact(text: str) -> str:
    """Return `text` without secrets, without control characters (a log line stays one line) and bounded in length."""
    text = text[: 4 * MESSAGE_LIMIT]
    text = _AUTHORIZATION.sub(r"\1***", text)
    text = _BEARER.sub(r"\1***", text)
    text = _COOKIE.sub(r"\1***", text)
    text = _SECRET.sub(r"\1\2***", text)
    text = _HASH.sub("***", text)
    text = _SIGN_IN.sub(r"\1***", _TOKEN.sub("apt_***", text))
    text = _USERINFO.sub("://***@", text)
    text = _UNSAFE.sub(" ", text.replace("\n", " | "))
    text = _LONE.sub("\ufffd", text)
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "…"
