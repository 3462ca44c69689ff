"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What a look found."""

    OK = "ok"
    NOTE = "note"  # worth knowing, nothing is wrong
    WARNING = "warning"  # it works, but not well or not for long
    FAILURE = "failure"  # it does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found, and what to do about it (empty where nothing is to be done)."""

    name: str
    status: Status
    message: str
    advice: str = ""
