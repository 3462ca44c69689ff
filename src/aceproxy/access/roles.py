"""The roles, and what can be asked of them."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Who somebody is here. An admin may do everything; a viewer may look and watch; a player may only watch."""

    ADMIN = "admin"
    VIEWER = "viewer"
    PLAYER = "player"
