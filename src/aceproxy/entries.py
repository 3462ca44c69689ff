"""One engine as an operator names it: in the settings, in the API and in the file of run-time changes. Pure.

An engine is an address and, if wanted, a label, a weight, a capacity and whether it takes streams. A bare address is
short for one with nothing else said.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

LABEL_LIMIT = 64  # characters of a label
ADDRESS_LIMIT = 300  # characters of an engine's address
WEIGHT_LIMITS = (0.01, 100.0)
CAPACITY_LIMIT = 10_000  # playbacks of one engine
ENGINES_LIMIT = 64  # engines of one program; each has its own probes

HOST = re.compile(r"[0-9A-Za-z._~:%-]+")
_LABEL = re.compile(r"[0-9A-Za-z\[]([0-9A-Za-z ._:\[\]()-]*[0-9A-Za-z\])])?")


def engine_address(text: str) -> str:
    """Return the normal form of an engine's address, `http://host:port`; a bare HOST[:PORT] is taken as well.

    Raises ValueError with a sentence.
    """
    text = text.strip()
    if len(text) > ADDRESS_LIMIT:
        raise ValueError(f"an engine's address has at most {ADDRESS_LIMIT} characters")
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text!r} is not an engine's address such as http://127.0.0.1:6878")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text!r}: an engine's address has no path, query or user name")
    if not HOST.fullmatch(parts.hostname) or parts.port == 0:
        raise ValueError(f"{text!r} is not an engine's address such as http://127.0.0.1:6878")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or 6878}"


def _label(text: str) -> str:
    text = text.strip()
    if text and (len(text) > LABEL_LIMIT or not _LABEL.fullmatch(text)):
        raise ValueError(f"a label has at most {LABEL_LIMIT} letters, digits, blanks and ._:-()[]")
    return text


class EngineEntry(BaseModel):
    """One engine. `label` names it to people, HOST:PORT unless given; `weight` is its share of the streams beside
    equals; `capacity` is how many playbacks it may run (None: `engine_max_streams`); one that is not `enabled` is known
    and probed but gets no streams.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(engine_address)]
    label: Annotated[str, AfterValidator(_label)] = ""
    weight: float = Field(1.0, ge=WEIGHT_LIMITS[0], le=WEIGHT_LIMITS[1], allow_inf_nan=False)
    capacity: int | None = Field(None, ge=1, le=CAPACITY_LIMIT)
    enabled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        """Take a bare address, refuse keys nobody knows with the nearest one, and label an engine by its address."""
        given = {"url": value} if isinstance(value, str) else value
        if not isinstance(given, dict):
            return given
        for key in given:
            if key not in cls.model_fields:
                close = difflib.get_close_matches(str(key), list(cls.model_fields), n=1, cutoff=0.5)
                hint = f"; did you mean {close[0]}?" if close else ""
                name = str(given.get("label") or given.get("url"))[:LABEL_LIMIT]
                raise ValueError(f"unknown key {str(key)[:LABEL_LIMIT]!r} of the engine {name!r}{hint}")
        if isinstance(given.get("url"), str) and not given.get("label"):
            place = engine_address(given["url"]).partition("://")[2]
            return {**given, "label": place[-LABEL_LIMIT:].lstrip(".-:_~%")}
        return given


def without_doubles(entries: Sequence[EngineEntry]) -> tuple[EngineEntry, ...]:
    """Return the engines; raises ValueError if two have one address or one label, or there are too many."""
    urls: set[str] = set()
    labels: set[str] = set()
    for entry in entries:
        if entry.url in urls:
            raise ValueError(f"the engine {entry.url} is named twice")
        if entry.label in labels:
            raise ValueError(f"two engines have the label {entry.label!r}")
        urls.add(entry.url)
        labels.add(entry.label)
    if len(entries) > ENGINES_LIMIT:
        raise ValueError(f"more than {ENGINES_LIMIT} engines")
    return tuple(entries)
