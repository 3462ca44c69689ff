"""What every group of settings is: frozen once read, without names that nobody knows and numbers that are none."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

LARGEST = 10**12
"""No number may be larger, of whatever unit: what is worked out from one must still be a number, fit into the database,
and be shown in a browser as it is."""


class Group(BaseModel):
    """Some of the settings. Seconds end in `_s`, bytes in `_bytes`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _is_not_too_large(cls, value: Any) -> Any:
        if isinstance(value, int | float) and value > LARGEST:
            raise ValueError(f"a number up to {LARGEST}")
        return value
