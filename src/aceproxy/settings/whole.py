"""All settings as one value, which everybody who needs a setting is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aceproxy.settings.access import AccessSettings
from aceproxy.settings.clients import ClientSettings
from aceproxy.settings.engines import EngineSettings
from aceproxy.settings.service import ServiceSettings
from aceproxy.settings.streams import StreamSettings


class Settings(ClientSettings, StreamSettings, EngineSettings, AccessSettings, ServiceSettings):
    """The settings, frozen once read; in the order of their groups, the last base first."""

    def take_over(self, values: Mapping[str, Any]) -> None:
        """Let everyone who holds this object read other values from now on; for `live` alone, with checked values.

        Frozen stays what it is for everyone else: nobody can set a field. On the event loop; other threads see each
        value either as it was or as it is.
        """
        self.__dict__.update(values)
