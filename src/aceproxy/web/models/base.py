"""What all answers have in common, and the one shape of errors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Base of all answers: frozen, and no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorBody(Model):
    """Why a request failed. `reason` is stable (docs/reasons.md), `message` is for people, `fault` says whose it is."""

    reason: str
    message: str
    fault: str
    detail: str


class ErrorAnswer(Model):
    """The one shape of every error."""

    error: ErrorBody
