"""What every group of settings is: frozen once read, without names that nobody knows and numbers that are none."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """Some of the settings. Seconds end in `_s`, bytes in `_bytes`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
